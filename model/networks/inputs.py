"""What a network sees of a case: the same in training and inference. Arrays are (z, y, x)."""

import numpy as np

from model.images.brain import brain_mask
from model.networks.config import ModelConfig


def network_input(adc: np.ndarray, zadc: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Stack the maps as float32 (channel, z, y, x): clipped Z, scaled ADC; 0 outside the brain.

    adc: 1e-6 mm2/s; zadc: standard deviations from the healthy mean.
    """
    brain = brain_mask(adc)
    channels = [np.clip(zadc, -config.zadc_clip, config.zadc_clip), adc / config.adc_scale]
    return np.stack([np.where(brain, channel, 0) for channel in channels]).astype(np.float32)
