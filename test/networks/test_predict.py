"""Prediction with networks whose output is known for every voxel, on odd shapes that are larger than a window."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from inference_helpers import GRID, TINY, as_network, random_maps, rule, stump
from scipy import ndimage
from scipy.special import expit as sigmoid
from torch import nn

from model.errors import UserError
from model.lesions.decision import Calibration
from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.predict import Predictor, larger_window, patch_size, predict_crop
from model.networks.stored import Ensemble, trees_alone

WINDOWS = {
    "one window": InferenceConfig(),
    "windows": InferenceConfig(max_patch=(4, 8, 6)),
    "windows, little overlap": InferenceConfig(max_patch=(4, 4, 4), overlap=0.25),
    "one flip": InferenceConfig(max_patch=(4, 8, 6), flip_axes=(2,)),
    "all flips": InferenceConfig(max_patch=(4, 8, 6), flip_axes=(0, 1, 2)),
}


class Line(nn.Module):
    """logit = slope * x0 + offset, voxel by voxel."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x[:, :1] + self.offset


class Place(nn.Module):
    """logit = 0.5 z + 0.1 x - 1, from the voxel's place in the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z, x_ = torch.arange(x.shape[2])[:, None, None], torch.arange(x.shape[4])
        return (0.5 * z + 0.1 * x_ - 1.0).expand(x.shape[0], 1, *x.shape[2:]).clone()


class Witness(list):
    """A network that keeps the shapes of the batches that it is asked."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.append(batch.shape)
        return batch[:, :1]


def predictor(*networks: nn.Module, inference: InferenceConfig = WINDOWS["one window"]) -> Predictor:
    return Predictor(Ensemble([as_network(network) for network in networks], [TINY] * len(networks), inference, "test"))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((11, 13, 9), (12, 16, 10)), ((12, 16, 10), (12, 16, 10)), ((70, 129, 61), (64, 128, 62)), ((3, 9, 200), (4, 12, 128))],
)
def test_window_is_the_crop_rounded_up_to_what_the_network_divides(shape, expected):
    assert TINY.divisor == (2, 4, 2)
    assert patch_size(shape, TINY.divisor, (64, 128, 128)) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((60, 158, 132), (60, 160, 132)),  # one window, of less than twice the voxels of (64, 128, 128)
        ((64, 192, 192), (64, 192, 128)),  # two, instead of four of 128x128
        ((64, 256, 256), (64, 256, 128)),  # three, instead of nine
        ((128, 100, 140), (128, 100, 140)),
        ((256, 256, 256), (64, 256, 128)),
    ],
)
def test_a_crop_larger_than_max_patch_gets_the_windows_that_have_the_fewest_voxels(shape, expected):
    inference = InferenceConfig(max_patch=(64, 128, 128), overlap=0.5)
    window = larger_window(shape, TINY.divisor, inference)
    assert sorted(window[1:]) == sorted(expected[1:])
    assert window[0] == expected[0]


@pytest.mark.parametrize("times", [(1, 1, 1), (1, 2, 2), (3, 2, 4), (5, 6, 7)])
def test_the_work_of_a_voxel_does_not_grow_with_the_grid(times):
    """Half of a window shared along three axes would be up to eight times the grid."""
    shape, asked = tuple(np.multiply(times, (8, 16, 16)).tolist()), Witness()
    predict_crop(asked, np.zeros((2, *shape), np.float32), TINY, InferenceConfig(max_patch=(8, 16, 16), overlap=0.5))
    assert 1 <= sum(math.prod(batch[2:]) for batch in asked) / math.prod(shape) < 2


def test_flips_of_several_windows_are_asked_one_by_one():
    """The memory that they would take together is that of windows of twice the voxels."""
    asked = Witness()
    for shape in ((4, 8, 6), (4, 8, 9)):
        predict_crop(asked, np.zeros((2, *shape), np.float32), TINY, WINDOWS["one flip"])
    assert asked == [(2, 2, 4, 8, 6), (1, 2, 4, 8, 10), (1, 2, 4, 8, 10)]


