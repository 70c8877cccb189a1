"""Fits how sure a mask is (`model.lesions.certainty`) to masks of cases that their trees and networks did not see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from model.lesions.candidates import logit
from model.lesions.certainty import INTERCEPT, NUMBERS, REAL_SHARE, Certainty, case_numbers
from model.lesions.decision import most_dice, plug_in_dice
from training.lesions.held_out import WEAKEST_PENALTY, HeldOut
from training.scores.metrics import dice_of
from training.scores.rows import CASE, SHAM, MarkedCase, MarkedLesion, write_records

Weights = dict[str, float]  # of a figure, by number


@dataclass(frozen=True)
class Marked:
    """The masks of all cases, and of what is made of them, as they were drawn out of fold."""

    lesions: list[MarkedLesion]  # of the cases alone
    cases: list[MarkedCase]

    @classmethod
    def of(cls, parts: Sequence[HeldOut], answers: dict[str, np.ndarray]) -> "Marked":
        """Of the cases. answers: by case the probabilities of lesion, float32 (z, y, x), calibrated nested."""
        lesions = [lesion for part in parts for lesion in _lesions_of(part, most_dice(answers[part.case.name]))]
        return cls(lesions, []).beside(parts, answers, CASE)

    def beside(self, parts: Sequence[HeldOut], answers: dict[str, np.ndarray], kind: str) -> "Marked":
        """With those of others that are made of the cases. kind: of `MarkedCase`."""
        return Marked(self.lesions, [*self.cases, *(_case_of(part, answers[part.case.name], kind) for part in parts)])

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
        lesions: list[MarkedLesion] = []
        cases: list[MarkedCase] = []
        for fold in sorted({case.fold for case in self.cases}):
            own, others = self._where(fold, inside=True), self._where(fold, inside=False)
            certainty = others.fit()
            real = certainty.chance_real(np.array([lesion.volume_ml for lesion in own.lesions]))
            dice = certainty.expected_dice(np.array([case.plug_in for case in own.cases]))
            chances = certainty.chance_of_lesion(*_volumes_and_numbers(own.cases))
            lesions += [replace(one, chance_real=p) for one, p in zip(own.lesions, _or_nan(real, own.lesions), strict=True)]
            figures = zip(own.cases, _or_nan(dice, own.cases), _or_nan(chances, own.cases), strict=True)
            cases += [replace(one, expected_dice=d, chance_of_lesion=c) for one, d, c in figures]
        return Marked(lesions, cases)

    def _where(self, fold: int, *, inside: bool) -> "Marked":
        """What is of a fold, or of the others."""
        return Marked(
            [lesion for lesion in self.lesions if (lesion.fold == fold) == inside],
            [case for case in self.cases if (case.fold == fold) == inside],
        )

    def write(self, results: Path, name: str) -> None:
        """Write them, nested, to NAME-lesions.csv and NAME-cases.csv."""
        nested = self.nested()
        write_records(nested.lesions, results / f"{name}-lesions.csv", MarkedLesion)
        write_records(nested.cases, results / f"{name}-cases.csv", MarkedCase)


def _or_nan(values: np.ndarray | None, rows: Sequence) -> list[float]:
    return [math.nan] * len(rows) if values is None else values.tolist()


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


def _chance_real(lesions: Sequence[MarkedLesion]) -> Weights:
    """Every case has the same weight."""
    real = np.array([lesion.marked_share >= REAL_SHARE for lesion in lesions], float)
    _, case, counts = np.unique([lesion.case for lesion in lesions], return_inverse=True, return_counts=True)
    volumes_ml = np.array([lesion.volume_ml for lesion in lesions])
    return _logistic("chance_real", [np.log10(volumes_ml)], real, 1 / counts[case])


def _expected_dice(cases: Sequence[MarkedCase]) -> Weights:
    """The cases alone have a say."""
    some = [case for case in cases if case.kind == CASE]
    dice, plug_in = (np.array([getattr(case, name) for case in some]) for name in ("dice", "plug_in"))
    return _logistic("expected_dice", [logit(plug_in)], dice, np.ones(len(some)))


def _chance_of_lesion(cases: Sequence[MarkedCase]) -> Weights:
    """Those with a lesion weigh as much in all as those without; nothing without twins: cases without one are too few."""
    if all(case.kind == CASE for case in cases):
        return {}
    cases = [case for case in cases if case.kind != SHAM]
    ill = np.array([case.true_ml > 0 for case in cases], float)
    weights = np.where(ill, 0.5 / max(ill.sum(), 1), 0.5 / max((1 - ill).sum(), 1))
    return _logistic("chance_of_lesion", case_numbers(*_volumes_and_numbers(cases)), ill, weights)


def _volumes_and_numbers(cases: Sequence[MarkedCase]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([case.mask_ml for case in cases]), np.array([case.lesions for case in cases])


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
