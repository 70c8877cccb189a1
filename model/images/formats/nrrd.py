"""NRRD files (.nrrd), checked and made plain before ITK reads them.

ITK's reader crashes on some headers, and reads a cut or damaged compressed file without a word. What it gets from here is an
uncompressed file of the fields that it needs, all voxels there. (pynrrd would replace the splitting of lines, a tenth of
this: it checks neither lengths nor sizes, and leaves the axes as they are stored.)
"""

import hashlib
import math
import re
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import require_scalar_3d
from model.images.space import CODES, space_by_fields
from model.images.streams import GZIP, FileBytes, PlainFile, decompressed, read_file, require_length, require_plausible

HEADER_LIMIT = 1 << 20  # bytes; ITK writes about 500
ITK_READER = "NrrdImageIO"

ELEMENT_TYPES = {  # by bytes, all the names that NRRD has for them
    1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
    2: "short, short int, signed short, signed short int, int16, int16_t, "
    "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
    8: "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t, "
    "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t, double",
}
# The spaces that ITK turns into its own; in others, or with `space dimension` alone, it takes the numbers as they are.
ORIENTED = ("right-anterior-superior", "RAS", "left-anterior-superior", "LAS", "left-posterior-superior", "LPS")
# Fields of one word or more for each axis, and of vectors in space.
PER_AXIS = ("sizes", "spacings", "thicknesses", "kinds", "centerings", "space directions")
IN_SPACE = ("space origin", "space directions", "measurement frame")
NUMBERS = ("dimension", "space dimension", "sizes", "spacings", "thicknesses")
IGNORED = {"labels", "content", "centerings", "thicknesses", "units", "space units", "measurement frame", *CODES}
FIELDS = {"type", "space", "endian", "encoding", *PER_AXIS, *IN_SPACE, *NUMBERS, *IGNORED}
UNITS = ("space units", "units")
LONGEST_LINE = 4096  # bytes
LARGEST_NUMBER = 1e9
VECTOR = re.compile(r"\([^()]*\)|none")

Fields = dict[str, str]


def read_plain(path: Path) -> PlainFile:
    """One plain NRRD file of the fields that ITK needs.

    The file is opened once. Raises ValueError unless the voxels lie in this very
    file, raw or compressed with gzip, all of them and no more; UserError unless they are one 3D map.
    """
    file = read_file(path)
    fields, start = read_header(file.data[:HEADER_LIMIT])
    fields = one_volume(fields)
    size = tuple(int(word) for word in fields["sizes"].split())
    require_scalar_3d(size, 1, path)
    require_spacing(fields, path)
    space = space_by_fields(fields, oriented=fields.get("space") in ORIENTED)
    sha256 = hashlib.sha256(file.data).hexdigest()
    return PlainFile(plain_header(fields), voxels_of(file, start, fields), space, sha256, ITK_READER)


def read_header(head: bytes) -> tuple[Fields, int]:
    """The header's fields and the place of the first voxel, after an empty line.

    Comments are left out, and key/value pairs but for the CODES.
    """
    if not head.startswith(b"NRRD000"):
        raise ValueError("expected a file that begins with NRRD000")
    fields: dict[str, str] = {}
    place = head.find(b"\n") + 1
    while place and (end := head.find(b"\n", place)) >= 0:
        line = head[place:end].decode("latin-1").rstrip("\r")
        place = end + 1
        if not line:
            return fields, place
        if line.startswith("#") or ":=" in line:  # pairs of 3D Slicer's are long
            key, _, code = line.partition(":=")
            fields |= {key: code} if key in CODES else {}
            continue
        name, colon, value = line.partition(": ")
        if len(line) > LONGEST_LINE or name in fields:
            raise ValueError(f"the header has a line that is too long or a field twice: {line[:50]!a}")
        if not colon:
            raise ValueError(f"the header has a line that is no field: {line[:50]!a}")
        fields[name] = value.strip()
    raise ValueError("the header has no end")


def one_volume(fields: Fields) -> Fields:
    """The fields, checked to be known and numbers of a possible size, without a fourth axis of one volume."""
    _require_known(fields)
    axes = {name: _words(name, fields[name]) for name in PER_AXIS if name in fields}
    if fields.get("dimension") not in ("3", "4"):
        raise ValueError(f"dimension: {fields.get('dimension', '')[:20]}, expected 3")
    for name, words in axes.items():
        if len(words) != int(fields["dimension"]):
            raise ValueError(f"{name}: {fields[name][:50]}, expected {fields['dimension']} of them, as many as dimensions")
    if "sizes" not in axes or not all(word.isdecimal() and int(word) for word in axes["sizes"]):
        raise ValueError(f"the header promises no voxel: sizes: {fields.get('sizes', '')[:50]}")
    alone = _single_axis(axes)
    if alone is not None:
        axes = {name: words[:alone] + words[alone + 1 :] for name, words in axes.items()}
    vectors = {name: _words(name, fields[name]) for name in IN_SPACE if name in fields} | {
        name: words for name, words in axes.items() if name in IN_SPACE
    }
    if len(vectors.get("space origin", "1")) != 1:
        raise ValueError(f"space origin: {fields['space origin'][:50]}, expected one vector (x,y,z)")
    flat = {name: " ".join(_three(name, vector) for vector in words) for name, words in vectors.items()}
    return fields | {name: " ".join(words) for name, words in axes.items()} | flat


