"""From the trees of the candidates and the networks' answers to calibrated probabilities, and to the mask.

First the boosted trees tell for each candidate, from the Z map and the ADC alone, the log odds of lesion: the first stage.
Then one calibration weighs the networks' mean answer and the first stage's, and the mask is the one of the highest expected
Dice.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from model.lesions.candidates import FEATURES, LOWEST_PROBABILITY, CaseMaps, candidate_features, logit, sigmoid
from model.lesions.certainty import NOT_FITTED, Certainty
from model.lesions.trees import Trees

LOWEST_LOG_ODDS = -7.0  # of the first stage; where there is no candidate, too


@dataclass(frozen=True)
class Calibration:
    """Log odds of lesion = intercept + networks * log odds of the networks' mean + first_stage * log odds of the trees."""

    intercept: float = 0.0
    networks: float = 1.0
    first_stage: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if type(value) is not float or not math.isfinite(value):
                raise ValueError(f"calibration: {name} cannot be {value!r}")

    def log_odds(self, networks: np.ndarray, first_stage: np.ndarray) -> np.ndarray:
        """Calibrated log odds of arrays of log odds."""
        return self.intercept + self.networks * networks + self.first_stage * first_stage


@dataclass(frozen=True, eq=False)
class Decision:
    """The first stage's trees, the calibration of their and the networks' answers, and how sure their masks are.

    trees_alone: the same trees, calibrated without networks; None where that was not fitted. Raises ValueError when the
    trees were fitted to other features than `model.lesions.candidates` computes, or that calibration weighs networks.
    """

    trees: Trees
    features: tuple[str, ...]
    calibration: Calibration
    certainty: Certainty = NOT_FITTED
    trees_alone: Decision | None = None

    def __post_init__(self) -> None:
        if self.features != FEATURES:
            raise ValueError("fitted to other features than this version computes")
        if self.trees_alone and self.trees_alone.calibration.networks:
            raise ValueError("the calibration of the trees alone weighs networks")

    def first_stage(self, maps: CaseMaps) -> np.ndarray:
        """Of each voxel, float32 (z, y, x): the trees' log odds of lesion, at least LOWEST_LOG_ODDS."""
        candidates, features = candidate_features(maps.rule_probabilities(), maps)
        log_odds = np.full(maps.shape, LOWEST_LOG_ODDS, np.float32)
        log_odds[candidates] = np.maximum(self.trees.answers(features), LOWEST_LOG_ODDS)
        return log_odds

    def calibrate(self, probabilities: np.ndarray, first_stage: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float32 (z, y, x), of the networks' and the answer of `first_stage`.

        0 where neither gives a voxel a probability above LOWEST_PROBABILITY of a candidate.
        """
        calibrated = np.zeros(probabilities.shape, np.float32)
        some = (probabilities > LOWEST_PROBABILITY) | (first_stage > LOWEST_LOG_ODDS)
        calibrated[some] = sigmoid(self.calibration.log_odds(logit(probabilities[some]), first_stage[some]))
        return calibrated


def plug_in_dice(probabilities: np.ndarray, mask: np.ndarray) -> float:
    """What `most_dice` makes as large as possible: 2 sum(p in mask) / (voxels of the mask + sum(p)); 0 without any p."""
    total = float(np.count_nonzero(mask)) + float(probabilities.sum(dtype=float))
    return 2 * float(probabilities[mask].sum(dtype=float)) / total if total else 0.0


def most_dice(probabilities: np.ndarray) -> np.ndarray:
    """The mask with the highest expected Dice: boolean, of the shape of `probabilities` (calibrated, 0..1).

    Of all masks that hold the k most probable voxels, the one with the largest 2 sum(p in mask) / (k + sum(p)) is taken, a
    plug-in for the optimum, whose threshold is half the best Dice (arXiv 1402.1892). Empty only where no voxel has a
    probability.
    """
    possible = np.flatnonzero(probabilities)  # the others can only make it worse
    mask = np.zeros(probabilities.size, bool)
    if possible.size:
        p = probabilities.ravel()[possible].astype(float)  # a float32 sum over a large brain would lose the small ones
        order = np.argsort(-p, kind="stable")
        expected = 2 * np.cumsum(p[order]) / (np.arange(1, order.size + 1) + p.sum())
        mask[possible[order[: int(np.argmax(expected)) + 1]]] = True
    return mask.reshape(probabilities.shape)
