"""Gets the atlas back by which the Z maps were made: Z = (ADC - mean) / sd at a voxel's place in an atlas of normal brains.

Cases are registered to what is known of it so far, a few rounds long. The standard deviation at a place is that of the ADC
over that of Z, over all cases and the voxels next to it; the regression's slope would be too small, since no registration is
exact. A case is taken out of an atlas by subtracting its sums.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.images.limits import LARGEST_PUBLISHED_Z
from model.images.registered import GRID_MM, MARGIN_MM, box_mm, corners
from model.lesions.atlas import MAPS_MM, Atlas, maps_shape
from model.lesions.brain_map import blur
from training.data.dataset import PackedCase

ROUNDS = 2  # of registration, each to the atlas of the one before
SMOOTHING_MM = 0.9  # standard deviation, of the sums
WIDE_MM, WIDE_WEIGHT = 6.0, 0.02  # of wider sums beside them, for places where nearly all is fluid, whose Z is cut
LEAST_CASES = 0.5  # share of them that have brain where the atlas is known
MAPS_SMOOTHING_MM = 4.0  # of the sums that the maps are made of
PRIOR = 0.05  # brains of the cohort's mean, which count at each place of the maps: what is known where no brain is near
LOW_Z = -2.0  # below which Z counts as low for the map of false low values
LESION = 1  # which of the coarse sums counts lesions
SD_LIMITS = (80.0, 800.0)  # 1e-6 mm2/s


@dataclass(frozen=True, eq=False)
class AtlasSums:
    """What an atlas is made of: of some cases at each of its voxels, float64 (6, z, y, x).

    Brain in voxels of the atlas; then, of the voxels whose Z is not cut, their number, ADC, its square, Z and its square.
    coarse: likewise, in voxels of the maps (8, z, y, x): brain, lesion, low Z without a lesion; of the voxels whose Z is
    not cut, number and Z of those without a lesion, and number, ADC and its square of all.
    """

    sums: np.ndarray
    coarse: np.ndarray
    cases: int

    def __add__(self, other: "AtlasSums") -> "AtlasSums":
        return AtlasSums(self.sums + other.sums, self.coarse + other.coarse, self.cases + other.cases)

    def __sub__(self, other: "AtlasSums") -> "AtlasSums":
        return AtlasSums(self.sums - other.sums, self.coarse - other.coarse, self.cases - other.cases)

    def atlas(self) -> Atlas:
        """Rounded as it is stored."""
        grid = (GRID_MM,) * 3
        fine = np.array([blur(part, SMOOTHING_MM, grid) for part in self.sums])
        wide = np.array([blur(part, WIDE_MM, grid) for part in self.sums])
        count, *sums = (fine + WIDE_WEIGHT * wide)[1:]
        adc, adc_square, z, z_square = (part / np.maximum(count, 1e-6) for part in sums)
        spread = np.sqrt(np.maximum(adc_square - adc**2, 0) / np.maximum(z_square - z**2, 1e-6))
        sd = np.clip(spread, *SD_LIMITS)
        known = fine[0] >= LEAST_CASES * self.cases
        mean, sd = (np.where(known, part, 0).astype(np.float16).astype(np.float32) for part in (adc - sd * z, sd))
        return Atlas(mean, sd, self._maps().astype(np.float16).astype(np.float32))

    def _maps(self) -> np.ndarray:
        """(z, y, x, map), in the order of MAPS."""
        smooth = np.array([blur(part, MAPS_SMOOTHING_MM, (MAPS_MM,) * 3) for part in self.coarse])
        whole = self.coarse.sum((1, 2, 3), keepdims=True)
        brain, lesion, low, healthy, healthy_z, uncut, adc, adc_square = smooth + PRIOR * self.cases * whole / whole[0]
        adc_sd = np.sqrt(np.maximum(adc_square / uncut - (adc / uncut) ** 2, 0)) / 1000
        return np.stack([lesion / brain, low / brain, healthy_z / healthy, adc_sd], axis=-1)


def sums_of(case: PackedCase, places: np.ndarray, shape: tuple[int, int, int]) -> AtlasSums:
    """Of one case. places: of its brain's voxels in an atlas of that shape, (voxels, 3)."""
    adc, z = (part[case.brain].astype(float) for part in (case.adc, case.zadc))
    uncut = (np.abs(z) < LARGEST_PUBLISHED_Z).astype(float)
    lesion = case.label[case.brain].astype(float)
    healthy, low, all_ = uncut * (1 - lesion), (z < LOW_Z) * (1 - lesion), np.ones_like(z)
    fine = (all_, uncut, *(uncut * part for part in (adc, adc**2, z, z**2)))
    coarse = (all_, lesion, low, healthy, healthy * z, uncut, uncut * adc, uncut * adc**2)
    volume = float(np.prod(case.spacing_mm))
    return AtlasSums(
        _dealt(fine, places, shape) * volume / GRID_MM**3,
        _dealt(coarse, places * (GRID_MM / MAPS_MM), maps_shape(shape)) * volume / MAPS_MM**3,
        1,
    )


