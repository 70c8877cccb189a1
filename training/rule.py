"""The one-line rule that every network is compared with."""

import numpy as np

from model.candidates import RULE_Z
from model.preprocess import brain_mask


def rule_mask(adc: np.ndarray, zadc: np.ndarray) -> np.ndarray:
    """Z below -2 inside the brain, boolean (z, y, x)."""
    return brain_mask(adc) & (zadc < RULE_Z)
