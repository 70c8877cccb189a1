"""The mask comes back on the same physical points, however the voxels are stored; SimpleITK is the oracle."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import ADC_FOLDER, MASK, ZADC_FOLDER, arguments, files_below
from phantom import SOCKETS

ROOT = Path(__file__).resolve().parents[2]
LETTERS = ("RL", "AP", "IS")
ORIENTATIONS = sorted(
    "".join(letters) for axes in itertools.permutations(LETTERS) for letters in itertools.product(*axes)
)  # the 48 ways to store one volume


@pytest.fixture(scope="module")
def phantom() -> tuple[sitk.Image, sitk.Image]:
    """ADC and Z map of the built-in case: oblique by 27 degrees, three unequal sizes and spacings."""
    folder = ROOT / "test" / "case" / "input"
    paths = {slug: folder / where / name for slug, (_, where, name) in SOCKETS.items()}
    return tuple(sitk.ReadImage(str(path)) for path in reversed(paths.values()))


def stored(maps: tuple[sitk.Image, sitk.Image], root: Path) -> Path:
    """Write an input folder."""
    for image, where in zip(maps, (ADC_FOLDER, ZADC_FOLDER), strict=True):
        (root / where).mkdir(parents=True)
        sitk.WriteImage(image, str(root / where / "map.mha"))
    return root


def rule(adc: sitk.Image, zadc: sitk.Image) -> sitk.Image:
    zadc = sitk.Image(zadc)
    zadc.CopyInformation(adc)  # the phantom's headers differ in the last digits, as published ones do
    return (adc > 0) & (zadc < -2)


def require_same_points(mask_path: Path, expected: sitk.Image, adc: sitk.Image) -> None:
    """The mask has the grid of its ADC map, and on every physical point of `expected` its value."""
    mask = sitk.ReadImage(str(mask_path))
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
    outside = 255  # a point of `expected` that the mask does not cover would be a difference
    here = sitk.Resample(mask, expected, sitk.Transform(), sitk.sitkNearestNeighbor, outside)
    assert sitk.GetArrayViewFromImage(expected).sum() > 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(here), sitk.GetArrayFromImage(expected))


@pytest.mark.parametrize("orientation", ["RAI", "LIP", "PLI", "ASL", "IRA", "SPR"])
def test_phantom_in_every_axis_order(main, tmp_path, phantom, rule_weights, capfd, orientation):
    maps = tuple(sitk.DICOMOrient(image, orientation) for image in phantom)
    assert main(arguments(stored(maps, tmp_path / "in"), tmp_path / "out", rule_weights)) == 0
    assert capfd.readouterr().err == ""
    require_same_points(tmp_path / "out" / MASK, rule(*phantom), maps[0])


def test_maps_stored_in_different_orders_are_refused(main, tmp_path, phantom, rule_weights, capfd):
    """They lie on the same points, but not voxel on voxel."""
    adc, zadc = phantom
    case = stored((adc, sitk.DICOMOrient(zadc, "SPR")), tmp_path / "in")
    assert main(arguments(case, tmp_path / "out", rule_weights)) == 2
    said = capfd.readouterr().err
    assert "are not on one grid" in said
    assert said.endswith("; is the Z map another case's? Take both maps of one case, and resample neither\n")
    assert files_below(tmp_path / "out") == []
