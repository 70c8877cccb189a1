"""How sure a mask is: the chance that a marked lesion is real, that the brain has one at all, and the Dice to be expected.

Each is a logistic function of few numbers, fitted to masks of cases that were held out (`training.lesions.fit_certainty`).
The coefficients lie in the lesion decision's sidecar.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from model.lesions.candidates import logit, sigmoid

REAL_SHARE = 0.2  # of a lesion's voxels that a reader marks too, from which it counts as real
INTERCEPT = "intercept"
NUMBERS = {  # what each figure is made of
    "chance_real": ("log10_ml",),
    "expected_dice": ("logit_plug_in",),
    "chance_of_lesion": ("log10_mask_ml", "log10_lesions"),
}


@dataclass(frozen=True)
class Certainty:
    """Coefficients by figure and number, INTERCEPT among them; a figure that was not fitted is missing.

    Raises ValueError for figures or numbers that this version does not know, and for coefficients that are no numbers.
    """

    coefficients: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = [self.coefficients, *self.coefficients.values()] if isinstance(self.coefficients, Mapping) else [None]
        if not all(isinstance(table, Mapping) for table in tables):
            raise ValueError("certainty must be a table of tables")
        for figure, weights in self.coefficients.items():
            if figure not in NUMBERS or weights.keys() != {INTERCEPT, *NUMBERS[figure]}:
                raise ValueError(f"certainty: {figure} has missing or unknown numbers")
            if not all(type(value) is float and math.isfinite(value) for value in weights.values()):
                raise ValueError(f"certainty: a coefficient of {figure} is no number")

    def chance_real(self, volume_ml: np.ndarray) -> np.ndarray | None:
        """Of each lesion, float64 in 0..1: the chance that a reader marks REAL_SHARE of it or more; None if not fitted."""
        return self._chance("chance_real", np.log10(volume_ml))

    def expected_dice(self, plug_in: np.ndarray) -> np.ndarray | None:
        """The Dice to be expected of masks whose `plug_in_dice` is given, float64 in 0..1; None if not fitted."""
        return self._chance("expected_dice", logit(plug_in))

    def chance_of_lesion(self, mask_ml: np.ndarray, lesions: np.ndarray) -> np.ndarray | None:
        """The chance that brains have a lesion at all, float64 in 0..1, if half of all brains do; None if not fitted.

        From the volume of the masks and the number of their 26-connected components: false marks are many and small.
        """
        return self._chance("chance_of_lesion", *case_numbers(mask_ml, lesions))

    def _chance(self, figure: str, *numbers: np.ndarray) -> np.ndarray | None:
        weights = self.coefficients.get(figure)
        if weights is None:
            return None
        log_odds = weights[INTERCEPT] + np.stack(numbers, axis=-1) @ np.array([weights[name] for name in NUMBERS[figure]])
        return sigmoid(log_odds)


def case_numbers(mask_ml: np.ndarray, lesions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `chance_of_lesion` is made of; an empty mask counts as 0.01 ml."""
    return np.log10(mask_ml + 0.01), np.log10(lesions + 1.0)


NOT_FITTED = Certainty()
