"""What the header of a JPEG stream says of its image. It counts for a decoder, whatever the DICOM tags beside it say."""

import itertools
import struct
from typing import NamedTuple

from model.images.dicom.values import TagError

RLE_HEADER, RLE_OFFSETS = 64, "<16L"
J2K, JPEG = b"\xff\x4f\xff\x51", b"\xff\xd8"  # markers: of the start and the size of a JPEG 2000 stream; of a JPEG stream
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG's kinds and JPEG-LS; not tables and extensions
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
UNDECODED = "its compressed pixels cannot be decoded"


class StreamHeader(NamedTuple):
    """What a stream says of its image: pixels, samples of a pixel, bits of a sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def stream_header(stream: bytes) -> StreamHeader:
    """The header of a stream of JPEG, JPEG-LS or JPEG 2000, also within a JP2 file. Raises TagError where there is none."""
    try:
        return _jpeg(stream) if stream.startswith(JPEG) else _jpeg_2000(stream)
    except (IndexError, ValueError, ZeroDivisionError, struct.error):
        raise TagError(f"{UNDECODED} (the JPEG stream is damaged)") from None


def _jpeg(stream: bytes) -> StreamHeader:
    at = len(JPEG)
    while (marker := stream[at + 1]) not in FRAME_HEADERS:
        if stream[at] != 0xFF:
            raise ValueError("no marker")
        if marker == 0xFF:  # a byte that fills
            at += 1
        else:
            at += 2 if marker in WITHOUT_LENGTH else 2 + struct.unpack_from(">H", stream, at + 2)[0]
    bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, at + 4)
    return StreamHeader(rows, columns, samples, bits)


def _jpeg_2000(stream: bytes) -> StreamHeader:
    at = stream.index(J2K)
    right, bottom, left, top = struct.unpack_from(">4L", stream, at + 8)
    samples, bits, across, down = struct.unpack_from(">HBBB", stream, at + 40)
    rows, columns = -(-bottom // down) + -top // down, -(-right // across) + -left // across
    return StreamHeader(rows, columns, samples, (bits & 0x7F) + 1)


def require_rle_length(stream: bytes, rows: int, columns: int) -> None:
    """Raise TagError where a frame of RLE holds more than a row of pixels too many: another image's size. Zeros may fill."""
    count, *starts = struct.unpack(RLE_OFFSETS, stream[:RLE_HEADER].ljust(RLE_HEADER, b"\0"))
    for start, end in itertools.pairwise((*starts[:count], len(stream))):
        if _unpacked_length(stream[start:end]) >= (rows + 1) * columns:
            raise TagError(f"{UNDECODED} (more than {rows} x {columns} pixels, which Rows and Columns say)")


def _unpacked_length(segment: bytes) -> int:
    at = length = 0
    while at < len(segment) - 1:
        control = segment[at]
        length += control + 1 if control < 128 else (257 - control) % 129
        at += control + 2 if control < 128 else 1 + (control > 128)
    return length
