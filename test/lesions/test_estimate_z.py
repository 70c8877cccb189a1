"""The Z map that trees estimate: their features on paper, the map they make of them; and what is loaded for which case."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from gaussian import SPACING_MM, gaussian_mean
from inference_helpers import (
    ESTIMATED_Z,
    NETWORKS_ALONE,
    TINY,
    load,
    one_question,
    random_maps,
    random_network,
    save_ensemble,
    save_zmap,
    stump,
)
from scipy import ndimage

from model.errors import UserError
from model.lesions.brain_map import BrainMap
from model.lesions.estimate import ESTIMATE_FEATURES, ZEstimator, estimate_features
from model.networks.network import LesionNet
from model.networks.predictors import EstimatingPredictor, load_estimating_predictor
from model.networks.stored import read_sidecar, save_decision, write_sidecar
from model.networks.stored_estimator import load_estimator, save_estimator


def test_estimate_is_clipped_and_0_outside_the_brain():
    adc, trees = random_maps()[0], one_question(ESTIMATE_FEATURES.index("adc"), 1.0, -17.0, 0.25)
    found = ZEstimator(trees, ESTIMATE_FEATURES).estimate(adc, SPACING_MM)
    assert (found.dtype, found.shape) == (np.float32, adc.shape)
    np.testing.assert_array_equal(found, np.where(adc > 0, np.where(np.float16(adc / 1000) <= 1, -10, 0.25), 0))


def features_on_paper(adc: np.ndarray) -> dict[str, np.ndarray]:
    """Every feature of an ADC map in 1e-3 mm2/s, for its brain voxels; the middle along x is given by the brain's mean."""
    brain, width = adc > 0, adc.shape[2]
    smooth = {mm: gaussian_mean(adc, brain, mm) for mm in (1.5, 3, 6, 12, 24)}
    found = {"adc": adc[brain]} | {f"adc_smooth_{mm:g}mm": values[brain] for mm, values in smooth.items()}
    found |= {
        "contrast_0_6mm": (adc - smooth[6])[brain],
        "contrast_1.5_6mm": (smooth[1.5] - smooth[6])[brain],
        "contrast_3_12mm": (smooth[3] - smooth[12])[brain],
    }
    places = np.argwhere(brain)
    across = np.clip(np.rint(2 * places[:, 2].mean()).astype(int) - places[:, 2], 0, width - 1)
    opposite = (places[:, 0], places[:, 1], across)
    for mm in (1.5, 3, 6):
        found[f"mirrored_{mm:g}mm"] = np.where(brain[opposite], smooth[mm][opposite], smooth[6][brain])
        found[f"asymmetry_{mm:g}mm"] = smooth[mm][brain] - found[f"mirrored_{mm:g}mm"]
    found |= {f"fluid_share_{mm}mm": gaussian_mean(adc > 2, brain, mm)[brain] for mm in (2, 6, 12)}
    found["low_share_6mm"] = gaussian_mean(adc < 1.1, brain, 6)[brain]
    found |= {f"brain_adc_{share}": np.quantile(adc[brain], share / 100) for share in (10, 25, 50, 75)}
    found["depth_mm"] = ndimage.distance_transform_edt(np.pad(brain, 1), sampling=SPACING_MM)[np.pad(brain, 1)]
    z, y, x = ((places - places.mean(0)) / places.std(0)).T
    return found | {"slice_mm": SPACING_MM[0], "place_z": z, "place_y": y, "off_middle": np.abs(x)}


def test_every_feature_on_paper():
    """In an uneven brain, lower and further back on one side, some of whose mirror image is no brain."""
    adc = np.random.default_rng(0).uniform(400, 3000, (7, 15, 14)).astype(np.float32)
    inside = np.zeros(adc.shape, bool)
    inside[1:6, 2:13, 2:11] = inside[2:4, 3:7, 11:13] = True
    inside[3, 8, 6] = False
    adc *= inside
    table, expected = estimate_features(BrainMap(adc, SPACING_MM)), features_on_paper(adc.astype(float) / 1000)
    assert tuple(expected) == ESTIMATE_FEATURES
    for values, (name, paper) in zip(table.T, expected.items(), strict=True):
        np.testing.assert_allclose(values, np.broadcast_to(paper, values.shape), rtol=2**-10, atol=1e-5, err_msg=name)


# --- what is loaded ---


@pytest.fixture
def weights(tmp_path) -> Path:
    return save_zmap(save_ensemble(tmp_path / "weights", LesionNet(TINY)))


def estimating(folder: Path) -> EstimatingPredictor:
    return load_estimating_predictor(folder, lambda: load(folder))


def test_identity_is_of_all_that_is_asked(weights, tmp_path):
    alone = estimating(weights).ensemble
    assert (alone.networks, alone.id) == ((), load_estimator(weights / "zmap")[2])
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


def test_networks_on_estimates_get_the_decision_of_estimates(weights):
    """Beside the networks lies the one for given Z maps."""
    save_decision(weights, stump("z", -3, 0.8, 0.02), {})
    save_decision(weights / "zmap", stump("z", -2, 0.9, 0.01, NETWORKS_ALONE), {})
    decision = estimating(weights).ensemble.decision
    assert decision.calibration == NETWORKS_ALONE
    assert decision.trees.threshold[0, 0] == -2


def test_trees_of_another_version_are_refused(weights):
    trees = weights / "zmap" / "estimate.safetensors"
    write_sidecar(trees.with_suffix(".json"), read_sidecar(trees.with_suffix(".json")) | {"features": ["adc"]})
    with pytest.raises(UserError) as error:
        estimating(weights)
    said = "not usable with estimate.json (fitted to other features than this version computes)"
    assert str(error.value) == f"{trees}: {said}"


def test_trees_without_their_decision_or_with_anothers_or_altered_are_refused(weights):
    zmap = weights / "zmap"
    save_estimator(zmap, ZEstimator(one_question(0, 0.7, *ESTIMATED_Z), ESTIMATE_FEATURES), {})
    with pytest.raises(UserError, match=rf"^{zmap}/decision\.safetensors: fitted to other weights than the ones beside it"):
        estimating(weights)
    (zmap / "decision.json").unlink()
    with pytest.raises(UserError, match=rf"^{zmap}/decision\.json: weights cannot be read"):
        estimating(weights)
    trees = zmap / "estimate.safetensors"
    trees.write_bytes(trees.read_bytes()[:-1] + b"\1")
    with pytest.raises(UserError, match=f"^{trees}: truncated or altered"):
        estimating(weights)
