"""Scores against numbers derived on paper, and against MONAI.

One voxel has eight surface elements of equal area, half a voxel from its centre along each axis. Two single voxels that
lie d voxels apart along an axis of spacing s are therefore (d - 1) s apart for half of the elements and d s for the rest.
"""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice
from scipy.ndimage import gaussian_filter

from training.scores.metrics import Scores, dice_of, mean_scores, score

SHAPE = (9, 12, 15)


def voxels(*indices: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for index in indices:
        mask[index] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "label", "expected"), [([0, 0], [0, 0], 1), ([1, 0], [0, 0], 0), ([0, 0], [0, 1], 0), ([1, 1], [0, 1], 2 / 3)]
)
def test_dice_alone(mask: list[int], label: list[int], expected: float) -> None:
    assert dice_of(np.array(mask, bool), np.array(label, bool)) == pytest.approx(expected)


def test_two_voxels_two_slices_apart() -> None:
    scores = score(voxels((5, 4, 6)), voxels((3, 4, 6)), (1.5, 1.0, 1.0))
    assert scores == Scores(dice=0.0, masd_mm=pytest.approx((1.5 + 3.0) / 2), nsd=pytest.approx(0.5))


def test_masd_is_the_mean_of_both_directions() -> None:
    # Every element of the prediction lies on the label: 0 mm. Of the label's, half lie on the prediction, a quarter are
    # 3 x 2 mm and a quarter 4 x 2 mm away: 3.5 mm. Within 2 mm: all 8 of the prediction's, 8 of the label's 16.
    scores = score(voxels((2, 4, 6)), voxels((2, 4, 6), (6, 4, 6)), (2.0, 1.0, 1.0))
    assert scores == Scores(*(pytest.approx(value) for value in (2 / 3, 3.5 / 2, 16 / 24)))
    assert score(voxels((2, 4, 6), (6, 4, 6)), voxels((2, 4, 6)), (2.0, 1.0, 1.0)) == scores


@pytest.mark.parametrize(
    ("axis", "used_mm"),
    [
        (0, 7.0),
        (1, 1.0),  # the array's y axis is measured with the spacing of x, and the reverse: the official scorer's order
        (2, 3.0),
    ],
)
def test_spacing_order_is_the_official_scorers(axis: int, used_mm: float) -> None:
    other = [4, 4, 4]
    other[axis] += 2
    scores = score(voxels(tuple(other)), voxels((4, 4, 4)), (7.0, 3.0, 1.0))
    near, far = used_mm, 2 * used_mm
    assert scores.masd_mm == pytest.approx((near + far) / 2)
    assert scores.nsd == pytest.approx(((near <= 2) + (far <= 2)) / 2)


@pytest.mark.parametrize("mask", [voxels((1, 2, 3), (1, 2, 4), (8, 11, 14)), voxels()])
def test_identical_masks(mask: np.ndarray) -> None:
    assert score(mask, mask, (5.0, 1.0, 2.0)) == Scores(1.0, 0.0, 1.0)


@pytest.mark.parametrize("empty_prediction", [False, True])
def test_one_empty(empty_prediction: bool) -> None:
    pair = [voxels(), voxels((1, 2, 3))]
    prediction, label = pair if empty_prediction else reversed(pair)
    scores = score(prediction, label, (5.0, 1.0, 2.0))
    assert (scores.dice, scores.nsd) == (0.0, 0.0)
    assert math.isnan(scores.masd_mm)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(9, 12, 15\).*\(9, 12, 14\)"):
        score(voxels(), voxels()[..., :-1], (1.0, 1.0, 1.0))


@pytest.mark.parametrize("seed", range(2))
def test_nsd_equals_monai(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = gaussian_filter(rng.normal(size=(10, 21, 16)), (0.7, 2, 2)) > 0.05
    prediction = gaussian_filter(rng.normal(size=(10, 21, 16)), (0.7, 2, 2)) > 0.05
    as_scored = (4.0, 0.75, 1.25)  # what reaches the surface code for (z, y, x)
    expected = compute_surface_dice(
        torch.tensor(prediction)[None, None],
        torch.tensor(label)[None, None],
        class_thresholds=[2.0],
        include_background=True,
        spacing=as_scored,
        use_subvoxels=True,
    )
    nsd = score(prediction, label, (4.0, 1.25, 0.75)).nsd
    assert 0.1 < nsd < 0.95
    assert nsd == pytest.approx(expected.item(), abs=1e-6)


def test_mean_leaves_nan_distances_out() -> None:
    mean = mean_scores([Scores(0.5, 3.0, 0.25), Scores(0.0, math.nan, 0.0), Scores(1.0, 0.0, 1.0)])
    assert mean == Scores(0.5, 1.5, pytest.approx(1.25 / 3))
    assert math.isnan(mean_scores([Scores(0.0, math.nan, 0.0)]).masd_mm)
