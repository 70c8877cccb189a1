"""The mark by which a mask of this program is recognised."""

import hashlib
from pathlib import Path

import numpy as np
import panimg
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, rule, small_maps
from panimg.image_builders.metaio_mhd_mha import image_builder_mhd

from model.images.mark import is_signed
from model.images.volume import read_volume, write_mask, write_probabilities


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "masks" / "overlay.mha"
    path.parent.mkdir()
    write_mask(rule(*small_maps()), GRID, path)
    return path


def test_mark_is_the_files_sum_with_zeros_in_its_place(mask):
    header, _, rest = mask.read_bytes().partition(b"Comment = ")
    line, _, end = rest.partition(b"\n")
    name, version, found = line.split(b" ")
    unsigned = header + b"Comment = " + name + b" " + version + b" " + b"0" * 64 + b"\n" + end
    assert name == b"hie-lesions"
    assert hashlib.sha256(unsigned).hexdigest() == found.decode()
    assert is_signed(mask)


def test_marked_mask_is_read_as_one_without(mask, tmp_path):
    """By this program, by ITK and by the platform's importer; the header is otherwise what ITK writes."""
    image = sitk.GetImageFromArray(rule(*small_maps()).astype(np.uint8))
    image.SetSpacing(GRID.spacing_mm[::-1])
    image.SetOrigin(GRID.origin_mm)
    image.SetDirection(GRID.direction)
    sitk.WriteImage(image, str(tmp_path / "plain.mha"), True)
    lines = mask.read_bytes().splitlines(keepends=True)
    assert b"".join(line for line in lines if not line.startswith(b"Comment")) == (tmp_path / "plain.mha").read_bytes()
    np.testing.assert_array_equal(read_volume(mask).voxels, rule(*small_maps()))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))), rule(*small_maps()))
    (tmp_path / "out").mkdir()
    found = panimg.convert(input_directory=mask.parent, output_directory=tmp_path / "out", builders=[image_builder_mhd])
    assert not found.file_errors
    assert len(found.new_images) == 1


@pytest.mark.parametrize("change", ["voxel", "header", "cut", "longer", "saved anew", "link", "gone", "plain text"])
def test_mask_that_was_changed_is_not_signed(mask, change):
    data = mask.read_bytes()
    if change == "voxel":
        mask.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif change == "header":
        mask.write_bytes(data.replace(b"NDims = 3", b"NDims = 4"))
    elif change in ("cut", "longer"):
        mask.write_bytes(data[:-1] if change == "cut" else data + b"\0")
    elif change == "saved anew":
        sitk.WriteImage(sitk.ReadImage(str(mask)), str(mask), True)
    elif change == "plain text":
        mask.write_text("Comment = hie-lesions")
    else:
        mask.rename(mask.with_name("other.mha"))
        if change == "link":
            mask.symlink_to("other.mha")
    assert not is_signed(mask)


def test_masks_alone_are_marked(tmp_path):
    for suffix in (".nrrd", ".nii.gz", ".nii", ".mhd"):
        write_mask(rule(*small_maps()), GRID, tmp_path / f"mask{suffix}")
        assert b"hie-lesions" not in (tmp_path / f"mask{suffix}").read_bytes()
    write_probabilities(np.zeros(GRID.size), GRID, tmp_path / "probabilities.mha")
    assert b"hie-lesions" not in (tmp_path / "probabilities.mha").read_bytes()
