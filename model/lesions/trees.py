"""Boosted trees: fitted in training, stored as plain arrays, asked in numpy."""

import dataclasses
from dataclasses import dataclass

import numpy as np

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

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log odds of lesion, float64, of each row of float32 (candidates, features)."""
        columns = np.ascontiguousarray(features.T)
        total = np.full(len(features), float(self.baseline))
        for tree in range(len(self.feature)):
            total += self._answer(columns, tree, 0)
        return total

    def _answer(self, columns: np.ndarray, tree: int, node: int) -> np.ndarray | np.float64:
        """What a node's part of a tree adds: whole columns at each node are faster than each candidate's own way down."""
        left, right = self.left[tree, node], self.right[tree, node]
        if left == node == right:
            return self.value[tree, node]
        below = columns[self.feature[tree, node]] <= self.threshold[tree, node]
        return np.where(below, self._answer(columns, tree, left), self._answer(columns, tree, right))
