"""FreeSurfer's volumes, which are read and not written; nibabel is the oracle of what a file means and where it lies."""

import re
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from format_files import ADC, saved
from inference_helpers import GRID, rule, small_maps

from model.errors import UserError
from model.images.formats.names import READ, WRITTEN
from model.images.formats.nifti import affine_ras
from model.images.volume import read_volume, require_same_grid, write_mask

TURNED = np.array([[-0.8, 0, 0, 31], [0, 0, -3, 12.5], [0, 1.25, 0, -70], [0, 0, 0, 1]])  # coronal: z runs to the back
SIDEWAYS = np.array([[0, 0, 3, -20], [0.8, 0, 0, -41.5], [0, -1.25, 0, 18], [0, 0, 0, 1]])  # sagittal, left-handed
PLACES = {"oblique": affine_ras(GRID), "coronal": TURNED, "sagittal": SIDEWAYS}
CORNERS = ((0, 0, 0), (11, 0, 0), (0, 14, 0), (0, 0, 6), (3, 1, 5))  # (x, y, z)
COMMAND = struct.pack(">5f", 5000, 1.57, 80, 0, 0) + struct.pack(">iq", 3, 12) + b"mri_convert\0"
FLAG, SPACING, AXES, CENTRE = 28, 30, 42, 78  # where they begin in the header


def image(voxels: np.ndarray = ADC, affine: np.ndarray = TURNED) -> bytes:
    """The file that nibabel makes of (z, y, x) voxels."""
    return nibabel.MGHImage(voxels.T, affine).to_bytes()


def patched(place: int, layout: str, *values: float, data: bytes = b"") -> bytes:
    changed = bytearray(data or image())
    struct.pack_into(f">{layout}", changed, place, *values)
    return bytes(changed)


@pytest.mark.parametrize("affine", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32"])
def test_voxels_and_their_places_are_those_of_nibabel(tmp_path, affine, kind):
    """The mask of such a map lies where the map does, to nibabel."""
    lowest = {"int16": -90, "uint16": 65000, "int32": -70000}.get(kind, 0)
    voxels = (np.arange(ADC.size) % 251 + lowest).astype(kind).reshape(GRID.size)
    path = saved(tmp_path / "adc.mgz", image(voxels, affine))
    volume, oracle = read_volume(path), nibabel.load(path)
    np.testing.assert_array_equal(volume.voxels, oracle.get_fdata().T)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert (volume.voxels.dtype, volume.oriented, volume.space) == (np.float32, True, "scanner")
    write_mask(volume.voxels > lowest + 100, volume.grid, tmp_path / "mask.nii.gz")
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(mask.get_fdata().T, voxels > lowest + 100)
    for index in CORNERS:
        found = volume.grid.to_mm(np.array(index[::-1]))
        for expected in (affine, oracle.affine, mask.affine):
            np.testing.assert_allclose(found, (expected @ [*index, 1])[:3] * (-1, -1, 1), atol=1e-4)
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 1.25, 0.8), atol=1e-6)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh", "A.MGZ"])
@pytest.mark.parametrize("compress", [False, True])
def test_compressed_or_not_whatever_the_name(tmp_path, name, compress):
    np.testing.assert_array_equal(read_volume(saved(tmp_path / name, image(), compress=compress)).voxels, ADC)


WITHOUT_FOOTER = image()[: 284 + ADC.nbytes]
WHOLE = {
    "no footer": WITHOUT_FOOTER,
    "a footer of four numbers": WITHOUT_FOOTER + bytes(16),
    "a footer with tags": WITHOUT_FOOTER + COMMAND,
    "said to hold labels": patched(0, "i", 257),
}
CUT = {
    "a slice more": WITHOUT_FOOTER + ADC[0].tobytes(),
    "megabytes more": WITHOUT_FOOTER + COMMAND + bytes(2 << 20),
    "another version": patched(0, "i", 2),
    "the other byte order": patched(0, "i", 1 << 24),
    "NIfTI": nibabel.Nifti1Image(ADC.T, TURNED).to_bytes(),
    "no voxel": patched(8, "i", 0),
    "a negative size": patched(12, "i", -7),
    "no frame": patched(16, "i", 0),
}
REFUSED = {
    "two frames": (image(np.stack([ADC, ADC])), "found 4D with 2 volumes, expected one"),
    "terabytes": (patched(4, "3i", 100000, 100000, 1000), "promises 100000 x 100000 x 1000 voxels"),
    "a tensor": (patched(20, "i", 6), "expected whole or real numbers, found MGH type 6"),
    "no place": (patched(FLAG, "h", 0), "no spacing, expected goodRASFlag 1, found 0; 1 mm is not assumed"),
    "NaN in the spacing": (patched(SPACING, "f", np.nan), "its spacing, axes or centre hold NaN"),
    "NaN in the axes": (patched(AXES + 8, "f", np.nan), "its spacing, axes or centre hold NaN"),
    "a centre beyond the earth": (patched(CENTRE, "f", np.inf), "its spacing, axes or centre hold NaN"),
    "spacing zero": (patched(SPACING, "f", 0), "expected a spacing of"),
    "spacing negative": (patched(SPACING + 4, "f", -1.25), "expected a spacing of"),
    "axes that stretch": (patched(AXES, "f", -1.5), "expected axes of length 1 at right angles"),
    "no axis": (patched(AXES, "3f", 0, 0, 0), "expected axes of length 1 at right angles"),
}


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_what_may_follow_the_voxels(tmp_path, data, name):
    np.testing.assert_array_equal(read_volume(saved(tmp_path / name, data)).voxels, ADC)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT.keys())
