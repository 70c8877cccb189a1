"""What is known about each voxel that might be lesion: the features that the lesion decision is made from.

Arrays are (z, y, x), spacing (z, y, x) in mm. A candidate is a brain voxel to which a network gives some probability.
"""

from collections.abc import Iterator

import numpy as np
import torch
from monai.networks.layers import gaussian_1d
from torch.nn import functional

from model.preprocess import brain_box, brain_mask

LOWEST_PROBABILITY = 0.05  # of a candidate
COMPONENT_LEVELS = (0.1, 0.3, 0.5)  # probabilities at which connected components are looked at
SMOOTHING_MM = (2.0, 6.0, 12.0)  # standard deviations
DEEPEST_MM = 30.0  # depths below the brain's surface are cut there
RULE_Z = -2.0  # of the one-line rule: lesion where Z is below
SLAB = 8  # voxels that are smoothed at once along one axis

FEATURES = (
    "logit",  # of the network's probability
    "z",
    "adc",  # 1e-3 mm2/s
    *(f"logit_smooth_{mm:g}mm" for mm in SMOOTHING_MM),
    "z_smooth_2mm",
    "z_contrast_6mm",  # Z minus its mean around
    "rule_share_4mm",  # of the voxels around with Z < -2
    "depth_mm",  # below the brain's surface
    *(f"{name}_{level}" for level in COMPONENT_LEVELS for name in ("log_mm3", "max_logit", "min_z", "mean_logit")),
    "log_expected_ml",  # of the whole case
    "log_above_half_ml",
    "log_rule_ml",
    "slice_mm",
    "brain_ml",
    "z_median",  # of the brain
    "z_sd",
    "place_z",  # 0 to 1 in the brain's box
    "place_y",
    "off_middle",  # 0 to 0.5
)


def candidate_features(
    probabilities: np.ndarray, adc: np.ndarray, zadc: np.ndarray, spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates, boolean (z, y, x), and their features, float32 (candidates, len(FEATURES)).

    probabilities: one network's; adc in 1e-6 mm2/s; zadc in standard deviations; with at least one brain voxel.
    """
    brain = brain_mask(adc)
    candidates = (probabilities > LOWEST_PROBABILITY) & brain
    table = np.empty((np.count_nonzero(candidates), len(FEATURES)), np.float32)
    columns = _columns(probabilities, adc, zadc, brain, candidates, spacing_mm)
    for column, values in zip(table.T, columns, strict=True):  # one after the other, or a large brain would need gigabytes
        column[:] = values
    return candidates, table


def _columns(
    probabilities: np.ndarray,
    adc: np.ndarray,
    zadc: np.ndarray,
    brain: np.ndarray,
    candidates: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> Iterator[np.ndarray | float]:
    """The features in the order of FEATURES; those of the whole case as one number."""
    yield from (logit(probabilities)[candidates], zadc[candidates], adc[candidates] / 1000)
    yield from _surroundings(probabilities, zadc, brain, candidates, spacing_mm)
    for level in COMPONENT_LEVELS:
        yield from _component(probabilities, zadc, probabilities > level, candidates, float(np.prod(spacing_mm)))
    yield from _case(probabilities, zadc, brain, spacing_mm)
    yield from _place(brain, candidates)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log odds, cut at the odds of 1e-4."""
    p = np.clip(probabilities, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def smooth(values: np.ndarray, brain: np.ndarray, sd_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Gaussian mean over the brain voxels around each voxel, 0 where there is none near."""
    stack = torch.from_numpy(np.stack([np.where(brain, values, 0), brain]).astype(np.float32))[:, None]
    for axis, spacing in enumerate(spacing_mm):
        stack = _blur(stack, axis, sd_mm / spacing)
    weighted, weight = stack.numpy()[:, 0]
    return weighted / np.maximum(weight, 1e-3)


def _blur(stack: torch.Tensor, axis: int, sd: float) -> torch.Tensor:
    """A Gaussian of `sd` voxels along one axis of (n, 1, z, y, x), zeros around; slab by slab.

    The same numbers as MONAI's GaussianFilter, whose buffers are some hundred times as large as a volume.
    """
    kernel = gaussian_1d(torch.tensor(sd))
    shape, padding = [1] * 5, [0] * 6
    shape[2 + axis] = len(kernel)
    padding[4 - 2 * axis : 6 - 2 * axis] = [len(kernel) // 2] * 2  # counts from the last axis
    across = 3 if axis == 0 else 2
    slabs = (functional.pad(slab, padding) for slab in stack.split(SLAB, across))
    return torch.cat([functional.conv3d(slab, kernel.view(shape)) for slab in slabs], across)


def _surroundings(
    probabilities: np.ndarray,
    zadc: np.ndarray,
    brain: np.ndarray,
    candidates: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> Iterator[np.ndarray]:
    from model.volume import depth_mm

    def mean_around(values: np.ndarray, sd_mm: float) -> np.ndarray:
        return smooth(values, brain, sd_mm, spacing_mm)[candidates]

    yield from (logit(mean_around(probabilities, mm)) for mm in SMOOTHING_MM)
    yield mean_around(zadc, 2)
    yield zadc[candidates] - mean_around(zadc, 6)
    yield mean_around(zadc < RULE_Z, 4)
    yield np.minimum(depth_mm(brain, spacing_mm)[candidates], DEEPEST_MM)


def _component(
    probabilities: np.ndarray, zadc: np.ndarray, mask: np.ndarray, candidates: np.ndarray, voxel_mm3: float
) -> list[np.ndarray]:
    """Of the connected component that a candidate lies in: log10 mm3, largest and mean probability, lowest Z or 0.

    A candidate outside every component counts as half a voxel with probability 0 and Z 0.
    """
    from model.volume import connected_components

    labels, count = connected_components(mask)
    inside = labels[mask]
    voxels = np.bincount(inside, minlength=count + 1).astype(float)
    voxels[0] = 0.5
    total = np.bincount(inside, probabilities[mask], count + 1)
    largest, lowest = np.zeros(count + 1), np.zeros(count + 1)
    np.maximum.at(largest, inside, probabilities[mask])
    np.minimum.at(lowest, inside, zadc[mask])
    values = (np.log10(voxels * voxel_mm3), logit(largest), lowest, logit(total / voxels))
    return [value[labels[candidates]] for value in values]


def _case(
    probabilities: np.ndarray, zadc: np.ndarray, brain: np.ndarray, spacing_mm: tuple[float, float, float]
) -> list[float]:
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    inside, z = probabilities[brain], zadc[brain]
    volumes_ml = [inside.sum() * voxel_ml, (inside > 0.5).sum() * voxel_ml, (z < RULE_Z).sum() * voxel_ml]
    logs = [float(np.log10(volume + 0.01)) for volume in volumes_ml]
    return [*logs, spacing_mm[0], float(brain.sum()) * voxel_ml, float(np.median(z)), float(z.std())]


def _place(brain: np.ndarray, candidates: np.ndarray) -> list[np.ndarray]:
    places = zip(np.nonzero(candidates), brain_box(brain, margin=0), strict=True)
    z, y, x = ((where - inside.start) / max(inside.stop - 1 - inside.start, 1) for where, inside in places)
    return [z, y, np.abs(x - 0.5)]
