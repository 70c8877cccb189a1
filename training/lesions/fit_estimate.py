"""Fits the trees that estimate the Z map from the ADC map.

LightGBM fits them to evenly spaced voxels of all cases, each case with the same weight. Lesions are told by low Z, so voxels
where it is low weigh more, and lesion voxels, which are few, more still. What LightGBM draws by chance is fixed by its seed.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from model.lesions.atlas import Atlas, atlas_features
from model.lesions.brain_map import BrainMap, rounded
from model.lesions.estimate import ESTIMATE_FEATURES, WITH_ATLAS, ZEstimator, estimate_features
from training.data.dataset import PackedCase
from training.lesions.fit_trees import SETTINGS, as_trees

ROUNDS = 400
VOXELS = 8000  # of a case, evenly spaced over its brain
LESION_VOXELS = 6000  # beside them
FIT_Z = 6.0  # Z is cut there while fitting: high values are fluid, where nothing is to be told
LOW_Z, LOW_WEIGHT, LESION_WEIGHT = -1.0, 4.0, 5.0  # added to the weight of 1
ESTIMATE_SETTINGS = SETTINGS | {
    "objective": "huber",
    "alpha": 1.0,  # units of Z, from which the loss grows linearly
    "learning_rate": 0.08,
    "max_depth": 6,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
}


@dataclass(frozen=True, eq=False)
class VoxelTable:
    """What the fit takes of one case. features: float32 (voxels, features); z, weights: (voxels,); weights add to 1.

    chosen: which of the brain's voxels they are.
    """

    name: str
    chosen: np.ndarray
    features: np.ndarray
    z: np.ndarray
    weights: np.ndarray

    def with_atlas(self, brain_map: BrainMap, atlas: Atlas, places: np.ndarray) -> "VoxelTable":
        """The same voxels of the case, with the features of an atlas, in which the brain's voxels lie at `places`."""
        columns = [np.broadcast_to(rounded(v), len(places))[self.chosen] for v in atlas_features(brain_map, atlas, places)]
        features = np.hstack([self.features, np.stack(columns, axis=1).astype(np.float32)])
        return dataclasses.replace(self, features=features)


def voxel_table(case: PackedCase) -> VoxelTable:
    """Of a labelled case, without an atlas."""
    brain_map = BrainMap(case.adc, case.spacing_mm)
    lesion = case.label[case.brain]
    z = np.clip(case.zadc[case.brain], -FIT_Z, FIT_Z)
    chosen = np.union1d(_spaced(np.arange(len(z)), VOXELS), _spaced(np.flatnonzero(lesion), LESION_VOXELS))
    weights = 1 + LOW_WEIGHT * (z[chosen] < LOW_Z) + LESION_WEIGHT * lesion[chosen]
    return VoxelTable(case.name, chosen, estimate_features(brain_map)[chosen], z[chosen], weights / len(chosen))


def _spaced(places: np.ndarray, most: int) -> np.ndarray:
    """At most that many of them, evenly spaced."""
    return places[np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)]


def fit_estimator(tables: Sequence[VoxelTable], atlas: Atlas | None = None) -> ZEstimator:
    """Trees that estimate Z; every case counts the same, in whatever order they come.

    atlas: that they are asked beside, where the tables have its features.
    """
    ordered = sorted(tables, key=lambda table: table.name)
    features, z, weights = (np.concatenate([getattr(t, part) for t in ordered]) for part in ("features", "z", "weights"))
    data = lightgbm.Dataset(features, z, weight=weights / weights.mean(), params=ESTIMATE_SETTINGS)
    trees = as_trees(lightgbm.train(ESTIMATE_SETTINGS, data, num_boost_round=ROUNDS))
    return ZEstimator(trees, WITH_ATLAS if atlas else ESTIMATE_FEATURES, atlas)
