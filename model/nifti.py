"""Checks that a NIfTI-1 file (.nii, .nii.gz) holds the voxels its header promises."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 348
MAX_DIMENSIONS = 7
# What can be read: type codes and their bits a voxel.
DATATYPES = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
LARGEST_NUMBER = 1e9  # of spacing, offset and scaling


def check_header(path: Path) -> None:
    """Raise ValueError unless the header is one that ITK may see: it hangs on some that are not."""
    with _open(path) as file:
        try:
            header = file.read(HEADER_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"the compressed data are damaged ({error})") from None
    _promised_bytes(header)
    order = _order(header)
    for name, layout, place in (("pixdim", "8f", 76), ("scl", "2f", 112), ("qform", "6f", 256), ("sform", "12f", 280)):
        values = struct.unpack_from(order + layout, header, place)
        if not all(abs(value) <= LARGEST_NUMBER for value in values):  # NaN is not
            raise ValueError(f"{name} = {values}, expected numbers up to {LARGEST_NUMBER:g}")


def check_nifti(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient (`qform_code` or `sform_code` above 0).

    Raises ValueError unless all voxels are there, and in a compressed file its checksum is right.
    """
    with _open(path) as file:
        try:
            header = file.read(HEADER_BYTES)
            promised = _promised_bytes(header)
            found = len(header) + _count(file, promised - len(header))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"the compressed data are cut off or damaged ({error})") from None
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes, found {'more' if found > promised else found}")
    return any(struct.unpack_from(_order(header) + "2h", header, 252))


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _order(header: bytes) -> str:
    """Byte order for `struct`, from the header's own length in its first field."""
    for order in "<>":
        if len(header) == HEADER_BYTES and struct.unpack_from(order + "i", header)[0] == HEADER_BYTES:
            return order
    raise ValueError("expected a NIfTI-1 header of 348 bytes")


def _promised_bytes(header: bytes) -> int:
    """Length of the whole file before compression."""
    order = _order(header)
    if header[344:348] != b"n+1\0":
        raise ValueError("expected header and voxels in one NIfTI-1 file (magic n+1)")
    dimensions, *sizes = struct.unpack_from(order + f"{MAX_DIMENSIONS + 1}h", header, 40)
    if not 1 <= dimensions <= MAX_DIMENSIONS or min(sizes[:dimensions]) < 1:
        raise ValueError(f"the header promises no voxel: dim = {dimensions}, {sizes}")
    datatype, bits = struct.unpack_from(order + "2h", header, 70)
    if DATATYPES.get(datatype) != bits:
        raise ValueError(f"expected whole or real numbers, found datatype {datatype} with {bits} bits")
    (offset,) = struct.unpack_from(order + "f", header, 108)
    if not HEADER_BYTES <= offset <= 1 << 24 or offset != int(offset):
        raise ValueError(f"the header has no usable vox_offset: {offset}")
    return int(offset) + math.prod(sizes[:dimensions]) * bits // 8


def _count(file: BinaryIO, limit: int) -> int:
    """Bytes that are left, counted no further than one more than `limit`; reading to the end verifies the checksum."""
    count = 0
    while count <= limit and (block := len(file.read(min(1 << 20, limit + 1 - count)))):
        count += block
    return count
