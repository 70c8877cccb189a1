"""One patient's two maps, checked."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.brain import brain_mask
from model.images.limits import LARGEST_ADC, LARGEST_BRAIN_ML, LARGEST_Z, PLAUSIBLE_ADC
from model.images.missing import without_missing
from model.images.orientation import turn_to_learnt
from model.images.pair import Pair, misfit, pair_of
from model.images.volume import Grid, Volume, read_volume, require_same_grid

ADC_UNIT = "1e-6mm2/s"
ADC_UNITS = {ADC_UNIT: 1.0, "1e-3mm2/s": 1e3, "mm2/s": 1e6}  # what a map in that unit is multiplied by


@dataclass(frozen=True, eq=False)
class Case:
    """ADC map (1e-6 mm2/s, skull-stripped, 0 outside the brain) and Z map (standard deviations) on one grid."""

    adc: Volume
    zadc: Volume
    adc_unit: str = ADC_UNIT  # of the file; another than the usual one has been converted
    remarks: tuple[str, ...] = ()  # sentences on what was done to the files' voxels, for the warnings

    @property
    def grid(self) -> Grid:
        """The ADC map's grid, which is the mask's too."""
        return self.adc.grid

    @functools.cached_property
    def brain(self) -> np.ndarray:
        """Boolean (z, y, x): where ADC is above 0. Computed once."""
        return brain_mask(self.adc.voxels)

    @functools.cached_property
    def pair(self) -> Pair | None:
        """How the two maps fit; None where the brain is too small to tell. Computed once."""
        turn = turn_to_learnt(self.grid)
        return pair_of(turn.there(self.adc.voxels), turn.there(self.zadc.voxels))


def read_case(adc_path: Path, zadc_path: Path, adc_unit: str = ADC_UNIT, series: Sequence[str] = ()) -> Case:
    """Read and check both maps; an ADC map in another of ADC_UNITS is converted. series: UIDs, see `read_volume`.

    Raises UserError when a file is unusable, the grids differ, a voxel of the brain is NaN or infinite, the maps look
    swapped or are no pair, there is no brain or its ADC is not in that unit.
    """
    adc = read_volume(adc_path, keep_nan=True, series=series, adc=True)
    zadc = read_volume(zadc_path, keep_nan=True, series=series)
    require_same_grid(adc, zadc)
    adc, zadc, taken_as_0 = without_missing(adc, zadc)
    adc = _in_usual_unit(adc, adc_unit)
    remarks = (*adc.remarks, *zadc.remarks, *([taken_as_0] if taken_as_0 else []))
    case = Case(adc, zadc, adc_unit, remarks)
    require_usable(case)
    return case


def _in_usual_unit(adc: Volume, adc_unit: str) -> Volume:
    """The map in 1e-6 mm2/s. Raises UserError where its header names another unit than one that is asked for."""
    if adc_unit == ADC_UNIT:
        return adc
    if not adc.unit:
        return replace(adc, voxels=adc.voxels * np.float32(ADC_UNITS[adc_unit]))
    if adc.unit_factor != ADC_UNITS[adc_unit]:
        raise UserError(f"{adc.path}: its DICOM header says that the ADC is in {adc.unit}, --adc-unit says {adc_unit}")
    return adc


def require_usable(case: Case) -> None:
    """Raise UserError for maps that no reading makes sense of, as `read_case` says."""
    adc, zadc, factor = case.adc, case.zadc, ADC_UNITS[case.adc_unit]
    if not case.brain.any():
        raise UserError(f"{adc.path}: no brain, expected voxels with ADC above 0")
    volume_ml = np.count_nonzero(case.brain) * case.grid.voxel_mm3 / 1000
    if volume_ml > LARGEST_BRAIN_ML:
        spacing = " x ".join(f"{mm:g}" for mm in case.grid.spacing_mm[::-1])
        raise UserError(
            f"{adc.path}: its brain (ADC above 0) measures {volume_ml:.0f} ml with voxels of {spacing} mm, expected at most"
            f" {LARGEST_BRAIN_ML:g} ml: is the spacing right, and the map skull-stripped?"
        )
    if (adc.sha256 and adc.sha256 == zadc.sha256) or np.array_equal(adc.voxels, zadc.voxels):
        raise UserError(f"{adc.path} and {zadc.path} are the same image, expected ADC in {case.adc_unit} and a Z map")
    largest_adc, largest_z = (float(np.abs(volume.voxels).max()) for volume in (adc, zadc))
    if largest_z > LARGEST_Z or largest_adc > LARGEST_ADC:
        swapped = "; the two look swapped" if largest_adc < LARGEST_Z < largest_z else ""
        raise UserError(
            f"{adc.path} and {zadc.path}: expected ADC in {case.adc_unit} and a Z map clipped at 10,"
            f" found largest values {largest_adc / factor:.4g} and {largest_z:.4g}{swapped}"
        )
    typical_adc = float(np.median(adc.voxels[case.brain]))
    if not PLAUSIBLE_ADC[0] <= typical_adc <= PLAUSIBLE_ADC[1]:
        found = typical_adc / factor
        raise UserError(
            f"{adc.path}: expected ADC in {case.adc_unit}, about {1000 / factor:g} in a brain,"
            f" found median of {found:.4g}: {_unit_hint(found, adc)}"
        )
    if case.pair and (reason := misfit(case.pair)):
        raise UserError(f"{adc.path} and {zadc.path} {reason}")


def _unit_hint(typical_adc: float, adc: Volume) -> str:
    """What else a median could mean."""
    if adc.unit:
        return f"its DICOM header says that it is in {adc.unit}"
    for unit, factor in ADC_UNITS.items():
        if PLAUSIBLE_ADC[0] <= typical_adc * factor <= PLAUSIBLE_ADC[1]:
            return f"looks like {unit}; if it is, say --adc-unit {unit}"
    return "other unit?"
