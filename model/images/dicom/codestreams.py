"""Compressed pixels of DICOM, a frame each: what the header of a JPEG stream says, and RLE to numbers.

A stream's own header counts for its decoder, whatever the DICOM tags beside it say. So it is looked at before.
"""

import struct
from dataclasses import dataclass

import numpy as np

from model.images.dicom.values import TagError

# Markers: of the start and the size of a JPEG 2000 stream; what a JP2 file begins with, and its box that holds the stream
J2K, JP2, JP2_STREAM = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"jp2c"
JPEG = b"\xff\xd8"
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG's kinds and JPEG-LS; not tables and extensions
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
RLE_HEADER, RLE_OFFSETS = 64, "<16L"
MOST_HEADER = 1 << 20  # bytes in which a stream has its header
UNDECODED = "its compressed pixels cannot be decoded"


@dataclass(frozen=True)
class StreamHeader:
    """What a stream says of its image: pixels, samples of a pixel, bits of a sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def stream_header(stream: bytes) -> StreamHeader:
    """The header of a stream of JPEG, JPEG-LS or JPEG 2000. Raises TagError where there is none."""
    stream = stream[:MOST_HEADER]
    try:
        found = _jpeg(stream) if stream.startswith(JPEG) else _jpeg_2000(stream)
    except (IndexError, struct.error):
        found = None
    if not found:
        raise TagError(f"{UNDECODED} (the JPEG stream is damaged)")
    return found


def _jpeg(stream: bytes) -> StreamHeader | None:
    at = len(JPEG)
    while stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:  # a byte that fills
            at += 1
            continue
        if marker in FRAME_HEADERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, at + 4)
            return StreamHeader(rows, columns, samples, bits)
        at += 2 if marker in WITHOUT_LENGTH else 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None


def _jpeg_2000(stream: bytes) -> StreamHeader | None:
    at = _in_jp2(stream) if stream.startswith(JP2) else 0
    if stream[at : at + len(J2K)] != J2K:
        return None
    right, bottom, left, top = struct.unpack_from(">4L", stream, at + 8)
    samples, bits, across, down = struct.unpack_from(">HBBB", stream, at + 40)
    if not across or not down:
        return None
    rows, columns = -(-bottom // down) + -top // down, -(-right // across) + -left // across
    return StreamHeader(rows, columns, samples, (bits & 0x7F) + 1)


def _in_jp2(stream: bytes) -> int:
    """Where the stream begins in a JP2 file; its end, or struct.error, where it holds none."""
    at = 0
    while True:
        length, kind = struct.unpack_from(">L4s", stream, at)
        header = 16 if length == 1 else 8
        if kind == JP2_STREAM:
            return at + header
        if length == 1:
            (length,) = struct.unpack_from(">Q", stream, at + 8)
        if length < header:  # the last box, or none
            return len(stream)
        at += length


def rle_decoded(stream: bytes, rows: int, columns: int, sample_bytes: int) -> bytes:
    """The numbers of a frame, little-endian. Raises TagError unless it holds that many, of that many bytes each.

    More than a row of bytes too many is another image's size; less, zeros that fill.
    """
    count, *starts = struct.unpack(RLE_OFFSETS, stream[:RLE_HEADER].ljust(RLE_HEADER, b"\0"))
    if count != sample_bytes:
        raise TagError(f"{UNDECODED} ({count} bytes for a pixel, expected {sample_bytes} by BitsAllocated)")
    planes = np.empty((rows * columns, sample_bytes), np.uint8)
    for n, (start, end) in enumerate(zip(starts[:count], (*starts[1:count], len(stream)), strict=True)):
        plane = _unpacked(stream[start:end], (rows + 1) * columns)
        if not rows * columns <= len(plane) < (rows + 1) * columns:
            more = "fewer" if len(plane) < rows * columns else "more"
            raise TagError(f"{UNDECODED} ({more} than {rows} x {columns} pixels, which Rows and Columns say)")
        planes[:, sample_bytes - 1 - n] = np.frombuffer(plane, np.uint8)[: rows * columns]
    return planes.tobytes()


def _unpacked(segment: bytes, most: int) -> bytearray:
    """The bytes of a segment, no more than a run over `most`."""
    found = bytearray()
    at, end = 0, len(segment) - 1
    while at < end and len(found) < most:
        control = segment[at]
        if control < 128:
            found += segment[at + 1 : at + 2 + control]
            at += 2 + control
        else:
            if control > 128:
                found += segment[at + 1 : at + 2] * (257 - control)
            at += 2 if control > 128 else 1
    return found
