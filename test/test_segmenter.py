"""The Python interface: the page's example as it stands, arrays beside files, what is refused."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, lesion_mask, save_zmap, small_maps
from phantom import make_phantom, write_image

import model
from model import Segmentation, Segmenter, segmenter
from model.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
CASE = ROOT / "test" / "case"


@pytest.fixture
def rule(rule_weights: Path) -> Segmenter:
    return Segmenter(rule_weights, "cpu")


def test_the_readmes_example_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "test").symlink_to(ROOT / "test")
    phantom = make_phantom()
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=paths, capture_output=True, text=True, check=True)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(CASE / "expected.mha")))
    mask = np.asarray(nibabel.load(tmp_path / "lesions.nii.gz").dataobj).T
    assert np.count_nonzero(mask != expected) <= 10
    sides, volumes = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert {"left", "right"} <= set(sides)
    assert sum(map(float, volumes)) == pytest.approx(expected.sum() * phantom.grid.voxel_mm3 / 1000, rel=0.01)
    assert done.stderr == ""


def test_docstring_example() -> None:
    found = doctest.testmod(segmenter)
    assert (found.attempted >= 5, found.failed) == (True, 0)


def test_the_package_alone_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import model; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "SimpleITK", "model.segmenter"} & set(done.stdout.split())
    assert (model.Segmenter, model.Segmentation) == (Segmenter, Segmentation)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = model.nothing


def test_arrays_give_what_files_give(rule: Segmenter, tmp_path: Path) -> None:
    adc, zadc = small_maps()
    for name, voxels in (("adc", adc), ("zmap", zadc)):
        write_image(voxels, GRID, tmp_path / f"{name}.mha")
    of_files = rule.segment_files(str(tmp_path / "adc.mha"), tmp_path / "zmap.mha")
    of_arrays = rule.segment(adc, zadc, spacing_mm=np.array(GRID.spacing_mm), direction=np.array(GRID.direction))
    np.testing.assert_array_equal(of_files.mask, lesion_mask())
    np.testing.assert_array_equal(of_arrays.mask, lesion_mask())
    np.testing.assert_array_equal(of_arrays.probabilities, of_files.probabilities)
    np.testing.assert_array_equal(of_arrays.zmap, zadc)
    sides = [[(lesion["side"], lesion["volume_ml"]) for lesion in found.lesions] for found in (of_files, of_arrays)]
    assert sides[0] == sides[1]
    of_files.save(tmp_path / "lesions.nrrd")
    saved = sitk.ReadImage(str(tmp_path / "lesions.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(saved), lesion_mask())
    np.testing.assert_allclose(saved.GetOrigin(), GRID.origin_mm, atol=1e-6)
    np.testing.assert_allclose(saved.GetDirection(), GRID.direction, atol=1e-6)


def test_arrays_without_a_direction_have_no_sides(rule: Segmenter) -> None:
    found = rule.segment(*small_maps(), spacing_mm=GRID.spacing_mm)
    assert {lesion["side"] for lesion in found.lesions} == {None}
    assert any("left and right are unknown" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"adc": np.zeros(GRID.size)}, "adc: no brain"),
        ({"adc": np.ones((3, 4))}, "adc: expected a 3D image"),
        ({"zmap": np.zeros((2, 3, 4))}, "adc and zmap are not on one grid"),
        ({"spacing_mm": (1, 1)}, r"expected spacing_mm \(z, y, x\)"),
        ({"spacing_mm": (1, 1, 0)}, "adc: expected a spacing of"),
        ({"direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "adc: expected axes of length 1"),
        ({"adc": None}, "adc: expected a 3D image"),
        ({"adc": "adc.nii.gz"}, "adc: expected an array of numbers"),
        ({"adc": np.ma.masked_less(small_maps()[0], 1)}, "adc: expected a plain array, found a masked one"),
        ({"adc_unit": "cm2/s"}, "adc_unit 'cm2/s': expected one of 1e-6mm2/s, "),
        ({"brain_mask": small_maps()[0] > 0}, "brain_mask is no brain mask for adc: it leaves 1.584 ml"),
    ],
)
def test_what_is_no_case_is_refused_in_one_line(rule: Segmenter, change: dict, reason: str) -> None:
    adc, zadc = small_maps()
    words = {"adc": adc, "zmap": zadc, "spacing_mm": GRID.spacing_mm, "direction": GRID.direction} | change
    with pytest.raises(UserError, match=f"^{reason}"):
        rule.segment(**words)


def test_a_z_map_is_estimated_on_demand_alone(tmp_path: Path) -> None:
    adc, _ = small_maps()
    write_image(adc, GRID, tmp_path / "adc.mha")
    segmenter = Segmenter(save_zmap(tmp_path / "weights"))
    ways = (
        lambda **words: segmenter.segment(adc, spacing_mm=GRID.spacing_mm, **words),
        lambda **words: segmenter.segment_files(tmp_path / "adc.mha", **words),
    )
    for way in ways:
        with pytest.raises(UserError, match=r"^zmap: expected a Z map, found None; estimate_z=True"):
            way()
        assert way(estimate_z=True).results["z_map"] == "estimated"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"device": "gpu"}, "device 'gpu': expected one of auto, cpu, cuda"),
        ({"engine": "onnx"}, "engine 'onnx': expected one of auto, "),
        ({"networks": 2}, "networks 2: expected one of 0, 1, 5"),
        ({"networks": 0, "device": "cuda"}, "--networks 0: the trees alone run without an engine"),
        ({"networks": 0, "engine": "torch"}, "--networks 0: the trees alone run without an engine"),
    ],
)
def test_what_nothing_computes_with_is_refused(words: dict, reason: str) -> None:
    with pytest.raises(UserError, match=f"^{reason}"):
        Segmenter(**words)


def test_a_file_of_the_case_is_not_replaced(rule: Segmenter, tmp_path: Path) -> None:
    for name, voxels in zip(("adc", "zmap"), small_maps(), strict=True):
        write_image(voxels, GRID, tmp_path / f"{name}.mha")
    before = (tmp_path / "adc.mha").read_bytes()
    found = rule.segment_files(tmp_path / "adc.mha", tmp_path / "zmap.mha")
    with pytest.raises(UserError, match="is one of the case's own files"):
        found.save(tmp_path / "adc.mha")
    with pytest.raises(UserError, match="expected a name that ends in one of"):
        found.save(tmp_path / "lesions")
    assert (tmp_path / "adc.mha").read_bytes() == before


def test_an_atlas_that_is_not_there_is_told_before_any_case(tmp_path):
    with pytest.raises(UserError, match=f"--atlas: {tmp_path}/mean.nii.gz: no such file"):
        Segmenter(atlas=(tmp_path / "mean.nii.gz", tmp_path / "sd.nii.gz"))
