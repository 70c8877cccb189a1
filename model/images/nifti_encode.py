"""Arrays to NIfTI-1 in memory, for the viewer in a report. Files are written by model/images/volume.py.

Arrays are (z, y, x); NIfTI wants x fastest, which is the same bytes, and counts mm to the right, the front and the top,
where `Grid` counts to the left, the back and the top: two signs change.
"""

import gzip
import struct

import numpy as np

from model.images.brain import Box
from model.images.nifti import DATATYPES, HEADER_BYTES
from model.images.volume import Grid

TYPES = {"uint8": 2, "int16": 4}  # datatype of the header
DATA_OFFSET = HEADER_BYTES + 4  # which say that no extension follows
TO_RAS = np.array([-1, -1, 1])  # (x, y, z) in mm: left, back, top to right, front, top


def encode_nifti(voxels: np.ndarray, grid: Grid) -> bytes:
    """One gzipped NIfTI-1 file: uint8 or int16 (z, y, x) voxels on `grid`; the same bytes at every call.

    Raises ValueError when the array is of another type or not of the grid's size.
    """
    if voxels.dtype.name not in TYPES or voxels.shape != grid.size:
        raise ValueError(f"expected uint8 or int16 of {grid.size}, found {voxels.dtype.name} of {voxels.shape}")
    little_endian = np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).tobytes()
    return gzip.compress(_header(voxels.dtype.name, grid) + little_endian, compresslevel=9, mtime=0)


def crop_grid(grid: Grid, box: Box) -> Grid:
    """The grid of the voxels that `box` cuts out of a volume on `grid`."""
    size = tuple(part.stop - part.start for part in box)
    origin_mm = tuple(grid.to_mm(np.array([part.start for part in box])).tolist())
    return Grid(size, grid.spacing_mm, origin_mm, grid.direction)


def affine_ras(grid: Grid) -> np.ndarray:
    """From voxel (x, y, z) to mm to the right, the front and the top: float64 (3, 4)."""
    columns = np.reshape(grid.direction, (3, 3)) * grid.spacing_mm[::-1]
    return TO_RAS[:, None] * np.column_stack([columns, grid.origin_mm])


def _header(type_name: str, grid: Grid) -> bytes:
    """What comes before the voxels; the affine in the sform, no qform."""
    datatype = TYPES[type_name]
    header = bytearray(DATA_OFFSET)
    for offset, layout, values in (
        (0, "<i", (HEADER_BYTES,)),
        (40, "<8h", (3, *grid.size[::-1], 1, 1, 1, 1)),  # dim
        (70, "<2h", (datatype, DATATYPES[datatype])),
        (76, "<8f", (1, *grid.spacing_mm[::-1], 0, 0, 0, 0)),  # pixdim
        (108, "<3f", (DATA_OFFSET, 1, 0)),  # vox_offset, scl_slope, scl_inter
        (123, "<b", (2,)),  # lengths are mm
        (254, "<h", (1,)),  # sform_code: the scanner's space
        (280, "<12f", affine_ras(grid).ravel()),
        (344, "<4s", (b"n+1\0",)),
    ):
        struct.pack_into(layout, header, offset, *values)
    return bytes(header)
