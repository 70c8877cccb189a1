"""Fits how sure a mask is (`model.lesions.certainty`) to masks of cases that their trees and networks did not see."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from model.lesions.certainty import INTERCEPT, NOT_FITTED, NUMBERS, REAL_SHARE, Certainty
from model.lesions.decision import most_dice
from training.lesions.held_out import WEAKEST_PENALTY, HeldOut
from training.scores.rows import MarkedLesion


def marked_lesions(parts: Sequence[HeldOut], answers: dict[str, np.ndarray]) -> list[MarkedLesion]:
    """The lesions of every case's mask; their `chance_real` is not known yet.

    answers: by case the probabilities of lesion, float32 (z, y, x), calibrated nested.
    """
    return [lesion for part in parts for lesion in _lesions_of(part, most_dice(answers[part.case.name]))]


def with_nested_chances(lesions: Sequence[MarkedLesion]) -> list[MarkedLesion]:
    """The lesions, each with the chance that the fit to the other folds' lesions gives it; nan where that has none."""
    nested = []
    for fold in sorted({lesion.fold for lesion in lesions}):
        mine, others = ([lesion for lesion in lesions if (lesion.fold == fold) == own] for own in (True, False))
        chances = fit_certainty(others).chance_real(_volumes_ml(mine))
        values = np.full(len(mine), math.nan) if chances is None else chances
        nested += [dataclasses.replace(lesion, chance_real=float(p)) for lesion, p in zip(mine, values, strict=True)]
    return nested


def fit_certainty(lesions: Sequence[MarkedLesion]) -> Certainty:
    """By logistic regression; every case has the same weight. Without coefficients where all lesions are real, or none."""
    real = np.array([lesion.marked_share >= REAL_SHARE for lesion in lesions], bool)
    if real.all() or not real.any():
        return NOT_FITTED
    _, case, counts = np.unique([lesion.case for lesion in lesions], return_inverse=True, return_counts=True)
    weights = 1 / counts[case]
    model = LogisticRegression(C=WEAKEST_PENALTY, max_iter=1000)
    model.fit(np.log10(_volumes_ml(lesions))[:, None], real, sample_weight=weights / weights.mean())
    coefficients = dict(zip(NUMBERS["chance_real"], model.coef_[0].tolist(), strict=True))
    return Certainty({"chance_real": {INTERCEPT: float(model.intercept_[0]), **coefficients}})


def _lesions_of(part: HeldOut, mask: np.ndarray) -> list[MarkedLesion]:
    """The 26-connected components of a mask, boolean (z, y, x); `chance_real` is not known yet."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    numbers = np.arange(1, count + 1)
    voxel_ml = math.prod(part.case.spacing_mm) / 1000
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    shares = ndimage.mean(part.case.label, labels, numbers)
    return [
        MarkedLesion(part.case.name, part.fold, int(number), float(size) * voxel_ml, float(share), math.nan)
        for number, size, share in zip(numbers, sizes, shares, strict=True)
    ]


def _volumes_ml(lesions: Sequence[MarkedLesion]) -> np.ndarray:
    return np.array([lesion.volume_ml for lesion in lesions])
