"""The features of candidates against scipy.ndimage, on uneven maps whose three axes and spacings all differ."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gaussian import SPACING_MM, blur, gaussian_mean
from scipy import ndimage
from scipy.special import logit

from model.lesions.brain_map import DEEPEST_MM
from model.lesions.brain_map import blur as model_blur
from model.lesions.candidates import FEATURES, LOWEST_PROBABILITY, CaseMaps, candidate_features

VOXEL_MM3 = 3.0
SHAPE = (7, 15, 12)
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def uneven_maps(seed: int = 0) -> Maps:
    """Probabilities in lumps, ADC and Z; the brain touches two sides of the volume and has a hole."""
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, bool)
    brain[1:, 4:, 3:-1] = True
    brain[3, 8, 6] = False
    adc = np.where(brain, rng.uniform(600, 1800, SHAPE), 0).astype(np.float32)
    zadc = (np.round(rng.normal(-1.5, 1.5, SHAPE) * 4) / 4).astype(np.float32)  # -2 exactly, too
    lumps = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1)
    probabilities = 1 / (1 + np.exp(-3 * lumps / lumps.std()))
    return np.where(brain, probabilities, 0).astype(np.float32), adc, zadc


def table(maps: Maps) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The candidates and their features, rounded to the 11 bits of float16."""
    candidates, features = candidate_features(maps[0], CaseMaps(*maps[1:], SPACING_MM))
    assert (features.dtype, features.shape) == (np.float16, (candidates.sum(), len(FEATURES)))
    return candidates, dict(zip(FEATURES, features.T.astype(float), strict=True))


def log_odds(p: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(p, float), 1e-4, 1 - 1e-4))


@pytest.mark.parametrize("shape", [(30, 49, 24), (1, 25, 73)])
@pytest.mark.parametrize("sd_mm", [0.4, 2, 12])
def test_blur_of_axes_that_take_several_bands(shape, sd_mm):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(model_blur(values, sd_mm, SPACING_MM), blur(values, sd_mm), rtol=0, atol=1e-12)


