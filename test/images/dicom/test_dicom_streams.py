"""Compressed pixels whose own header is of another image, and bits above those that are stored."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_phantom import Series, change, edited, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from refusals import refused

from model.images.dicom.codestreams import StreamHeader, stream_header
from model.images.volume import read_volume

ROWS, COLUMNS = 41, 38
RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 4096, (ROWS, COLUMNS))
BITS = 12, 13, 16  # of a number in a stream
ONE_SLICE = replace(GRID, size=(1, ROWS, COLUMNS))


def j2k(kind: str) -> Callable[[np.ndarray, int], bytes]:
    return lambda pixels, bits: imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat=kind, bitspersample=bits, reversible=True
    )


ENCODERS: dict[str, tuple[Callable[[np.ndarray, int], bytes], UID]] = {
    "j2k": (j2k("J2K"), JPEG2000Lossless),
    "jp2": (j2k("JP2"), JPEG2000),  # which need not lose anything
    "jls": (lambda pixels, bits: imagecodecs.jpegls_encode(pixels), JPEGLSLossless),  # of 16 bits
    "jpeg": (lambda pixels, bits: imagecodecs.ljpeg_encode(pixels, bitspersample=bits), JPEGLosslessSV1),
}


def put(path: Path, *streams: bytes, syntax: UID, bits: int = 12) -> None:
    """Give a file those streams, with so many bits stored."""

    def edit(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = encapsulate(list(streams))
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.BitsStored, dataset.HighBit = bits, bits - 1

    edited([path], edit)


def written(folder: Path, stream: bytes, syntax: UID) -> Path:
    """A file of one slice with that stream."""
    (path,) = write_series(folder, np.zeros(ONE_SLICE.size), ONE_SLICE)
    put(path, stream, syntax=syntax)
    return path


def with_size(stream: bytes, rows: int, columns: int, samples: int = 1, bits: int = 16) -> bytes:
    """The stream with another size in its header, at the places that ISO 10918-1, 14495-1 and 15444-1 give."""
    changed = bytearray(stream)
    if (at := stream.find(b"\xff\x4f\xff\x51")) >= 0:
        struct.pack_into(">4L", changed, at + 8, columns, rows, 0, 0)
        struct.pack_into(">4L", changed, at + 24, columns, rows, 0, 0)  # one tile
        struct.pack_into(">HB", changed, at + 40, samples, bits - 1)
    else:
        (at,) = {stream.find(bytes((0xFF, kind))) for kind in (0xC3, 0xF7)} - {-1}
        struct.pack_into(">BHHB", changed, at + 4, bits, rows, columns, samples)
    return bytes(changed)


@pytest.mark.parametrize(
    "size", [(ROWS + 8, COLUMNS, 1, 16), (COLUMNS, ROWS, 1, 16), (ROWS, COLUMNS, 3, 16), (ROWS, COLUMNS, 1, 8)]
)
def test_a_stream_of_another_image_is_refused(tmp_path, size):
    stream = with_size(ENCODERS["jpeg"][0](PIXELS.astype(np.uint16), 16), *size)
    says = "its compressed pixels are {} x {} with {} sample(s) of {} bits, its header says 41 x 38, 1 and 12 to 16; "
    assert says.format(*size) in refused(written(tmp_path, stream, JPEGLosslessSV1))


def test_one_frame_of_many_is_of_another_size(tmp_path):
    voxels = np.stack([PIXELS] * 3).astype(float)
    path = write_multiframe(tmp_path / "m.dcm", [(voxels, replace(GRID, size=voxels.shape))])
    streams = [j2k("J2K")(np.pad(PIXELS, ((n == 1, 0), (0, 0))).astype(np.uint16), 16) for n in range(3)]
    put(path, *streams, syntax=JPEG2000Lossless, bits=16)
    assert f"its compressed pixels are {ROWS + 1} x {COLUMNS} with" in refused(path)


@pytest.mark.parametrize("kind", ENCODERS)
def test_headers_of_streams(kind):
    stream = ENCODERS[kind][0](PIXELS.astype(np.uint16), 16)
    assert stream_header(stream) == StreamHeader(ROWS, COLUMNS, 1, 16)
    assert stream_header(with_size(stream, 40000, 0, 3, 8)) == StreamHeader(40000, 0, 3, 8)
    for end in range(0, 20):
        with pytest.raises(ValueError, match="stream"):
            stream_header(stream[:end])
    if kind in ("jls", "jpeg"):  # a comment and bytes that fill stand before the size
        assert stream_header(stream[:2] + b"\xff\xff\xff\xfe\0\x06text" + stream[2:]) == StreamHeader(ROWS, COLUMNS, 1, 16)


def test_the_place_of_a_jpeg_2000_image_counts():
    """An image from (3, 5) to (78, 128), every second column, every third row: ISO 15444-1, equation B-2."""
    stream = bytearray(with_size(j2k("J2K")(PIXELS.astype(np.uint16), 16), 128, 78))
    struct.pack_into(">2L", stream, 16, 3, 5)
    struct.pack_into(">2B", stream, 43, 2, 3)
    assert stream_header(bytes(stream)) == StreamHeader(43 - 2, 39 - 2, 1, 16)
    for at in (43, 44):  # every 0th column or row
        with pytest.raises(ValueError, match="stream is damaged"):
            stream_header(bytes(stream[:at]) + b"\0" + bytes(stream[at + 1 :]))


@pytest.mark.parametrize(
    ("syntax", "rows"), [(RLELossless, 1), (RLELossless, -1), (ExplicitVRLittleEndian, 1), (ExplicitVRLittleEndian, -2)]
)
def test_pixels_without_a_size_of_their_own_are_counted(tmp_path, syntax, rows):
    """One row of uncompressed zeros more than Rows says may fill."""
    (path,) = write_series(tmp_path / "s", PIXELS[None].astype(float), ONE_SLICE, Series(syntax=syntax))
    change(path, Rows=ROWS + rows)
    size = 2 * (ROWS + rows) * COLUMNS
    native = f"its PixelData has {2 * ROWS * COLUMNS} bytes, expected {size} by Rows"
    rle = "its pixel data is damaged" if rows > 0 else f"(more than {ROWS + rows} x {COLUMNS} pixels, which Rows"
    assert (rle if syntax == RLELossless else native) in refused(path)


@pytest.mark.parametrize("kind", ["j2k", "jls", "jpeg", "native", "rle"])
def test_an_overlay_above_the_stored_bits_is_no_number(tmp_path, kind):
    """12 bits of a number; above them as many of an overlay as the stream has. Signed ones keep their sign."""
    values = np.stack([PIXELS - 2048 * signed for signed in (0, 1) for _ in BITS])
    grid = replace(GRID, size=values.shape)
    syntax = ENCODERS[kind][1] if kind in ENCODERS else RLELossless if kind == "rle" else ExplicitVRLittleEndian
    words = [
        value & 0xFFF | RNG.integers(0, 1 << (bits - 12), value.shape) << 12
        for value, bits in zip(values, BITS * 2, strict=True)
    ]
    own = Series(syntax=ExplicitVRLittleEndian if kind in ENCODERS else syntax)
    for z, path in enumerate(write_series(tmp_path, np.stack(words).astype(float), grid, own)):
        if kind in ENCODERS:
            stream = ENCODERS[kind][0](words[z].astype(np.uint16), 16 if kind == "jls" else BITS[z % len(BITS)])
            put(path, stream, syntax=syntax)
        change(path, BitsStored=12, HighBit=11, PixelRepresentation=z // len(BITS))
    assert np.array_equal(read_volume(tmp_path, adc=True).voxels, values)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"HighBit": 15}, "its HighBit is 15, expected 11"),
        ({"BitsStored": 20, "HighBit": 19}, "its BitsStored is 20, expected 1 to 16"),
        ({"BitsAllocated": 12}, "its BitsAllocated is 12, expected 1 or 8 or 16 or 32 or 64"),
        ({"PixelRepresentation": 2}, "its PixelRepresentation is 2, expected 0 or 1"),
        ({"PhotometricInterpretation": "GREY"}, "its PhotometricInterpretation is neither MONOCHROME1 nor MONOCHROME2"),
        ({"BitsStored": None}, "cannot be read as a DICOM image (it lacks BitsStored)"),
        ({"NumberOfFrames": 2}, "expected the places of 2 frames in the patient"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_tags_of_pixels_that_make_no_sense_are_named(tmp_path, tags, says):
    (path,) = write_series(tmp_path / "s", PIXELS[None].astype(float), ONE_SLICE)
    change(path, BitsStored=12, HighBit=11)
    change(path, **tags)
    assert says in refused(path)
