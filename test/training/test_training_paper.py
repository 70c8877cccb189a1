"""The study's protocol: resampling of ramps and boxes that can be checked on paper, its network, its augmentation."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from model.errors import UserError
from training.data.dataset import PackedCase, Sample
from training.learning.paper import (
    GRID,
    MAX_DISPLACEMENT_MM,
    PaperAugmentation,
    blur,
    coarsen,
    control_points_mm,
    paper_mask,
    read_at,
    sampling_grid,
    signed_power,
    to_paper_sample,
)
from training.learning.paper_network import PaperNet, PaperNetConfig
from training.learning.protocols import Paper
from training.scores.metrics import dice_of
from training.scores.rows import RESULTS

CPU = torch.device("cpu")
SHAPE = (20, 120, 144)  # below, at and above what GRID does to an axis of another length
SPACING_MM = (5.0, 1.5, 1.25)


@pytest.fixture(scope="module")
def case() -> PackedCase:
    """ADC rises along all axes by different steps, Z is low in the lesion."""
    z, y, x = np.indices(SHAPE, np.float32)
    label = np.zeros(SHAPE, bool)
    label[2:10, 60:84, 18:36] = True  # off the middle
    zadc = np.where(label, -4, 0) + np.random.default_rng(0).normal(0, 0.1, SHAPE)
    return PackedCase("ramp", 30 * z + 2 * y - 3 * x + 700, zadc.astype(np.float32), label, SPACING_MM)


@pytest.fixture(scope="module")
def sample(case: PackedCase) -> Sample:
    return to_paper_sample(case, CPU)


# ---- to the grid and back


def test_a_sample_has_the_grid_and_the_project_s_types(sample: Sample) -> None:
    assert (sample.inputs.shape, sample.target.shape) == ((2, *GRID), (1, *GRID))
    assert sample.inputs.dtype == sample.target.dtype == sample.spacing_mm.dtype == torch.float32
    np.testing.assert_allclose(sample.spacing_mm * torch.tensor(GRID), np.multiply(SPACING_MM, SHAPE), rtol=1e-6)


def test_a_ramp_is_resampled_exactly(sample: Sample) -> None:
    """At the centre of voxel i of n on the grid, the index on the old axis of length m is (i + 1/2) m / n - 1/2."""
    z, y, x = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(GRID, SHAPE, strict=True))
    inner = np.s_[1:-1, 1:-1:7, 1:-1:5]
    ramp = 30 * z[:, None, None] + 2 * y[:, None] - 3 * x + 700
    adc = sample.inputs[1].numpy().astype(float)
    slope, offset = np.polyfit(adc[inner].ravel(), ramp[inner].ravel(), 1)  # undoes the z-score
    np.testing.assert_allclose(slope * adc[inner] + offset, ramp[inner], atol=0.01)
    assert slope > 0


def test_the_label_is_that_of_the_nearest_voxel(case: PackedCase, sample: Sample) -> None:
    z, y, x = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(GRID, SHAPE, strict=True))
    assert np.array_equal(sample.target[0].numpy() == 1, case.label[np.ix_(z, y, x)])


def test_maps_are_z_scored_over_all_voxels(sample: Sample) -> None:
    for channel in sample.inputs.double():
        assert float(channel.mean()) == pytest.approx(0, abs=1e-4)
        assert float(channel.std(correction=0)) == pytest.approx(1, abs=1e-4)
    zadc, lesion = sample.inputs[0], sample.target[0] == 1
    assert zadc[lesion].mean() < -3 < zadc[~lesion].mean()  # the Z map comes first


def test_a_constant_map_is_refused(case: PackedCase) -> None:
    with pytest.raises(UserError, match="ramp: a map of one value"):
        to_paper_sample(dataclasses.replace(case, zadc=np.zeros(SHAPE, np.float32)), CPU)


class LowZ(nn.Module):
    """Marks where the first channel is far below its mean."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.weight * (-2 - x[:, :1]))


