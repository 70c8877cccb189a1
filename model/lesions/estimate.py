"""The Z map estimated from the ADC map alone: boosted trees say for each brain voxel how far it lies from the healthy mean.

What tells tissue from lesion is what lies around a voxel, where in the brain it is, and what lies on the other side of the
brain. Arrays are (z, y, x), spacing (z, y, x) in mm.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.images.brain import uncrop
from model.images.limits import LARGEST_PUBLISHED_Z
from model.images.registered import Registration
from model.lesions.atlas import ATLAS_FEATURES, Atlas, atlas_features
from model.lesions.brain_map import BrainMap, Spacing, rounded
from model.lesions.trees import Trees

SMOOTHING_MM = (1.5, 3.0, 6.0, 12.0, 24.0)  # standard deviations
CONTRASTS_MM = ((0.0, 6.0), (1.5, 6.0), (3.0, 12.0))  # of one smoothed map minus another; 0 is the map itself
MIRRORED_MM = (1.5, 3.0, 6.0)
# 1e-3 mm2/s, above which a voxel counts as fluid for a feature. The trees are fitted with it, so it is apart from
# `model.images.adc_only_checks.FLUID_ADC`, a higher one by which a map is judged.
FLUID_SHARE_ADC = 2.0
FLUID_MM = (2.0, 6.0, 12.0)
LOW_ADC = 1.1  # 1e-3 mm2/s, up to which it counts as low
LOW_MM = 6.0
QUANTILES = (10, 25, 50, 75)  # per cent of the brain

ESTIMATE_FEATURES = (
    "adc",  # 1e-3 mm2/s, as all that follows on ADC
    *(f"adc_smooth_{mm:g}mm" for mm in SMOOTHING_MM),
    *(f"contrast_{near:g}_{far:g}mm" for near, far in CONTRASTS_MM),
    *(f"{name}_{mm:g}mm" for mm in MIRRORED_MM for name in ("mirrored", "asymmetry")),
    *(f"fluid_share_{mm:g}mm" for mm in FLUID_MM),
    f"low_share_{LOW_MM:g}mm",
    *(f"brain_adc_{share}" for share in QUANTILES),  # of the whole case
    "depth_mm",  # below the brain's surface
    "slice_mm",
    "place_z",  # from the brain's centre, in standard deviations of the brain's voxels
    "place_y",
    "off_middle",  # likewise along x, without sign
)
WITH_ATLAS = ESTIMATE_FEATURES + ATLAS_FEATURES


@dataclass(frozen=True, eq=False)
class ZEstimator:
    """Trees whose answer is Z. Raises ValueError when they were fitted to other features than this version computes."""

    trees: Trees
    features: tuple[str, ...]
    atlas: Atlas | None = None  # with one they are asked about its features, too

    def __post_init__(self) -> None:
        if self.features != (WITH_ATLAS if self.atlas else ESTIMATE_FEATURES):
            raise ValueError("fitted to other features than this version computes")

    def estimate(self, adc: np.ndarray, spacing_mm: Spacing, registration: Registration | None = None) -> np.ndarray:
        """The Z map of an ADC map (1e-6 mm2/s) in the canonical orientation with at least one brain voxel.

        registration: to the atlas, where there is one; sought where it is not given.
        float32 of its shape, clipped as the published maps are, 0 outside the brain.
        """
        brain_map = BrainMap(adc, spacing_mm)
        places = None
        if self.atlas:
            places = (registration or self.atlas.register(adc, spacing_mm)).places
        inside = np.zeros(brain_map.brain.shape, np.float32)
        answers = self.trees.answers(estimate_features(brain_map, self.atlas, places))
        inside[brain_map.brain] = np.clip(answers, -LARGEST_PUBLISHED_Z, LARGEST_PUBLISHED_Z)
        return uncrop(inside, brain_map.box, brain_map.shape)


def estimate_features(brain_map: BrainMap, atlas: Atlas | None = None, places: np.ndarray | None = None) -> np.ndarray:
    """The features of every brain voxel, float32 (voxels, features); with an atlas its own behind the others.

    places: of the brain's voxels in the atlas.
    """
    columns = [rounded(values) for values in _columns(brain_map)]
    if atlas is not None and places is not None:
        columns += [rounded(values) for values in atlas_features(brain_map, atlas, places)]
    table = np.empty((len(columns), np.count_nonzero(brain_map.brain)), np.float32)
    for column, values in zip(table, columns, strict=True):
        column[:] = values
    return table.T


def _columns(brain_map: BrainMap) -> Iterator[np.ndarray | float]:
    """In the order of ESTIMATE_FEATURES, one after the other; those of the whole case as one number."""
    brain, adc = brain_map.brain, brain_map.adc.astype(float) / 1000
    smooth = {0.0: adc} | {mm: brain_map.smooth(adc, mm) for mm in SMOOTHING_MM}
    yield from (values[brain] for values in smooth.values())
    yield from ((smooth[near] - smooth[far])[brain] for near, far in CONTRASTS_MM)
    there, across = mirror(brain)
    for mm in MIRRORED_MM:
        mirrored = np.where(there, smooth[mm][..., across], smooth[6.0])[brain]
        yield from (mirrored, smooth[mm][brain] - mirrored)
    yield from (brain_map.smooth(adc > FLUID_SHARE_ADC, mm)[brain] for mm in FLUID_MM)
    yield brain_map.smooth(adc < LOW_ADC, LOW_MM)[brain]
    yield from np.percentile(adc[brain], QUANTILES)
    yield from (brain_map.depth[brain], brain_map.spacing_mm[0])
    yield from _place(brain)


def mirror(brain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each voxel's mirror image about the brain's middle is brain, and where along x it lies."""
    width = brain.shape[2]
    twice_middle = round(2 * float(np.nonzero(brain)[2].mean()))
    across = np.clip(twice_middle - np.arange(width), 0, width - 1)
    return brain[..., across], across


def _place(brain: np.ndarray) -> Iterator[np.ndarray]:
    z, y, x = ((where - where.mean()) / max(float(where.std()), 0.5) for where in np.nonzero(brain))
    yield from (z, y, np.abs(x))
