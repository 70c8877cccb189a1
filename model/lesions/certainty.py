"""How sure a mask is: the chance that a marked lesion is real.

A logistic function of few numbers, fitted to masks of cases that were held out (`training.lesions.fit_certainty`). Its
coefficients lie in the lesion decision's sidecar.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from model.lesions.candidates import sigmoid

REAL_SHARE = 0.2  # of a lesion's voxels that a reader marks too, from which it counts as real
INTERCEPT = "intercept"
NUMBERS = {"chance_real": ("log10_ml",)}  # what each figure is made of


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

    def _chance(self, figure: str, *numbers: np.ndarray) -> np.ndarray | None:
        weights = self.coefficients.get(figure)
        if weights is None:
            return None
        parts = (weights[name] * values for name, values in zip(NUMBERS[figure], numbers, strict=True))
        return sigmoid(sum(parts, np.float64(weights[INTERCEPT])))


NOT_FITTED = Certainty()
