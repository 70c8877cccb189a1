"""One patient's two maps, or the ADC map alone, checked."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.adc_only_checks import LARGEST_ML, AdcFigures, adc_figures, adc_misfit, no_adc
from model.images.brain import brain_mask
from model.images.limits import (
    FEWEST_TO_ESTIMATE,
    LARGEST_ADC,
    LARGEST_BRAIN_ML,
    LARGEST_Z,
    PLAUSIBLE_ADC,
    SMALLEST_BRAIN_ML,
)
from model.images.mark import require_not_ours
from model.images.missing import without_missing
from model.images.orientation import in_order_of, turn_to_canonical
from model.images.pair import Pair, misfit, pair_of
from model.images.registered import Registration
from model.images.space import in_template, is_doubtful
from model.images.stripping import stripped, usable_brain_mask
from model.images.volume import Grid, Volume, read_volume, require_same_grid

HOW_TO_STRIP = " (--brain-mask)"
ADC_UNIT = "1e-6mm2/s"
ADC_UNITS = {ADC_UNIT: 1.0, "1e-3mm2/s": 1e3, "mm2/s": 1e6}  # what a map in that unit is multiplied by


@dataclass(frozen=True, eq=False)
class Case:
    """ADC map (1e-6 mm2/s, skull-stripped, 0 outside the brain) and Z map (standard deviations) on one grid.

    A case that was read without a Z map has none until `with_estimate`.
    """

    adc: Volume
    z_map: Volume | None
    adc_unit: str = ADC_UNIT  # of the file; another than the usual one has been converted
    remarks: tuple[str, ...] = ()  # sentences on what was done to the files' voxels, for the warnings
    brain_mask: Volume | None = None  # that was applied to the maps
    estimated: bool = False  # whether the Z map was estimated
    registration: Registration | None = None  # to the atlas beside which it was

    @property
    def zadc(self) -> Volume:
        """The Z map, given or estimated. Raises ValueError where there is none yet."""
        if self.z_map is None:
            raise ValueError(f"{self.adc.path}: its Z map was not estimated yet")
        return self.z_map

    def with_estimate(self, voxels: np.ndarray, registration: Registration | None = None) -> "Case":
        """The case with an estimated Z map, float32 (z, y, x) on its grid. registration: to an atlas, if one was asked."""
        z_map = replace(self.adc, voxels=voxels, sha256="", remarks=(), dicom=None)
        return replace(self, z_map=z_map, estimated=True, registration=registration)

    @property
    def space(self) -> str:
        """In which the maps lie, as `model.images.space` has it; a template's or doubtful also where the Z map says so."""
        spaces = [self.adc.space, *([self.z_map.space] if self.z_map else [])]
        return next(filter(in_template, spaces), next(filter(is_doubtful, spaces), self.adc.space))

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """All that was read, in the order ADC map, Z map, brain mask."""
        given = None if self.estimated else self.z_map
        return tuple(volume for volume in (self.adc, given, self.brain_mask) if volume)

    @property
    def grid(self) -> Grid:
        """The ADC map's grid, which is the mask's too."""
        return self.adc.grid

    @functools.cached_property
    def brain(self) -> np.ndarray:
        """Boolean (z, y, x): where ADC is above 0. Computed once."""
        return brain_mask(self.adc.voxels)

    @functools.cached_property
    def brain_centre(self) -> np.ndarray:
        """The centroid of the brain's voxels in the array, (z, y, x). Computed once."""
        others = ((1, 2), (0, 2), (0, 1))
        sums = (np.count_nonzero(self.brain, axis=axes) for axes in others)
        return np.array([np.average(np.arange(len(voxels)), weights=voxels) for voxels in sums])

    @functools.cached_property
    def pair(self) -> Pair | None:
        """How the two maps fit; None where the brain is too small to tell, or no Z map was given. Computed once."""
        if self.estimated or self.z_map is None:
            return None
        turn = turn_to_canonical(self.grid)
        return pair_of(turn.to_canonical(self.adc.voxels), turn.to_canonical(self.zadc.voxels))

    @functools.cached_property
    def adc_figures(self) -> AdcFigures | None:
        """What the ADC map alone says, where no Z map was given and the brain is large enough to tell. Computed once."""
        if not self.estimated and self.z_map is not None:
            return None
        turn = turn_to_canonical(self.grid)
        return adc_figures(turn.to_canonical(self.adc.voxels), turn.spacing_mm(self.grid))


