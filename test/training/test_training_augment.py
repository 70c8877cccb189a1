"""Augmentation of a marked brain: Z is -8 where the target is 1 and 0 elsewhere, so the two can be compared."""

import numpy as np
import pytest
import torch

from training.data.augment import Augmentation, DeviceNoise
from training.data.dataset import Sample

SHAPE = (7, 30, 22)
MARKED = -4  # half way; the changes of intensity stay far from it


@pytest.fixture(scope="module")
def sample() -> Sample:
    brain, target = torch.zeros(SHAPE), torch.zeros(SHAPE)
    brain[1:6, 4:26, 3:19] = 1
    target[2:5, 9:20, 5:10] = 1  # left of the middle only
    return Sample(torch.stack([-8 * target, 1.2 * brain]), target[None], torch.tensor([5.0, 1.0, 1.0]))


@pytest.fixture(scope="module")
def changed(sample: Sample) -> list[Sample]:
    return [Augmentation(seed)(sample) for seed in range(25)]


def test_outside_the_brain_both_maps_stay_zero(changed: list[Sample]) -> None:
    for after in changed:
        zadc, adc = after.inputs
        assert adc.min() == 0
        assert (zadc[adc <= 0] == 0).all()
        assert zadc[adc > 0].count_nonzero() > 0


def test_target_and_maps_move_together(changed: list[Sample]) -> None:
    for after in changed:
        differing = (after.inputs[0] < MARKED) ^ (after.target[0] == 1)
        assert differing.sum() < 0.15 * after.target.sum()  # interpolation may differ at the edge


def test_left_and_right_are_swapped_about_half_the_time(changed: list[Sample]) -> None:
    middle = (SHAPE[2] - 1) / 2
    centres = [np.nonzero(after.target[0].numpy())[2].mean() for after in changed]
    assert 5 < sum(centre > middle for centre in centres) < 20


def test_slices_stay_parallel_and_in_their_order(sample: Sample) -> None:
    """And of the other axes none is flipped."""
    lower, corner = torch.zeros(SHAPE), torch.zeros(SHAPE)
    lower[:3] = 1
    corner[1:3, 5:9, 3:19] = 1
    for seed in range(12):
        moved = [Augmentation(seed)(Sample(sample.inputs, t[None], sample.spacing_mm)).target[0] for t in (lower, corner)]
        middle = moved[0][:, 10:20, 8:14]  # a turn in the plane leaves no corner here
        assert torch.equal(middle.amin((1, 2)), middle.amax((1, 2)))
        z, y, _ = np.nonzero(moved[1].numpy())
        assert z.mean() < SHAPE[0] // 2
        assert y.mean() < SHAPE[1] / 2


def test_noise_is_drawn_by_torch_and_only_its_width_by_numpy() -> None:
    """numpy draws two numbers, whether and how wide; a voxel's would have to be copied to a GPU."""
    still = torch.zeros(1, 40, 41, 42)
    noise = DeviceNoise(3, "cpu", prob=1.0, std=0.2).set_random_state(7)
    after = noise(still)
    random = np.random.RandomState(7)
    random.random_sample()
    sd = 0.2 * random.random_sample()
    assert noise.R.get_state()[2] == random.get_state()[2]
    assert after.std().item() == pytest.approx(sd, rel=0.01)
    assert abs(after.mean().item()) < sd / 60  # four standard errors
    assert not torch.equal(after, noise(still))
