"""FreeSurfer's volumes (.mgz, .mgh), which are read and not written.

All numbers are big-endian. After a header come the voxels, x fastest, then five numbers on the scan and tags such as the
commands that made the file, where the program wrote them. Millimetres count to the right, the front and the top (RAS), as in
NIfTI, and the header has the place of voxel (nx, ny, nz) / 2, counted from 0.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.formats.nifti import TO_LPS
from model.images.grid import Grid, Volume, require_scalar_3d
from model.images.streams import plain_stream, read_file, require_plausible

HEADER = struct.Struct(">7ih15f")  # version, sizes (x, y, z, frames), type, dof, goodRASFlag, spacing, axes, centre
HEADER_BYTES = 284  # with what is unused
VERSIONS = (1, 257)  # of an image, and of one that is said to hold labels
TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
SCAN_BYTES = 20  # the five numbers behind the voxels
MOST_BEHIND = 1 << 20  # bytes behind the voxels


def read_mgh(path: Path) -> Volume:
    """One 3D map, NaN and infinity kept; compressed or not by what the file is, whatever its name. Opened once.

    Raises ValueError when it is cut off, damaged or no MGH file, UserError when it is whole but not usable.
    """
    file = read_file(path)
    with plain_stream(file) as stream:
        head = stream.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES:
            raise ValueError(f"expected an MGH header of {HEADER_BYTES} bytes")
        version, x, y, z, frames, number_type, _, is_placed, *place = HEADER.unpack_from(head)
        if version not in VERSIONS:
            raise ValueError("expected an MGH file of version 1")
        if min(x, y, z, frames) < 1:
            raise ValueError(f"the header promises no voxel: {x} x {y} x {z}, {frames} frames")
        require_scalar_3d((x, y, z) if frames == 1 else (x, y, z, frames), 1, path)
        if number_type not in TYPES:
            raise UserError(f"{path}: expected whole or real numbers, found MGH type {number_type}")
        if is_placed != 1:
            raise UserError(f"{path}: no spacing, expected goodRASFlag 1, found {is_placed}; 1 mm is not assumed")
        dtype = np.dtype(TYPES[number_type])
        promised = x * y * z * dtype.itemsize
        require_plausible(file.size, promised + MOST_BEHIND)
        data = stream.read(promised + MOST_BEHIND + 1)
    _require_whole(data, promised)
    voxels = np.frombuffer(data, dtype, x * y * z).reshape(z, y, x).astype(np.float32)
    return Volume(voxels, _grid((x, y, z), place), path, sha256=hashlib.sha256(file.data).hexdigest())


def _require_whole(data: bytes, promised: int) -> None:
    """Raise ValueError unless all voxels are there, and only the scan's numbers and tags behind them: a slice is no tag."""
    tag = int.from_bytes(data[promised + SCAN_BYTES :][:4], signed=True)
    more = len(data) - promised
    if more < 0 or more > MOST_BEHIND or (more > SCAN_BYTES and not (-1 <= tag < 256 and tag)):
        raise ValueError(f"the header promises {promised} bytes of voxels, found {'more' if more > 0 else len(data)}")


def _grid(size: tuple[int, int, int], place: list[float]) -> Grid:
    spacing_mm, centre = place[:3], place[12:]
    axes = np.reshape(place[3:12], (3, 3)).T  # one in each column
    with np.errstate(invalid="ignore"):  # what is not finite is refused with the grid
        origin = TO_LPS * (centre - axes @ np.multiply(spacing_mm, size) / 2)
    direction = (TO_LPS[:, None] * axes).ravel()
    (x, y, z), (sx, sy, sz) = origin.tolist(), spacing_mm
    return Grid(size[::-1], (sz, sy, sx), (x, y, z), tuple(direction.tolist()))
