"""What a network sees of a case: the same in training and inference. Arrays are (z, y, x)."""

import numpy as np

from model.images.brain import brain_mask
from model.lesions.decision import LOWEST_LOG_ODDS
from model.networks.config import ModelConfig


def network_input(
    adc: np.ndarray, zadc: np.ndarray, config: ModelConfig, first_stage: np.ndarray | None = None
) -> np.ndarray:
    """Stack the maps as float32 (channel, z, y, x): clipped Z, scaled ADC, the first stage's log odds; 0 outside the brain.

    adc: 1e-6 mm2/s; zadc: standard deviations from the healthy mean; first_stage: of `Decision.first_stage`, for a network
    that starts from the trees. Its channel is the height above LOWEST_LOG_ODDS, so that padding with zeros says "no lesion".
    """
    brain = brain_mask(adc)
    channels = [np.clip(zadc, -config.zadc_clip, config.zadc_clip), adc / config.adc_scale]
    if config.start == "trees":
        if first_stage is None:
            raise ValueError("a network that starts from the trees needs their log odds")
        channels.append(first_stage - LOWEST_LOG_ODDS)
    return np.stack([np.where(brain, channel, 0) for channel in channels]).astype(np.float32)
