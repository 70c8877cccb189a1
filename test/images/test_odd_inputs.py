"""Odd but legal cases with the weights that come along and with the rule: a whole mask on the case's own grid, in time."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import ADC_FOLDER, GRID, MASK, RESULTS, ZADC_FOLDER, arguments, files_below, rule, write_metaimage
from phantom import make_phantom

from model.images.volume import Grid
from model.networks.stored import IMAGE_WEIGHTS

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


@pytest.mark.parametrize("weights", ["rule", "shipped"])
@pytest.mark.parametrize(("adc", "zadc", "grid"), CASES.values(), ids=CASES.keys())
def test_odd_case(main, case_tree, tmp_path, rule_weights, capfd, weights, adc, zadc, grid):
    folder = rule_weights if weights == "rule" else IMAGE_WEIGHTS
    assert main(arguments(case_tree(adc, zadc, grid), tmp_path / "out", folder)) == 0
    assert capfd.readouterr().err == ""
    assert files_below(tmp_path / "out") == [MASK, RESULTS]
    image = sitk.ReadImage(str(tmp_path / "out" / MASK))
    mask = sitk.GetArrayFromImage(image)
    assert (image.GetSpacing()[::-1], mask.shape) == (grid.spacing_mm, grid.size)
    assert not mask[adc <= 0].any()
    if weights == "rule":
        np.testing.assert_array_equal(mask, rule(adc, zadc))
    results = json.loads((tmp_path / "out" / RESULTS).read_text())
    assert results["lesion_volume_ml"] == pytest.approx(mask.sum() * grid.voxel_mm3 / 1000, abs=1e-4)


def test_largest_grid_of_the_data_set(main, case_tree, tmp_path, rule_weights):
    """256 x 256 x 64 voxels of 1 mm with a brain of about 500 ml, off the middle."""
    z, y, x = np.ogrid[-32:32, -128:128, -128:128]
    brain = ((z + 2) / 27) ** 2 + ((y - 11) / 78) ** 2 + ((x + 5) / 57) ** 2 < 1
    assert 450 < brain.sum() / 1000 < 550
    adc = np.where(brain, np.float32(1200), 0)
    zadc = np.where((np.abs(y) < 5) & (np.abs(x) < 7) & (np.abs(z) < 3), np.float32(-4), np.float32(1))
    grid = Grid(adc.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY_DIRECTION)
    assert main(arguments(case_tree(adc, zadc, grid), tmp_path / "out", rule_weights)) == 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / MASK))), rule(adc, zadc))


@pytest.mark.parametrize(("code", "element"), [(">i2", "MET_SHORT"), (">f8", "MET_DOUBLE"), ("<i8", "MET_LONG_LONG")])
def test_big_endian_and_wide_numbers(main, tmp_path, rule_weights, code, element):
    root, rng = tmp_path / "in", np.random.default_rng(0)
    adc = np.where(rng.random(GRID.size) < 0.8, rng.integers(500, 3000, GRID.size), 0)
    zadc = rng.integers(-6, 4, GRID.size)
    for voxels, where in ((adc, ADC_FOLDER), (zadc, ZADC_FOLDER)):
        (root / where).mkdir(parents=True)
        fields = {"DimSize": "12 15 7", "ElementType": element, "BinaryDataByteOrderMSB": str(code[0] == ">")}
        write_metaimage(root / where / "map.mha", voxels.astype(code).tobytes(), **fields)
    assert main(arguments(root, tmp_path / "out", rule_weights)) == 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / MASK))), rule(adc, zadc))


@pytest.mark.parametrize("spacing", [0.19, 100.1])
def test_spacing_beyond_what_is_read_is_refused(main, case_tree, tmp_path, rule_weights, capfd, spacing):
    case = case_tree(grid=dataclasses.replace(GRID, spacing_mm=(3.0, spacing, 0.8)))
    assert main(arguments(case, tmp_path / "out", rule_weights)) == 2
    assert "expected a spacing of 0.2 to 100.0 mm" in capfd.readouterr().err
    assert files_below(Path(tmp_path / "out")) == []
