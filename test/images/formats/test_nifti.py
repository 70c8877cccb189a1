"""NIfTI as scanners and analysts write it; nibabel is the oracle of what a file means and where it lies."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, small_maps
from phantom import write_image

from model.errors import UserError
from model.images.volume import read_volume, require_same_grid, write_mask, write_probabilities
from model.segmenter import Segmenter

ADC = small_maps()[0]
SLICE_BYTES = 15 * 12 * 4
AFFINE = np.array([[-0.8, 0, 0, 31], [0, 0, -3, 12.5], [0, 1.25, 0, -70], [0, 0, 0, 1]])  # RAS, right angles
MOVED = AFFINE + np.array([[0, 0, 0, 5.0], *3 * [[0] * 4]])
MNI = np.array([[-0.9, 0.05, 0, 44], [0, 0.1, -3.3, 2.5], [0.02, 1.4, 0, -7], [0, 0, 0, 1]])  # stretched and sheared


def image(
    qform: tuple[np.ndarray | None, int] = (AFFINE, 1),
    sform: tuple[np.ndarray | None, int] = (AFFINE, 1),
    kind: type = nibabel.Nifti1Image,
    voxels: np.ndarray = ADC,
) -> nibabel.Nifti1Image:
    """The small ADC map with these transforms and their codes."""
    made = kind(voxels.T, None)
    made.header.set_zooms((0.8, 1.25, 3.0, 1.0)[: voxels.ndim])
    made.set_qform(*qform)
    made.set_sform(*sform)
    return made


def patched(place: int, layout: str, *values: float, **changes: tuple) -> bytes:
    """The file of `image(**changes)` with other numbers in its header."""
    data = bytearray(image(**changes).to_bytes())
    struct.pack_into("<" + layout, data, place, *values)
    return bytes(data)


def saved(path: Path, made: nibabel.Nifti1Image | bytes) -> Path:
    path.write_bytes(made if isinstance(made, bytes) else made.to_bytes())
    return path


def on_paper(volume_index: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """(x, y, z) in mm to the left, the back and the top of a voxel (x, y, z)."""
    return (affine @ [*volume_index, 1])[:3] * (-1, -1, 1)


# what has one meaning
READ: dict[str, Callable[[], bytes]] = {
    "NIfTI-2": lambda: image(kind=nibabel.Nifti2Image).to_bytes(),
    "gzip": lambda: gzip.compress(image().to_bytes()),
    "gzip in two parts": lambda: gzip.compress(image().to_bytes()[:999]) + gzip.compress(image().to_bytes()[999:]),
    "gzip with zeros behind it": lambda: gzip.compress(image().to_bytes()) + bytes(512),
    "4D with one volume": lambda: image(voxels=ADC[None]).to_bytes(),
    "7D with one volume": lambda: patched(40, "8h", 7, 12, 15, 7, 1, 1, 1, 1),
    "scl NaN": lambda: patched(112, "2f", np.nan, np.nan),
    "scl_slope 0": lambda: patched(112, "2f", 0, 5),
    "NaN in a quaternion without code": lambda: patched(256, "3f", *3 * [np.nan], qform=(None, 0)),
    "NaN in qoffset without code": lambda: patched(268, "3f", *3 * [np.nan], qform=(None, 0)),
    "NaN in the sform without code": lambda: patched(280, "12f", *12 * [np.nan], sform=(None, 0)),
    "NaN in pixdim, which the sform does without": lambda: patched(76, "8f", *8 * [np.nan], qform=(None, 0)),
    "NaN in pixdim of time": lambda: patched(92, "4f", *4 * [np.nan]),
    "pixdim negative": lambda: patched(80, "3f", -0.8, -1.25, -3),
    "pixdim[0] 0": lambda: patched(76, "f", 0, sform=(None, 0), qform=(np.abs(AFFINE), 1)),
    "qform alone": lambda: image(sform=(None, 0)).to_bytes(),
    "sform alone": lambda: image(qform=(None, 0)).to_bytes(),
    "big-endian": lambda: nibabel.Nifti1Image(ADC.T, None, image().header.as_byteswapped(">")).to_bytes(),
    **{
        f"codes {codes} {kind.__name__}": lambda codes=codes, kind=kind, q=q, s=s: image(
            (q, codes[0]), (s, codes[1]), kind
        ).to_bytes()
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image)
        for codes, q, s in (
            *((codes, AFFINE, AFFINE) for codes in ((0, 0), (1, 0), (0, 1), (2, 2), (0, 2), (0, 4))),
            *(((1, 4), AFFINE, MNI), ((3, 1), MOVED, AFFINE)),  # which differ: one counts
        )
    },
}


@pytest.mark.parametrize("made", READ.values(), ids=READ.keys())
def test_what_has_one_meaning_is_read_and_the_mask_lies_on_it(tmp_path, made):
    """Whatever the name says of compression. The mask's transforms are the map's to nibabel, bit for bit, codes included."""
    path = saved(tmp_path / "adc.nii.gz", made())
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, ADC)
    assert not volume.remarks
    reference = nibabel.Nifti2Image if b"n+2" in path.read_bytes()[:8] else nibabel.Nifti1Image
    data = gzip.decompress(path.read_bytes()) if path.read_bytes()[:2] == b"\x1f\x8b" else path.read_bytes()
    adc = reference.from_bytes(data)
    affine = AFFINE if (adc.header["qform_code"], adc.header["sform_code"]) == (1, 4) else adc.affine  # the scanner's counts
    for index in ((0, 0, 0), (11, 14, 6), (3, 1, 5)):
        np.testing.assert_allclose(volume.grid.to_mm(np.array(index[::-1])), on_paper(index, affine), atol=1e-4)
    write_mask(volume.voxels > 0, volume.grid, tmp_path / "mask.nii")
    write_probabilities(volume.voxels / 2, volume.grid, tmp_path / "p.nii.gz")
    for name, voxels in (("mask.nii", (ADC > 0).astype(np.uint8)), ("p.nii.gz", ADC / 2)):
        written = nibabel.load(tmp_path / name)
        np.testing.assert_array_equal(written.affine, adc.affine)
        for get in ("get_qform", "get_sform"):
            (found, code), (expected, wanted) = (getattr(of, get)(coded=True) for of in (written, adc))
            assert code == wanted
            np.testing.assert_array_equal(found, expected)
        assert written.header.sizeof_hdr == reference.header_class.sizeof_hdr
        assert np.isfinite(written.header["pixdim"]).all()
        assert written.get_data_dtype() == voxels.dtype
        np.testing.assert_array_equal(np.asarray(written.dataobj), voxels.T)
        require_same_grid(volume, read_volume(tmp_path / name))


def test_without_any_transform_x_runs_to_the_left_and_y_to_the_front_as_nibabel_has_it(tmp_path):
    """On paper: spacing 0.8, 1.25, 3 and 12 x 15 x 7 voxels around 0: the first is 4.4 mm right, 8.75 back, 9 down."""
    volume = read_volume(saved(tmp_path / "adc.nii", image((None, 0), (None, 0))))
    assert not volume.oriented
    np.testing.assert_allclose(volume.grid.origin_mm, (-4.4, 8.75, -9), atol=1e-6)
    np.testing.assert_allclose(volume.grid.direction, np.diag([1, -1, 1]).ravel(), atol=1e-12)
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 1.25, 0.8), atol=1e-6)


@pytest.mark.parametrize(("code", "mm"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_lengths_in_metres_and_micrometres(tmp_path, code, mm):
    affine = np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ AFFINE
    made = nibabel.Nifti1Image(ADC.T, affine)
    made.header["xyzt_units"] = code
    volume = read_volume(saved(tmp_path / "adc.nii", made))
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 1.25, 0.8), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.origin_mm, (-31, -12.5, -70), rtol=1e-6)
    write_mask(volume.voxels > 0, volume.grid, tmp_path / "mask.nii")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "mask.nii").affine, nibabel.load(tmp_path / "adc.nii").affine)


@pytest.mark.parametrize("codes", [(1, 4), (2, 3), (1, 5), (4, 1)])
def test_the_scanners_transform_counts_before_a_templates(tmp_path, codes):
    qform, sform = (MOVED, AFFINE) if codes[1] == 1 else (AFFINE, MNI)  # a qform cannot be stretched
    volume = read_volume(saved(tmp_path / "adc.nii", image((qform, codes[0]), (sform, codes[1]))))
    for index in ((0, 0, 0), (11, 14, 6)):
        np.testing.assert_allclose(volume.grid.to_mm(np.array(index[::-1])), on_paper(index, AFFINE), atol=1e-4)


REFUSED = {
    "both the scanner's": (
        lambda: image((AFFINE, 1), (MOVED, 1)).to_bytes(),
        r"code 1\) and its sform \(code 1.*5 mm apart",
    ),
    "scanner and aligned": (lambda: image((AFFINE, 1), (MOVED, 2)).to_bytes(), "5 mm apart"),
    "both a template's": (lambda: image((AFFINE, 3), (MOVED, 4)).to_bytes(), "5 mm apart"),
    "NaN in a quaternion that counts": (lambda: patched(256, "f", np.nan), "qform"),
    "NaN in the sform that counts": (lambda: patched(280, "f", np.nan), "its sform has voxels of"),
    "a sform of voxels twice as large": (
        lambda: image((None, 0), (AFFINE @ np.diag([2, 2, 2, 1]), 1)).to_bytes(),
        "its sform has voxels of",
    ),
    "NaN in pixdim without any transform": (
        lambda: patched(80, "f", np.nan, qform=(None, 0), sform=(None, 0)),
        "expected an origin in mm, not",
    ),
    "two volumes": (lambda: image(voxels=np.stack([ADC, ADC])).to_bytes(), "found 4D with 2 volumes, expected one"),
    "slope without intercept": (lambda: patched(112, "2f", 2, np.nan), "scl_slope and scl_inter"),
    "a pair's header": (lambda: patched(344, "4s", b"ni1\0"), r"another file \(.img\)"),
    "complex": (lambda: image(voxels=ADC.astype(np.complex64)).to_bytes(), "found datatype 32"),
}


@pytest.mark.parametrize(("made", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_rest_is_refused_with_the_reason(tmp_path, made, reason):
    path = saved(tmp_path / "adc.nii", made())
    with pytest.raises(UserError, match=reason) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "cut off" not in str(refusal.value)


@pytest.mark.parametrize(("more", "packed"), [(1, True), (SLICE_BYTES - 1, False)])
def test_less_than_a_slice_behind_the_voxels_is_read_with_a_remark(tmp_path, more, packed):
    data = image().to_bytes() + more * b"\7"
    volume = read_volume(saved(tmp_path / "adc.nii.gz", gzip.compress(data) if packed else data))
    np.testing.assert_array_equal(volume.voxels, ADC)
    assert volume.remarks == (f"adc.nii.gz has {more} bytes behind its voxels, which were not read.",)


def test_scaled_voxels(tmp_path):
    stored = np.arange(1260, dtype=np.int16).reshape(GRID.size)
    volume = read_volume(saved(tmp_path / "adc.nii", patched(112, "2f", 2, 10, voxels=stored)))
    np.testing.assert_array_equal(volume.voxels, 2 * stored + 10)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "f4", "f8"])
def test_every_number_type(tmp_path, kind):
    order = "<" if kind.startswith("u") else ">"
    voxels = (np.arange(1260) % 100).astype(kind).reshape(GRID.size)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(kind))
    path = saved(tmp_path / "a.nii", nibabel.Nifti1Image(voxels.T, AFFINE, header))
    assert path.read_bytes()[:4] == struct.pack(order + "i", 348)
    np.testing.assert_array_equal(read_volume(path).voxels, voxels)


SPACES = {
    **{(code, 0): "scanner" for code in (1, 2)},
    **{(0, code): "scanner" for code in (1, 2)},
    (0, 0): "unknown",
    (1, 2): "scanner",
    (1, 4): "scanner",  # the transform that counts is the scanner's
    (5, 2): "scanner",
    **{codes: "template: Talairach" for codes in ((0, 3), (3, 0), (3, 3), (4, 3))},
    **{codes: "template: MNI 152" for codes in ((0, 4), (4, 0), (4, 4))},
    **{codes: "template: unnamed" for codes in ((0, 5), (5, 0))},
}


@pytest.mark.parametrize("codes", SPACES)
def test_a_transform_says_whose_space_it_is(tmp_path, codes):
    """ITK takes the codes to other formats."""
    path = saved(tmp_path / "adc.nii", image((AFFINE, codes[0]), (AFFINE, codes[1])))
    assert read_volume(path).space == SPACES[codes]
    for other in (tmp_path / "adc.mha", tmp_path / "adc.nrrd"):
        sitk.WriteImage(sitk.ReadImage(str(path)), str(other))
        assert read_volume(other).space == (SPACES[codes] if any(codes) else "scanner")  # no code, but a direction


IN_NAMES = {
    "sub-01_ADC.nii": "scanner",
    "sub-01_space-T1w_ADC.nii": "individual: T1w",
    "sub-01_space-ACPC_desc-x_ADC.nii": "individual: ACPC",
    "sub-01_space-MNIInfant_cohort-1_ADC.nii": "template: MNIInfant",
    "SUB-01_SPACE-dHCP.NII": "template: dHCP",
    "sub-01_space-OASIS30Atropos_ADC.nii": "template: OASIS30Atropos",
    "sub-01_space-UNCInfant1V21_ADC.nii": "template: UNCInfant1V21",
    "x_space-b1000_ADC.nii": "not known: b1000",
    "x_space-trace_ADC.nii": "individual: trace",
    "aerospace-3_ADC.nii": "scanner",
}


@pytest.mark.parametrize("name", IN_NAMES)
def test_a_name_says_whose_space_it_is(tmp_path, name):
    """As BIDS has it; a header that says template counts before a name that says the patient's."""
    assert read_volume(saved(tmp_path / name, image())).space == IN_NAMES[name]
    by_header = read_volume(saved(tmp_path / name, image((AFFINE, 4), (AFFINE, 4)))).space
    assert by_header == (IN_NAMES[name] if "template" in IN_NAMES[name] else "template: MNI 152")
    write_image(ADC, GRID, tmp_path / f"{name}.mha")
    assert read_volume(tmp_path / f"{name}.mha").space == IN_NAMES[name]


@pytest.mark.parametrize(("codes", "says"), [((0, 0), "left and right are unknown"), ((0, 3), "a template's space (Tal")])
def test_what_is_said_of_such_a_case(rule_weights, tmp_path, codes, says):
    for name, voxels in zip(("adc.nii", "zmap.nii"), small_maps(), strict=True):
        saved(tmp_path / name, image((AFFINE, codes[0]), (AFFINE, codes[1]), voxels=voxels))
    found = Segmenter(rule_weights, "cpu").segment_files(tmp_path / "adc.nii", tmp_path / "zmap.nii")
    assert found.results["space"] == SPACES[codes]
    assert any(says in sentence for sentence in found.warnings)
