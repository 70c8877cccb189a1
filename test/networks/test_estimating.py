"""The Z map that networks estimate: their mean over networks and flips, on paper; and what is loaded for which case."""

import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from inference_helpers import (
    CPU,
    ESTIMATING,
    GRID,
    NETWORKS_ALONE,
    TINY,
    as_network,
    load,
    random_maps,
    random_network,
    save_ensemble,
    save_zmap,
    stump,
)
from torch import nn

from model.errors import UserError
from model.images.case import Case
from model.images.grid import Grid
from model.images.volume import Volume
from model.networks.as_learnt import estimate_as_learnt
from model.networks.config import InferenceConfig
from model.networks.estimate import EstimatingPredictor, Predictors, estimate_z, load_estimating_predictor
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble, load_ensemble, save_decision
from model.networks.torch_engine import TorchEngine, save_weights


class Line(nn.Module):
    """Z = slope * ADC + offset, in the channel's units; with `x`, plus x times the place in the window."""

    def __init__(self, slope: float, offset: float, x: float = 0.0) -> None:
        super().__init__()
        self.slope, self.offset, self.x = slope, offset, x

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.slope * maps[:, :1] + self.offset + self.x * torch.arange(maps.shape[4])


def ensemble(*modules: nn.Module, flip_axes: tuple[int, ...] = (), **model: float) -> Ensemble:
    networks = [as_network(module) for module in modules]
    models = [dataclasses.replace(ESTIMATING, **model)] * len(networks)
    return Ensemble(networks, models, InferenceConfig(flip_axes=flip_axes), "test")