def test_what_is_cut_off_or_no_such_file_is_refused(tmp_path, data, name):
    with pytest.raises(UserError, match=r"a\.mg[zh]: expected a whole image file"):
        read_volume(saved(tmp_path / name, data))


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_rest_is_refused_with_the_reason(tmp_path, data, reason, name):
    path = saved(tmp_path / name, data)
    with pytest.raises(UserError, match=reason) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "cut off" not in str(refusal.value)


def test_no_more_is_decompressed_than_the_header_promises(tmp_path):
    path = saved(tmp_path / "a.mgz", image() + bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(UserError, match="bytes of voxels, found more"):
        read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_one_grid_with_the_same_map_as_nifti(tmp_path):
    saved(tmp_path / "adc.mgz", image(affine=PLACES["oblique"]))
    nibabel.save(nibabel.Nifti1Image(ADC.T, PLACES["oblique"]), tmp_path / "adc.nii")
    require_same_grid(read_volume(tmp_path / "adc.mgz"), read_volume(tmp_path / "adc.nii"))


def test_no_mask_is_written_in_it(tmp_path):
    assert {".mgz", ".mgh"} <= set(READ) - set(WRITTEN)
    with pytest.raises(UserError, match=r"mask\.mgz: cannot be written, expected a name that ends in one of \.mha, \.mhd"):
        write_mask(ADC > 0, GRID, tmp_path / "mask.mgz")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(main, tmp_path, rule_weights):
    """A folder of one case in FreeSurfer's format: its exit code with more words, and what was written of it."""
    case = tmp_path / "in" / "c1"
    case.mkdir(parents=True)
    for name, voxels in zip(("adc", "zmap"), small_maps(), strict=True):
        saved(case / f"{name}.mgz", image(voxels, affine_ras(GRID)))
    words = ["--cases", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--device", "cpu"]

    def go(*more: str) -> tuple[int, list[str]]:
        code = main([*words, "--weights", str(rule_weights), *more])
        return code, sorted(path.name for path in (tmp_path / "out" / "c1").glob("*"))

    return go


@pytest.mark.parametrize(("words", "end"), [([], ".nii.gz"), (["--format", "nrrd"], ".nrrd")])
def test_the_mask_of_a_map_that_is_only_read(run, tmp_path, words, end):
    """In NIfTI or the format that was asked for; a second run finds it done."""
    files = [f"lesions{end}", f"probabilities{end}", "results.json"]
    assert run("--probabilities", *words) == (0, files)
    mask = read_volume(tmp_path / "out" / "c1" / f"lesions{end}")
    np.testing.assert_array_equal(mask.voxels, rule(*small_maps()))
    require_same_grid(mask, read_volume(tmp_path / "in" / "c1" / "adc.mgz"))
    assert run("--probabilities", *words) == (0, files)
    assert "done before" in (tmp_path / "out" / "summary.csv").read_text()


def test_a_brain_mask(run, tmp_path, capfd):
    """Of 0 and 1; the stripped image that FreeSurfer calls brainmask.mgz is none and is said to be none."""
    inside = np.zeros(GRID.size, np.uint8)
    inside[3:] = 1
    words = ["--brain-mask", "--smallest-brain", "0"]
    path = saved(tmp_path / "in" / "c1" / "brainmask.mgz", image(inside * np.uint8(110), affine_ras(GRID)))
    assert run(*words) == (2, [])
    assert f"{path} is no brain mask for" in (tmp_path / "out" / "summary.csv").read_text()
    assert "expected the values 0 and 1, found 110" in capfd.readouterr().out
    saved(path, image(inside, affine_ras(GRID)))
    assert run(*words)[0] == 0
    mask = read_volume(tmp_path / "out" / "c1" / "lesions.nii.gz")
    np.testing.assert_array_equal(mask.voxels, rule(*small_maps()) & (inside == 1))


def test_the_page_on_running_names_every_format():
    page = (Path(__file__).resolve().parents[3] / "docs" / "run.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"^Formats: (.*)$", page, re.MULTILINE)
    assert re.findall(r"`(\.[a-z.]+)`", sentence) == list(READ)
