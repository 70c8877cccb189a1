"""Files that are no usable 3D map: each is refused with one line that names it."""

import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, write_metaimage
from phantom import write_image

from model.errors import UserError
from model.images.formats.metaimage import ELEMENT_BYTES
from model.images.volume import read_volume

VOXELS = np.random.default_rng(0).integers(0, 3000, GRID.size).astype(np.float32)
FLOATS = np.arange(24, dtype="<f4").tobytes()


def sitk_file(voxels: np.ndarray, is_vector: bool = False) -> Callable[[Path], object]:
    return lambda path: sitk.WriteImage(sitk.GetImageFromArray(voxels, isVector=is_vector), str(path))


def header(data: bytes = FLOATS, **fields: str | None) -> Callable[[Path], object]:
    return lambda path: write_metaimage(path, data, **fields)


def compressed(data: bytes = FLOATS, cut: int = 0, **fields: str | None) -> Callable[[Path], object]:
    stream = zlib.compress(data)
    stream = stream[: len(stream) - cut]
    return header(stream, **{"CompressedData": "True", "CompressedDataSize": str(len(stream))} | fields)


def one_voxel(value: float) -> Callable[[Path], object]:
    voxels = VOXELS.copy()
    voxels[3, 4, 5] = value
    return sitk_file(voxels)


