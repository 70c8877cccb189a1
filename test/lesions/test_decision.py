"""The decision: what the first stage says of a case, the calibration by hand, and the mask of the highest expected Dice."""

import itertools

import numpy as np
import pytest
from inference_helpers import GRID, random_maps, stump

from model.lesions.candidates import CaseMaps
from model.lesions.decision import LOWEST_LOG_ODDS, Calibration, most_dice


def test_first_stage_asks_the_trees_about_the_candidates_alone():
    """sigmoid(-2 (Z + 2)) is above 0.05 where Z is below log(19) / 2 - 2, which is -0.53; Z is a multiple of 1/4."""
    adc, zadc = random_maps()
    candidates = (adc > 0) & (zadc <= -0.75)
    for above, lowest in ((0.2, np.log(0.25)), (1e-9, LOWEST_LOG_ODDS)):  # the latter is cut
        found = stump("z", -2, at_most=0.9, above=above).first_stage(CaseMaps(adc, zadc, GRID.spacing_mm))
        assert found.dtype == np.float32
        log_odds = np.where(zadc <= -2, np.log(9), lowest)
        np.testing.assert_allclose(found, np.where(candidates, log_odds, LOWEST_LOG_ODDS), rtol=0, atol=1e-6)


def test_calibration_by_hand():
    """Log odds of 1 and 3 make 0.5 + 0.25 + 1.5; a voxel that neither thinks possible is 0, one that either does is not."""
    decision = stump("z", 0, 0.5, 0.5, Calibration(0.5, 0.25, 0.5))
    networks = np.float32([1 / (1 + np.exp(-1)), 0.05, 0.06, 0.01])
    first = np.float32([3, LOWEST_LOG_ODDS, LOWEST_LOG_ODDS, -6])
    calibrated = decision.calibrate(networks, first)
    assert calibrated.dtype == np.float32
    log_odds = [2.25, None, 0.5 + np.log(0.06 / 0.94) / 4 - 3.5, 0.5 + np.log(0.01 / 0.99) / 4 - 3]
    expected = [0 if x is None else 1 / (1 + np.exp(-x)) for x in log_odds]
    np.testing.assert_allclose(calibrated, expected, rtol=1e-5)


def test_mask_of_most_dice_by_hand():
    """Expected Dice of one, two and three voxels: 1.8 / 2.6, 3 / 3.6, 3.2 / 4.6."""
    probabilities = np.array([[[0.1, 0.9]], [[0.6, 0]]])
    np.testing.assert_array_equal(most_dice(probabilities), [[[0, 1]], [[1, 0]]])
    np.testing.assert_array_equal(most_dice(np.array([[[0.001, 0]]])), [[[1, 0]]])  # however little is expected
    np.testing.assert_array_equal(most_dice(np.zeros((2, 3, 4), np.float32)), np.zeros((2, 3, 4), bool), strict=True)


@pytest.mark.parametrize("seed", range(4))
def test_no_set_of_voxels_has_a_higher_expected_dice(seed):
    """Every one of the 1023 sets is tried. Odd seeds have ties, whose voxels are marked together."""
    p = np.random.default_rng(seed).beta(0.5, 1, 10)
    p = np.round(p * 4) / 4 if seed % 2 else p
    sets = np.array(list(itertools.product((0, 1), repeat=10)))[1:]
    dice = 2 * sets @ p / (sets.sum(axis=1) + p.sum())
    mask = most_dice(p.reshape(1, 2, 5)).ravel()
    assert 2 * p[mask].sum() / (mask.sum() + p.sum()) == pytest.approx(dice.max(), abs=1e-12)
    np.testing.assert_array_equal(mask, p >= p[mask].min())


def test_threshold_of_a_large_map_is_half_the_best_dice():
    """A sum in float32 would miss it by some voxels."""
    p = np.random.default_rng(0).random((20, 100, 200), np.float32) ** 3
    mask = most_dice(p)
    best = 2 * p[mask].sum(dtype=float) / (mask.sum() + p.sum(dtype=float))
    np.testing.assert_array_equal(mask, p.astype(float) > best / 2)