def test_masks_on_both_grids(case: PackedCase, sample: Sample) -> None:
    dark = dataclasses.replace(case, adc=-1 - case.adc.clip(0))  # no voxel is brain
    found = Paper().predict(LowZ(), dark, CPU)  # dropout must be off
    grid, label, spacing_mm = found.on_grid
    assert (found.mask.shape, grid.shape, found.mask.dtype, grid.dtype) == (SHAPE, GRID, bool, bool)
    assert dice_of(found.mask, case.label) > 0.95
    assert dice_of(grid, sample.target[0].numpy() == 1) > 0.9
    probabilities = 1 / (1 + np.exp(2 + sample.inputs[0].numpy()))
    smooth = ndimage.zoom(probabilities, np.divide(SHAPE, GRID), order=1, mode="nearest", grid_mode=True)
    assert np.count_nonzero(found.mask != (smooth > 0.5)) < 10  # 43 where the mask is that of the grid
    assert (np.array_equal(label, sample.target[0] == 1), spacing_mm) == (True, tuple(sample.spacing_mm.tolist()))


def test_an_answer_that_is_not_finite_is_refused(case: PackedCase) -> None:
    with pytest.raises(UserError, match="ramp: the network's answer is not finite"):
        paper_mask(LowZ(float("nan")), case, CPU)


# ---- the network

SMALL = PaperNetConfig(channels=(3, 4, 5, 6))


def of(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def test_the_study_s_parts_are_there() -> None:
    network = PaperNet(PaperNetConfig())
    convolutions = of(network, nn.Conv3d)
    assert len(network.down) == 4  # three levels and the bottleneck
    assert len(network.up) == len(of(network, nn.ConvTranspose3d)) == 3
    assert [module.kernel_size for module in convolutions] == [(3, 3, 3)] * 14 + [(1, 1, 1)]
    assert all(module.bias is None for module in convolutions[:-1])  # batch norm would take it away
    assert len(of(network, nn.BatchNorm3d)) == len(of(network, nn.LeakyReLU)) == 14
    down, up = ([module.p for module in of(blocks, nn.Dropout)] for blocks in (network.down, network.up))
    assert down == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4]
    assert up == [0.3, 0.3, 0.2, 0.2, 0.1, 0.1]


def test_the_committed_rows_are_of_this_network() -> None:
    committed = json.loads((RESULTS / "paper.json").read_text(encoding="utf-8"))
    assert committed["model"] == json.loads(json.dumps(dataclasses.asdict(PaperNetConfig())))


def test_a_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = PaperNet(SMALL)
    logits = network(torch.randn(2, 2, 16, 16, 24))
    assert logits.shape == (2, 1, 16, 16, 24)
    logits.square().mean().backward()
    for p in network.parameters():
        per_pair = p.grad.flatten(2).abs().sum(2) if p.dim() > 1 else p.grad.abs()
        assert per_pair.min() > 0  # between every two channels, the skipped ones too


# ---- augmentation


def test_the_label_moves_about_half_the_time_and_with_the_maps(sample: Sample) -> None:
    """On every third voxel along y and x, to be quicker."""
    spacing_mm = sample.spacing_mm * torch.tensor([1.0, 3, 3])
    crop = Sample(sample.inputs[..., ::3, ::3].contiguous(), sample.target[..., ::3, ::3].contiguous(), spacing_mm)
    changed = [PaperAugmentation(seed)(crop) for seed in range(24)]
    moved = [after for after in changed if not torch.equal(after.target, crop.target)]
    assert 6 < len(moved) < 18
    for after in changed:  # coarsened maps are off by a voxel
        assert dice_of(after.inputs[0].numpy() < -2, after.target[0].numpy() == 1) > 0.75


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_coarsening_doubles_voxels_of_one_axis(axis: int) -> None:
    """By 2, of voxels 0 to 7 the nearest ones 1, 3, 5, 7 stay; linear in between, at the ends as they are."""
    ramp, expected = torch.arange(8.0), torch.tensor([1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7])
    ramp, expected = (values.expand(1, 3, 3, 8).movedim(-1, axis + 1) for values in (ramp, expected))
    torch.testing.assert_close(coarsen(ramp, axis, 2.0), expected)


