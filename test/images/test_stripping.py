"""Brain masks beside ADC maps: what is applied, and what is refused with both files named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inference_helpers import BRAIN_VOXELS, GRID, LESION_VOXELS, lesion_mask, small_maps
from phantom import write_image

from model.errors import UserError
from model.images.case import read_case
from model.images.checks import warnings_of

ADC, ZADC = small_maps()
BRAIN = ADC > 0
BRAIN_ML = BRAIN_VOXELS * 3 / 1000 - 0.001  # 3 mm3 each, but for rounding of the header
HEAD = np.where(BRAIN, ADC, 400).astype(np.float32)  # ADC above 0 everywhere


@pytest.fixture
def folder(tmp_path) -> Path:
    """A head, its Z map (low outside the brain too), and the mask of its brain."""
    for name, voxels in (("adc", HEAD), ("zadc", ZADC), ("mask", BRAIN.astype(np.uint8))):
        write_image(voxels, GRID, tmp_path / f"{name}.nii.gz")
    return tmp_path


def read(folder: Path, zadc: str | None = "zadc.nii.gz"):
    mask = folder / "mask.nii.gz"
    return read_case(folder / "adc.nii.gz", zadc and folder / zadc, mask_path=mask, smallest_brain_ml=BRAIN_ML)


def test_mask_is_applied_to_both_maps_and_said(folder):
    case = read(folder)
    np.testing.assert_array_equal(case.adc.voxels, np.where(BRAIN, ADC, 0))
    np.testing.assert_array_equal(case.zadc.voxels, np.where(BRAIN, ZADC, 0))
    assert case.brain_mask.path == folder / "mask.nii.gz"
    outside_ml, inside_ml = (np.count_nonzero(part) * 3 / 1000 for part in (~BRAIN, BRAIN))
    assert case.remarks == (
        f"The brain mask mask.nii.gz was applied, as asked for: {outside_ml:.1f} ml with ADC above 0 lay outside of it,"
        f" {inside_ml:.1f} ml inside.",
        f"The Z map had values in {outside_ml:.1f} ml outside the brain mask; they were set to 0.",
    )


def test_missing_values_outside_the_mask_do_not_matter_nor_is_a_z_map_needed(folder):
    write_image(np.where(BRAIN, ADC, np.nan).astype(np.float32), GRID, folder / "adc.nii.gz")
    for zadc in ("zadc.nii.gz", None):
        np.testing.assert_array_equal(read(folder, zadc).adc.voxels, np.where(BRAIN, ADC, 0))


def test_what_a_mask_would_help_is_said_where_none_was_applied(folder):
    hint = "(--brain-mask applies a mask that lies beside the map)"
    bare = read_case(folder / "adc.nii.gz", folder / "zadc.nii.gz")
    assert any(hint in sentence for sentence in warnings_of(bare))
    assert not any(hint in sentence for sentence in warnings_of(read(folder)))


def test_mask_that_is_much_larger_than_the_map_is_told(folder):
    write_image(ADC, GRID, folder / "adc.nii.gz")
    write_image(np.ones(GRID.size, np.uint8), GRID, folder / "mask.nii.gz")
    share = np.count_nonzero(BRAIN) / BRAIN.size
    assert f"Only {share:.0%} of the brain mask mask.nii.gz has ADC above 0: is it of this map?" in read(folder).remarks


@pytest.mark.parametrize(("background", "slices", "told"), [(0, 3, True), (np.nan, 3, True), (0, 5, False), (1, 3, False)])
def test_mask_of_a_part_of_a_stripped_map_is_told(folder, background, slices, told):
    """Of the brain's 6 slices the mask has 3 or 5: half or a sixth is taken away. The volume measures 816 ml, it 342."""
    grid = replace(GRID, spacing_mm=tuple(6 * mm for mm in GRID.spacing_mm))
    write_image(np.where(BRAIN, ADC, np.float32(background)), grid, folder / "adc.nii.gz")
    write_image(ZADC, grid, folder / "zadc.nii.gz")
    part = BRAIN.copy()
    part[np.flatnonzero(BRAIN.any((1, 2)))[slices:]] = False
    write_image(part.astype(np.uint8), grid, folder / "mask.nii.gz")
    case = read_case(folder / "adc.nii.gz", folder / "zadc.nii.gz", mask_path=folder / "mask.nii.gz", smallest_brain_ml=0)
    said = "The brain mask mask.nii.gz takes away 50% of the voxels with ADC above 0 of a map that is 0 elsewhere"
    assert any(remark.startswith(said) for remark in case.remarks) is told


ODD = BRAIN.astype(np.float32)
WRONG = {
    "empty": (np.zeros(GRID.size, np.uint8), "it is empty, expected 1 in the brain"),
    "another value": (BRAIN * np.uint8(255), "expected the values 0 and 1, found 255"),
    "labels": (BRAIN * np.arange(GRID.size[2], dtype=np.uint8), "expected the values 0 and 1, found 3, 4, 5, ..."),
    "beside the brain": ((~BRAIN).astype(np.uint8), "no voxel with ADC above 0 lies in it"),
    "NaN": (np.where(BRAIN, ODD, np.nan), "expected the values 0 and 1, found nan"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mask_that_is_none_is_refused_with_both_files(folder, kind):
    voxels, words = WRONG[kind]
    write_image(ADC, GRID, folder / "adc.nii.gz")
    write_image(voxels, GRID, folder / "mask.nii.gz")
    with pytest.raises(UserError) as error:
        read(folder)
    assert str(error.value) == f"{folder / 'mask.nii.gz'} is no brain mask for {folder / 'adc.nii.gz'}: {words}"


def test_mask_that_leaves_less_than_asked_for_is_refused_with_both_files(folder):
    """By ADC above 0 within the mask, not by the mask's own volume: here three voxels too few."""
    write_image(np.where(lesion_mask(), 0, HEAD).astype(np.float32), GRID, folder / "adc.nii.gz")
    left_ml = (BRAIN_VOXELS - LESION_VOXELS) * 3 / 1000
    with pytest.raises(UserError) as error:
        read(folder)
    files = f"{folder / 'mask.nii.gz'} is no brain mask for {folder / 'adc.nii.gz'}"
    says = f"{files}: it leaves {left_ml:.4g} ml with ADC above 0, expected at least {BRAIN_ML:g} ml of brain"
    assert str(error.value).startswith(says)


@pytest.mark.parametrize("field", ["size", "spacing_mm", "origin_mm"])
def test_mask_on_another_grid_is_refused_with_both_files(folder, field):
    grid = GRID if field == "size" else replace(GRID, **{field: tuple(value + 0.1 for value in getattr(GRID, field))})
    voxels = BRAIN[1:] if field == "size" else BRAIN
    write_image(voxels.astype(np.uint8), replace(grid, size=voxels.shape), folder / "mask.nii.gz")
    with pytest.raises(UserError, match=rf"adc\.nii\.gz and .*mask\.nii\.gz are not on one grid: {field}"):
        read(folder)
