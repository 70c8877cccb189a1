"""Fits how sure a mask is (`model.lesions.certainty`) to masks of cases that their trees and networks did not see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from model.lesions.candidates import logit
from model.lesions.certainty import INTERCEPT, NUMBERS, REAL_SHARE, Certainty, case_numbers
from model.lesions.decision import most_dice, plug_in_dice
from training.lesions.held_out import WEAKEST_PENALTY, HeldOut
from training.scores.metrics import dice_of
from training.scores.rows import CASE, SHAM, MarkedCase, MarkedLesion, as_frame, write_frame

Weights = dict[str, float]  # of a figure, by number


@dataclass(frozen=True, eq=False)
class Marked:
    """The masks of all cases, and of what is made of them, as they were drawn out of fold.

    lesions: of the cases alone, with the columns of `MarkedLesion`; cases: with those of `MarkedCase`.
    """

    lesions: pd.DataFrame
    cases: pd.DataFrame

    @classmethod
    def of(cls, parts: Sequence[HeldOut], answers: dict[str, np.ndarray]) -> "Marked":
        """Of the cases. answers: by case the probabilities of lesion, float32 (z, y, x), calibrated nested."""
        lesions = [lesion for part in parts for lesion in _lesions_of(part, most_dice(answers[part.case.name]))]
        return cls(as_frame(lesions, MarkedLesion), as_frame([], MarkedCase)).beside(parts, answers, CASE)

    def beside(self, parts: Sequence[HeldOut], answers: dict[str, np.ndarray], kind: str) -> "Marked":
        """With those of others that are made of the cases. kind: of `MarkedCase`."""
        more = as_frame([_case_of(part, answers[part.case.name], kind) for part in parts], MarkedCase)
        return Marked(self.lesions, pd.concat([self.cases, more]))

    def fit(self) -> Certainty:
        """The figures that there is something to fit to."""
        fitted = {
            "chance_real": _chance_real(self.lesions),
            "expected_dice": _expected_dice(self.cases),
            "chance_of_lesion": _chance_of_lesion(self.cases),
        }
        return Certainty({name: weights for name, weights in fitted.items() if weights})

    def nested(self) -> "Marked":
        """With the figures that the fit to the other folds gives each lesion and each case."""
        lesions, cases = self.lesions.copy(), self.cases.copy()
        for fold in set(cases["fold"]):
            certainty = Marked(lesions[lesions["fold"] != fold], cases[cases["fold"] != fold]).fit()
            own = lesions["fold"] == fold
            lesions.loc[own, "chance_real"] = certainty.chance_real(lesions.loc[own, "volume_ml"].to_numpy())
            own = cases["fold"] == fold
            cases.loc[own, "expected_dice"] = certainty.expected_dice(cases.loc[own, "plug_in"].to_numpy())
            numbers = (cases.loc[own, name].to_numpy() for name in ("mask_ml", "lesions"))
            cases.loc[own, "chance_of_lesion"] = certainty.chance_of_lesion(*numbers)
        return Marked(lesions, cases)

    def write(self, results: Path, name: str) -> None:
        """Write them, nested, to NAME-lesions.csv and NAME-cases.csv."""
        nested = self.nested()
        write_frame(nested.lesions, results / f"{name}-lesions.csv", MarkedLesion)
        write_frame(nested.cases, results / f"{name}-cases.csv", MarkedCase)


def _logistic(figure: str, numbers: Sequence[np.ndarray], truth: np.ndarray, weights: np.ndarray) -> Weights:
    """By logistic regression; truth: 0 to 1, a share counts as so much of a 1. Nothing where all is 0, or all is 1."""
    if not 0 < (truth * weights).sum() < weights.sum():
        return {}
    columns = np.tile(np.column_stack(numbers), (2, 1))
    shares = np.concatenate([truth * weights, (1 - truth) * weights])
    model = LogisticRegression(C=WEAKEST_PENALTY, max_iter=1000)
    model.fit(columns, np.repeat([1, 0], len(truth)), sample_weight=shares / weights.mean())
    coefficients = dict(zip(NUMBERS[figure], model.coef_[0].tolist(), strict=True))
    return {INTERCEPT: float(model.intercept_[0]), **coefficients}


def _chance_real(lesions: pd.DataFrame) -> Weights:
    """Every case has the same weight."""
    real = (lesions["marked_share"] >= REAL_SHARE).to_numpy(float)
    weights = 1 / lesions.groupby("case")["case"].transform("count").to_numpy(float)
    return _logistic("chance_real", [np.log10(lesions["volume_ml"].to_numpy())], real, weights)


def _expected_dice(cases: pd.DataFrame) -> Weights:
    """The cases alone have a say."""
    dice, plug_in = (cases.loc[cases["kind"] == CASE, name].to_numpy() for name in ("dice", "plug_in"))
    return _logistic("expected_dice", [logit(plug_in)], dice, np.ones(len(dice)))


def _chance_of_lesion(cases: pd.DataFrame) -> Weights:
    """Those with a lesion weigh as much in all as those without; nothing without twins: cases without one are too few."""
    if (cases["kind"] == CASE).all():
        return {}
    cases = cases[cases["kind"] != SHAM]
    ill = (cases["true_ml"] > 0).to_numpy(float)
    weights = np.where(ill, 0.5 / max(ill.sum(), 1), 0.5 / max((1 - ill).sum(), 1))
    return _logistic(
        "chance_of_lesion", case_numbers(cases["mask_ml"].to_numpy(), cases["lesions"].to_numpy()), ill, weights
    )


def _voxel_ml(part: HeldOut) -> float:
    return math.prod(part.case.spacing_mm) / 1000


def _case_of(part: HeldOut, probabilities: np.ndarray, kind: str) -> MarkedCase:
    """Its figures are not known yet."""
    mask = most_dice(probabilities)
    return MarkedCase(
        case=part.case.name,
        kind=kind,
        fold=part.fold,
        true_ml=float(part.case.label.sum()) * _voxel_ml(part),
        mask_ml=float(mask.sum()) * _voxel_ml(part),
        lesions=int(_components(mask)[1]),
        dice=dice_of(mask, part.case.label),
        plug_in=plug_in_dice(probabilities, mask),
        expected_dice=math.nan,
        chance_of_lesion=math.nan,
    )


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The 26-connected components of a boolean (z, y, x) mask, labelled from 1, and their number."""
    return ndimage.label(mask, np.ones((3, 3, 3)))


def _lesions_of(part: HeldOut, mask: np.ndarray) -> list[MarkedLesion]:
    """`chance_real` is not known yet."""
    labels, count = _components(mask)
    sizes_ml = np.bincount(labels.ravel(), minlength=count + 1)[1:] * _voxel_ml(part)
    numbers = np.arange(1, count + 1)
    shares = np.asarray(ndimage.mean(part.case.label, labels, numbers))
    return [
        MarkedLesion(part.case.name, part.fold, number, ml, share, math.nan)
        for number, ml, share in zip(numbers.tolist(), sizes_ml.tolist(), shares.tolist(), strict=True)
    ]
