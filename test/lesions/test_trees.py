"""Boosted trees by hand, and as LightGBM follows them."""

import lightgbm
import numpy as np
import pytest
from scipy.special import expit as sigmoid

from model.lesions.trees import ROWS, Trees
from training.lesions.fit_trees import as_trees

# Two trees on three features. The first asks for feature 2, then on the right for feature 0; the second is a leaf alone,
# padded to five nodes.
BY_HAND = Trees(
    feature=np.array([[2, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
    threshold=np.array([[1.5, 0, -1, 0, 0], [0, 0, 0, 0, 0]], float),
    left=np.array([[1, 1, 3, 3, 4], [0, 1, 2, 3, 4]]),
    right=np.array([[2, 1, 4, 3, 4], [0, 1, 2, 3, 4]]),
    value=np.array([[0, 0.25, 0, -2, 3], [0.5, 9, 9, 9, 9]], float),
    baseline=np.array(-1.0),
    depth=np.array(2),
)


def test_trees_by_hand():
    """At the threshold it goes left."""
    rows = np.array([[9, 9, 1.5], [-1, 0, 1.6], [-0.9, 0, 1.6], [0, 0, -4]], np.float32)
    expected = np.array([0.25, -2, 3, 0.25]) + 0.5 - 1
    np.testing.assert_allclose(BY_HAND.answers(rows), expected, rtol=1e-12)
    assert BY_HAND.answers(rows[:0]).shape == (0,)


def test_deepest_tree_counts():
    """Node n asks whether the feature is below the middle of its part of 0..255; the answer is the whole number below."""
    inner, middles = np.arange(255), np.concatenate([np.arange(128 >> n, 256, 256 >> n) for n in range(8)])
    nodes = np.arange(511)
    left, right = (np.where(nodes < 255, 2 * nodes + side, nodes) for side in (1, 2))
    threshold = np.zeros(511)
    threshold[inner] = middles - 0.5
    arrays = {"feature": nodes * 0, "threshold": threshold, "left": left, "right": right, "value": nodes - 255.0}
    trees = Trees(**{name: array[None] for name, array in arrays.items()}, baseline=np.array(0.0), depth=np.array(8))
    numbers = np.random.default_rng(0).integers(0, 256, (1000, 1)).astype(np.float32)
    np.testing.assert_array_equal(trees.answers(numbers), numbers[:, 0])


SETTINGS = {"objective": "binary", "max_depth": 4, "min_data_in_leaf": 100, "deterministic": True}
SETTINGS |= {"verbosity": -1, "num_threads": 1}


@pytest.fixture(scope="module", params=[40, 3000], ids=["few values", "more values than bins"])
def fitted(request: pytest.FixtureRequest) -> tuple[lightgbm.Booster, np.ndarray]:
    """Uneven trees, and the float32 rows that they were fitted to."""
    rng = np.random.default_rng(0)
    rows = rng.choice(rng.normal(size=request.param), (3000, 5)).astype(np.float32)
    labels = rng.random(3000) < sigmoid(3 * rows[:, 0] * (rows[:, 1] > 0.3) - rows[:, 4] - 1)
    data = lightgbm.Dataset(rows, labels.astype(float), weight=rng.uniform(0.1, 2, 3000))
    return lightgbm.train(SETTINGS, data, num_boost_round=15), rows


def at_thresholds(trees: Trees, columns: int) -> np.ndarray:
    """Rows of float32 that lie at the thresholds of all trees, one step below and one step above."""
    thresholds = trees.threshold[trees.left != np.arange(trees.left.shape[1])].astype(np.float32)
    steps = [np.nextafter(thresholds, np.float32(way)) for way in (-np.inf, np.inf)]
    return np.tile(np.concatenate([thresholds, *steps])[:, None], (1, columns))


def test_trees_answer_as_lightgbm_does(fitted):
    booster, rows = fitted
    trees = as_trees(booster)
    leaves = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    assert len(set(leaves)) > 1  # some are padded
    others = np.random.default_rng(1).normal(size=(500, 5)).astype(np.float32)
    zeros = np.zeros((1, 5), np.float32)
    many = np.tile(rows, (12, 1))
    assert len(many) > ROWS  # so that there are several parts
    for some in (many, others, at_thresholds(trees, 5), zeros):
        expected = booster.predict(some, raw_score=True)
        assert len(some) == 1 or np.ptp(sigmoid(expected)) > 0.3
        np.testing.assert_allclose(trees.answers(some), expected, rtol=0, atol=1e-9)


def test_trees_without_a_split_are_the_share_of_lesion():
    rows, labels = np.zeros((50, 2), np.float32), np.arange(50) < 10
    data = lightgbm.Dataset(rows, labels.astype(float), params={"verbosity": -1})
    trees = as_trees(lightgbm.train(SETTINGS, data, num_boost_round=3))
    np.testing.assert_allclose(sigmoid(trees.answers(rows[:1])), 0.2, atol=1e-6)
