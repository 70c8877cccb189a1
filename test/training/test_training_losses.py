"""The losses against MONAI and against numbers derived on paper. Logits of +-20 stand for certain predictions."""

import math

import numpy as np
import pytest
import torch
from monai.losses import HausdorffDTLoss, LogHausdorffDTLoss
from scipy.ndimage import gaussian_filter

from training.learning.distance import EMPTY_DISTANCE_MM
from training.learning.losses import LOSSES, dice, dice_focal, hausdorffdt, tversky

SHAPE = (2, 1, 6, 13, 10)
UNIT = torch.ones(2, 3)
ALL_LOSSES = pytest.mark.parametrize("name", LOSSES)


def blobs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that want a gradient and a target; in both, each crop has both labels."""
    noise = np.random.default_rng(seed).normal(size=(2, *SHAPE))
    logits, target = gaussian_filter(noise, (0, 0, 0, 0.6, 1.2, 1.2)).astype(np.float32)
    for mask in (*(logits > 0), *(target > 0.1)):
        assert 0 < mask.mean() < 1
    return torch.from_numpy(15 * logits).requires_grad_(), torch.from_numpy(target > 0.1).float()


def certain(voxel_mask: torch.Tensor) -> torch.Tensor:
    return torch.where(voxel_mask > 0, 20.0, -20.0).requires_grad_()


def value_and_gradient(loss, logits: torch.Tensor) -> tuple[float, torch.Tensor]:
    value = loss(logits)
    return value.item(), torch.autograd.grad(value, logits)[0]


# --- region losses ---


def counted(true_positives: int, false_positives: int, false_negatives: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One crop with these counts: (certain logits, target)."""
    predicted, target = torch.zeros(1, 1, 4, 5, 6), torch.zeros(1, 1, 4, 5, 6)
    predicted.view(-1)[: true_positives + false_positives] = 1
    target.view(-1)[:true_positives] = 1
    target.view(-1)[-false_negatives:] = 1
    return certain(predicted), target


@pytest.mark.parametrize(
    ("loss", "counts", "expected"),
    [
        (dice, (3, 5, 2), 1 - 6 / (8 + 5)),
        (tversky, (3, 5, 2), 1 - 3 / (3 + 0.3 * 5 + 0.7 * 2)),
        (tversky, (3, 2, 5), 1 - 3 / (3 + 0.3 * 2 + 0.7 * 5)),
    ],
)
def test_region_losses_by_counting(loss, counts: tuple[int, int, int], expected: float) -> None:
    assert loss(*counted(*counts), UNIT[:1]).item() == pytest.approx(expected, rel=1e-4)


def test_dice_focal_of_an_undecided_network() -> None:
    target = counted(3, 5, 2)[1]  # 5 lesion voxels of 120; every probability is one half
    expected = 1 - 5 / (60 + 5) + 0.5**2 * math.log(2)
    assert dice_focal(torch.zeros_like(target), target, UNIT[:1]).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_region_losses_pool_the_batch(name: str) -> None:
    logits, target = counted(3, 2, 4)
    empty_logits, empty = certain(torch.zeros_like(target)), torch.zeros_like(target)
    alone = LOSSES[name](logits, target, UNIT[:1])
    beside_empty = LOSSES[name](torch.cat([logits, empty_logits]), torch.cat([target, empty]), UNIT)
    assert beside_empty.item() == pytest.approx(alone.item(), rel=1e-5)


# --- the boundary term ---


@pytest.mark.parametrize("region", ["", "tversky", "dice-focal"])
def test_the_boundary_term_is_monais_at_unit_spacing(region: str) -> None:
    """And a compound is region plus log(1 + boundary)."""
    logits, target = blobs(7)
    kind = LogHausdorffDTLoss if region else HausdorffDTLoss
    boundary = kind(sigmoid=True, include_background=True)
    name = f"{region}-hausdorffdt" if region else "hausdorffdt"
    value, gradient = value_and_gradient(lambda x: LOSSES[name](x, target, UNIT), logits)
    expected, expected_gradient = value_and_gradient(
        lambda x: 0.9 * LOSSES[region](x, target, UNIT) + 0.1 * boundary(x, target) if region else boundary(x, target),
        logits,
    )
    assert value == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-8)


