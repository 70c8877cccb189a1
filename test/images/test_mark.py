"""The marks by which images of this program are recognised."""

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import panimg
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, rule, small_maps
from panimg.image_builders.metaio_mhd_mha import image_builder_mhd
from phantom import write_image

import model
from model.errors import UserError
from model.images.formats.names import WRITTEN
from model.images.mark import require_not_ours
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


def test_marked_mask_is_read_as_one_without(mask, tmp_path):
    """By this program, by ITK and by the platform's importer; the header is otherwise what ITK writes."""
    write_image(rule(*small_maps()).astype(np.uint8), GRID, tmp_path / "plain.mha")
    lines = mask.read_bytes().splitlines(keepends=True)
    assert b"".join(line for line in lines if not line.startswith(b"Comment")) == (tmp_path / "plain.mha").read_bytes()
    np.testing.assert_array_equal(read_volume(mask).voxels, rule(*small_maps()))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))), rule(*small_maps()))
    (tmp_path / "out").mkdir()
    found = panimg.convert(input_directory=mask.parent, output_directory=tmp_path / "out", builders=[image_builder_mhd])
    assert not found.file_errors
    assert len(found.new_images) == 1


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("what", ["mask of lesions", "probability map", "estimated Z map"])
def test_every_image_says_what_it_is_and_is_no_input(tmp_path, suffix, what):
    """Whatever its name; ITK and nibabel find the words where their formats have a text."""
    given, other = tmp_path / f"given{suffix}", tmp_path / f"other{suffix}"
    write_image(small_maps()[1], GRID, other)
    if what == "mask of lesions":
        write_mask(rule(*small_maps()), GRID, given)
    else:
        write_probabilities(np.zeros(GRID.size), GRID, given, what)
    if suffix.startswith(".nii"):
        said = nibabel.load(given).header["descrip"].item().decode()
    else:
        (said,) = (line for line in given.read_bytes().split(b"\n") if line.startswith(b"Comment"))
        said = said.decode().partition("=")[2].strip()
    assert said.startswith(f"hie-lesions {model.__version__} ")
    assert said.endswith(what) or (what, suffix) == ("mask of lesions", ".mha")
    require_not_ours(other, other, other)
    for place, role in enumerate(("an ADC map", "a given Z map", "a brain mask")):
        paths = [other, other, other]
        paths[place] = given
        with pytest.raises(UserError, match=f"given{suffix}: expected {role}, found (a|an) {what} that hie-lesions wrote"):
            require_not_ours(*paths)


def test_the_json_of_a_bids_derivative_tells_an_older_versions_images(tmp_path):
    path = tmp_path / "x.nii.gz"
    write_image(small_maps()[1], GRID, path)
    require_not_ours(path, path, path)
    (tmp_path / "x.json").write_text('{"Pipeline": {"Name": "hie-lesions", "Version": "0.0.1"}}')
    with pytest.raises(UserError, match="expected an ADC map, found a result that hie-lesions wrote"):
        require_not_ours(path, None, None)
    (tmp_path / "x.json").write_text('{"Pipeline": {"Name": "another"}}')
    require_not_ours(path, path, path)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"\x1f\x8b" + bytes(40)])
def test_what_cannot_be_read_has_no_mark(tmp_path, data):
    (tmp_path / "x.nii.gz").write_bytes(data)
    require_not_ours(tmp_path / "x.nii.gz", tmp_path / "gone.nii", tmp_path)
