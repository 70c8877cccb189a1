"""What is known about each voxel that might be lesion: the features that the lesion decision is made from.

Arrays are (z, y, x), spacing (z, y, x) in mm. A candidate is a brain voxel with some probability of lesion.
In what is shipped that is the rule on the Z map, softened (`CaseMaps.rule_probabilities`).
"""

from collections.abc import Iterator

import numpy as np

from model.images.brain import brain_box, uncrop
from model.lesions.brain_map import BrainMap, Spacing, rounded

LOWEST_PROBABILITY = 0.05  # of a candidate
COMPONENT_LEVELS = (0.1, 0.3, 0.5)  # probabilities at which connected components are looked at
SMOOTHING_MM = (2.0, 6.0, 12.0)  # standard deviations
RULE_Z = -2.0  # of the one-line rule: lesion where Z is below
RULE_SLOPE = 2.0  # steepness, in log odds per unit of Z, where that rule is taken as a probability

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


class CaseMaps(BrainMap):
    """One case's maps in the box of its brain, and what all features share about them, computed once.

    adc in 1e-6 mm2/s; zadc in standard deviations; with at least one brain voxel.
    """

    def __init__(self, adc: np.ndarray, zadc: np.ndarray, spacing_mm: Spacing) -> None:
        super().__init__(adc, spacing_mm)
        self.zadc = zadc[self.box]

    def rule_probabilities(self) -> np.ndarray:
        """The rule of the whole case, softened: sigmoid(-2 (Z + 2)) in the brain, 0 elsewhere, float32 (z, y, x)."""
        soft = sigmoid(-RULE_SLOPE * (self.zadc.astype(float) - RULE_Z))
        return uncrop(np.where(self.brain, soft, 0).astype(np.float32), self.box, self.shape)


def candidate_features(probabilities: np.ndarray, maps: CaseMaps) -> tuple[np.ndarray, np.ndarray]:
    """The candidates, boolean (z, y, x), and their features as `rounded` makes them, (candidates, len(FEATURES)).

    probabilities: the softened rule's, or any other first answer, of the case's shape.
    """
    inside = np.where(maps.brain, probabilities[maps.box], 0)
    candidates = inside > LOWEST_PROBABILITY
    places = np.flatnonzero(candidates)
    table = np.empty((len(FEATURES), places.size), rounded(0).dtype)
    for column, values in zip(table, _columns(inside, candidates, places, maps), strict=True):
        column[:] = rounded(values)
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
    yield maps.smooth(maps.zadc, 2).take(places)
    yield (maps.zadc - maps.smooth(maps.zadc, 6)).take(places)
    yield maps.smooth(maps.zadc < RULE_Z, 4).take(places)
    yield maps.depth.take(places)
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


def _component(mask: np.ndarray, places: np.ndarray, p: np.ndarray, z: np.ndarray, voxel_mm3: float) -> Iterator[np.ndarray]:
    """Of the connected component that a candidate lies in: log10 mm3, largest and mean probability, lowest Z or 0.

    p, z: of the candidates, among which are all voxels of the mask. A candidate outside every component counts as half a
    voxel with probability 0 and Z 0.
    """
    from model.images.components import connected_components

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
