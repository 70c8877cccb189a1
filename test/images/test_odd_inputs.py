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


def phantom(z: slice = slice(6, 24), spacing_mm: tuple[float, float, float] = (3.0, 1.6, 1.5)) -> tuple:
    """(ADC, Z map, grid) of some slices of the phantom."""
    adc, zadc = PHANTOM.adc[z, 10:70, 10:60], PHANTOM.zadc[z, 10:70, 10:60]
    return adc, zadc, Grid(adc.shape, spacing_mm, (0.0, 0.0, 0.0), IDENTITY_DIRECTION)


def thinned(spacing_mm: float) -> tuple:
    """Every third slice and every fifth row and column of the phantom, which measure about 8 mm."""
    adc, zadc = PHANTOM.adc[::3, ::5, ::5], PHANTOM.zadc[::3, ::5, ::5]
    return adc, zadc, Grid(adc.shape, (spacing_mm,) * 3, (0.0, 0.0, 0.0), IDENTITY_DIRECTION)


def in_the_brain(z: float) -> tuple:
    """The phantom with a low Z in all of the brain, of two values in turn."""
    adc, _, grid = phantom()
    return adc, np.where(adc > 0, z + np.arange(adc.shape[2]) % 2, 0).astype(np.float32), grid


def filled() -> tuple:
    """A brain that touches all six sides."""
    adc, zadc, grid = phantom()
    return np.where(adc > 0, adc, np.float32(900)), zadc, grid


def one_voxel(spacing_mm: tuple[float, float, float] = (3.0, 1.6, 1.5)) -> tuple:
    adc, zadc, grid = phantom(spacing_mm=spacing_mm)
    alone = np.zeros_like(adc)
    alone[3, 20, 20] = 1000
    return alone, zadc, grid


CASES = {
    "one slice": phantom(slice(12, 13)),
    "two slices": phantom(slice(12, 14)),
    "brain at every border": filled(),
    "one brain voxel": one_voxel(),
    "all of the brain lesion": in_the_brain(-10),
    "0.5 mm": phantom(spacing_mm=(0.5, 0.5, 0.5)),
    "8 mm": thinned(8.0),
    "8 mm slices of 0.5 mm pixels": phantom(spacing_mm=(8.0, 0.5, 0.5)),
    "0.5 mm slices of 8 mm pixels": phantom(spacing_mm=(0.5, 8.0, 8.0)),
    "finest": phantom(slice(10, 13), (0.2, 0.2, 0.2)),
    "coarsest": one_voxel((100.0, 100.0, 100.0)),  # two would be more than any brain
}


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    return Segmenter(IMAGE_WEIGHTS, "cpu")


@pytest.mark.parametrize(("adc", "zadc", "grid"), CASES.values(), ids=CASES.keys())
def test_odd_case(main, case_tree, tmp_path, rule_weights, shipped, capfd, adc, zadc, grid):
    """By the rule through files, and by the weights that come along."""
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
