"""Fits the trees that estimate the Z map from the ADC map.

LightGBM fits them to evenly spaced voxels of all cases, each case with the same weight. Lesions are told by low Z, so voxels
where it is low weigh more, and lesion voxels, which are few, more still. What LightGBM draws by chance is fixed by its seed.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np

from model.lesions.brain_map import BrainMap
from model.lesions.estimate import ESTIMATE_FEATURES, ZEstimator, estimate_features
from training.data.dataset import PackedCase
from training.lesions.fit_trees import SETTINGS, as_trees

ROUNDS = 250
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


class VoxelTable:
    """What the fit takes of one case. features: float32 (voxels, features); z, weights: (voxels,); weights add to 1."""

    def __init__(self, case: PackedCase) -> None:
        brain_map = BrainMap(case.adc, case.spacing_mm)
        lesion = case.label[brain_map.box][brain_map.brain]
        z = np.clip(case.zadc[brain_map.box][brain_map.brain], -FIT_Z, FIT_Z)
        chosen = np.union1d(_spaced(np.arange(len(z)), VOXELS), _spaced(np.flatnonzero(lesion), LESION_VOXELS))
        self.name, self.features, self.z = case.name, estimate_features(brain_map)[chosen], z[chosen]
        weights = 1 + LOW_WEIGHT * (self.z < LOW_Z) + LESION_WEIGHT * lesion[chosen]
        self.weights = weights / len(chosen)


def _spaced(places: np.ndarray, most: int) -> np.ndarray:
    """At most that many of them, evenly spaced."""
    return places[np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)]


def fit_estimator(tables: Sequence[VoxelTable]) -> ZEstimator:
    """Trees that estimate Z; every case counts the same, in whatever order they come."""
    ordered = sorted(tables, key=lambda table: table.name)
    features, z, weights = (np.concatenate([getattr(t, part) for t in ordered]) for part in ("features", "z", "weights"))
    data = lightgbm.Dataset(features, z, weight=weights / weights.mean(), params=ESTIMATE_SETTINGS)
    return ZEstimator(as_trees(lightgbm.train(ESTIMATE_SETTINGS, data, num_boost_round=ROUNDS)), ESTIMATE_FEATURES)