def read_case(
    adc_path: Path,
    zadc_path: Path | None,
    adc_unit: str = ADC_UNIT,
    series: Sequence[str] = (),
    mask_path: Path | None = None,
    smallest_brain_ml: float = SMALLEST_BRAIN_ML,
) -> Case:
    """Read and check a case; an ADC map in another of ADC_UNITS is converted, a brain mask is applied.

    series: UIDs, see `read_volume`. Without a Z map's path the case has none: more is asked of its ADC map then.
    smallest_brain_ml: that the brain mask has to leave.
    Raises UserError when a file is unusable or this program wrote it, the grids differ, a voxel of the brain is NaN or
    infinite, the maps look swapped or are no pair, there is no brain or its ADC is not in that unit, the mask is none for
    this map, or the ADC map is none from which a newborn's Z map could be estimated.
    """
    require_not_ours(adc_path, zadc_path, mask_path)
    adc = read_volume(adc_path, keep_nan=True, series=series, adc=True)
    zadc = read_volume(zadc_path, keep_nan=True, series=series) if zadc_path else None
    mask = read_volume(mask_path, keep_nan=True) if mask_path else None
    return case_of(adc, zadc, mask, adc_unit, smallest_brain_ml)


def case_of(
    adc: Volume,
    zadc: Volume | None,
    mask: Volume | None = None,
    adc_unit: str = ADC_UNIT,
    smallest_brain_ml: float = SMALLEST_BRAIN_ML,
) -> Case:
    """The case of maps that were read, checked as `read_case` says. Raises UserError."""
    remarks = [*adc.remarks, *(zadc.remarks if zadc else ())]
    if zadc:
        zadc = in_order_of(adc, zadc)
        require_same_grid(adc, zadc, "; is the Z map another case's? Take both maps of one case, and resample neither")
    if mask:
        mask = usable_brain_mask(mask, adc, smallest_brain_ml)
        adc, zadc, said = stripped(adc, zadc, mask)
        remarks += said
    adc, zadc, taken_as_0 = without_missing(adc, zadc)
    adc = _in_usual_unit(adc, adc_unit)
    case = Case(adc, zadc, adc_unit, (*remarks, *([taken_as_0] if taken_as_0 else [])), mask)
    require_usable(case)
    return case


def _in_usual_unit(adc: Volume, adc_unit: str) -> Volume:
    """The map in 1e-6 mm2/s. Raises UserError where its header names another unit than one that is asked for."""
    if adc_unit not in ADC_UNITS:
        raise UserError(f"adc_unit {adc_unit!r}: expected one of {', '.join(ADC_UNITS)}")
    if adc_unit == ADC_UNIT:
        return adc
    if not adc.unit:
        return replace(adc, voxels=adc.voxels * np.float32(ADC_UNITS[adc_unit]))
    if adc.unit_factor != ADC_UNITS[adc_unit]:
        raise UserError(f"{adc.path}: its DICOM header says that the ADC is in {adc.unit}, --adc-unit says {adc_unit}")
    return adc


def require_usable(case: Case) -> None:
    """Raise UserError for maps that no reading makes sense of, as `read_case` says."""
    _require_brain(case)
    if case.z_map:
        _require_two_maps(case.adc, case.z_map, case.adc_unit)
    elif case.adc_figures and (reason := no_adc(case.adc_figures)):
        raise UserError(f"{case.adc.path} {reason}")
    _require_unit(case)
    if case.adc_figures and (reason := adc_misfit(case.adc_figures)):
        raise UserError(f"{case.adc.path} {_of_masked(reason, case)}")
    if case.pair and (reason := misfit(case.pair)):
        raise UserError(f"{case.adc.path} and {case.zadc.path} {reason}")


