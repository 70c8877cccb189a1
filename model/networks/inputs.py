"""What a network sees of a case: the same in training and inference. Arrays are (z, y, x)."""

import numpy as np

from model.images.brain import brain_mask
from model.networks.config import ModelConfig

INPUT_CHANNELS = 2  # Z map, ADC


def network_input(adc: np.ndarray, zadc: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Stack both maps as float32 (channel, z, y, x): clipped Z, scaled ADC; 0 outside the brain.

    adc: 1e-6 mm2/s; zadc: standard deviations from the healthy mean.
    """
    brain = brain_mask(adc)
    z = np.clip(zadc, -config.zadc_clip, config.zadc_clip)
    return np.stack([np.where(brain, z, 0), np.where(brain, adc / config.adc_scale, 0)]).astype(np.float32)