def test_blur_has_its_own_width_per_axis_and_keeps_the_border() -> None:
    """The middle voxel keeps what a Gaussian holds within half a voxel of its centre: erf(1/2 / (sd sqrt 2))."""
    point = torch.zeros(1, 21, 21, 21)
    point[0, 10, 10, 10] = 1
    sd = np.array([0.4, 0.8, 1.6])
    blurred = blur(point, sd)[0]
    for axis in range(3):
        profile = blurred.sum([other for other in range(3) if other != axis])
        assert profile.sum().item() == pytest.approx(1, abs=1e-5)
        assert profile[10].item() == pytest.approx(math.erf(0.5 / (sd[axis] * math.sqrt(2))), abs=1e-3)
    torch.testing.assert_close(blur(torch.ones(1, 5, 6, 7), sd), torch.ones(1, 5, 6, 7))


def test_the_power_keeps_signs() -> None:
    torch.testing.assert_close(signed_power(torch.tensor([-4.0, 0.0, 9.0]), 0.5), torch.tensor([-2.0, 0.0, 3.0]))


def displacement_mm(points_mm: torch.Tensor, shape: tuple[int, ...], spacing_mm: list[float]) -> torch.Tensor:
    """Components (z, y, x), read off where the grid says that a ramp of positions is read."""
    still = sampling_grid(torch.zeros_like(points_mm), shape, spacing_mm)
    moved = sampling_grid(points_mm, shape, spacing_mm) - still
    return moved[0].permute(3, 0, 1, 2).flip(0) * (torch.tensor(shape) * torch.tensor(spacing_mm) / 2)[:, None, None, None]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_equal_control_points_shift_the_image_in_mm(axis: int) -> None:
    """A cubic B-spline's weights sum to 1. Two voxels of 3, 2 and 1.5 mm: what was at index 5 is read at index 3."""
    spacing_mm = [3.0, 2.0, 1.5]
    points = torch.zeros(3, 7, 7, 7)
    points[axis] = 2 * spacing_mm[axis]
    image = torch.zeros(1, 9, 11, 13)
    image[0, 5, 5, 5] = 1
    expected = torch.roll(image, -2, axis + 1)
    for mode in ("bilinear", "nearest"):
        moved = read_at(image, sampling_grid(points, image.shape[1:], spacing_mm), mode)
        torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_one_control_point_moves_what_is_near_it() -> None:
    """Points 2, 3 and 4 of 7 lie at 1/4, 1/2 and 3/4 of an axis, where their weight is 2/3; they reach half an axis far."""
    points = torch.zeros(3, 7, 7, 7)
    points[1, 2, 3, 4] = 6.0
    moved = displacement_mm(points, (10, 17, 30), [2.0, 1.0, 1.0])
    assert moved[0].abs().max() == moved[2].abs().max() == 0
    assert moved[1].max() == moved[1, 2, 8, 22] == pytest.approx(6 * (2 / 3) ** 3, rel=1e-5)
    assert moved[1, 8:].abs().max() == moved[1, :, :, :7].abs().max() == 0


def test_the_deformation_is_locked_at_the_border() -> None:
    """Over the flattest field of view of the training cases: 92 mm high."""
    shape, spacing_mm = (16, 48, 48), [92 / 16, 4.0, 4.0]
    for seed in range(4):
        moved = displacement_mm(control_points_mm(np.random.RandomState(seed)), shape, spacing_mm)
        assert 1 < moved.abs().max() < MAX_DISPLACEMENT_MM
        assert moved[:, :, 0].abs().max() < MAX_DISPLACEMENT_MM / 6