def _require_brain(case: Case) -> None:
    adc = case.adc
    if not case.brain.any():
        raise UserError(f"{adc.path}: no brain, expected voxels with ADC above 0")
    if case.z_map is None and (voxels := np.count_nonzero(case.brain)) < FEWEST_TO_ESTIMATE:
        raise UserError(
            f"{adc.path}: a brain (ADC above 0) of {voxels} voxels, from which no Z map can be estimated;"
            f" expected at least {FEWEST_TO_ESTIMATE}: is the brain mask right?"
        )
    volume_ml = np.count_nonzero(case.brain) * case.grid.voxel_mm3 / 1000
    if volume_ml > LARGEST_BRAIN_ML:
        spacing = " x ".join(f"{mm:g}" for mm in case.grid.spacing_mm[::-1])
        raise UserError(
            f"{adc.path}: its brain (ADC above 0) measures {volume_ml:.0f} ml with voxels of {spacing} mm, expected at most"
            f" {LARGEST_BRAIN_ML:g} ml: is the spacing right, and the map skull-stripped{_stripping(case)}?"
        )


def _require_two_maps(adc: Volume, zadc: Volume, adc_unit: str) -> None:
    if (adc.sha256 and adc.sha256 == zadc.sha256) or np.array_equal(adc.voxels, zadc.voxels):
        raise UserError(f"{adc.path} and {zadc.path} are the same image, expected ADC in {adc_unit} and a Z map")
    largest_adc, largest_z = (float(np.abs(volume.voxels).max()) for volume in (adc, zadc))
    if largest_z > LARGEST_Z or largest_adc > LARGEST_ADC:
        swapped = "; the two look swapped" if largest_adc < LARGEST_Z < largest_z else ""
        raise UserError(
            f"{adc.path} and {zadc.path}: expected ADC in {adc_unit} and a Z map clipped at 10,"
            f" found largest values {largest_adc / ADC_UNITS[adc_unit]:.4g} and {largest_z:.4g}{swapped}"
        )


def _require_unit(case: Case) -> None:
    typical_adc, factor = float(np.median(case.adc.voxels[case.brain])), ADC_UNITS[case.adc_unit]
    if not PLAUSIBLE_ADC[0] <= typical_adc <= PLAUSIBLE_ADC[1]:
        found = typical_adc / factor
        raise UserError(
            f"{case.adc.path}: expected ADC in {case.adc_unit}, about {1000 / factor:g} in a brain,"
            f" found median of {found:.4g}: {_unit_hint(found, case)}"
        )


def _of_masked(reason: str, case: Case) -> str:
    """The reason; where a brain mask was applied it asks for that mask, and does not advise to apply one."""
    if not case.brain_mask:
        return reason
    return f"{reason.replace(HOW_TO_STRIP, '')} The brain mask {case.brain_mask.path.name} was applied: is it right?"


def _stripping(case: Case) -> str:
    return "" if case.brain_mask else HOW_TO_STRIP


def _unit_hint(typical_adc: float, case: Case) -> str:
    """What else a median could mean. A background that is not 0 counts as brain and lowers it."""
    if case.adc.unit:
        unit_hint = f"its DICOM header says that it is in {case.adc.unit}"
    else:
        low, high = PLAUSIBLE_ADC
        fitting = (unit for unit, factor in ADC_UNITS.items() if low <= typical_adc * factor <= high)
        unit_hint = next((f"looks like {unit}; if it is, say --adc-unit {unit}" for unit in fitting), "")
    volume_ml = np.count_nonzero(case.brain) * case.grid.voxel_mm3 / 1000
    if volume_ml <= LARGEST_ML:
        return unit_hint or "other unit?"
    skull_hint = f"ADC is above 0 in {volume_ml:.0f} ml: is the map skull-stripped{_stripping(case)}?"
    return f"{unit_hint}; {skull_hint}" if unit_hint else skull_hint
