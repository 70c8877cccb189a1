"""From candidates to the mask: calibrated probabilities by boosted trees, then the mask of the highest expected Dice."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from model.lesions.candidates import FEATURES, CaseMaps, candidate_features

MOST_DEPTH = 8  # of a tree, whose answer takes two to the power of it; the fitted ones have 3


@dataclass(frozen=True, eq=False)
class Trees:
    """Gradient-boosted regression trees; each array is (trees, nodes), node 0 the root.

    A node sends a candidate to `left` when its feature is at most `threshold`, else to `right`; a leaf points to itself.
    The log odds of lesion are `baseline` plus the sum of the leaves' values.
    """

    feature: np.ndarray  # int
    threshold: np.ndarray  # float64
    left: np.ndarray  # int
    right: np.ndarray  # int
    value: np.ndarray  # float64; counts in leaves
    baseline: np.ndarray  # float64, one number
    depth: np.ndarray  # int, one number: steps from a root to any leaf, at most

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in ("feature", "threshold", "left", "right", "value")}
        if len(shapes) != 1 or self.feature.ndim != 2:
            raise ValueError("the trees' arrays differ in shape")
        if any(getattr(self, name).dtype.kind not in "iu" for name in ("feature", "left", "right", "depth")):
            raise ValueError("the trees' feature, left, right and depth are not all integers")
        if self.threshold.dtype.kind != "f":
            raise ValueError("the trees' thresholds are not floating point numbers")
        if self.baseline.ndim or self.depth.ndim:
            raise ValueError("the trees' baseline and depth are not one number each")
        nodes = self.feature.shape[1]
        if min(self.left.min(), self.right.min()) < 0 or max(self.left.max(), self.right.max()) >= nodes:
            raise ValueError("a tree points outside itself")
        if not 0 <= int(self.depth) <= MOST_DEPTH or not all(np.isfinite(a).all() for a in (self.value, self.baseline)):
            raise ValueError("the trees' depth or values are not usable")
        if not self._ends_in_leaves():
            raise ValueError("a tree does not end in leaves at its depth")
        if np.isnan(self.threshold).any():
            raise ValueError("a threshold of the trees is NaN")

    def _ends_in_leaves(self) -> bool:
        reached = np.zeros(self.feature.shape, bool)
        reached[:, 0] = True
        for _ in range(int(self.depth)):
            tree, node = np.nonzero(reached)
            reached = np.zeros(self.feature.shape, bool)
            reached[tree, self.left[tree, node]] = reached[tree, self.right[tree, node]] = True
        tree, node = np.nonzero(reached)
        return bool((self.left[tree, node] == node).all() and (self.right[tree, node] == node).all())

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probability of lesion of each row of float32 (candidates, features)."""
        columns = np.ascontiguousarray(features.T)
        total = np.full(len(features), float(self.baseline))
        for tree in range(len(self.feature)):
            total += self._answer(columns, tree, 0)
        return 1 / (1 + np.exp(-total))

    def _answer(self, columns: np.ndarray, tree: int, node: int) -> np.ndarray | np.float64:
        """What a node's part of a tree adds: whole columns at each node are faster than each candidate's own way down."""
        left, right = self.left[tree, node], self.right[tree, node]
        if left == node == right:
            return self.value[tree, node]
        below = columns[self.feature[tree, node]] <= self.threshold[tree, node]
        return np.where(below, self._answer(columns, tree, left), self._answer(columns, tree, right))


@dataclass(frozen=True, eq=False)
class Decision:
    """What turns one group's probabilities into calibrated ones, and when a mask stays empty.

    Raises ValueError when the trees were fitted to other features than `model.lesions.candidates` computes.
    """

    trees: Trees
    features: tuple[str, ...]
    empty_above: float  # expected Dice below which a mask is empty

    def __post_init__(self) -> None:
        if self.features != FEATURES:
            raise ValueError("fitted to other features than this version computes")
        if not 0 <= self.trees.feature.min() <= self.trees.feature.max() < len(FEATURES):
            raise ValueError("a tree asks for a feature that does not exist")
        if not 0 <= self.empty_above <= 1:
            raise ValueError(f"empty_above cannot be {self.empty_above}")

    def calibrate(self, probabilities: np.ndarray, maps: CaseMaps) -> np.ndarray:
        """Calibrated probabilities, float32 (z, y, x); 0 where there is no candidate."""
        candidates, features = candidate_features(probabilities, maps)
        calibrated = np.zeros(probabilities.shape, np.float32)
        calibrated[candidates] = self.trees.probabilities(features)
        return calibrated


def most_dice(probabilities: np.ndarray, empty_above: float) -> np.ndarray:
    """The mask with the highest expected Dice: boolean, of the shape of `probabilities` (calibrated, 0..1).

    Of all masks that hold the k most probable voxels, the one with the largest 2 sum(p in mask) / (k + sum(p)) is taken, a
    plug-in for the optimum, whose threshold is half the best Dice (arXiv 1402.1892). When even that is not above
    `empty_above`, which stands for the probability that there is no lesion at all, the mask is empty: if that is right, it
    scores 1.
    """
    mask, expected = best_mask(probabilities)
    return mask if expected > empty_above else np.zeros_like(mask)


def best_mask(probabilities: np.ndarray) -> tuple[np.ndarray, float]:
    """The mask of `most_dice` without a limit, and its expected Dice; where no voxel has a probability: empty, and 0."""
    flat = probabilities.ravel().astype(float)  # a float32 sum over a large brain would lose the small ones
    possible = np.flatnonzero(flat)  # the others can only make it worse
    mask = np.zeros(flat.size, bool)
    if not possible.size:
        return mask.reshape(probabilities.shape), 0.0
    order = possible[np.argsort(-flat[possible], kind="stable")]
    expected = 2 * np.cumsum(flat[order]) / (np.arange(1, order.size + 1) + max(flat.sum(), 1e-12))
    best = int(np.argmax(expected))
    mask[order[: best + 1]] = True
    return mask.reshape(probabilities.shape), float(expected[best])
