"""The lesion decision: trees, by hand and as scikit-learn follows them, and the mask of the highest expected Dice."""

import dataclasses
import itertools

import numpy as np
import pytest
from inference_helpers import GRID, random_maps, stump
from sklearn.ensemble import HistGradientBoostingClassifier

from model.lesions.candidates import FEATURES, LOWEST_PROBABILITY, CaseMaps
from model.lesions.decision import Decision, Trees, most_dice
from training.lesions.fit_decision import as_trees

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


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def test_trees_by_hand():
    """At the threshold it goes left."""
    rows = np.array([[9, 9, 1.5], [-1, 0, 1.6], [-0.9, 0, 1.6], [0, 0, -4]], np.float32)
    expected = sigmoid(np.array([0.25, -2, 3, 0.25]) + 0.5 - 1)
    np.testing.assert_allclose(BY_HAND.probabilities(rows), expected, rtol=1e-12)


def test_no_row_has_no_answer():
    assert BY_HAND.probabilities(np.zeros((0, 3), np.float32)).shape == (0,)


def test_tree_that_is_a_leaf_needs_no_step():
    arrays = {name: array[1:, :1] for name, array in BY_HAND.arrays().items() if array.ndim == 2}
    trees = Trees(**arrays, baseline=np.array(0.25), depth=np.array(0))
    np.testing.assert_allclose(trees.probabilities(np.zeros((2, 3), np.float32)), sigmoid(0.75))


def test_arrays_are_all_that_trees_are():
    assert Trees(**BY_HAND.arrays()).probabilities(np.ones((1, 3), np.float32)) == BY_HAND.probabilities(np.ones((1, 3)))


@pytest.fixture(scope="module", params=[40, 3000], ids=["few values", "more values than bins"])
def fitted(request: pytest.FixtureRequest) -> tuple[HistGradientBoostingClassifier, np.ndarray]:
    """A classifier of uneven trees, and the float32 rows it was fitted to."""
    rng = np.random.default_rng(0)
    rows = rng.choice(rng.normal(size=request.param), (3000, 5)).astype(np.float32)
    labels = rng.random(3000) < sigmoid(3 * rows[:, 0] * (rows[:, 1] > 0.3) - rows[:, 4] - 1)
    classifier = HistGradientBoostingClassifier(max_depth=4, max_iter=15, min_samples_leaf=100, random_state=0)
    return classifier.fit(rows, labels, sample_weight=rng.uniform(0.1, 2, 3000)), rows


def at_thresholds(trees: Trees, columns: int) -> np.ndarray:
    """Rows of float32 that lie at the thresholds of all trees, one step below and one step above."""
    thresholds = trees.threshold[trees.left != np.arange(trees.left.shape[1])].astype(np.float32)
    steps = [np.nextafter(thresholds, np.float32(way)) for way in (-np.inf, np.inf)]
    return np.tile(np.concatenate([thresholds, *steps])[:, None], (1, columns))


def test_trees_answer_as_scikit_learn_does(fitted):
    classifier, rows = fitted
    trees = as_trees(classifier)
    assert len({int((tree[0].nodes["is_leaf"]).sum()) for tree in classifier._predictors}) > 1  # some are padded
    others = np.random.default_rng(1).normal(size=(500, 5)).astype(np.float32)
    for some in (rows, others, at_thresholds(trees, 5)):
        expected = classifier.predict_proba(some)[:, 1]
        assert np.ptp(expected) > 0.3
        np.testing.assert_allclose(trees.probabilities(some), expected, rtol=0, atol=1e-6)


def test_trees_without_a_split_are_the_share_of_lesion():
    rows, labels = np.zeros((50, 2), np.float32), np.arange(50) < 10
    trees = as_trees(HistGradientBoostingClassifier(max_iter=3).fit(rows, labels))
    np.testing.assert_allclose(trees.probabilities(rows[:1]), 0.2, atol=1e-6)


@pytest.mark.parametrize("change", [{"features": FEATURES[:-1]}, {"features": FEATURES[::-1]}, {"features": ()}])
def test_decision_of_other_features_is_refused(change):
    with pytest.raises(ValueError, match="other features"):
        dataclasses.replace(stump("z", 0, 0.5, 0.5), **change)


@pytest.mark.parametrize("empty_above", [-0.01, 1.01, np.nan])
def test_decision_with_a_limit_that_is_no_dice_is_refused(empty_above):
    with pytest.raises(ValueError, match="empty_above"):
        stump("z", 0, 0.5, 0.5, empty_above)


