"""An ADC map in the box of its brain: what is smoothed and measured there, for the features of candidates and of estimates.

Arrays are (z, y, x), spacing (z, y, x) in mm.
"""

import functools
import math

import numpy as np

from model.images.brain import brain_box, brain_mask
from model.images.registered import Spacing

DEEPEST_MM = 30.0  # depths below the brain's surface are cut there
TAIL_SD = 4.0  # standard deviations after which a smoothing kernel ends
BAND = 24  # voxels of an axis that are smoothed at a time


class BrainMap:
    """One case's ADC map in the box of its brain, with at least one brain voxel. adc: 1e-6 mm2/s."""

    def __init__(self, adc: np.ndarray, spacing_mm: Spacing) -> None:
        whole = brain_mask(adc)
        self.shape, self.spacing_mm = adc.shape, spacing_mm
        self.box = brain_box(whole, margin=1)  # holds, for every brain voxel, the nearest one outside the brain
        self.brain, self.adc = whole[self.box], adc[self.box]
        self._weights: dict[float, np.ndarray] = {}  # the smoothed brain, by standard deviation in mm

    def smooth(self, values: np.ndarray, sd_mm: float) -> np.ndarray:
        """Gaussian mean over the brain voxels around each voxel of the box, 0 where there is none near."""
        if sd_mm not in self._weights:
            self._weights[sd_mm] = np.maximum(blur(self.brain, sd_mm, self.spacing_mm), 1e-3)
        return blur(np.where(self.brain, values, 0), sd_mm, self.spacing_mm) / self._weights[sd_mm]

    @functools.cached_property
    def depth(self) -> np.ndarray:
        """Of every voxel of the box: mm below the brain's surface, at most DEEPEST_MM."""
        from model.images.components import depth_mm

        return depth_mm(self.brain, self.spacing_mm, DEEPEST_MM)


def rounded(values: np.ndarray | float) -> np.ndarray:
    """A feature as trees see it: computed in float64 and rounded, since the last bits of a sum depend on the processor."""
    return np.asarray(values, np.float64).astype(np.float16)


def blur(values: np.ndarray, sd_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """A Gaussian over (z, y, x), zeros around, float64: each voxel of the kernel counts the integral over it.

    Matrix products along each axis, of a band of the kernel at a time: faster than to convolve, and linear in the voxels.
    """
    z, y, x = (_bands(n, sd_mm / spacing) for n, spacing in zip(values.shape, spacing_mm, strict=True))
    first = values.astype(np.float64)
    second = np.empty_like(first)
    rows, blurred = first.reshape(-1, values.shape[2]), second.reshape(-1, values.shape[2])
    for here, near, kernel in x:
        np.matmul(rows[:, near], kernel.T, out=blurred[:, here])
    for here, near, kernel in y:
        np.matmul(kernel, second[:, near], out=first[:, here])
    slices, blurred = first.reshape(len(values), -1), second.reshape(len(values), -1)
    for here, near, kernel in z:
        np.matmul(kernel, slices[near], out=blurred[here])
    return second


@functools.lru_cache(maxsize=64)
def _bands(length: int, sd: float) -> list[tuple[slice, slice, np.ndarray]]:
    """Along an axis: some voxels, those near enough to count for them, and how much, float64 (voxels, near). sd: voxels."""
    tail = int(max(sd * TAIL_SD, 0.5) + 0.5)
    edges = [math.erf((n - 0.5) / (math.sqrt(2) * sd)) / 2 for n in range(tail + 2)]
    weights = np.zeros(length + tail + 1)
    weights[: tail + 1] = np.diff(edges)
    bands = []
    for start in range(0, length, BAND):
        here = slice(start, min(start + BAND, length))
        near = slice(max(here.start - tail, 0), min(here.stop + tail, length))
        distance = np.abs(np.arange(here.start, here.stop)[:, None] - np.arange(near.start, near.stop))
        bands.append((here, near, weights[distance]))
    return bands