def _require_known(fields: Fields) -> None:
    for name, value in fields.items():
        if name not in FIELDS:
            raise ValueError(f"the field {name[:50]!a} is not supported")
        if name in UNITS and set(value.replace('"', " ").split()) - {"mm"}:
            raise ValueError(f"{name}: {value[:50]}, expected mm")
        if name in NUMBERS:
            _require_numbers(name, [word for word in value.split() if name != "spacings" or word.lower() != "nan"])


def require_spacing(fields: Fields, path: Path) -> None:
    """Raise UserError unless the header says how far apart the voxels lie along each axis.

    ITK takes 1 mm where it does not, and a negative spacing for a turned direction.
    """
    name = "space directions" if {"space", "space dimension", "space directions"} & fields.keys() else "spacings"
    value = fields.get(name)
    if value is None:
        beside = [f"{other}: {fields[other][:50]}" for other in ("spacings", "thicknesses") if other in fields]
        found = f", found {' and '.join(beside)}" if beside else "; 1 mm is not assumed"
        raise UserError(f"{path}: no spacing, expected {name} in mm{found}")
    numbers = [[float(number) for number in word.strip("()").split(",")] for word in _words(name, value)]
    if not all((math.hypot(*found) if len(found) > 1 else found[0]) > 0 for found in numbers):  # NaN is not
        raise UserError(f"{path}: {name}: {value[:100]}, expected a spacing above 0 along each axis")


def _words(name: str, value: str) -> list[str]:
    """What a field has for each axis: words, or vectors in brackets."""
    if name not in IN_SPACE:
        return value.split()
    if VECTOR.sub("", value).strip():
        raise ValueError(f"{name}: {value[:50]}, expected vectors (x,y,z)")
    return VECTOR.findall(value)


def _single_axis(axes: dict[str, list[str]]) -> int | None:
    """The axis of one volume among four axes: the one that is none in space, else the last; None where there is none."""
    directions = axes.get("space directions", [])
    axis = directions.index("none") if directions.count("none") == 1 else 3
    return axis if len(axes["sizes"]) == 4 and axes["sizes"][axis] == "1" else None


def _three(name: str, vector: str) -> str:
    """A vector in space; of one with time as its fourth number the first three."""
    numbers = vector.strip("()").split(",")
    _require_numbers(name, numbers)
    if len(numbers) not in (3, 4):
        raise ValueError(f"{name}: {vector[:50]}, expected (x,y,z)")
    return f"({','.join(numbers[:3])})"


def _require_numbers(name: str, words: list[str]) -> None:
    try:
        # NaN is not; Python's numbers are more than NRRD's
        usable = all(abs(float(word)) <= LARGEST_NUMBER and word.isascii() and "_" not in word for word in words)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{name}: {' '.join(words)[:50]}, expected numbers up to {LARGEST_NUMBER:g}")


def voxels_of(file: FileBytes, start: int, fields: Fields) -> bytes | memoryview:
    """The uncompressed voxels, exactly as many as the header promises."""
    promised = math.prod(int(word) for word in fields["sizes"].split()) * _element_bytes(fields.get("type", ""))
    encoding, found = fields.get("encoding"), file.size - start
    if encoding == "raw":
        require_length(found, promised)
        return memoryview(file.data)[start:]
    if encoding not in ("gzip", "gz"):
        raise ValueError(f"expected encoding raw or gzip, found {encoding}")
    require_plausible(found, promised)
    voxels = decompressed(memoryview(file.data)[start:], promised, GZIP)
    require_length(len(voxels), promised)
    return voxels


def dtype_of(fields: Fields) -> np.dtype:
    """The type of the voxels. Raises ValueError for one that is unknown."""
    name = fields.get("type", "")
    size = _element_bytes(name)
    kind = "f" if name in ("float", "double") else "u" if name.startswith("u") else "i"
    return np.dtype(f"{'>' if fields.get('endian') == 'big' else '<'}{kind}{size}")


def _element_bytes(name: str) -> int:
    size = next((size for size, names in ELEMENT_TYPES.items() if name in names.split(", ")), 0)
    if not size:
        raise ValueError(f"the header has no usable type: {name[:50]}")
    return size


def plain_header(fields: Fields) -> bytes:
    """The header of a plain NRRD file of the fields that ITK needs."""
    kept = {name: value for name, value in fields.items() if name not in IGNORED}
    if "space" in kept or "space dimension" in kept:
        kept.pop("space dimension", None)
        kept |= {"space": kept["space"].removesuffix("-time")} if "space" in kept else {"space dimension": "3"}
    kept |= {"dimension": "3", "encoding": "raw"}
    places = ("space", "space dimension", "sizes")  # which other fields need before them
    order = ["type", "dimension", *places, *(name for name in kept if name not in ("type", "dimension", *places))]
    lines = ["NRRD0004", *(f"{name}: {kept[name]}" for name in order if name in kept), "", ""]
    return "\n".join(lines).encode("latin-1")
