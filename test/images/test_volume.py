"""Files to arrays and back, compared in the scanner's space with SimpleITK and with numbers derived on paper."""

import dataclasses
import itertools
import resource
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, write_metaimage

from model.errors import UserError
from model.images.volume import Grid, Volume, read_volume, require_same_grid, write_mask, write_probabilities

AXIS_DIRECTIONS = [
    tuple(np.diag(signs)[list(order)].ravel().astype(float))
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
INDEX = (3, 1, 0)  # (x, y, z) of the marked voxel, off the middle of every axis
SIZE, SPACING, ORIGIN = (5, 4, 3), (0.75, 1.25, 4.0), (-31.5, 12.25, 70.0)  # (x, y, z)


@pytest.mark.parametrize("direction", [*AXIS_DIRECTIONS, GRID.direction], ids=lambda d: "".join(f"{c:+.0f}" for c in d))
def test_a_marked_voxel_stays_where_it_is_in_the_scanner(tmp_path, direction):
    image = sitk.Image(SIZE, sitk.sitkFloat32)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction)
    image[INDEX] = 7.0
    sitk.WriteImage(image, str(tmp_path / "adc.mha"))

    adc = read_volume(tmp_path / "adc.mha")
    write_mask(adc.voxels == 7, adc.grid, tmp_path / "mask.mha")

    mask = sitk.ReadImage(str(tmp_path / "mask.mha"))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    assert statistics.GetPhysicalSize(1) == pytest.approx(0.75 * 1.25 * 4)
    on_paper = np.add(ORIGIN, np.reshape(direction, (3, 3)) @ np.multiply(SPACING, INDEX))
    np.testing.assert_allclose(statistics.GetCentroid(1), on_paper, rtol=0, atol=1e-9)
    np.testing.assert_allclose(adc.grid.to_mm(np.array(INDEX[::-1])), on_paper, rtol=0, atol=1e-9)
    np.testing.assert_allclose(adc.grid.to_index(on_paper), INDEX[::-1], rtol=0, atol=1e-9)
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(image, f"Get{name}")(), name


def test_arrays_and_spacing_are_z_y_x(tmp_path):
    fields = {"ElementSpacing": "0.75 1.25 4", "Offset": "-31.5 12.25 70"}
    volume = read_volume(write_metaimage(tmp_path / "a.mha", np.arange(24, dtype="<f4").tobytes(), **fields))
    assert volume.grid.size == volume.voxels.shape == (2, 3, 4)
    assert volume.grid.spacing_mm == (4, 1.25, 0.75)
    assert volume.grid.origin_mm == (-31.5, 12.25, 70)
    assert volume.grid.voxel_mm3 == 3.75
    assert volume.voxels[1, 2, 3] == 23
    assert volume.voxels[1, 0, 0] == 12  # x runs fastest in the file, z slowest


def test_mask_file_is_what_the_platform_takes(tmp_path):
    mask = np.zeros(GRID.size, bool)
    mask[2, 3:5, 4] = True
    for each in (mask, ~mask & mask, mask | ~mask):  # an empty and a full one, too, each in place of the one before
        write_mask(each, GRID, tmp_path / "mask.mha")
        image = sitk.ReadImage(str(tmp_path / "mask.mha"))
        assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"
        assert image.GetNumberOfComponentsPerPixel() == 1
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), each)
    assert b"CompressedData = True" in (tmp_path / "mask.mha").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["mask.mha"]


@pytest.mark.parametrize("write", [write_mask, write_probabilities])
def test_voxels_of_another_size_are_not_written(tmp_path, write):
    with pytest.raises(ValueError, match=r"\(12, 15, 7\).*\(7, 15, 12\)"):
        write(np.zeros(GRID.size[::-1], bool), GRID, tmp_path / "mask.mha")
    assert not list(tmp_path.iterdir())


def moved(field: str, place: int, by: float) -> Grid:
    values = list(getattr(GRID, field))
    values[place] += by
    return dataclasses.replace(GRID, **{field: tuple(values)})


PLACES = [(field, n) for field, length in (("spacing_mm", 3), ("origin_mm", 3), ("direction", 9)) for n in range(length)]


def on(grid: Grid, tmp_path, name: str) -> Volume:
    return Volume(np.zeros(grid.size, np.float32), grid, tmp_path / name)


