"""Checks that a NIfTI-1 file (.nii, .nii.gz) holds the voxels its header promises."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from model.images.streams import require_plausible

HEADER_BYTES = 348
MAX_DIMENSIONS = 7
# What can be read: type codes and their bits a voxel.
DATATYPES = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
LARGEST_NUMBER = 1e9  # of spacing, offset and scaling
PLACE_TOLERANCE_MM = 0.1  # float32 quaternions of volumes of 250 mm are right to less


def check_header(path: Path) -> None:
    """Raise ValueError unless the header is one that ITK may see: it hangs on some that are not.

    The places of the voxels must be the same by qform, sform and pixdim, where the header has more than one: readers differ
    in which they take.
    """
    other = path.with_suffix("")
    if path.name.lower().endswith(".gz") and other.exists():  # ITK would read the voxels of that one
        raise ValueError(f"{other.name} lies beside it; ITK would mix the two up")
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
    _require_one_place(header)


def _require_one_place(header: bytes) -> None:
    order = _order(header)
    qform_code, sform_code = struct.unpack_from(order + "2h", header, 252)
    sform = np.reshape(struct.unpack_from(order + "12f", header, 280), (3, 4))
    pixdim = np.array(struct.unpack_from(order + "8f", header, 76))
    lengths = np.linalg.norm(sform[:, :3], axis=0)
    if sform_code > 0 and not np.allclose(lengths, np.abs(pixdim[1:4]), rtol=0, atol=PLACE_TOLERANCE_MM):
        raise ValueError(f"its sform has voxels of {lengths.round(4)} mm, its pixdim says {pixdim[1:4].round(4)}")
    if sform_code > 0 and qform_code > 0:
        sizes = np.array(struct.unpack_from(order + "3h", header, 42))
        corners = np.array(list(np.ndindex(2, 2, 2))) * (sizes - 1)
        qform = _qform(pixdim, np.array(struct.unpack_from(order + "6f", header, 256)))
        apart = np.abs(corners @ (qform - sform)[:, :3].T + (qform - sform)[:, 3]).max()
        if not apart <= PLACE_TOLERANCE_MM:
            raise ValueError(f"its qform and its sform put the voxels up to {apart:.3g} mm apart")


def _qform(pixdim: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The affine (3, 4) that pixdim (8,) and quatern_b, c, d with qoffset_x, y, z mean by the NIfTI-1 standard."""
    b, c, d = values[:3]
    a = np.sqrt(max(1 - (b * b + c * c + d * d), 0))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    scale = pixdim[1:4] * [1, 1, -1 if pixdim[0] < 0 else 1]
    return np.column_stack([rotation * scale, values[3:]])


def check_nifti(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient (`qform_code` or `sform_code` above 0).

    Raises ValueError unless all voxels are there, and in a compressed file its checksum is right.
    """
    with _open(path) as file:
        try:
            header = file.read(HEADER_BYTES)
            promised = _promised_bytes(header)
            require_plausible(path.stat().st_size, promised)
            found = len(header) + _count(file, promised - len(header))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"the compressed data are cut off or damaged ({error})") from None
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes, found {'more' if found > promised else found}")
    return any(struct.unpack_from(_order(header) + "2h", header, 252))


def _open(path: Path) -> io.BufferedIOBase:
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


def _count(file: io.BufferedIOBase, limit: int) -> int:
    """Bytes that are left, counted no further than one more than `limit`; reading to the end verifies the checksum."""
    count = 0
    while count <= limit and (block := len(file.read(min(1 << 20, limit + 1 - count)))):
        count += block
    return count
