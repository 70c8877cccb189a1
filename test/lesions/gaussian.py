"""Gaussian means over a brain by scipy.ndimage, for voxels whose three spacings differ. Arrays are (z, y, x)."""

import numpy as np
from scipy import ndimage
from scipy.stats import norm

SPACING_MM = (3.0, 1.25, 0.8)  # (z, y, x)


def gaussian_mean(values: np.ndarray, brain: np.ndarray, sd_mm: float) -> np.ndarray:
    """Each voxel of a Gaussian kernel counts the Gaussian's integral over it, as far as 4 standard deviations."""
    return blur(np.where(brain, values, 0), sd_mm) / np.maximum(blur(brain, sd_mm), 1e-3)


def blur(values: np.ndarray, sd_mm: float) -> np.ndarray:
    values = values.astype(float)
    for axis, spacing in enumerate(SPACING_MM):
        tail = int(4 * sd_mm / spacing + 0.5)
        edges = np.arange(-tail, tail + 2) - 0.5
        steps = np.diff(norm.cdf(edges * spacing / sd_mm))
        values = ndimage.correlate1d(values, steps, axis=axis, mode="constant")
    return values
