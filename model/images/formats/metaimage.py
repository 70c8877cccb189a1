"""MetaImage files (.mha, or .mhd with its voxels beside it), checked and made plain before ITK reads them.

ITK's reader crashes on some headers, and reads a cut or damaged file without a word: the rest of the volume is zeros, or
what the memory held before. What it gets from here is an uncompressed file of the fields that it needs, all voxels there.
Other fields, DICOM tags among them, end here.
"""

import hashlib
import math
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import require_scalar_3d
from model.images.space import space_by_fields
from model.images.streams import FileBytes, PlainFile, decompressed, read_file, require_length, require_plausible

HEADER_LIMIT = 1 << 20  # bytes; published headers have about 1000
LONGEST_LINE = 1000  # bytes, of a field that is no DICOM tag; published ones have about 100
MOST_DIMENSIONS = 4
VECTORS = {"DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation", "SequenceID"}
MATRICES = {"TransformMatrix", "Rotation", "Orientation"}
NUMBERS = {"ElementNumberOfChannels", "ElementMin", "ElementMax", "HeaderSize", "CompressedDataSize", "ID", "ParentID"}
GEOMETRY_FIELDS = MATRICES | {"Offset", "Position", "Origin", "ElementSpacing", "ElementSize"}
LEAST_DETERMINANT = 1e-6  # of three directions that ITK can turn back; a rotation has 1
SIZES_MM = {"ElementSpacing", "ElementSize"}
PLAIN_FIELDS = GEOMETRY_FIELDS | {"DimSize", "ElementType", "BinaryDataByteOrderMSB", "ElementByteOrderMSB"}
ELEMENT_BYTES = {  # as MetaIO has them, whatever the machine's own sizes are
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
Fields = dict[str, str]


def read_plain(path: Path) -> PlainFile:
    """One plain MetaImage file of the fields that ITK needs.

    Each file is opened once. Raises ValueError unless the voxels lie in this
    very file, or for .mhd in one file beside it, all of them and no more; UserError unless they are one 3D map.
    """
    file = read_file(path)
    fields, start = _read_header(file.data[:HEADER_LIMIT])
    fields = _one_volume(fields)
    size = _size(fields)
    require_scalar_3d(size, _channels(fields), path)
    _require_geometry(fields, path)
    where = _voxel_file(path, fields)
    digest = hashlib.sha256(file.data)
    if where != path:
        file, start = read_file(where), 0
        digest.update(file.data)
    oriented = not MATRICES.isdisjoint(fields) and fields.get("AnatomicalOrientation") != "???"
    space = space_by_fields(fields, oriented=oriented)
    return PlainFile(_plain_header(fields), _voxels(file, start, fields), space, digest.hexdigest(), "MetaImageIO")


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
        raise ValueError(f"its voxels are in {name}, expected in the file itself (LOCAL)")
    if (
        name != Path(name).name
        or name in ("", "..", path.name)
        or name.startswith("LIST")
        or "%" in name
        or not name.isprintable()
    ):
        raise ValueError(f"its voxels are in {name}, expected one file beside it")
    voxels = path.with_name(name)
    if voxels.exists() and not voxels.is_file():  # reading a pipe or a device might never end
        raise ValueError(f"its voxels are in {name}, which is no file")
    return voxels


def _read_header(head: bytes) -> tuple[Fields, int]:
    """The header's fields and the place of the first voxel; ElementDataFile is always the last field."""
    fields, place, name = {}, 0, ""
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", place)
        if end < 0:
            raise ValueError("the header has no end")
        line = head[place:end].decode("latin-1").strip("\0 \r")
        place = end + 1
        if not line or ("=" not in line and _is_dicom(name)):  # a tag's text may have more than one line
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name or (len(line) > LONGEST_LINE and not _is_dicom(name)) or name in fields:
            raise ValueError(f"the header has a line that is no field or one twice: {line[:50]!a}")
        fields[name] = value
    return fields, place


def _is_dicom(name: str) -> bool:
    """Whether a field is named as SimpleITK names DICOM tags: 0008|0060."""
    return len(name) == 9 and name[4] == "|"


def _one_volume(fields: Fields) -> Fields:
    """The fields, checked to be numbers as many as MetaIO will read; a fourth dimension of one volume is left out."""
    dimensions = fields.get("NDims", "0")
    if dimensions not in map(str, range(1, MOST_DIMENSIONS + 1)):
        raise ValueError(f"NDims = {dimensions[:20]}, expected 3")
    n = int(dimensions)
    for names, count in ((VECTORS, n), (MATRICES, n * n), (NUMBERS, 1)):
        for name in names & fields.keys():
            _require_numbers(name, fields[name], count)
    if n < 4 or _size(fields)[3] != 1:
        return fields
    flat = {name: " ".join(fields[name].split()[:3]) for name in VECTORS & fields.keys()}
    for name in MATRICES & fields.keys():
        words = fields[name].split()
        flat[name] = " ".join(word for row in range(3) for word in words[4 * row : 4 * row + 3])
    return fields | flat


def _require_numbers(name: str, value: str, count: int) -> None:
    try:
        found = len([float(word) for word in value.split()])
    except ValueError:
        found = 0
    if found != count or not value.isascii() or "_" in value:  # Python's blanks and numbers are more than MetaIO's
        raise ValueError(f"{name} = {value[:50]}, expected {count} numbers")


def _size(fields: Fields) -> tuple[int, ...]:
    """(x, y, z), all above 0."""
    try:
        size = tuple(int(n) for n in fields["DimSize"].split())
    except (KeyError, ValueError):
        raise ValueError(f"the header has no usable DimSize: {fields.get('DimSize', '')[:50]}") from None
    if min(size) < 1:
        raise ValueError(f"the header promises no voxel: DimSize = {fields['DimSize']}")
    return size


def _channels(fields: Fields) -> int:
    try:
        return int(fields.get("ElementNumberOfChannels", "1"))
    except ValueError:
        raise ValueError(f"ElementNumberOfChannels = {fields['ElementNumberOfChannels'][:50]}, expected 1") from None


def _voxels(file: FileBytes, start: int, fields: Fields) -> bytes | memoryview:
    """The uncompressed voxels, exactly as many as the header promises."""
    if fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise ValueError(f"HeaderSize = {fields['HeaderSize']} points elsewhere than to the end of the header")
    if not _is_true(fields, "BinaryData", "True"):
        raise ValueError("its voxels are text, expected binary ones")
    if fields.get("ElementType") not in ELEMENT_BYTES:
        raise ValueError(f"the header has no usable ElementType: {fields.get('ElementType', '')[:50]}")
    promised, found = math.prod(_size(fields)) * ELEMENT_BYTES[fields["ElementType"]], file.size - start
    if not _is_true(fields, "CompressedData"):
        require_length(found, promised)
        return memoryview(file.data)[start:]
    declared = fields.get("CompressedDataSize")
    if declared != str(found):
        raise ValueError(f"the header promises {declared or 'no'} bytes of compressed data, found {found}")
    require_plausible(found, promised)
    voxels = decompressed(memoryview(file.data)[start:], promised)
    require_length(len(voxels), promised)
    return voxels


def _plain_header(fields: Fields) -> bytes:
    lines = [f"{name} = {value}" for name, value in fields.items() if name in PLAIN_FIELDS]
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", *lines, "ElementDataFile = LOCAL", ""]
    return "\n".join(lines).encode("latin-1")


def _require_geometry(fields: Fields, path: Path) -> None:
    """Raise UserError on geometry that ITK takes for another: NaN for 0, a negative spacing for a turned direction.

    So it does without a spacing, which ITK takes for 1 mm, or for the voxels' own size, which leaves out gaps between them.
    """
    if "ElementSpacing" not in fields:
        found = f", found ElementSize = {fields['ElementSize'][:100]} alone" if "ElementSize" in fields else ""
        reason = "a voxel's own size need not be its distance from the next" if found else "1 mm is not assumed"
        raise UserError(f"{path}: no spacing, expected ElementSpacing in mm{found}; {reason}")
    for name in sorted(GEOMETRY_FIELDS & fields.keys()):
        numbers = [float(word) for word in fields[name].split()]
        expected = ""
        if not all(math.isfinite(number) for number in numbers):
            expected = "finite numbers"
        elif name in SIZES_MM and min(numbers) <= 0:
            expected = "numbers above 0"
        elif name in MATRICES and abs(np.linalg.det(np.reshape(numbers, (3, 3)))) < LEAST_DETERMINANT:
            expected = "the directions of three axes at right angles"
        if expected:
            raise UserError(f"{path}: {name} = {fields[name][:100]}, expected {expected}")


def _is_true(fields: Fields, name: str, default: str = "False") -> bool:
    return fields.get(name, default).lower().startswith(("t", "1"))
