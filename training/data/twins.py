"""Pseudo-healthy twins: labelled cases with their lesions replaced, as brains that have none. In memory alone.

Few of the published cases are without a lesion, so what a mask says of such a brain is fitted to twins and tested on them.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from model.images.limits import LARGEST_PUBLISHED_Z
from model.lesions.brain_map import Spacing, blur
from model.lesions.estimate import mirror
from training.data.dataset import PackedCase

LARGEST_LOAD = 0.05  # of a case that has a twin: too little healthy brain is left of the others
MARGIN_MM = 2.0  # around a lesion that is replaced too
BLEND_MM = 2.0  # around that, in which what replaces goes over into what is there
AROUND_MM = 6.0  # standard deviation of the mean around
FARTHEST_MM = 24.0  # along an axis, that texture comes from
MOVES = 3  # of a part, after which what is left takes the nearest healthy voxel


def has_twin(case: PackedCase) -> bool:
    """Whether it has lesions, and few enough to be replaced."""
    return bool(case.label.any()) and case.lesion_load < LARGEST_LOAD


def healthy_twin(case: PackedCase) -> PackedCase:
    """The case without its lesions and what lies within MARGIN_MM of them, with an empty label."""
    return dataclasses.replace(replaced(case, _within(case, MARGIN_MM)), label=np.zeros_like(case.label))


def sham(case: PackedCase) -> PackedCase:
    """The case with as much healthy brain replaced near its lesions, in parts of the same shapes, and the lesions untouched.

    What tells it from the case is a trace of the replacement.
    """
    healthy = case.brain & ~_within(case, MARGIN_MM + BLEND_MM)
    region = np.zeros_like(case.label)
    region[tuple(_nearby(_within(case, MARGIN_MM), healthy, case.spacing_mm))] = True
    return replaced(case, region)


def _within(case: PackedCase, mm: float) -> np.ndarray:
    """The brain that is at most so far from a lesion, boolean (z, y, x)."""
    return case.brain & (_distance_mm(case.label, case.spacing_mm) <= mm)


def _distance_mm(mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """To the nearest voxel of a mask; infinite where it has none."""
    return ndimage.distance_transform_edt(~mask, sampling=spacing_mm) if mask.any() else np.full(mask.shape, np.inf)


def replaced(case: PackedCase, region: np.ndarray) -> PackedCase:
    """The case with other tissue in a region of its brain, boolean (z, y, x), in both maps from the same places.

    It is the mean around, over the healthy brain outside the region, plus the difference from such a mean at another place:
    on the other side of the brain where that is healthy, else nearby. The brain stays the brain.
    """
    healthy = case.brain & ~region & ~_within(case, MARGIN_MM)
    distance_mm = _distance_mm(region, case.spacing_mm)
    changed = case.brain & (distance_mm < BLEND_MM)
    own = distance_mm[changed] / BLEND_MM  # what counts of the case's own, 0 in the region
    donors, weight = _donors(case, changed, healthy), blur(healthy, AROUND_MM, case.spacing_mm)
    limits = {"adc": (case.adc[case.brain].min(), np.inf), "zadc": (-LARGEST_PUBLISHED_Z, LARGEST_PUBLISHED_Z)}
    maps = {}
    for name, (lowest, highest) in limits.items():
        values = getattr(case, name).astype(float)
        around = blur(np.where(healthy, values, 0), AROUND_MM, case.spacing_mm)
        around = np.where(weight > 1e-3, around / np.maximum(weight, 1e-3), values[healthy].mean())
        texture = values - around
        mixed = (own * texture[changed] + (1 - own) * texture[donors]) / np.hypot(own, 1 - own)  # its spread stays
        maps[name] = getattr(case, name).copy()
        maps[name][changed] = np.clip(around[changed] + mixed, lowest, highest)
    return dataclasses.replace(case, **maps)


def _donors(case: PackedCase, changed: np.ndarray, healthy: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each changed voxel, in the array's order, a healthy one whose texture it gets, as indices."""
    there, across = mirror(case.brain)
    mirrored = there & healthy[..., across]
    donors = np.indices(changed.shape)
    donors[2] = across
    elsewhere = changed & ~mirrored
    donors[:, elsewhere] = _nearby(elsewhere, healthy, case.spacing_mm)
    return tuple(donors[:, changed])


def _nearby(region: np.ndarray, healthy: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """For each voxel of a region, in the array's order, a healthy one near it: indices (3, voxels).

    Each connected part is moved as a whole, which keeps its texture, to where most of it is healthy, among such places to
    the nearest; what is not healthy there is moved again. A voxel for which no move is left takes the nearest healthy one.
    """
    donors = ndimage.distance_transform_edt(~healthy, spacing_mm, return_distances=False, return_indices=True)
    reach = np.array([int(FARTHEST_MM // mm) for mm in spacing_mm])
    moves = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    moves = moves[np.argsort(((moves * spacing_mm) ** 2).sum(axis=1), kind="stable")]
    padded = np.pad(healthy, [(n, n) for n in reach])
    steps = moves @ (np.array(padded.strides) // padded.itemsize)
    labels, count = ndimage.label(region, np.ones((3, 3, 3)))
    for number, part in enumerate(ndimage.find_objects(labels, count), 1):
        left = np.argwhere(labels[part] == number) + [side.start for side in part]
        for _ in range(MOVES):
            flat = np.ravel_multi_index((left + reach).T, padded.shape)
            shares = np.array([padded.ravel()[flat + step].mean() for step in steps])
            there = left + moves[int(shares.argmax())]
            fits = padded[tuple((there + reach).T)]
            donors[:, *left[fits].T] = there[fits].T
            left = left[~fits]
            if not left.size:
                break
    return donors[:, region]
