"""Checks that a MetaImage file (.mha, or .mhd with its voxels beside it) holds the voxels its header promises."""

import math
import re
from pathlib import Path

from model.images.streams import decompressed_length, require_length, require_plausible

HEADER_LIMIT = 1 << 20  # bytes; published headers have about 1000
LONGEST_LINE = 1000  # bytes; published ones have about 100
NAME = re.compile(r"[A-Za-z][\w.\[\]-]*")
MOST_DIMENSIONS = 4
VECTORS = {"DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation", "SequenceID"}
MATRICES = {"TransformMatrix", "Rotation", "Orientation"}
NUMBERS = {"ElementNumberOfChannels", "ElementMin", "ElementMax", "HeaderSize", "CompressedDataSize", "ID", "ParentID"}
GEOMETRY_FIELDS = MATRICES | {"Offset", "Position", "Origin", "ElementSpacing"}
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


def check_header(path: Path) -> None:
    """Raise ValueError unless the header is one that ITK may see: its parser crashes on some that are not.

    Every line is a field that is there once, with as many numbers as MetaIO will read.
    """
    with path.open("rb") as file:
        fields, _ = _read_header(file.read(HEADER_LIMIT))
    dimensions = fields.get("NDims", "0")
    if dimensions not in map(str, range(1, MOST_DIMENSIONS + 1)):
        raise ValueError(f"NDims = {dimensions[:20]}, expected 3")
    n = int(dimensions)
    for names, count in ((VECTORS, n), (MATRICES, n * n), (NUMBERS, 1)):
        for name in names & fields.keys():
            _require_numbers(name, fields[name], count)


def _require_numbers(name: str, value: str, count: int) -> None:
    try:
        found = len([float(word) for word in value.split()])
    except ValueError:
        found = 0
    if found != count:
        raise ValueError(f"{name} = {value[:50]}, expected {count} numbers")


def check_metaimage(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient.

    Raises ValueError unless the voxels lie in this very file, or for .mhd in one file beside it, all of them and no more.
    """
    with path.open("rb") as file:
        fields, start = _read_header(file.read(HEADER_LIMIT))
    if fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise ValueError(f"HeaderSize = {fields['HeaderSize']} points elsewhere than to the end of the header")
    _require_finite(fields)
    voxels = _voxel_file(path, fields)
    start = start if voxels == path else 0
    promised, found = _voxel_bytes(fields), voxels.stat().st_size - start
    if _is_true(fields, "CompressedData"):
        _require_declared(fields, found, promised)
        with voxels.open("rb") as file:
            file.seek(start)
            found = decompressed_length(file.read(), promised)
    require_length(found, promised)
    return not MATRICES.isdisjoint(fields) and fields.get("AnatomicalOrientation") != "???"


def voxel_file(path: Path) -> Path:
    """The file that holds the voxels of an .mhd or .mha. Raises ValueError or OSError like `check_metaimage`."""
    with path.open("rb") as file:
        fields, _ = _read_header(file.read(HEADER_LIMIT))
    return _voxel_file(path, fields)


def _voxel_file(path: Path, fields: dict[str, str]) -> Path:
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


def _read_header(head: bytes) -> tuple[dict[str, str], int]:
    """The header's fields and the place of the first voxel; ElementDataFile is always the last field."""
    fields, place = {}, 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", place)
        if end < 0:
            raise ValueError("the header has no end")
        line = head[place:end].decode("latin-1").strip("\0 \r")
        place = end + 1
        if line:
            name, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not NAME.fullmatch(name) or len(line) > LONGEST_LINE or name in fields:
                raise ValueError(f"the header has a line that is no field or one twice: {line[:50]!a}")
            fields[name] = value
    return fields, place


def _voxel_bytes(fields: dict[str, str]) -> int:
    try:
        size = [int(n) for n in fields["DimSize"].split()]
        element = ELEMENT_BYTES[fields["ElementType"]]
        components = int(fields.get("ElementNumberOfChannels", "1"))
    except (KeyError, ValueError):
        raise ValueError("the header has no usable DimSize and ElementType") from None
    if min(size) < 1:
        raise ValueError(f"the header promises no voxel: DimSize = {fields['DimSize']}")
    return math.prod(size) * element * components


def _require_finite(fields: dict[str, str]) -> None:
    """ITK takes a NaN origin for 0, which would shift the mask."""
    for name in GEOMETRY_FIELDS & fields.keys():
        if not all(math.isfinite(float(word)) for word in fields[name].split()):
            raise ValueError(f"{name} = {fields[name]} is not finite")


def _require_declared(fields: dict[str, str], found: int, promised: int) -> None:
    declared = fields.get("CompressedDataSize")
    if declared != str(found):
        raise ValueError(f"the header promises {declared or 'no'} bytes of compressed data, found {found}")
    require_plausible(found, promised)


def _is_true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "False").lower().startswith(("t", "1"))
