"""What is known about each voxel that might be lesion: the features that the lesion decision is made from.

Arrays are (z, y, x), spacing (z, y, x) in mm. A candidate is a brain voxel with some probability of lesion.
In what is shipped that is the rule on the Z map, softened (`CaseMaps.rule_probabilities`).
"""

import functools
import math
from collections.abc import Iterator

import numpy as np

from model.images.brain import brain_box, brain_mask, uncrop

Spacing = tuple[float, float, float]  # (z, y, x) in mm

LOWEST_PROBABILITY = 0.05  # of a candidate
COMPONENT_LEVELS = (0.1, 0.3, 0.5)  # probabilities at which connected components are looked at
SMOOTHING_MM = (2.0, 6.0, 12.0)  # standard deviations
DEEPEST_MM = 30.0  # depths below the brain's surface are cut there
RULE_Z = -2.0  # of the one-line rule: lesion where Z is below
RULE_SLOPE = 2.0  # steepness, in log odds per unit of Z, where that rule is taken as a probability
PRECISION = np.float16  # of the features
TAIL_SD = 4.0  # standard deviations after which a smoothing kernel ends

FEATURES = (
    "logit",  # of the given probability
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


class CaseMaps:
    """One case's maps in the box of its brain, and what all features share about them, computed once.

    adc in 1e-6 mm2/s; zadc in standard deviations; with at least one brain voxel.
    """

    def __init__(self, adc: np.ndarray, zadc: np.ndarray, spacing_mm: Spacing) -> None:
        whole = brain_mask(adc)
        self.shape, self.spacing_mm = adc.shape, spacing_mm
        self.box = brain_box(whole, margin=1)  # holds, for every brain voxel, the nearest one outside the brain
        self.brain, self.adc, self.zadc = whole[self.box], adc[self.box], zadc[self.box]
        self._weights: dict[float, np.ndarray] = {}  # the smoothed brain, by standard deviation in mm

    def smooth(self, values: np.ndarray, sd_mm: float) -> np.ndarray:
        """Gaussian mean over the brain voxels around each voxel of the box, 0 where there is none near."""
        if sd_mm not in self._weights:
            self._weights[sd_mm] = np.maximum(blur(self.brain, sd_mm, self.spacing_mm), 1e-3)
        return blur(np.where(self.brain, values, 0), sd_mm, self.spacing_mm) / self._weights[sd_mm]

    def rule_probabilities(self) -> np.ndarray:
        """The rule of the whole case, softened: sigmoid(-2 (Z + 2)) in the brain, 0 elsewhere, float32 (z, y, x)."""
        soft = sigmoid(-RULE_SLOPE * (self.zadc.astype(float) - RULE_Z))
        return uncrop(np.where(self.brain, soft, 0).astype(np.float32), self.box, self.shape)

    @functools.cached_property
    def surroundings(self) -> tuple[np.ndarray, ...]:
        """Of every voxel of the box: smoothed Z, its contrast, the rule's share around, and the depth in the brain."""
        from model.lesions.components import depth_mm

        depth = np.minimum(depth_mm(self.brain, self.spacing_mm), DEEPEST_MM)
        rule = self.smooth(self.zadc < RULE_Z, 4)
        return self.smooth(self.zadc, 2), self.zadc - self.smooth(self.zadc, 6), rule, depth


def candidate_features(probabilities: np.ndarray, maps: CaseMaps) -> tuple[np.ndarray, np.ndarray]:
    """The candidates, boolean (z, y, x), and their features, float32 (candidates, len(FEATURES)).

    probabilities: the softened rule's, or any other first answer, of the case's shape. Features are computed in float64 and
    rounded to PRECISION: the last bits of a sum depend on the processor, and a tree must not.
    """
    inside = probabilities[maps.box]
    candidates = (inside > LOWEST_PROBABILITY) & maps.brain
    table = np.empty((np.count_nonzero(candidates), len(FEATURES)), np.float32)
    for column, values in zip(table.T, _columns(inside, candidates, maps), strict=True):  # all at once would need gigabytes
        column[:] = np.asarray(values, np.float64).astype(PRECISION)
    return uncrop(candidates, maps.box, maps.shape), table


def _columns(probabilities: np.ndarray, candidates: np.ndarray, maps: CaseMaps) -> Iterator[np.ndarray | float]:
    """The features in the order of FEATURES; those of the whole case as one number."""
    yield from (logit(probabilities[candidates]), maps.zadc[candidates], maps.adc[candidates] / 1000)
    yield from (logit(maps.smooth(probabilities, mm)[candidates]) for mm in SMOOTHING_MM)
    yield from (values[candidates] for values in maps.surroundings)
    for level in COMPONENT_LEVELS:
        yield from _component(probabilities, probabilities > level, candidates, maps)
    yield from _case(probabilities, maps)
    yield from _place(maps.brain, candidates)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log odds, cut at the odds of 1e-4."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function, in the precision of its argument."""
    with np.errstate(over="ignore"):  # exp of a very negative logit: infinite, and the probability 0
        return 1 / (1 + np.exp(-logits))


def blur(values: np.ndarray, sd_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """A Gaussian over (z, y, x), zeros around, float64: each voxel of the kernel counts the integral over it.

    One matrix product per axis: for axes of some hundred voxels faster than to convolve, and memory is one copy.
    """
    z, y, x = (_kernel(n, sd_mm / spacing) for n, spacing in zip(values.shape, spacing_mm, strict=True))
    rows = np.matmul(y, np.matmul(values.astype(np.float64), x))
    return np.matmul(z, rows.reshape(len(z), -1)).reshape(values.shape)


def _kernel(length: int, sd: float) -> np.ndarray:
    """float64 (length, length), symmetric: how much of each voxel of an axis every other one gets. sd: voxels."""
    tail = int(max(sd * TAIL_SD, 0.5) + 0.5)
    edges = [math.erf((n - 0.5) / (math.sqrt(2) * sd)) / 2 for n in range(tail + 2)]
    weights = np.zeros(length + tail + 1)
    weights[: tail + 1] = np.diff(edges)
    distance = np.abs(np.arange(length)[:, None] - np.arange(length))
    return weights[distance]


def _component(probabilities: np.ndarray, mask: np.ndarray, candidates: np.ndarray, maps: CaseMaps) -> list[np.ndarray]:
    """Of the connected component that a candidate lies in: log10 mm3, largest and mean probability, lowest Z or 0.

    A candidate outside every component counts as half a voxel with probability 0 and Z 0.
    """
    from model.lesions.components import connected_components

    labels, count = connected_components(mask)
    inside = labels[mask]
    voxels = np.bincount(inside, minlength=count + 1).astype(float)
    voxels[0] = 0.5
    total = np.bincount(inside, probabilities[mask], count + 1)
    largest, lowest = np.zeros(count + 1), np.zeros(count + 1)
    np.maximum.at(largest, inside, probabilities[mask])
    np.minimum.at(lowest, inside, maps.zadc[mask])
    values = (np.log10(voxels * np.prod(maps.spacing_mm)), logit(largest), lowest, logit(total / voxels))
    return [value[labels[candidates]] for value in values]


def _case(probabilities: np.ndarray, maps: CaseMaps) -> list[float]:
    voxel_ml = float(np.prod(maps.spacing_mm)) / 1000
    inside, z = probabilities[maps.brain], maps.zadc[maps.brain]
    volumes_ml = [inside.sum() * voxel_ml, (inside > 0.5).sum() * voxel_ml, (z < RULE_Z).sum() * voxel_ml]
    logs = [float(np.log10(volume + 0.01)) for volume in volumes_ml]
    return [*logs, maps.spacing_mm[0], float(maps.brain.sum()) * voxel_ml, float(np.median(z)), float(z.std())]


def _place(brain: np.ndarray, candidates: np.ndarray) -> list[np.ndarray]:
    places = zip(np.nonzero(candidates), brain_box(brain, margin=0), strict=True)
    z, y, x = ((where - inside.start) / max(inside.stop - 1 - inside.start, 1) for where, inside in places)
    return [z, y, np.abs(x - 0.5)]
