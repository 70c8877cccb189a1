"""FreeSurfer's volumes, which are read and not written; nibabel is the oracle of what a file means and where it lies."""

import re
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from format_files import ADC, saved
from inference_helpers import GRID, arguments, rule, small_maps

from model.errors import UserError
from model.images.formats.names import READ
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


WITHOUT_FOOTER = image()[: 284 + ADC.nbytes]
WHOLE = {
    "no footer": WITHOUT_FOOTER,
    "a footer of four numbers": WITHOUT_FOOTER + bytes(16),
    "a footer with tags": WITHOUT_FOOTER + COMMAND,
    "said to hold labels": patched(0, "i", 257),
}
CUT_OFF = "expected a whole image file"
REFUSED = {
    "a slice more": (WITHOUT_FOOTER + ADC[0].tobytes(), CUT_OFF),
    "another version": (patched(0, "i", 2), CUT_OFF),
    "NIfTI": (nibabel.Nifti1Image(ADC.T, TURNED).to_bytes(), CUT_OFF),
    "no voxel": (patched(8, "i", 0), CUT_OFF),
    "no frame": (patched(16, "i", 0), CUT_OFF),
    "two frames": (image(np.stack([ADC, ADC])), "found 4D with 2 volumes, expected one"),
    "terabytes": (patched(4, "3i", 100000, 100000, 1000), "promises 100000 x 100000 x 1000 voxels"),
    "a tensor": (patched(20, "i", 6), "expected whole or real numbers, found MGH type 6"),
    "no place": (patched(FLAG, "h", 0), "no spacing, expected goodRASFlag 1, found 0; 1 mm is not assumed"),
    "NaN in the spacing": (patched(SPACING, "f", np.nan), "expected an origin in mm, not"),
    "an infinite centre": (patched(CENTRE, "f", np.inf), "expected an origin in mm, not"),
    "NaN in the axes": (patched(AXES + 8, "f", np.nan), "expected an origin in mm, not"),
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_what_may_follow_the_voxels(tmp_path, data, compress):
    """Compressed or not whatever the name."""
    np.testing.assert_array_equal(read_volume(saved(tmp_path / "A.MGZ", data, compress=compress)).voxels, ADC)


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_rest_is_refused_with_the_reason(tmp_path, data, reason):
    path = saved(tmp_path / "a.mgh", data)
    with pytest.raises(UserError, match=reason) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert ("cut off" in str(refusal.value)) == (reason == CUT_OFF)


def test_no_more_is_decompressed_than_the_header_promises(tmp_path):
    path = saved(tmp_path / "a.mgz", image() + bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(UserError, match="bytes of voxels, found more"):
        read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(("words", "end"), [([], ".nii.gz"), (["--format", "nrrd"], ".nrrd")])
def test_the_mask_of_a_map_that_is_only_read(main, tmp_path, rule_weights, words, end):
    """In NIfTI or the format that was asked for; a second run finds it done. A brain mask in the same format is applied."""
    case, found = (tmp_path / name / "c1" for name in ("in", "out"))
    case.mkdir(parents=True)
    inside = np.zeros(GRID.size, np.uint8)
    inside[3:] = 1
    for name, voxels in zip(("adc", "zmap", "brainmask"), (*small_maps(), inside), strict=True):
        saved(case / f"{name}.mgz", image(voxels, affine_ras(GRID)))
    words = [*arguments(case.parent, found.parent, rule_weights), "--cases", "--brain-mask", "--smallest-brain", "0", *words]
    for status in ("done", "done before"):
        assert main([*words, "--probabilities"]) == 0
        assert sorted(path.name for path in found.glob("*")) == [f"lesions{end}", f"probabilities{end}", "results.json"]
        assert f',"{status}",' in (tmp_path / "out" / "summary.csv").read_text()
    mask = read_volume(found / f"lesions{end}")
    np.testing.assert_array_equal(mask.voxels, rule(*small_maps()) & (inside == 1))
    require_same_grid(mask, read_volume(case / "adc.mgz"))


def test_the_page_on_running_names_every_format():
    page = (Path(__file__).resolve().parents[3] / "docs" / "run.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"^Formats: (.*)$", page, re.MULTILINE)
    assert re.findall(r"`(\.[a-z.]+)`", sentence) == list(READ)
