"""Every format: read whole, refused when cut, damaged or longer than promised, and a mask that comes back on its grid."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from format_files import ADC, file_of, voxels_of
from inference_helpers import GRID
from phantom import write_image

from model.errors import UserError
from model.images.formats.names import READ, WRITTEN, digest, stem_of, suffix_of
from model.images.volume import read_volume, write_mask

FORMATS = pytest.mark.parametrize("suffix", WRITTEN)


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("compress", [False, True])
def test_voxels_grid_and_digest_come_back(tmp_path, suffix, compress):
    path = file_of(tmp_path / f"adc{suffix}", compress=compress)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, ADC)
    assert volume.grid.size == GRID.size
    for name in ("spacing_mm", "origin_mm", "direction"):
        np.testing.assert_allclose(getattr(volume.grid, name), getattr(GRID, name), atol=1e-5)
    assert volume.oriented
    assert volume.sha256 == digest(path)


@pytest.mark.parametrize("suffix", READ)
def test_nan_and_infinity_are_kept_or_refused(tmp_path, suffix):
    voxels = ADC.copy()
    voxels[3, 4, 5:8] = np.nan, np.inf, -np.inf
    path = file_of(tmp_path / f"adc{suffix}", voxels)
    np.testing.assert_array_equal(read_volume(path, keep_nan=True).voxels, voxels)
    with pytest.raises(UserError, match="3 of 1260 voxels are NaN or infinite"):
        read_volume(path)


UNEVEN = np.random.default_rng(0).random(GRID.size, np.float32)  # which compression does not make short
DAMAGE = {  # of the file with the voxels
    **{f"{share} of it": lambda data, share=share: data[: int(share * len(data))] for share in (0, 0.01, 0.3, 0.9)},
    **{f"{count} bytes missing": lambda data, count=count: data[:-count] for count in (1, 4, 8)},
    "more": lambda data: data + bytes(range(256)) * 3,  # a slice; less is read, see test_nifti.py
}
IN_A_STREAM = {  # among the voxels, at their end and in the checksum
    f"another byte at {place}": lambda data, place=place: data[:place] + bytes([data[place] ^ 0x10]) + data[place:][1:]
    for place in (3000, -40, -6, -1)
}


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("compress", [False, True])
def test_damaged_files_are_refused(tmp_path, suffix, compress):
    """ITK reads some of them without an error; the voxels after the damage are zeros."""
    image = file_of(tmp_path / f"adc{suffix}", UNEVEN, compress=compress)
    path = voxels_of(image)
    whole = path.read_bytes()
    for kind, damage in (DAMAGE | (IN_A_STREAM if compress else {})).items():
        path.write_bytes(damage(whole))
        with pytest.raises(UserError, match=r"adc\..*expected a whole image file"):
            pytest.fail(f"{kind} was read: {read_volume(image)}")


LYING_NIFTI = [  # a place in the header and what stands there
    (0, b"\x1c\x02\0\0"),  # another header length
    (40, b"\x09\0"),  # nine dimensions
    (42, b"\0\0"),  # no voxel
    (72, b"\x07\0"),  # bits per voxel
    (324, b"\0\0\x80\x7f"),  # infinity in the sform
    (108, b"\0\0\x80\x7f"),  # voxels begin at infinity
]
LYING_NRRD = [  # what stands in the header, and what in its place
    *((b"NRRD000", b"NRRX000"), (b"encoding: raw", b"encoding: hex"), (b"type: float", b"type: quaternion")),
    *((b"sizes: 12 15 7", b"sizes: 12 15 8"), (b"sizes: 12 15 7", b"sizes: 12 15 0"), (b"dimension: 3", b"dimension: 17")),
    *((b"endian: little", line) for line in (b"data file: other.raw", b"byte skip: -1\nendian: little", b"content: x")),
    *((b"endian: little", line + b"\nendian: little") for line in (b"endian: little", b"no field at all")),
    (b"endian: little", b'space units: "cm" "cm" "cm"\nendian: little'),
    *((b"left-posterior-superior", b"left-posterior-inferior"), (b"kinds: domain", b"kinds: vector")),
    *((b"space origin: (0,", b"space origin: (" + number + b",") for number in (b"nan", 600 * b"9")),
    *((b"space directions: (1,0,0)", b"space directions: " + vector) for vector in (b"(nan,0,0)", b"none")),
]


@pytest.mark.parametrize(("place", "value"), [*LYING_NIFTI, *LYING_NRRD])
def test_header_that_lies_is_refused(tmp_path, place, value):
    path = tmp_path / ("a.nrrd" if isinstance(place, bytes) else "a.nii")
    sitk.WriteImage(sitk.GetImageFromArray(ADC), str(path), useCompression=False)
    data = path.read_bytes()
    at = data.index(place) if isinstance(place, bytes) else place
    path.write_bytes(data[:at] + value + data[at + len(place if isinstance(place, bytes) else value) :])
    with pytest.raises(UserError, match=r"a\.n\w+: "):
        read_volume(path)


@pytest.mark.parametrize("name", ["../adc.zraw", "/etc/passwd", "LIST", "", "..", "gone.zraw", "adc.mhd"])
def test_mhd_that_points_elsewhere_is_refused(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(ADC, GRID, folder / "adc.mhd")
    (folder / "adc.zraw").rename(tmp_path / "adc.zraw")
    header = (folder / "adc.mhd").read_text().replace("ElementDataFile = adc.zraw", f"ElementDataFile = {name}")
    (folder / "adc.mhd").write_text(header)
    with pytest.raises(UserError, match=r"adc\.mhd: "):
        read_volume(folder / "adc.mhd")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mgz"])
def test_far_too_much_compressed_data_is_refused_before_it_is_read(tmp_path, suffix):
    image = file_of(tmp_path / f"adc{suffix}")
    with image.open("ab") as file:
        file.truncate(1 << 24)  # sparse
    with pytest.raises(UserError, match="bytes of compressed data for"):
        read_volume(image)


def test_unknown_suffix_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ADC), str(tmp_path / "adc.vtk"))
    with pytest.raises(UserError, match=r"adc\.vtk.*expected a name that ends in one of \.mha"):
        read_volume(tmp_path / "adc.vtk")


SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "LAS": (1, -1, 1),
    "scanner-xyz": (1, 1, 1),
}


@pytest.mark.parametrize("space", SPACES)
def test_a_nrrd_lies_where_itk_sees_it_whatever_its_space(tmp_path, space):
    """To the last bit: what is written for it has these numbers."""
    write_image(ADC, GRID, tmp_path / "a.nrrd")
    data = (tmp_path / "a.nrrd").read_bytes().replace(b"left-posterior-superior", space.encode())
    (tmp_path / "a.nrrd").write_bytes(data)
    grid, image = read_volume(tmp_path / "a.nrrd").grid, sitk.ReadImage(str(tmp_path / "a.nrrd"))
    expected = image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    assert (grid.spacing_mm[::-1], grid.origin_mm, grid.direction) == expected
    np.testing.assert_allclose(np.divide(grid.origin_mm, GRID.origin_mm), SPACES[space])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", b"AnatomicalOrientation = RAI", b"AnatomicalOrientation = ???"),
        ("a.nrrd", b"space: left-posterior-superior\n", b"space dimension: 3\n"),
        ("a.nrrd", b"space: left-posterior-superior\n", b"space: scanner-xyz\n"),
        ("a.nii", b"\1\0\1\0", b"\0\0\0\0"),
    ],
)
def test_files_without_orientation_are_known_as_such(tmp_path, name, old, new):
    sitk.WriteImage(sitk.GetImageFromArray(ADC), str(tmp_path / name), useCompression=False)
    data = (tmp_path / name).read_bytes()
    at = data.index(old, 252 if name == "a.nii" else 0)
    (tmp_path / name).write_bytes(data[:at] + new + data[at + len(old) :])
    volume = read_volume(tmp_path / name)
    assert not volume.oriented
    np.testing.assert_array_equal(volume.voxels, ADC)


def test_format_that_cannot_hold_the_grid_is_refused(tmp_path):
    far = GRID.__class__(GRID.size, GRID.spacing_mm, (1e6 + 0.03, 0.0, 0.0), GRID.direction)
    with pytest.raises(UserError, match="cannot hold the grid's origin_mm"):
        write_mask(ADC > 0, far, tmp_path / "lesions.nii.gz")
    assert not list(tmp_path.iterdir())


TAGS = {"0008|0060": "MR", "0010|0010": "Perez^Ana", "0010|4000": "line one\nline two", "0008|103e": "x" * 3000}


@FORMATS
def test_a_mask_comes_back_on_the_grid_without_the_dicom_tags_of_its_map(tmp_path, suffix):
    """The tags are as SimpleITK writes them from a DICOM series."""
    write_image(ADC, GRID, tmp_path / "adc.mha", metadata=TAGS)
    assert b"0010|0010 = Perez^Ana" in (tmp_path / "adc.mha").read_bytes()
    volume = read_volume(tmp_path / "adc.mha")
    np.testing.assert_array_equal(volume.voxels, ADC)
    assert volume.grid == GRID
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / f"mask{suffix}"
    write_mask(volume.voxels > 0, volume.grid, path)
    written = sitk.ReadImage(str(path))
    assert written.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), ADC > 0)
    np.testing.assert_allclose(written.GetDirection(), GRID.direction, atol=1e-6)
    np.testing.assert_allclose(written.GetOrigin(), GRID.origin_mm, atol=1e-5)
    assert {other.name for other in path.parent.iterdir()} <= {path.name, "mask.zraw"}
    data = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
    assert b"Perez" not in data
    assert b"0010|" not in data


@FORMATS
@pytest.mark.parametrize("volumes", [1, 2])
def test_four_dimensions(tmp_path, suffix, volumes):
    """One volume is a map, two are none; SimpleITK says where the voxels lie."""
    image = sitk.GetImageFromArray(np.stack(volumes * [ADC]), isVector=False)
    turned = np.eye(4)
    turned[:3, :3] = np.reshape(GRID.direction, (3, 3))
    image.SetDirection(turned.ravel())
    image.SetSpacing((*GRID.spacing_mm[::-1], 2.5))
    image.SetOrigin((*GRID.origin_mm, 7))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    if volumes == 2:
        with pytest.raises(UserError, match=r"a\..*: expected a 3D image of one component, found 4D with 2 volumes"):
            read_volume(tmp_path / f"a{suffix}")
        return
    volume = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(volume.voxels, ADC)
    for index in ((0, 0, 0), (11, 14, 6)):
        expected = image.TransformIndexToPhysicalPoint((*index, 0))[:3]
        np.testing.assert_allclose(volume.grid.to_mm(np.array(index[::-1])), expected, atol=1e-4)


def write_nrrd(path: Path, dimension: int, sizes: str, *fields: str) -> Path:
    """The ADC map behind a header by hand."""
    lines = ["NRRD0004", "type: float", f"dimension: {dimension}", *fields, f"sizes: {sizes}", "endian: little"]
    path.write_bytes("\n".join([*lines, "encoding: raw", "", ""]).encode() + ADC.tobytes())
    return path


DIRECTIONS = "space directions: (0.8,0,0) (0,1.25,0) (0,0,3)"
NO_SPACING = {
    (): "no spacing, expected spacings in mm; 1 mm is not assumed",
    ("space: LPS", "spacings: 0.8 1.25 3"): "expected space directions in mm, found spacings: 0.8 1.25 3",
    ("spacings: 0.8 nan 3",): "spacings: 0.8 nan 3, expected a spacing above 0 along each axis",
    ("spacings: -0.8 1.25 3",): "spacings: -0.8 1.25 3, expected a spacing above 0",
    ("spacings: 0.8 1.25",): "expected 3 of them",
    ("spacings: 0.8 1_0 3",): "'1_0' is no number",
    ("space: LPS", "space directions: (1_0,0,0) (0,1,0) (0,0,3)"): "'1_0' is no number",
    ("space: LPS", "space directions: (0.8,0,0) (0,0,0) (0,0,3)"): "expected a spacing above 0 along each axis",
    ("space: LPS", DIRECTIONS, "spacings: 1 1 1"): "expected space directions alone, found spacings beside it",
    (DIRECTIONS, "spacings: 0.8 1.25 3"): "expected spacings alone, found space directions beside it",
    ("space origin: (1,2,3)", "spacings: 0.8 1.25 3"): "expected spacings alone, found space origin beside it",
    ("space: LPS", "space directions: (0.8,0,0) none (0,0,3)"): "space directions: 'none', expected (x,y,z)",
}


@pytest.mark.parametrize("fields", NO_SPACING)
def test_nrrd_that_does_not_say_the_spacing_is_refused(tmp_path, fields):
    with pytest.raises(UserError) as refusal:
        read_volume(write_nrrd(tmp_path / "a.nrrd", 3, "12 15 7", *fields))
    assert str(refusal.value).startswith(f"{tmp_path}/a.nrrd: ")
    assert NO_SPACING[fields] in str(refusal.value)


IN_SPACE = ("space: LPS", "space origin: (1,2,3)")


@pytest.mark.parametrize(
    ("sizes", "fields"),
    [
        ("12 15 7 1", (*IN_SPACE, f"{DIRECTIONS} none", "kinds: domain domain domain list")),
        ("1 12 15 7", (*IN_SPACE, DIRECTIONS.replace(":", ": none"), "kinds: list domain domain domain")),
        ("12 15 7 1", ("spacings: 0.8 1.25 3 NaN",)),
    ],
)
def test_a_nrrd_of_a_sequence_of_one(tmp_path, sizes, fields):
    """A list as its own axis, first or last; it needs no spacing."""
    volume = read_volume(write_nrrd(tmp_path / "a.nrrd", 4, sizes, *fields))
    np.testing.assert_array_equal(volume.voxels, ADC)
    assert volume.grid.spacing_mm == (3, 1.25, 0.8)
    assert volume.grid.origin_mm == ((1, 2, 3) if len(fields) > 1 else (0, 0, 0))


def test_names():
    names = {"a.NII.GZ": ".nii.gz", "a.nii": ".nii", "a.b.mha": ".mha", "a.gz": "", "a": ""}
    assert {name: suffix_of(Path(name)) for name in names} == names
    assert [stem_of(Path(name)) for name in ("a.NII.GZ", "a.b.mha", "a.txt")] == ["a", "a.b", "a.txt"]


def test_digest_of_an_mhd_knows_its_voxels(tmp_path):
    write_image(ADC, GRID, tmp_path / "a.mhd")
    before = digest(tmp_path / "a.mhd")
    (tmp_path / "a.zraw").write_bytes(b"other")
    assert digest(tmp_path / "a.mhd") != before
