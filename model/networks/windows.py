"""A network asked window by window, in numpy: MONAI's sliding window with Gaussian weights, without MONAI.

A window is (z, y, x) voxels. Arrays are (batch, channel, z, y, x).
"""

import itertools
from collections.abc import Callable
from contextvars import ContextVar

import numpy as np

from model.images.brain import Box
from model.networks.config import Triple

Network = Callable[[np.ndarray], np.ndarray]  # float32 (n, 2, z, y, x) -> logits, float32 (n, 1, z, y, x)

SD_SHARE = 0.125  # standard deviation of the Gaussian, as a share of the window
LOWEST_WEIGHT = 1e-3  # of a window's corners

# asked before each network in this thread: what it raises ends the case early
before_network: ContextVar[Callable[[], None]] = ContextVar("before_network", default=lambda: None)


def in_windows(network: Network, batch: np.ndarray, window: Triple, overlap: float) -> np.ndarray:
    """The logits, float32 (batch, z, y, x), of a batch that may be larger or smaller than the window.

    A smaller one is padded with zeros on both sides. overlap: share of a window that its neighbour covers too.
    """
    size = batch.shape[2:]
    sides = [((w - n) // 2, w - n - (w - n) // 2) if n < w else (0, 0) for n, w in zip(size, window, strict=True)]
    padded = np.pad(batch, [(0, 0), (0, 0), *sides]) if any(map(any, sides)) else batch
    inside = tuple(slice(before, before + n) for (before, _), n in zip(sides, size, strict=True))
    boxes = window_boxes(padded.shape[2:], window, overlap)
    if len(boxes) == 1:
        before_network.get()()
        return network(padded)[:, 0][:, *inside]
    total, weights = np.zeros((len(batch), *padded.shape[2:]), np.float32), np.zeros(padded.shape[2:], np.float32)
    weight = gaussian_weight(window)
    for box in boxes:
        before_network.get()()
        total[:, *box] += network(np.ascontiguousarray(padded[:, :, *box]))[:, 0] * weight
        weights[box] += weight
    return (total / weights)[:, *inside]


def window_boxes(size: tuple[int, ...], window: Triple, overlap: float) -> list[Box]:
    """Where the windows lie that cover `size`, which is at least a window; the last of an axis ends at the border."""
    z, y, x = (_sides(n, w, overlap) for n, w in zip(size, window, strict=True))
    return list(itertools.product(z, y, x))


def _sides(length: int, window: int, overlap: float) -> list[slice]:
    """The windows along one axis."""
    step = max(int(window * (1 - overlap)), 1)
    starts = [min(start, length - window) for start in range(0, length - window + step, step)]
    return [slice(start, start + window) for start in starts]


def gaussian_weight(window: Triple) -> np.ndarray:
    """How much each voxel of a window counts, float32 (z, y, x): most in the middle, at least LOWEST_WEIGHT."""
    axes = [np.exp(-(((np.arange(n) - (n - 1) / 2) / (n * SD_SHARE)) ** 2) / 2) for n in window]
    weight = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return np.maximum(weight, max(weight.min(), LOWEST_WEIGHT)).astype(np.float32)
