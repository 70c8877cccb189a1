"""Checks that an NRRD file (.nrrd) holds the voxels its header promises."""

import math
import re
from pathlib import Path

from model.images.streams import GZIP, decompressed_length, require_length, require_plausible

HEADER_LIMIT = 1 << 20  # bytes; ITK writes about 500

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
TEXTS = {"type", "space", "kinds", "endian", "encoding", "labels", "content", "centerings"}
UNITS = {"space units", "units"}
NUMBERS = {"dimension": 1, "space dimension": 1, "sizes": 3, "spacings": 3, "thicknesses": 3}  # how many
VECTORS = {"space origin": 1, "space directions": 3, "measurement frame": 3}
LONGEST_LINE = 4096  # bytes
LARGEST_NUMBER = 1e9
VECTOR = re.compile(r"\(([^()]*)\)")


def check_header(path: Path) -> None:
    """Raise ValueError unless the header is one that ITK may see: its parser crashes on some that are not.

    Every field is one of those named above, there once, with three dimensions' worth of numbers of a possible size.
    """
    with path.open("rb") as file:
        fields, _ = _read_header(file.read(HEADER_LIMIT))
    if fields.get("dimension") != "3":
        raise ValueError(f"dimension: {fields.get('dimension', '')[:20]}, expected 3")
    for name, value in fields.items():
        if name in NUMBERS:
            _require_numbers(name, value.split(), NUMBERS[name])
        elif name in VECTORS:
            vectors = VECTOR.findall(value)
            if len(vectors) != VECTORS[name] or VECTOR.sub("", value).strip():
                raise ValueError(f"{name}: {value[:50]}, expected {VECTORS[name]} of (x,y,z)")
            for vector in vectors:
                _require_numbers(name, vector.split(","), 3)
        elif name in UNITS:
            if set(value.replace('"', " ").split()) - {"mm"}:
                raise ValueError(f"{name}: {value[:50]}, expected mm")
        elif name not in TEXTS:
            raise ValueError(f"the field {name[:50]!a} is not supported")


def _require_numbers(name: str, words: list[str], count: int) -> None:
    try:
        usable = len(words) == count and all(abs(float(word)) <= LARGEST_NUMBER for word in words)  # NaN is not
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{name}: {' '.join(words)[:50]}, expected {count} numbers up to {LARGEST_NUMBER:g}")


def check_nrrd(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient (a `space` of ORIENTED).

    Raises ValueError unless the voxels lie in this very file, raw or compressed with gzip, all of them and no more. The
    header must have passed `check_header`.
    """
    with path.open("rb") as file:
        fields, start = _read_header(file.read(HEADER_LIMIT))
        promised, encoding = _voxel_bytes(fields), fields.get("encoding")
        if encoding == "raw":
            found = path.stat().st_size - start
        elif encoding in ("gzip", "gz"):
            require_plausible(path.stat().st_size - start, promised)
            file.seek(start)
            found = decompressed_length(file.read(), promised, GZIP)
        else:
            raise ValueError(f"expected encoding raw or gzip, found {encoding}")
    require_length(found, promised)
    return fields.get("space") in ORIENTED


def _read_header(head: bytes) -> tuple[dict[str, str], int]:
    """The header's fields and the place of the first voxel, after an empty line; comments and key/value pairs left out."""
    if not head.startswith(b"NRRD000"):
        raise ValueError("expected a file that begins with NRRD000")
    fields: dict[str, str] = {}
    place = head.find(b"\n") + 1
    while place and (end := head.find(b"\n", place)) >= 0:
        line = head[place:end].decode("latin-1").rstrip("\r")
        place = end + 1
        if not line:
            return fields, place
        name, colon, value = line.partition(": ")
        if len(line) > LONGEST_LINE or name in fields:
            raise ValueError(f"the header has a line that is too long or a field twice: {line[:50]!a}")
        if line.startswith("#") or ":=" in line:
            continue
        if not colon:
            raise ValueError(f"the header has a line that is no field: {line[:50]!a}")
        fields[name] = value.strip()
    raise ValueError("the header has no end")


def _voxel_bytes(fields: dict[str, str]) -> int:
    element = next((size for size, names in ELEMENT_TYPES.items() if fields.get("type") in names.split(", ")), 0)
    try:
        sizes = [int(word) for word in fields["sizes"].split()]
    except (KeyError, ValueError):
        sizes = []
    if not element or not sizes or min(sizes) < 1:
        raise ValueError(f"the header has no usable sizes and type: {fields.get('sizes')}, {fields.get('type')}")
    return math.prod(sizes) * element