def _dealt(values: Sequence[np.ndarray], places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums of values (value, place) at places in voxels (place, 3), dealt to the voxels around them: (value, *shape)."""
    indices, weights = corners(places, shape)
    size = int(np.prod(shape))
    return np.reshape([np.bincount(indices.ravel(), (weights * v).ravel(), size) for v in values], (len(values), *shape))


@dataclass(frozen=True, eq=False)
class AtlasFit:
    """Some cases in the atlas that was made of them, by name: places of the brain's voxels, (voxels, 3), and sums."""

    places: Mapping[str, np.ndarray]
    sums: Mapping[str, AtlasSums]

    @functools.cached_property
    def total(self) -> AtlasSums:
        """Of all cases."""
        first, *others = self.sums.values()
        return sum(others, first)

    @functools.cached_property
    def atlas(self) -> Atlas:
        """Of all cases."""
        return self.total.atlas()

    def of(self, names: Iterable[str]) -> "AtlasFit":
        """Some of its cases, at the places that were found with all."""
        names = list(names)
        return AtlasFit({name: self.places[name] for name in names}, {name: self.sums[name] for name in names})

    def without(self, name: str) -> Atlas:
        """Of all cases but one."""
        return (self.total - self.sums[name]).atlas()


def place_by_boxes(cases: Sequence[PackedCase]) -> tuple[dict[str, np.ndarray], tuple[int, int, int]]:
    """First places: each brain's box is scaled to their median box. And the shape of the atlas."""
    places_mm = {case.name: np.argwhere(case.brain) * case.spacing_mm for case in cases}
    boxes = {name: box_mm(places) for name, places in places_mm.items()}
    size = np.median([high - low for low, high in boxes.values()], axis=0)
    depth, height, width = (np.ceil((size + 2 * MARGIN_MM) / GRID_MM).astype(int) + 1).tolist()

    def scaled(name: str) -> np.ndarray:
        low, high = boxes[name]
        return ((places_mm[name] - low) / (high - low) * size + MARGIN_MM) / GRID_MM

    return {name: scaled(name) for name in places_mm}, (depth, height, width)


def fit_atlas(cases: Iterable[PackedCase], rounds: int = ROUNDS) -> AtlasFit:
    """The atlas of at least two cases; the same in whatever order they come."""
    ordered = sorted(cases, key=lambda case: case.name)
    places, shape = place_by_boxes(ordered)
    for number in range(rounds + 1):
        fit = AtlasFit(places, {case.name: sums_of(case, places[case.name], shape) for case in ordered})
        if number < rounds:
            places = {case.name: fit.atlas.register(case.adc, case.spacing_mm).places for case in ordered}
    return fit