def test_networks_are_averaged_clipped_and_0_outside_the_brain():
    adc = random_maps()[0]
    adc[2, 3, 4] = 9000
    found = estimate_z(ensemble(Line(1, 0), Line(3, -4)), adc)
    assert (found.dtype, found.shape) == (np.float32, adc.shape)
    expected = np.where(adc > 0, np.minimum(2 * adc / 1000 - 2, 10), 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert found.max() == 10


def test_flips_are_averaged():
    adc = np.full((4, 8, 6), 1000, np.float32)  # one window, so that the place in it is the place in the crop
    found = estimate_z(ensemble(Line(0, 0, x=1), flip_axes=(2,), margin=0), adc)
    np.testing.assert_allclose(found, 2.5, rtol=0, atol=1e-6)


def test_clip_is_the_networks_own():
    adc = np.full((4, 8, 6), 1000, np.float32)
    assert set(estimate_z(ensemble(Line(0, -7), zadc_clip=5.0), adc).ravel()) == {-5}


def test_estimate_that_is_not_finite_is_refused():
    with pytest.raises(UserError, match="weights test: the estimated Z map is not finite"):
        estimate_z(ensemble(Line(0, float("nan"))), np.full((4, 8, 6), 1000, np.float32))


def test_untrained_network_is_a_line():
    adc = random_maps()[0]
    found = estimate_z(ensemble(LesionNet(ESTIMATING).eval(), flip_axes=(2,)), adc)
    np.testing.assert_allclose(found, np.where(adc > 0, 2 * (adc / 1000 - 1.25), 0), rtol=0, atol=1e-5)


def test_same_estimate_however_the_case_is_stored():
    """Compared point by point of the scanner's space, with a network that is not symmetric."""
    straight = Grid(GRID.size, GRID.spacing_mm, GRID.origin_mm, (1, 0, 0, 0, 1, 0, 0, 0, 1))
    image = sitk.GetImageFromArray(random_maps()[0])
    image.SetSpacing(straight.spacing_mm[::-1])
    image.SetOrigin(straight.origin_mm)
    predictor = EstimatingPredictor(ensemble(random_network(1, ESTIMATING)), ensemble(random_network(1, ESTIMATING)))

    def estimated(order: str) -> np.ndarray:
        stored = sitk.DICOMOrient(image, order)
        grid = Grid(stored.GetSize()[::-1], stored.GetSpacing()[::-1], stored.GetOrigin(), stored.GetDirection())
        case = estimate_as_learnt(Case(Volume(sitk.GetArrayFromImage(stored), grid, Path("a.mha")), None), predictor)
        found = sitk.GetImageFromArray(case.zadc.voxels)
        found.CopyInformation(stored)
        return sitk.GetArrayFromImage(sitk.DICOMOrient(found, "LPS"))

    first = estimated("LPS")
    assert np.ptp(first) > 1
    for order in ("RAS", "PIR", "SLA", "ASR"):
        np.testing.assert_array_equal(estimated(order), first)


# --- what is loaded ---


@pytest.fixture
def weights(tmp_path) -> Path:
    return save_zmap(save_ensemble(tmp_path / "weights", LesionNet(TINY)))


def estimating(folder: Path) -> EstimatingPredictor:
    return load_estimating_predictor(folder, TorchEngine(CPU), lambda: load(folder))


def test_identity_is_of_all_that_is_asked(weights, tmp_path):
    alone = estimating(weights).ensemble
    assert (alone.networks, alone.id) == ((), load_ensemble(weights / "zmap", TorchEngine(CPU), estimates_z=True).id)
    other = save_ensemble(tmp_path / "other", random_network(1))
    shutil.copytree(weights / "zmap", other / "zmap")
    assert estimating(other).ensemble.id == alone.id  # its other network is not asked
    ids = [alone.id]
    for folder in (weights, other):
        save_decision(folder / "zmap", stump("z", -2, 0.9, 0.01, NETWORKS_ALONE), {})
        found = estimating(folder).ensemble
        assert len(found.networks) == 1
        ids.append(found.id)
    assert len(set(ids)) == 3


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        estimating(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_networks_that_estimate_without_their_decision(weights):
    for name in ("decision.json", "decision.safetensors"):
        (weights / "zmap" / name).unlink()
    assert refusal(weights).startswith(f"{weights / 'zmap'}: no decision.safetensors")


def test_decision_of_other_networks_that_estimate(weights):
    save_weights(
        weights / "zmap" / "fold1-zmap.safetensors", LesionNet(ESTIMATING), ESTIMATING, InferenceConfig(flip_axes=(2,)), {}
    )
    assert "fitted to other networks than the ones beside it" in refusal(weights)


@pytest.mark.parametrize("kind", ["altered", "no zmap", "finds lesions"])
def test_folder_that_cannot_be_used(weights, kind):
    network = weights / "zmap" / "fold0-zmap.safetensors"
    if kind == "altered":
        network.write_bytes(network.read_bytes()[:-1] + b"\0")
        assert "truncated or altered" in refusal(weights)
    elif kind == "no zmap":
        (weights / "zmap").rename(weights / "maps")
        assert refusal(weights).endswith("these weights have no networks that estimate a Z map")
    else:
        save_weights(network, LesionNet(TINY), TINY, InferenceConfig(), {})
        assert refusal(weights) == f"{network}: expected a network that estimates Z, found one that finds lesions"


def test_network_that_estimates_does_not_find_lesions(weights):
    save_weights(weights / "z.safetensors", LesionNet(ESTIMATING), ESTIMATING, InferenceConfig(), {})
    with pytest.raises(UserError, match=r"z\.safetensors: expected a network that finds lesions, found one that est"):
        load(weights)


def test_predictors_are_loaded_once_and_when_they_are_needed():
    calls = []
    given, other = (Predictor(ensemble(Line(1, 0))) for _ in range(2))
    made = EstimatingPredictor(other.ensemble, other.ensemble)
    predictors = Predictors(lambda: calls.append("given") or given, lambda: calls.append("estimating") or made)
    assert calls == []
    assert predictors.of(estimated=True) is made
    assert calls == ["estimating"]
    predictors.load()
    for estimated, _ in itertools.product((True, False), range(2)):
        predictors.of(estimated=estimated)
    assert calls == ["estimating", "given"]
    with pytest.raises(ValueError, match="no estimates were asked for"):
        Predictors(lambda: given).of(estimated=True)
