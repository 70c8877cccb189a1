"""Odd but legal cases with the weights that come along and with the rule: a whole mask on the case's own grid."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import MASK, RESULTS, arguments, files_below, rule
from phantom import make_phantom

from model.images.volume import Grid
from model.networks.stored import IMAGE_WEIGHTS
from model.segmenter import Segmenter

IDENTITY_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
PHANTOM = make_phantom()


Maps = tuple[np.ndarray, np.ndarray]


def phantom(first: int = 6, last: int = 24) -> Maps:
    """ADC and Z map of some slices of the phantom."""
    return PHANTOM.adc[first:last, 10:70, 10:60], PHANTOM.zadc[first:last, 10:70, 10:60]


ADC, Z = phantom()
ALONE = np.zeros_like(ADC)
ALONE[3, 20, 20] = 1000
USUAL = (3.0, 1.6, 1.5)
CASES: dict[str, tuple[Maps, tuple[float, float, float]]] = {
    "one slice": (phantom(12, 13), USUAL),
    "two slices": (phantom(12, 14), USUAL),
    "brain at every border": ((np.where(ADC > 0, ADC, np.float32(900)), Z), USUAL),
    "one brain voxel": ((ALONE, Z), USUAL),
    "all of the brain lesion": ((ADC, np.where(ADC > 0, np.arange(50) % 2 - 10, 0).astype(np.float32)), USUAL),
    "0.5 mm": ((ADC, Z), (0.5, 0.5, 0.5)),
    "8 mm": ((PHANTOM.adc[::3, ::5, ::5], PHANTOM.zadc[::3, ::5, ::5]), (8.0, 8.0, 8.0)),
    "8 mm slices of 0.5 mm pixels": ((ADC, Z), (8.0, 0.5, 0.5)),
    "0.5 mm slices of 8 mm pixels": ((ADC, Z), (0.5, 8.0, 8.0)),
    "finest": (phantom(10, 13), (0.2, 0.2, 0.2)),
    "coarsest": ((ALONE, Z), (100.0, 100.0, 100.0)),  # two voxels would be more than any brain
}


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    return Segmenter(IMAGE_WEIGHTS, "cpu")


@pytest.mark.parametrize(("maps", "spacing_mm"), CASES.values(), ids=CASES.keys())
def test_odd_case(main, case_tree, tmp_path, rule_weights, shipped, capfd, maps, spacing_mm):
    """By the rule through files, and by the weights that come along."""
    (adc, zadc), grid = maps, Grid(maps[0].shape, spacing_mm, (0.0, 0.0, 0.0), IDENTITY_DIRECTION)
    assert main(arguments(case_tree(adc, zadc, grid), tmp_path / "out", rule_weights)) == 0
    assert capfd.readouterr().err == ""
    assert files_below(tmp_path / "out") == [MASK, RESULTS]
    image = sitk.ReadImage(str(tmp_path / "out" / MASK))
    mask = sitk.GetArrayFromImage(image)
    assert image.GetSpacing()[::-1] == grid.spacing_mm
    np.testing.assert_array_equal(mask, rule(adc, zadc))
    results = json.loads((tmp_path / "out" / RESULTS).read_text())
    assert results["lesion_volume_ml"] == pytest.approx(mask.sum() * grid.voxel_mm3 / 1000, abs=1e-4)
    found = shipped.segment(adc, zadc, spacing_mm=grid.spacing_mm, direction=np.eye(3))
    assert found.mask.shape == adc.shape
    assert not found.mask[adc <= 0].any()
