"""MetaImage files (.mha, or .mhd with its voxels beside it).

They are not left to ITK, whose reader crashes on some headers and reads a cut or damaged file without a word: the rest of
the volume is zeros, or what the memory held before. Fields that say nothing of the voxels, DICOM tags among them, end here.
"""

import hashlib
import math
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import Grid, Volume, number_of, require_scalar_3d
from model.images.space import CODES, UNKNOWN, space_by_fields
from model.images.streams import ZLIB, FileBytes, read_file, voxels_behind

HEADER_LIMIT = 1 << 20  # bytes; published headers have about 1000
ORIGIN = ("Offset", "Position", "Origin")  # all the names of one thing
DIRECTION = ("TransformMatrix", "Rotation", "Orientation")
USED = {
    *("NDims", "DimSize", "ElementSpacing", "ElementSize", "AnatomicalOrientation", *ORIGIN, *DIRECTION, *CODES),
    *("ElementType", "ElementNumberOfChannels", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
    *("CompressedData", "HeaderSize", "ElementDataFile"),
}
ELEMENTS = {  # as MetaIO has them, whatever the machine's own sizes are
    **{"MET_CHAR": "i1", "MET_SHORT": "i2", "MET_INT": "i4", "MET_LONG": "i4", "MET_LONG_LONG": "i8"},
    **{"MET_UCHAR": "u1", "MET_USHORT": "u2", "MET_UINT": "u4", "MET_ULONG": "u4", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
Fields = dict[str, str]


def read_metaimage(path: Path) -> Volume:
    """One 3D map, NaN and infinity kept. Each file is opened once.

    Raises ValueError unless the voxels lie in this very file, or for .mhd in one file beside it, all of them and no more;
    UserError unless they are one 3D map whose spacing is told.
    """
    file = read_file(path)
    fields, start = _read_header(file.data[:HEADER_LIMIT])
    grid = _grid(fields, path)
    where = _voxel_file(path, fields)
    digest = hashlib.sha256(file.data)
    if where != path:
        file, start = read_file(where), 0
        digest.update(file.data)
    voxels = np.frombuffer(_voxels(file, start, fields, math.prod(grid.size)), _dtype(fields)).reshape(grid.size)
    oriented = not fields.keys().isdisjoint(DIRECTION) and fields.get("AnatomicalOrientation") != "???"
    space = space_by_fields(fields, oriented=oriented)
    with np.errstate(over="ignore"):  # too large for float32 is infinite
        return Volume(voxels.astype(np.float32), grid, path, space != UNKNOWN, digest.hexdigest(), space=space)


def voxel_file(path: Path) -> Path:
    """The file that holds the voxels of an .mhd or .mha. Raises ValueError or OSError."""
    with path.open("rb") as file:
        fields, _ = _read_header(file.read(HEADER_LIMIT))
    return _voxel_file(path, fields)


def _voxel_file(path: Path, fields: Fields) -> Path:
    name = fields["ElementDataFile"]
    if name == "LOCAL":
        return path
    if path.suffix.lower() != ".mhd":
        raise ValueError(f"its voxels are in {name[:50]!a}, expected in the file itself (LOCAL)")
    voxels = path.with_name(name)  # not in another folder: that would be no name
    if voxels.exists() and not voxels.is_file():  # reading a pipe or a device might never end
        raise ValueError(f"its voxels are in {name[:50]!a}, which is no file")
    return voxels


def _read_header(head: bytes) -> tuple[Fields, int]:
    """The fields in USED and the place of the first voxel; ElementDataFile is always the last field."""
    fields: Fields = {}
    place, name = 0, ""
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", place)
        if end < 0:
            raise ValueError("the header has no end")
        before, line = name, head[place:end].decode(errors="replace").strip("\0 \t\r")
        place = end + 1
        name, equals, value = (part.strip("\0 \t") for part in line.partition("="))
        if not equals and (not line or "|" in before):  # a DICOM tag's text may have more than one line
            name = before
            continue
        if not equals or name in fields:
            raise ValueError(f"the header has a line that is no field or one twice: {line[:50]!a}")
        if name in USED:
            fields[name] = value
    return fields, place


def _grid(fields: Fields, path: Path) -> Grid:
    """Where the voxels lie; a fourth dimension of one volume is left out."""
    dimensions = fields.get("NDims", "")
    if dimensions not in ("1", "2", "3", "4"):
        raise ValueError(f"NDims = {dimensions[:20]!a}, expected 3")
    n = int(dimensions)
    size = tuple(int(number) for number in _numbers(fields, "DimSize", n))
    if min(size) < 1:
        raise ValueError(f"the header promises no voxel: DimSize = {fields['DimSize']}")
    (channels,) = _numbers({"ElementNumberOfChannels": "1"} | fields, "ElementNumberOfChannels", 1)
    require_scalar_3d(size[:3] if n == 4 and size[3] == 1 else size, int(channels), path)
    if "ElementSpacing" not in fields:
        found = f", found ElementSize = {fields['ElementSize'][:100]} alone" if "ElementSize" in fields else ""
        reason = "a voxel's own size need not be its distance from the next" if found else "1 mm is not assumed"
        raise UserError(f"{path}: no spacing, expected ElementSpacing in mm{found}; {reason}")
    x, y, z = size[:3]
    sx, sy, sz = _numbers(fields, "ElementSpacing", n)[:3]
    origin, direction = np.zeros(n), np.eye(n)
    if name := _one_of(ORIGIN, fields):
        origin += _numbers(fields, name, n)
    if name := _one_of(DIRECTION, fields):
        direction = np.reshape(_numbers(fields, name, n * n), (n, n)).T  # an axis is a row in the file
    ox, oy, oz = origin[:3].tolist()
    return Grid((z, y, x), (sz, sy, sx), (ox, oy, oz), tuple(direction[:3, :3].ravel().tolist()))


def _one_of(names: tuple[str, ...], fields: Fields) -> str:
    found = [name for name in names if name in fields]
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)}: expected one of them")
    return found[0] if found else ""


def _numbers(fields: Fields, name: str, count: int) -> list[float]:
    value = fields.get(name, "")
    try:
        numbers = [number_of(word) for word in value.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or (
        name in ("DimSize", "ElementNumberOfChannels") and not all(n.is_integer() for n in numbers)
    ):
        raise ValueError(f"{name} = {value[:50]!a}, expected {count} numbers")
    return numbers


def _dtype(fields: Fields) -> np.dtype:
    element = fields.get("ElementType", "")
    if element not in ELEMENTS:
        raise ValueError(f"the header has no usable ElementType: {element[:50]!a}")
    big = _is_true(fields, "BinaryDataByteOrderMSB" if "BinaryDataByteOrderMSB" in fields else "ElementByteOrderMSB")
    return np.dtype(ELEMENTS[element]).newbyteorder(">" if big else "<")


def _voxels(file: FileBytes, start: int, fields: Fields, count: int) -> bytes | memoryview:
    if fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise ValueError(f"HeaderSize = {fields['HeaderSize'][:20]!a} points elsewhere than to the end of the header")
    if not _is_true({"BinaryData": "True"} | fields, "BinaryData"):
        raise ValueError("its voxels are text, expected binary ones")
    compression = ZLIB if _is_true(fields, "CompressedData") else None
    return voxels_behind(file, start, count * _dtype(fields).itemsize, compression)


def _is_true(fields: Fields, name: str) -> bool:
    return fields.get(name, "").lower().startswith(("t", "1"))