@pytest.mark.parametrize("inference", WINDOWS.values(), ids=WINDOWS.keys())
def test_voxelwise_network_gives_the_same_in_windows_and_flips(inference):
    shape = (5, 21, 7)
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    crop = predict_crop(as_network(Line(3, -1)), inputs, TINY, inference)
    assert (crop.shape, crop.dtype) == (shape, np.float32)
    np.testing.assert_allclose(crop, sigmoid(3 * inputs[0] - 1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_flips_are_averaged_over_every_combination(axes):
    shape = (4, 8, 6)  # one window, so that the place in it is the place in the crop
    z, x = np.arange(4)[:, None, None], np.arange(6)
    expected = np.zeros(shape)
    for z_side in (z, 3 - z) if 0 in axes else (z,):
        for x_side in (x, 5 - x) if 2 in axes else (x,):
            expected += sigmoid(0.5 * z_side + 0.1 * x_side - 1)
    expected /= (2 if 0 in axes else 1) * (2 if 2 in axes else 1)
    crop = predict_crop(as_network(Place()), np.zeros((2, *shape), np.float32), TINY, InferenceConfig(flip_axes=axes))
    np.testing.assert_allclose(crop, expected, rtol=0, atol=1e-6)


def test_untrained_network_is_the_rule_on_the_z_map():
    adc, zadc = random_maps()
    assert (zadc == -2).sum() > 50  # the border case is there
    mask = predictor(LesionNet(TINY).eval(), inference=WINDOWS["all flips"]).mask(adc, zadc, GRID.spacing_mm)
    np.testing.assert_array_equal(mask, rule(adc, zadc))


@pytest.mark.parametrize(
    "brain", [(slice(2, 5), slice(4, 9), slice(3, 10)), (slice(0, 3), slice(9, 15), slice(0, 12)), (6, 14, 11)]
)
def test_probabilities_lie_where_the_brain_lies(brain):
    adc = np.zeros(GRID.size, np.float32)
    adc[brain] = 900
    zadc = np.random.default_rng(0).normal(size=GRID.size).astype(np.float32)
    probabilities = predictor(Line(3, 1)).segment(adc, zadc, GRID.spacing_mm).probabilities
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, np.where(adc > 0, sigmoid(3 * zadc + 1), 0), rtol=0, atol=2e-6)
    assert not probabilities[adc == 0].any()


def test_each_network_gets_its_own_preprocessing():
    adc, zadc = np.full((2, 4, 6), 1000, np.float32), np.full((2, 4, 6), 8, np.float32)
    models = [dataclasses.replace(TINY, zadc_clip=clip, margin=margin) for clip, margin in ((4.0, 0), (6.0, 3))]
    ensemble = Ensemble([as_network(Line(0.1, 0))] * 2, models, InferenceConfig(), "test")
    probabilities = Predictor(ensemble).segment(adc, zadc, GRID.spacing_mm).probabilities
    np.testing.assert_allclose(probabilities, (sigmoid(0.4) + sigmoid(0.6)) / 2, rtol=0, atol=1e-6)


def constants(answers: tuple[float, ...], groups: str = "", **changes: object) -> Predictor:
    """Networks that each answer one probability everywhere; groups: a letter for each, by default one for all."""
    networks = [as_network(Line(0, float(np.log(p / (1 - p))))) for p in answers]
    ensemble = Ensemble(networks, [TINY] * len(networks), InferenceConfig(), "test", tuple(groups or "a" * len(answers)))
    return Predictor(dataclasses.replace(ensemble, **changes))


def in_brain(values: np.ndarray) -> np.ndarray:
    return values[..., random_maps()[0] > 0]


def test_each_group_weighs_the_same_wherever_its_networks_stand():
    predictor = constants((0.2, 0.9, 0.4), "aba")
    found = predictor.segment(*random_maps(), GRID.spacing_mm)
    np.testing.assert_array_equal(predictor.network_probabilities(*random_maps()), found.probabilities)
    np.testing.assert_allclose(in_brain(found.probabilities), 0.6, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.mask, random_maps()[0] > 0)


@pytest.mark.parametrize(("number", "threshold", "is_lesion"), [(3, 0.5, False), (7, 0.5, False), (1, 0.4999, True)])
def test_lesion_is_above_the_threshold_and_one_half_is_not_rounded_to_more(number, threshold, is_lesion):
    predictor = constants((0.5,) * number, inference=InferenceConfig(threshold=threshold))
    found = predictor.segment(*random_maps(), GRID.spacing_mm)
    np.testing.assert_array_equal(found.mask, (random_maps()[0] > 0) & is_lesion)
    assert (in_brain(found.probabilities) == 0.5).all()


def test_groups_are_averaged_and_their_mean_is_calibrated_once():
    """0.3 and 0.6 are 0.45 together; twice the log odds squares the odds: 9/11 becomes 81/121."""
    decision = stump("z", 0, 0.5, 0.5, Calibration(networks=2.0))
    found = constants((0.2, 0.4, 0.6), "aab", decision=decision).segment(*random_maps(), GRID.spacing_mm)
    np.testing.assert_allclose(in_brain(found.probabilities), 81 / 202, rtol=0, atol=1e-6)
    assert not found.probabilities[random_maps()[0] <= 0].any()
    assert found.probabilities.dtype == np.float32


def test_a_decision_takes_the_place_of_the_threshold():
    """Half the brain is surely lesion and half surely not, although the networks say 0.4 everywhere."""
    predictor = constants((0.4,), decision=stump("z", -2.1, 0.99, 0.01), inference=InferenceConfig(threshold=0.99))
    np.testing.assert_array_equal(predictor.mask(*random_maps(), GRID.spacing_mm), rule(*random_maps()))


def test_without_networks_too_the_trees_see_how_deep_a_voxel_lies():
    """Up to the nearest voxel outside the brain, which the box around it holds."""
    brain = np.zeros(GRID.size, bool)
    brain[1:6, 2:13, 2:10] = True
    predictor = Predictor(trees_alone(stump("depth_mm", 2, 0.9, 0.01), "test"))
    mask = predictor.mask(np.where(brain, np.float32(900), 0), np.full(GRID.size, -3, np.float32), GRID.spacing_mm)
    np.testing.assert_array_equal(mask, brain & (ndimage.distance_transform_edt(brain, sampling=GRID.spacing_mm) <= 2))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 40)])
def test_volume_of_a_few_voxels_is_segmented_too(shape):
    adc, zadc = np.full(shape, 900, np.float32), np.full(shape, -3, np.float32)
    assert predictor(LesionNet(TINY).eval()).mask(adc, zadc, GRID.spacing_mm).all()


def test_network_without_a_finite_answer_is_no_empty_mask():
    with pytest.raises(UserError, match="finite"):
        predictor(Line(0, 1), Line(0, np.nan)).mask(*random_maps(), GRID.spacing_mm)


def test_prediction_is_deterministic_on_cuda_too_and_leaves_the_setting_as_it_was():
    seen = []

    class Looking(Line):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark))
            return super().forward(x)

    before = torch.backends.cudnn.deterministic
    as_network(Looking(1, 0))(np.zeros((1, 2, 4, 8, 6), np.float32))
    assert seen == [(True, False)]
    assert torch.backends.cudnn.deterministic == before