@pytest.mark.parametrize(("field", "place"), PLACES)
def test_grids_that_differ_in_more_than_the_last_digits_are_refused_with_both_files_and_values(tmp_path, field, place):
    for by in (1e-4, -1e-3, 1e-3):  # as far as published files differ
        require_same_grid(on(GRID, tmp_path, "adc.mha"), on(moved(field, place, by), tmp_path, "z.mha"))
    for by in (0.002, -0.01, np.nan):
        other = moved(field, place, by)
        with pytest.raises(UserError) as refusal:
            require_same_grid(on(GRID, tmp_path, "adc.mha"), on(other, tmp_path, "z.mha"))
        values = [f"{getattr(grid, field)[place]:.9g}" for grid in (GRID, other)]
        for part in (tmp_path / "adc.mha", tmp_path / "z.mha", field, *values):
            assert str(part) in str(refusal.value)


def test_sizes_that_differ_are_refused(tmp_path):
    other = on(dataclasses.replace(GRID, size=(7, 15, 11)), tmp_path, "z.mha")
    with pytest.raises(UserError, match=r"adc.mha and .*z.mha .*size.*\(7, 15, 12\) and \(7, 15, 11\); take both$"):
        require_same_grid(on(GRID, tmp_path, "adc.mha"), other, "; take both")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("i1", "MET_CHAR"), ("u1", "MET_UCHAR"), ("<i2", "MET_SHORT"), ("<u2", "MET_USHORT"), ("<i4", "MET_INT")),
        *(("<u4", "MET_UINT"), ("<i4", "MET_LONG"), ("<u4", "MET_ULONG"), ("<i8", "MET_LONG_LONG")),
        *(("<u8", "MET_ULONG_LONG"), ("<f4", "MET_FLOAT"), ("<f8", "MET_DOUBLE")),
        *((">f4", "MET_FLOAT"), (">i2", "MET_SHORT"), (">f8", "MET_DOUBLE")),
    ],
)
def test_every_number_type_of_a_header_reads(tmp_path, kind, name, compressed):
    """ITK takes MET_LONG for four bytes."""
    data = np.arange(24, dtype=kind).tobytes()
    order = "ElementByteOrderMSB" if compressed else "BinaryDataByteOrderMSB"  # two names of one field
    fields = {"ElementType": name, "BinaryDataByteOrderMSB": None, order: str(kind[0] == ">")}
    if compressed:
        data = zlib.compress(data)
        fields |= {"CompressedData": "True", "CompressedDataSize": str(len(data))}
    volume = read_volume(write_metaimage(tmp_path / "a.mha", data, **fields))
    np.testing.assert_array_equal(volume.voxels.ravel(), np.arange(24))


def test_what_cannot_be_written_leaves_what_is_there_and_no_partial_file(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "mask.mha").mkdir()
    for path in (tmp_path / "missing" / "mask.mha", tmp_path / "file" / "mask.mha", tmp_path / "mask.mha"):
        with pytest.raises(UserError, match=f"{path}: cannot be written"):
            write_mask(np.zeros(GRID.size, bool), GRID, path)
    assert {path.name: path.is_dir() for path in tmp_path.iterdir()} == {"file": False, "mask.mha": True}


@pytest.mark.parametrize("share", [0, 0.5, 0.9999])
def test_a_disk_that_is_full_leaves_no_mask(tmp_path, share):
    mask = np.random.default_rng(0).random((64, 64, 64)) < 0.5  # compresses to 40 kB
    grid = Grid(mask.shape, (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_mask(mask, grid, tmp_path / "mask.mha")
    room = int(share * (tmp_path / "mask.mha").stat().st_size)
    (tmp_path / "mask.mha").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(UserError, match=r"mask.mha: cannot be written"):
            write_mask(mask, grid, tmp_path / "mask.mha")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_probabilities_are_compressed_float32_on_the_grid(tmp_path):
    probabilities = np.random.default_rng(0).random(GRID.size)  # float64 is rounded
    write_probabilities(probabilities, GRID, tmp_path / "p.mha")
    assert sitk.ReadImage(str(tmp_path / "p.mha")).GetPixelIDTypeAsString() == "32-bit float"
    assert b"CompressedData = True" in (tmp_path / "p.mha").read_bytes()
    volume = read_volume(tmp_path / "p.mha")
    np.testing.assert_array_equal(volume.voxels, probabilities.astype(np.float32))
    assert volume.grid == GRID
    assert [path.name for path in tmp_path.iterdir()] == ["p.mha"]
