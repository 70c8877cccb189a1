"""Files that are no usable 3D map: each is refused with one line that names it."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, write_metaimage

from model.errors import UserError
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


REFUSED = {
    "missing": (lambda path: None, "No such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read|no readable image"),
    "empty": (lambda path: path.touch(), "0 bytes"),
    "text": (lambda path: path.write_text("ADC map, ask Maria for the real file\n"), "37 bytes that are no readable image"),
    "header alone": (header(b""), "cut off"),
    "header cut": (lambda path: path.write_bytes(b"ObjectType = Image\nNDims = 3\nBinar"), "cut off"),
    "a byte less": (header(FLOATS[:-1]), "cut off"),
    "a byte more": (header(FLOATS + b"\0"), "found more"),
    "no size": (header(DimSize=None), "no readable image"),
    "unknown number type": (header(ElementType="MET_FOO"), "no readable image"),
    "2D": (sitk_file(VOXELS[0]), "expected a 3D image of one component, found 2D with 1"),
    "4D of three components": (header(NDims="4", DimSize="4 3 2 2", ElementNumberOfChannels="3"), "found 4D with 3$"),
    "three components": (sitk_file(VOXELS.reshape(7, 15, 4, 3), True), "found 3D with 3"),
    "too large for float32": (sitk_file(VOXELS.astype(np.float64) * 1e300), "NaN or infinite"),
    "terabytes": (header(DimSize="100000 100000 1000"), "promises 100000 x 100000 x 1000 voxels"),
    "no voxel": (header(b"", DimSize="0 3 2"), "promises no voxel"),
    "half a voxel": (header(DimSize="4 3 2.5"), "DimSize"),
    "no spacing": (header(ElementSpacing=None), "no spacing, expected ElementSpacing in mm; 1 mm is not assumed"),
    "the voxels' size alone": (
        header(ElementSpacing=None, ElementSize="1 1 3"),
        "no spacing, expected ElementSpacing in mm, found ElementSize = 1 1 3 alone",
    ),
    "spacing zero": (header(ElementSpacing="0 1 1"), r"expected a spacing of 0.2 to 100.0 mm, not \(1, 1, 0\)"),
    "spacing NaN": (header(ElementSpacing="1 1 nan"), r"expected a spacing of 0.2 to 100.0 mm, not \(nan, 1, 1\)"),
    "spacing negative": (header(ElementSpacing="1 -1 1"), "expected a spacing"),
    "too fine": (header(ElementSpacing="1 0.19 1"), "expected a spacing"),
    "too coarse": (header(ElementSpacing="100.1 1 1"), "expected a spacing"),
    "as Python writes numbers": (header(ElementSpacing="1_0 1 1"), "ElementSpacing = '1_0 1 1', expected 3 numbers"),
    "fewer numbers than dimensions": (header(ElementSpacing="1 1"), "expected 3 numbers"),
    "no direction": (header(TransformMatrix="0 0 0 0 0 0 0 0 0"), "at right angles, not the direction"),
    "sheared axes": (header(TransformMatrix="1 0 0 0.5 1 0 0 0 1"), "at right angles"),
    "axes that stretch": (header(TransformMatrix="2 0 0 0 1 0 0 0 1"), "axes of length 1"),
    "two directions": (header(Rotation="1 0 0 0 1 0 0 0 1"), "TransformMatrix and Rotation: expected one of them"),
    "origin NaN": (header(Offset="nan 0 0"), r"expected an origin in mm, not \(nan, 0, 0\)"),
    "more promised than compressed": (compressed(DimSize="4 3 200"), "cut off"),
    "compressed stream without its end": (compressed(cut=5), "cut off"),
    "less promised than compressed": (compressed(DimSize="4 3 1"), "no readable image"),
    "voxels before the header's end": (header(HeaderSize="5"), "HeaderSize"),
    "voxels as text": (header(BinaryData="False"), "its voxels are text"),
    "one voxel too many": (header(DimSize="256 256 257"), "promises 256 x 256 x 257 voxels"),
    "more dimensions": (header(NDims="256"), "NDims = '256', expected 3"),
    "two numbers of dimensions": (header(Comment="\nNDims = 10"), "one twice"),
    "a line that is no field": (header(Comment="\nOffset 4 3 2"), "no field"),
    "pipe": (lambda path: os.mkfifo(path), "expected a file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "expected a file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
    "voxels in another file": (header(ElementDataFile="/etc/passwd"), "/etc/passwd"),
}


@pytest.mark.parametrize(("write", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_unusable_file_is_refused_by_name(tmp_path, write, reason):
    path = tmp_path / "map.mha"
    write(path)
    with pytest.raises(UserError, match=reason) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
