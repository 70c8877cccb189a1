"""Boosted trees: fitted in training, stored as plain arrays, asked in numpy."""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np

ROWS = 1 << 15  # rows at a time, whose answers to all questions stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Trees:
    """Gradient-boosted regression trees; each array is (trees, nodes), node 0 the root.

    A node sends a row of features to `left` when its feature is at most `threshold`, else to `right`; a leaf points to
    itself. The answer, log odds of lesion or Z, is `baseline` plus the sum of the leaves' values.
    """

    feature: np.ndarray  # int
    threshold: np.ndarray  # float64
    left: np.ndarray  # int
    right: np.ndarray  # int
    value: np.ndarray  # float64; counts in leaves
    baseline: np.ndarray  # float64, one number
    depth: np.ndarray  # int, one number: steps from a root to any leaf, at most

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def answers(self, features: np.ndarray) -> np.ndarray:
        """The answer, float64, for each row of (rows, features), float32 or less precise."""
        total = np.full(len(features), float(self.baseline))
        for start in range(0, len(features), ROWS):
            rows = slice(start, start + ROWS)
            below = self._below(features[rows])
            for root, values in zip(self._roots, self.value, strict=True):
                leaves = _leaves(root, below)
                total[rows] += values.take(leaves) if isinstance(leaves, np.ndarray) else values[leaves]
        return total

    @functools.cached_property
    def _questions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the nodes ask, each question once: feature, threshold as float32, and each node's question (tree, node).

        The largest float32 that is not above a threshold tells float32 apart as the threshold does.
        """
        pairs, which = np.unique(np.stack([self.feature, self.threshold], -1).reshape(-1, 2), axis=0, return_inverse=True)
        with np.errstate(over="ignore"):
            rounded = pairs[:, 1].astype(np.float32)
        rounded = np.where(rounded > pairs[:, 1], np.nextafter(rounded, np.float32(-np.inf)), rounded)
        return pairs[:, 0].astype(int), rounded, which.reshape(self.feature.shape)

    @functools.cached_property
    def _index(self) -> type[np.unsignedinteger]:
        """The smallest type that counts the nodes of a tree."""
        return np.uint8 if self.feature.shape[1] <= 256 else np.uint16

    @functools.cached_property
    def _roots(self) -> list:
        """Each tree as nested tuples (question, left, right) that end in the numbers of leaves."""
        left, right, questions = self.left.tolist(), self.right.tolist(), self._questions[2].tolist()

        def nested(tree: int, node: int) -> tuple | np.unsignedinteger:
            if left[tree][node] == node == right[tree][node]:
                return self._index(node)
            return questions[tree][node], nested(tree, left[tree][node]), nested(tree, right[tree][node])

        return [nested(tree, 0) for tree in range(len(left))]

    def _below(self, features: np.ndarray) -> np.ndarray:
        """(question, candidate): all bits set where the feature is at most the threshold, else none."""
        columns = np.ascontiguousarray(features.T, np.float32)
        below = np.empty((len(self._questions[0]), len(features)), self._index)
        for row, feature, threshold in zip(below, *self._questions[:2], strict=True):
            np.less_equal(columns[feature], threshold, out=row, casting="unsafe")
        return np.negative(below, out=below)


def _leaves(node: tuple | np.unsignedinteger, below: np.ndarray) -> np.ndarray | np.unsignedinteger:
    """The leaf that each candidate ends in, below a node: chosen bit by bit, since `np.where` waits for its branches."""
    if not isinstance(node, tuple):
        return node
    question, left, right = node
    left, right = _leaves(left, below), _leaves(right, below)
    return right ^ (below[question] & (left ^ right))