def test_hausdorffdt_in_mm_of_two_voxels() -> None:
    # Both voxels are wrong by 1. Each is 1 mm from the boundary of its own mask and |(1, 2, 3) voxels| from the other's.
    predicted, target = torch.zeros(1, 1, 6, 7, 8), torch.zeros(1, 1, 6, 7, 8)
    predicted[0, 0, 2, 2, 2] = target[0, 0, 3, 4, 5] = 1
    apart = 6.0**2 + (2 * 1.5) ** 2 + (3 * 1.0) ** 2
    loss = hausdorffdt(certain(predicted), target, torch.tensor([[6.0, 1.5, 1.0]]))
    assert loss.item() == pytest.approx(2 * (1 + apart) / target.numel(), rel=1e-5)


def test_hausdorffdt_uses_each_crops_own_spacing() -> None:
    logits, target = blobs(5)
    spacing_mm = torch.tensor([[6.0, 1.5, 1.0], [1.0, 2.0, 4.0]])
    single = [hausdorffdt(logits[i : i + 1], target[i : i + 1], spacing_mm[i : i + 1]).item() for i in (0, 1)]
    assert hausdorffdt(logits, target, spacing_mm).item() == pytest.approx(sum(single) / 2, rel=1e-5)
    assert single[0] != pytest.approx(single[1], rel=0.05)


# --- crops without lesion ---


def test_a_false_positive_costs_on_a_crop_without_lesion() -> None:
    target = torch.zeros(1, 1, 4, 5, 6)
    logits = torch.full_like(target, -20.0)
    logits[0, 0, 1, 2, 3] = math.log(9)  # probability 0.9
    logits.requires_grad_()
    value, gradient = value_and_gradient(lambda x: hausdorffdt(x, target, torch.tensor([[6.0, 1.5, 2.0]])), logits)
    field = EMPTY_DISTANCE_MM**2 + 1.5**2
    assert value == pytest.approx(0.9**2 * field / 120, rel=1e-5)
    assert gradient[0, 0, 1, 2, 3].item() == pytest.approx(2 * 0.9 * 0.9 * 0.1 * field / 120, rel=1e-5)


@ALL_LOSSES
@pytest.mark.parametrize("predicted", [0.0, 1.0])
@pytest.mark.parametrize("marked", [0.0, 1.0])
def test_full_and_empty_masks_stay_finite(name: str, predicted: float, marked: float) -> None:
    target = torch.full((1, 1, 4, 5, 6), marked)
    logits = torch.full_like(target, 6 * predicted - 3).requires_grad_()
    value, gradient = value_and_gradient(lambda x: LOSSES[name](x, target, torch.tensor([[6.0, 1.5, 1.0]])), logits)
    assert math.isfinite(value)
    assert gradient.isfinite().all()
    assert (gradient * (0.5 - marked) > 0).all()  # a step downhill goes towards the target, from wherever


# --- numerics ---


@ALL_LOSSES
def test_the_loss_is_float32_inside_autocast(name: str) -> None:
    logits, target = blobs(4)
    spacing_mm = torch.tensor([[6.0, 1.5, 1.0], [2.0, 0.5, 3.0]])
    rounded = logits.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES[name](rounded, target, spacing_mm)
    value, gradient = value_and_gradient(lambda x: LOSSES[name](x.float(), target, spacing_mm), rounded)
    assert loss.dtype == torch.float32
    assert loss.item() == value
    torch.testing.assert_close(torch.autograd.grad(loss, rounded)[0], gradient)  # the terms' sum is rounded to bfloat16