REFUSED = {
    "missing": (lambda path: None, "No such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read|no readable image"),
    "empty": (lambda path: path.touch(), "0 bytes"),
    "text": (lambda path: path.write_text("ADC map, ask Maria for the real file\n"), "37 bytes that are no readable image"),
    "header alone": (header(b""), "cut off"),
    "header cut": (lambda path: path.write_bytes(b"ObjectType = Image\nNDims = 3\nBinar"), "cut off"),
    "no size": (header(DimSize=None), "no readable image"),
    "unknown number type": (header(ElementType="MET_FOO"), "no readable image"),
    "voxels missing": (header(FLOATS[:-1]), "cut off"),
    "2D": (sitk_file(VOXELS[0]), "expected a 3D image of one component, found 2D with 1"),
    "4D": (
        sitk_file(VOXELS.reshape(7, 5, 3, 12)),
        "expected a 3D image of one component, found 4D with 7 volumes, expected one",
    ),
    "three components": (sitk_file(VOXELS.reshape(7, 15, 4, 3), True), "found 3D with 3"),
    "complex": (sitk_file(VOXELS.astype(np.complex64)), "found 3D with 2|complex"),
    "NaN": (one_voxel(np.nan), "1 of 1260 voxels are NaN or infinite"),
    "infinite": (one_voxel(-np.inf), "1 of 1260 voxels are NaN or infinite"),
    "too large for float32": (sitk_file(VOXELS.astype(np.float64) * 1e300), "NaN or infinite"),
    "terabytes": (header(DimSize="100000 100000 1000"), "promises 100000 x 100000 x 1000 voxels"),
    "negative size": (header(DimSize="-4 3 2"), "promises"),
    "no spacing": (header(ElementSpacing=None), "no spacing, expected ElementSpacing in mm; 1 mm is not assumed"),
    "the voxels' size alone": (
        header(ElementSpacing=None, ElementSize="1 1 3"),
        "no spacing, expected ElementSpacing in mm, found ElementSize = 1 1 3 alone",
    ),
    "no spacing of one axis": (header(ElementSpacing="1 1 nan"), "ElementSpacing = 1 1 nan, expected finite numbers"),
    "spacing zero": (header(ElementSpacing="0 1 1"), "ElementSpacing = 0 1 1, expected numbers above 0"),
    "spacing NaN": (header(ElementSpacing="nan 1 1"), "ElementSpacing = nan 1 1, expected finite numbers"),
    "no direction": (
        header(TransformMatrix="0 0 0 0 0 0 0 0 0"),
        "TransformMatrix = 0 0 0 0 0 0 0 0 0, expected the directions",
    ),
    "two directions": (header(TransformMatrix="1 0 0 0 1 0 0 0 0"), "TransformMatrix = 1 0 0 0 1 0 0 0 0, expected the dir"),
    "spacing negative": (header(ElementSpacing="1 -1 1"), "ElementSpacing = 1 -1 1, expected numbers above 0"),
    # ITK reads these without an error, the voxels are zeros or what the memory held before
    "no voxel": (header(b"", DimSize="0 3 2"), "0 x 3 x 2|no readable image|no voxel"),
    "more promised than compressed": (compressed(DimSize="4 3 200"), "cut off"),
    "compressed stream without its end": (compressed(cut=5), "cut off"),
    "less promised than compressed": (compressed(DimSize="4 3 1"), "no readable image"),
    "voxels in a list of other files": (header(ElementDataFile="LIST"), "LIST|no readable image"),
    "voxels before the header's end": (header(HeaderSize="5"), "HeaderSize"),
    "origin NaN": (header(Offset="nan 0 0"), "Offset"),
    "spacing of a continent": (header(ElementSpacing="1 1 1e300"), "expected a spacing"),
    "one voxel too many": (header(DimSize="256 256 257"), "promises 256 x 256 x 257 voxels"),
    # ITK's header parser ends the process on the first of these and misreads the others
    "more dimensions than ITK can hold": (header(NDims="256"), "NDims = 256, expected 3"),
    "two numbers of dimensions": (header(Comment="\nNDims = 10"), "one twice"),
    "fewer numbers than dimensions": (header(ElementSpacing="1 1"), "expected 3 numbers"),
    "a blank that is none to ITK": (header(DimSize="4 3\xa02"), "expected 3 numbers"),
    "a number that is none to ITK": (header(ElementSpacing="1_0 1 1"), "expected 3 numbers"),
    "a line that is no field": (header(Comment="\nDimSize 4 3 2"), "no field"),
    "a line without an end": (header(Comment="x" * 5000), "no field"),
    "sheared axes": (header(TransformMatrix="1 0 0 0.5 1 0 0 0 1"), "at right angles"),
    "axes that stretch": (header(TransformMatrix="2 0 0 0 1 0 0 0 1"), "axes of length 1"),
    "pipe": (lambda path: os.mkfifo(path), "expected a file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "expected a file"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
    "voxels in another file": (header(ElementDataFile="/etc/passwd"), "/etc/passwd|no readable image"),
}


@pytest.mark.parametrize(("write", "reason"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_file_is_refused_by_name(tmp_path, write, reason):
    path = tmp_path / "map.mha"
    write(path)
    with pytest.raises(UserError, match=reason) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("length", [b"", b"CompressedDataSize = 1000\n", b"CompressedDataSize = 0\n"])
def test_compressed_map_of_another_length_than_it_says_is_refused(tmp_path, length):
    """ITK reads these without an error too, or not, depending on what the memory held before."""
    path = tmp_path / "map.mha"
    write_image(VOXELS, GRID, path)
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+\n", length, path.read_bytes()))
    with pytest.raises(UserError, match=r"map.mha: "):
        read_volume(path)


SIZES = {
    **{"MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4},
    **{"MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8},
}


@pytest.mark.parametrize("element", SIZES)
def test_length_of_each_number_type_is_metaios(tmp_path, element):
    """24 numbers are whole to ITK and to us; one byte less is cut off to both, one more is refused here alone."""
    path, count = tmp_path / "map.mha", 24 * SIZES[element]
    assert ELEMENT_BYTES[element] == SIZES[element]
    write_metaimage(path, bytes(count), ElementType=element)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).size == 24
    assert not read_volume(path).voxels.any()
    for other, says in ((count + 1, "more"), (count - 1, "cut off")):
        write_metaimage(path, bytes(other), ElementType=element)
        with pytest.raises(UserError, match=says):
            read_volume(path)
    with pytest.raises(RuntimeError):
        sitk.ReadImage(str(path))


@pytest.mark.parametrize("error", [RuntimeError("ITK ERROR: Failed to allocate memory for image."), MemoryError()])
def test_memory_that_runs_out_while_reading_is_no_damage(tmp_path, monkeypatch, error):
    path = write_metaimage(tmp_path / "a.mha", bytes(4 * 3 * 2 * 4))
    assert read_volume(path).voxels.size == 24
    monkeypatch.setattr("model.images.volume._read_with_itk", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(UserError, match=r"a\.mha: not enough memory to read it"):
        read_volume(path)