def features_on_paper(probabilities: np.ndarray, adc: np.ndarray, zadc: np.ndarray) -> dict[str, np.ndarray | float]:
    """Of every voxel, or one number of the case. The brain reaches from (1, 4, 3) to (6, 14, 10)."""
    brain, place = adc > 0, np.indices(SHAPE)
    found = {"logit": log_odds(probabilities), "z": zadc, "adc": adc / 1000}
    found |= {f"logit_smooth_{mm}mm": log_odds(gaussian_mean(probabilities, brain, mm)) for mm in (2, 6, 12)}
    found["z_smooth_2mm"] = gaussian_mean(zadc, brain, 2)
    found["z_contrast_6mm"] = zadc - gaussian_mean(zadc, brain, 6)
    found["rule_share_4mm"] = gaussian_mean(zadc < -2, brain, 4)
    found["depth_mm"] = ndimage.distance_transform_edt(brain, sampling=SPACING_MM)
    for level in (0.1, 0.3, 0.5):
        labels, count = ndimage.label(probabilities > level, np.ones((3, 3, 3)))
        assert count > 0
        values = np.tile([np.log10(VOXEL_MM3 / 2), log_odds(0), 0, log_odds(0)], (*SHAPE, 1))
        for number in range(1, count + 1):
            inside = labels == number
            p = probabilities[inside]
            values[inside] = np.log10(p.size * VOXEL_MM3), log_odds(p.max()), min(zadc[inside].min(), 0), log_odds(p.mean())
        names = (f"{name}_{level}" for name in ("log_mm3", "max_logit", "min_z", "mean_logit"))
        found |= dict(zip(names, np.moveaxis(values, -1, 0), strict=True))
    inside, z = probabilities[brain].astype(float), zadc[brain].astype(float)
    return found | {
        "log_expected_ml": np.log10(inside.sum() * 0.003 + 0.01),
        "log_above_half_ml": np.log10((inside > 0.5).sum() * 0.003 + 0.01),
        "log_rule_ml": np.log10((z < -2).sum() * 0.003 + 0.01),
        "slice_mm": 3,
        "brain_ml": brain.sum() * 0.003,
        "z_median": np.median(z),
        "z_sd": z.std(),
        "place_z": (place[0] - 1) / 5,
        "place_y": (place[1] - 4) / 10,
        "off_middle": np.abs((place[2] - 3) / 7 - 0.5),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_every_feature_on_paper(seed):
    """Candidates are the brain's voxels with some probability."""
    maps = uneven_maps(seed)
    (candidates, found), expected = table(maps), features_on_paper(*maps)
    np.testing.assert_array_equal(candidates, (maps[1] > 0) & (maps[0] > LOWEST_PROBABILITY))
    assert 100 < candidates.sum() < (maps[1] > 0).sum()
    assert tuple(expected) == FEATURES
    for name, values in expected.items():
        paper = np.broadcast_to(values, SHAPE)[candidates]
        np.testing.assert_allclose(found[name], paper, rtol=2**-10, atol=2e-5, err_msg=name)


def test_probability_outside_the_brain_makes_no_candidate():
    probabilities, adc, zadc = uneven_maps()
    candidates, _ = candidate_features(np.maximum(probabilities, 0.5), CaseMaps(adc, zadc, SPACING_MM))
    np.testing.assert_array_equal(candidates, adc > 0)


def test_components_that_touch_at_a_corner_are_one():
    """Two voxels on a diagonal, one apart: 6, 6 and 3 mm3."""
    probabilities, adc, zadc = np.zeros((4, 5, 6), np.float32), np.full((4, 5, 6), 900.0), np.zeros((4, 5, 6))
    probabilities[0, 0, 0], probabilities[1, 1, 1], probabilities[3, 4, 5] = 0.9, 0.2, 0.4
    zadc[1, 1, 1], zadc[3, 4, 5] = -3, 2
    _, found = table((probabilities, adc, zadc))
    np.testing.assert_allclose(found["log_mm3_0.1"], np.log10([6, 6, 3]), rtol=1e-3)
    np.testing.assert_allclose(found["max_logit_0.1"], log_odds([0.9, 0.9, 0.4]), rtol=1e-3)
    np.testing.assert_allclose(found["mean_logit_0.1"], log_odds([0.55, 0.55, 0.4]), rtol=1e-3)
    np.testing.assert_array_equal(found["min_z_0.1"], [-3, -3, 0])
    np.testing.assert_allclose(found["log_mm3_0.5"], np.log10([3, 1.5, 1.5]), rtol=1e-3)
    np.testing.assert_allclose(found["max_logit_0.5"], log_odds([0.9, 0, 0]), rtol=1e-3)


def test_brain_that_fills_the_volume_is_as_deep_as_depth_goes():
    probabilities, _, zadc = uneven_maps()
    candidates, found = table((probabilities + np.float32(0.01), np.full(SHAPE, 900, np.float32), zadc))
    assert candidates.any()
    np.testing.assert_array_equal(found["depth_mm"], DEEPEST_MM)
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 1)])
def test_brain_of_a_few_voxels(shape):
    adc = np.full(shape, 900, np.float32)
    candidates, features = candidate_features(
        np.full(shape, 0.5, np.float32), CaseMaps(adc, np.full(shape, -3.0), SPACING_MM)
    )
    assert candidates.all()
    assert np.isfinite(features).all()


def test_no_candidate_is_no_row():
    _, adc, zadc = uneven_maps()
    candidates, found = table((np.full(SHAPE, LOWEST_PROBABILITY, np.float32), adc, zadc))
    assert not candidates.any()
    assert all(len(values) == 0 for values in found.values())


def test_the_rule_as_a_probability():
    """One half at Z = -2, and two log odds more for each unit of Z below; nothing outside the brain."""
    _, adc, _ = uneven_maps()
    zadc = np.resize(np.float32([-2, -3, -1, -300, 300]), SHAPE)
    found = CaseMaps(adc, zadc, SPACING_MM).rule_probabilities()
    assert (found.dtype, found.shape) == (np.float32, SHAPE)
    odds = np.exp(np.float64(-2) * np.resize([0, -1, 1, -298, 302], SHAPE))
    np.testing.assert_allclose(found, np.where(adc > 0, odds / (1 + odds), 0), rtol=1e-5, atol=1e-30)


def test_features_are_the_same_bytes_on_other_processors(tmp_path):
    """numpy's matrix products by kernels for two processors, which sum in other orders."""
    np.save(tmp_path / "maps.npy", uneven_maps(0))
    code = (
        "import sys, hashlib, numpy as np; from model.lesions.candidates import CaseMaps, candidate_features\n"
        f"maps = np.load(sys.argv[1]); table = candidate_features(maps[0], CaseMaps(*maps[1:], {SPACING_MM}))[1]\n"
        "print(hashlib.sha256(table.tobytes()).hexdigest())"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "maps.npy")]
    sums = set()
    for kernel in ("Nehalem", "Haswell"):
        environment = os.environ | {"OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        sums.add(done.stdout)
    assert len(sums) == 1
