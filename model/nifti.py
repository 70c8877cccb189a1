"""Checks that a NIfTI-1 file (.nii, .nii.gz) holds the voxels its header promises."""

import gzip
import math
import struct
import zlib
from pathlib import Path

HEADER_BYTES = 348
MAX_DIMENSIONS = 7


def check_nifti(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient (`qform_code` or `sform_code` above 0).

    Raises ValueError unless all voxels are there, and in a compressed file its checksum is right.
    """
    compressed = path.name.lower().endswith(".gz")
    with gzip.open(path) if compressed else path.open("rb") as file:
        try:
            header = file.read(HEADER_BYTES)
            promised = _promised_bytes(header)
            found = len(header) + _count(file, promised - len(header))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"the compressed data are cut off or damaged ({error})") from None
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes, found {'more' if found > promised else found}")
    return any(struct.unpack_from(_order(header) + "2h", header, 252))


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
    (bits,) = struct.unpack_from(order + "h", header, 72)
    (offset,) = struct.unpack_from(order + "f", header, 108)
    if bits < 8 or bits % 8 or not HEADER_BYTES <= offset <= 1 << 24 or offset != int(offset):
        raise ValueError(f"the header has no usable bitpix and vox_offset: {bits}, {offset}")
    floats = struct.unpack_from(order + "8f", header, 76) + struct.unpack_from(order + "18f", header, 256)
    if not all(map(math.isfinite, floats)):
        raise ValueError("pixdim, qform or sform is not finite")
    return int(offset) + math.prod(sizes[:dimensions]) * bits // 8


def _count(file: gzip.GzipFile, limit: int) -> int:
    """Bytes that are left, counted no further than one more than `limit`; reading to the end verifies the checksum."""
    count = 0
    while count <= limit and (block := len(file.read(min(1 << 20, limit + 1 - count)))):
        count += block
    return count
