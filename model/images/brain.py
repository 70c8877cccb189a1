"""The brain of a skull-stripped ADC map, its box, and crops of it. Arrays are (z, y, x)."""

import numpy as np

Box = tuple[slice, slice, slice]


def brain_mask(adc: np.ndarray) -> np.ndarray:
    """The brain of a skull-stripped ADC map: boolean, ADC > 0."""
    return adc > 0


def brain_box(brain: np.ndarray, margin: int) -> Box:
    """The smallest box around the brain, `margin` voxels wider on each side, cut at the volume's border.

    Raises ValueError when the mask is empty.
    """
    if not brain.any():
        raise ValueError("the brain mask is empty")
    return _side(brain, 0, margin), _side(brain, 1, margin), _side(brain, 2, margin)


def _side(brain: np.ndarray, axis: int, margin: int) -> slice:
    inside = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(max(int(inside[0]) - margin, 0), min(int(inside[-1]) + 1 + margin, brain.shape[axis]))


def uncrop(crop: np.ndarray, box: Box, shape: tuple[int, int, int]) -> np.ndarray:
    """Put a crop back where `box` cut it from a volume of `shape`; 0 elsewhere."""
    whole = np.zeros(shape, crop.dtype)
    whole[box] = crop
    return whole
