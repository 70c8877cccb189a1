"""What trees and networks say about cases that they never saw, and the calibration that is fitted to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from model.lesions.candidates import FEATURES, LOWEST_PROBABILITY, logit
from model.lesions.decision import LOWEST_LOG_ODDS, Calibration, Decision
from model.lesions.trees import Trees
from training.data.dataset import PackedCase
from training.lesions.fit_trees import CandidateTable

WEAKEST_PENALTY = 1e4  # scikit-learn's C: three numbers from a hundred thousand voxels need no penalty


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Answers to one case by trees and networks that were fitted to other folds."""

    case: PackedCase
    fold: int
    probabilities: np.ndarray  # the networks' mean, float32 (z, y, x)
    first_stage: np.ndarray  # the trees' log odds, float32 (z, y, x)

    @property
    def candidates(self) -> np.ndarray:
        """Voxels that one of the two thinks possible, boolean (z, y, x)."""
        possible = (self.probabilities > LOWEST_PROBABILITY) | (self.first_stage > LOWEST_LOG_ODDS)
        return possible & self.case.brain


def answers_of_trees(
    cases: dict[str, PackedCase], tables: dict[str, CandidateTable], trees: dict[int, Trees]
) -> list[HeldOut]:
    """What the trees of its fold say about every case, beside networks that say nothing. tables: by case; trees: by fold."""
    return [
        HeldOut(case, fold, np.zeros(case.adc.shape, np.float32), tables[name].log_odds(trees[fold]))
        for fold in trees
        for name, case in cases.items()
        if case.fold == fold
    ]


def without_networks(parts: Sequence[HeldOut]) -> list[HeldOut]:
    """The same, beside networks that say nothing."""
    return [replace(part, probabilities=np.zeros_like(part.probabilities)) for part in parts]


def fit_calibration(parts: Sequence[HeldOut], *, trees_alone: bool = False) -> Calibration:
    """By logistic regression over the candidates; every case has the same weight.

    Where no candidate or all are lesion there is nothing to fit: the trees' own log odds are left as they are.
    """
    inside = [(part, part.candidates) for part in parts]
    inside = [(part, candidates) for part, candidates in inside if candidates.any()]
    lesion = np.concatenate([part.case.label[candidates] for part, candidates in inside] or [np.zeros(0, bool)])
    if lesion.all() or not lesion.any():
        return Calibration(networks=0.0, first_stage=1.0)
    networks = [] if trees_alone else [np.concatenate([logit(part.probabilities[c]) for part, c in inside])]
    log_odds = np.stack([*networks, np.concatenate([part.first_stage[c] for part, c in inside])], axis=1)
    weights = np.concatenate([np.full(c.sum(), 1 / c.sum()) for _, c in inside])
    model = LogisticRegression(C=WEAKEST_PENALTY, max_iter=1000)
    model.fit(log_odds, lesion, sample_weight=weights / weights.mean())
    *of_networks, of_trees = map(float, model.coef_[0])
    return Calibration(float(model.intercept_[0]), sum(of_networks, 0.0), of_trees)


def nested_calibrations(parts: Sequence[HeldOut], *, trees_alone: bool = False) -> dict[int, Calibration]:
    """By fold: the calibration that its cases had no say in."""
    others = {fold: [part for part in parts if part.fold != fold] for fold in sorted({part.fold for part in parts})}
    return {fold: fit_calibration(some, trees_alone=trees_alone) for fold, some in others.items()}


def calibrated(
    parts: list[HeldOut], trees: dict[int, Trees], calibrations: dict[int, Calibration] | None = None
) -> dict[str, np.ndarray]:
    """By case: probabilities of lesion, float32 (z, y, x), as the image computes them; calibrated nested. trees: by fold."""
    calibrations = calibrations or nested_calibrations(parts)
    decisions = {fold: Decision(trees[fold], FEATURES, calibration) for fold, calibration in calibrations.items()}
    return {part.case.name: decisions[part.fold].calibrate(part.probabilities, part.first_stage) for part in parts}
