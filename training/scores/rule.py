"""The one-line rule that every network is compared with."""

import numpy as np

from model.images.brain import brain_mask
from model.lesions.candidates import RULE_Z


def rule_mask(adc: np.ndarray, zadc: np.ndarray) -> np.ndarray:
    """Z below -2 inside the brain, boolean (z, y, x)."""
    return brain_mask(adc) & (zadc < RULE_Z)
