"""Checks that an NRRD file (.nrrd) holds the voxels its header promises."""

import math
from pathlib import Path

from model.streams import GZIP, decompressed_length

HEADER_LIMIT = 1 << 20  # bytes; ITK writes about 500

ELEMENT_TYPES = {  # by bytes, all the names that NRRD has for them
    1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
    2: "short, short int, signed short, signed short int, int16, int16_t, "
    "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
    8: "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t, "
    "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t, double",
}
ORIENTED = "space"  # a named space; with `space dimension` alone the axes mean nothing in the patient


def check_nrrd(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient (a named `space`).

    Raises ValueError unless the voxels lie in this very file, raw or compressed with gzip, all of them and no more.
    """
    with path.open("rb") as file:
        fields, start = _read_header(file.read(HEADER_LIMIT))
        if "data file" in fields or "datafile" in fields:
            raise ValueError("its voxels are in another file, expected in the file itself")
        if not {"line skip", "byte skip", "lineskip", "byteskip"}.isdisjoint(fields):
            raise ValueError("line skip and byte skip are not supported")
        promised, encoding = _voxel_bytes(fields), fields.get("encoding")
        if encoding == "raw":
            found = path.stat().st_size - start
        elif encoding in ("gzip", "gz"):
            file.seek(start)
            found = decompressed_length(file.read(), promised, GZIP)
        else:
            raise ValueError(f"expected encoding raw or gzip, found {encoding}")
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes of voxels, found {'more' if found > promised else found}")
    return ORIENTED in fields


def _read_header(head: bytes) -> tuple[dict[str, str], int]:
    """The header's fields and the place of the first voxel, after an empty line."""
    if not head.startswith(b"NRRD000"):
        raise ValueError("expected a file that begins with NRRD000")
    fields, place = {}, 0
    while (end := head.find(b"\n", place)) >= 0:
        line = head[place:end].decode("latin-1").rstrip("\r")
        place = end + 1
        if not line:
            return fields, place
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[name.strip()] = value.strip()
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
