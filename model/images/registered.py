"""What is known of a brain that was registered to a template, and values at places between voxels.

Arrays are (z, y, x), lengths in mm. Needs no SimpleITK, unlike the registration itself.
"""

import math
from dataclasses import dataclass

import numpy as np

from model.images.brain import brain_mask

Spacing = tuple[float, float, float]  # (z, y, x) in mm

GRID_MM = 2.0  # of a template
MARGIN_MM = 12.0  # of its grid around the brain
EDGE = 0.5  # per cent of the brain's voxels beyond each side of its box
BRIGHTEST = 2.0  # times the brain's median, to which fluid is cut
LEAST_CORRELATION = 0.15  # below it a brain does not lie in the template; 0.25 and more in the 44 labelled cases


@dataclass(frozen=True, eq=False)
class Registration:
    """places: float32 (voxels, 3), of each brain voxel in voxels of the template, (z, y, x)."""

    places: np.ndarray
    correlation: float  # of the brain's ADC with the template's at its places; nan where there is none
    scale: tuple[float, float, float]  # the template's size over the brain's, along (z, y, x)
    largest_mm: float  # displacement of the field, beyond the affine map
    atlas: str = ""  # its name
    adc_ratio: float = math.nan  # median over the brain of its ADC over the atlas's mean there

    @property
    def usable(self) -> bool:
        """Whether the brain lies in the template at all."""
        return self.correlation >= LEAST_CORRELATION  # not so where it is nan


def relative(adc: np.ndarray) -> np.ndarray:
    """An ADC map over its brain's median, cut at BRIGHTEST, 0 outside the brain: float32."""
    brain = brain_mask(adc)
    return np.where(brain, np.clip(adc / np.median(adc[brain]), 0, BRIGHTEST), 0).astype(np.float32)


def box_mm(places_mm: np.ndarray) -> np.ndarray:
    """Lower and upper side of the box that holds all but the outermost of places (place, 3): (2, 3)."""
    return np.percentile(places_mm, (EDGE, 100 - EDGE), axis=0)


def corners(places: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The eight voxels around each place in voxels, (place, 3), as flat indices and linear weights: (8, place) each."""
    largest = np.array(shape[:3]) - 1
    inside = np.clip(places, 0, largest)
    low = np.minimum(inside.astype(int), np.maximum(largest - 1, 0))
    part = inside - low
    indices, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        indices.append(np.ravel_multi_index(tuple(np.minimum(low + corner, largest).T), shape[:3]))
        weights.append(np.prod(np.where(corner, part, 1 - part), axis=1))
    return np.array(indices), np.array(weights)


def sampled(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values (z, y, x, channel) at places in voxels (place, 3), linearly: (place, channel)."""
    indices, weights = corners(places, values.shape)
    flat = values.reshape(-1, values.shape[-1])
    return sum(w[:, None] * flat[i] for i, w in zip(indices, weights, strict=True))