@pytest.mark.parametrize("feature", [-1, len(FEATURES)])
def test_decision_whose_trees_ask_for_an_unknown_feature_is_refused(feature):
    trees = dataclasses.replace(BY_HAND, feature=np.where(BY_HAND.feature == 2, feature, 0))
    with pytest.raises(ValueError, match="feature that does not exist"):
        Decision(trees, FEATURES, 0.1)


def test_calibrated_are_the_candidates_alone():
    adc, zadc = random_maps()
    probabilities = np.random.default_rng(1).uniform(0, 0.2, GRID.size).astype(np.float32)
    calibrated = stump("z", -2, at_most=0.9, above=0.2).calibrate(probabilities, CaseMaps(adc, zadc, GRID.spacing_mm))
    candidates = (adc > 0) & (probabilities > LOWEST_PROBABILITY)
    assert calibrated.dtype == np.float32
    assert calibrated.shape == GRID.size
    np.testing.assert_allclose(calibrated, np.where(candidates, np.where(zadc <= -2, 0.9, 0.2), 0), rtol=0, atol=1e-6)


def test_without_a_candidate_all_is_zero():
    adc, zadc = random_maps()
    assert not stump("z", 0, 0.9, 0.9).calibrate(np.zeros(GRID.size, np.float32), CaseMaps(adc, zadc, GRID.spacing_mm)).any()


def test_mask_of_most_dice_by_hand():
    """Expected Dice of one, two and three voxels: 1.8 / 2.6, 3 / 3.6, 3.2 / 4.6."""
    probabilities = np.array([[[0.1, 0.9]], [[0.6, 0]]])
    np.testing.assert_array_equal(most_dice(probabilities, 0), [[[0, 1]], [[1, 0]]])
    np.testing.assert_array_equal(most_dice(probabilities, 0.83), [[[0, 1]], [[1, 0]]])
    assert not most_dice(probabilities, 0.84).any()


def test_limit_itself_is_empty():
    """One sure voxel has an expected Dice of 1, one of one half 2/3."""
    assert not most_dice(np.array([[[1.0]]]), 1).any()
    assert most_dice(np.array([[[1.0]]]), 0.999).all()
    assert most_dice(np.array([[[0.5]]]), 0.66).all()
    assert not most_dice(np.array([[[0.5]]]), 0.67).any()


@pytest.mark.parametrize("empty_above", [0, 0.5, 1])
def test_map_of_zeros_has_an_empty_mask(empty_above):
    mask = most_dice(np.zeros((2, 3, 4), np.float32), empty_above)
    assert mask.shape == (2, 3, 4)
    assert mask.dtype == bool
    assert not mask.any()


@pytest.mark.parametrize("seed", range(8))
def test_no_set_of_voxels_has_a_higher_expected_dice(seed):
    """Every one of the 1023 sets is tried; odd seeds have ties."""
    p = np.random.default_rng(seed).beta(0.5, 1, 10)
    p = np.round(p * 4) / 4 if seed % 2 else p
    sets = np.array(list(itertools.product((0, 1), repeat=10)))[1:]
    dice = 2 * sets @ p / (sets.sum(axis=1) + p.sum())
    mask = most_dice(p.reshape(1, 2, 5), 0).ravel()
    assert 2 * p[mask].sum() / (mask.sum() + p.sum()) == pytest.approx(dice.max(), abs=1e-12)
    assert most_dice(p.reshape(1, 2, 5), dice.max() - 1e-9).any()
    assert not most_dice(p.reshape(1, 2, 5), dice.max() + 1e-9).any()


@pytest.mark.parametrize("seed", range(6))
def test_voxels_of_one_probability_are_marked_together(seed):
    p = np.random.default_rng(seed).choice([0, 0.1, 0.3, 0.7], (3, 4, 5))
    mask = most_dice(p, 0)
    np.testing.assert_array_equal(mask, p >= p[mask].min())


def test_threshold_of_a_large_map_is_half_the_best_dice():
    """A sum in float32 would miss it by some voxels."""
    p = np.random.default_rng(0).random((20, 100, 200), np.float32) ** 3
    mask = most_dice(p, 0)
    best = 2 * p[mask].sum(dtype=float) / (mask.sum() + p.sum(dtype=float))
    np.testing.assert_array_equal(mask, p.astype(float) > best / 2)
