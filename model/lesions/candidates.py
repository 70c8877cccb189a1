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
BAND = 24  # voxels of an axis that are smoothed at a time

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
    inside = np.where(maps.brain, probabilities[maps.box], 0)
    candidates = inside > LOWEST_PROBABILITY
    places = np.flatnonzero(candidates)
    table = np.empty((len(FEATURES), places.size), np.float32)
    for column, values in zip(table, _columns(inside, candidates, places, maps), strict=True):
        column[:] = np.asarray(values, np.float64).astype(PRECISION)
    return uncrop(candidates, maps.box, maps.shape), table.T


def _columns(
    probabilities: np.ndarray, candidates: np.ndarray, places: np.ndarray, maps: CaseMaps
) -> Iterator[np.ndarray | float]:
    """The features in the order of FEATURES, one after the other; those of the whole case as one number.

    places: of the candidates, in the flat box.
    """
    p, z = probabilities.take(places), maps.zadc.take(places)
    yield from (logit(p), z, maps.adc.take(places) / 1000)
    yield from (logit(maps.smooth(probabilities, mm).take(places)) for mm in SMOOTHING_MM)
    yield from (values.take(places) for values in maps.surroundings)
    for level in COMPONENT_LEVELS:
        yield from _component(probabilities > level, places, p, z, float(np.prod(maps.spacing_mm)))
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


def _component(mask: np.ndarray, places: np.ndarray, p: np.ndarray, z: np.ndarray, voxel_mm3: float) -> Iterator[np.ndarray]:
    """Of the connected component that a candidate lies in: log10 mm3, largest and mean probability, lowest Z or 0.

    p, z: of the candidates, among which are all voxels of the mask. A candidate outside every component counts as half a
    voxel with probability 0 and Z 0.
    """
    from model.lesions.components import connected_components

    labels, count = connected_components(mask)
    label, p, z = labels.take(places).astype(np.intp), p.astype(float), z.astype(float)  # as `at` is fast with
    voxels = np.bincount(label, minlength=count + 1).astype(float)
    total = np.bincount(label, p, count + 1)
    largest, lowest = np.zeros(count + 1), np.zeros(count + 1)
    np.maximum.at(largest, label, p)
    np.minimum.at(lowest, label, z)
    voxels[0], total[0], largest[0], lowest[0] = 0.5, 0, 0, 0
    for values in (np.log10(voxels * voxel_mm3), logit(largest), lowest, logit(total / voxels)):
        yield values.take(label)


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
