"""NRRD files (.nrrd).

They are not left to ITK, whose reader crashes on some headers and reads a cut or damaged compressed file without a word.
(pynrrd would replace the splitting of lines, a tenth of this: it checks neither lengths nor sizes, and leaves the axes as
they are stored.)
"""

import hashlib
import math
import re
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import Grid, Volume, number_of, require_scalar_3d
from model.images.space import CODES, UNKNOWN, space_by_fields
from model.images.streams import GZIP, FileBytes, read_file, voxels_behind

HEADER_LIMIT = 1 << 20  # bytes; ITK writes about 500
ELEMENT_TYPES = {  # by bytes, all the names that NRRD has for them
    1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
    2: "short, short int, signed short, signed short int, int16, int16_t, "
    "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
    8: "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t, "
    "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t, double",
}
# What makes a space's (x, y, z) count to the left, the back and the top
TO_LPS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
}
UNORIENTED = ("", "scanner-xyz", "3d-right-handed", "3d-left-handed")  # whose numbers are taken as they are
PER_AXIS = ("sizes", "spacings", "kinds", "space directions")  # fields of one word or vector for each axis
OTHERS = ("type", "dimension", "space", "space dimension", "space origin", "endian", "encoding")
IGNORED = ("labels", "content", "centerings", "thicknesses", "measurement frame")
UNITS = ("space units", "units")
FIELDS = {*PER_AXIS, *OTHERS, *IGNORED, *UNITS, *CODES}
ALONG_AXES = {"domain", "space", "time", "???", "none"}  # kinds of axes that are not components of a voxel
ENCODINGS = {"raw": None, "gzip": GZIP, "gz": GZIP}
VECTOR = re.compile(r"\([^()]*\)|none")

Fields = dict[str, str]
Axes = dict[str, list[str]]


def read_nrrd(path: Path) -> Volume:
    """One 3D map, NaN and infinity kept. The file is opened once.

    Raises ValueError unless the voxels lie in this very file, raw or compressed with gzip, all of them and no more;
    UserError unless they are one 3D map whose spacing is told.
    """
    file = read_file(path)
    fields, start = read_header(file.data[:HEADER_LIMIT])
    axes = axes_of(fields)
    alone = _single_axis(axes)
    if alone is not None:
        axes = without_axis(axes, alone)
    require_scalar_3d(tuple(map(int, axes["sizes"])), 1, path)
    grid = grid_of(axes, fields, path)
    return volume_of(voxels_of(file, start, fields).reshape(grid.size), grid, path, fields, file)


def volume_of(voxels: np.ndarray, grid: Grid, path: Path, fields: Fields, file: FileBytes) -> Volume:
    """What was read of a file, as a volume."""
    space = space_by_fields(fields, oriented=fields.get("space", "").lower() in TO_LPS)
    sha256 = hashlib.sha256(file.data).hexdigest()
    with np.errstate(over="ignore"):  # too large for float32 is infinite
        return Volume(voxels.astype(np.float32), grid, path, space != UNKNOWN, sha256, space=space)


def read_header(head: bytes) -> tuple[Fields, int]:
    """The header's fields and the place of the first voxel, after an empty line.

    Comments are left out, and key/value pairs but for the CODES. Raises ValueError for a field that is not known here: it
    may say that the voxels lie elsewhere.
    """
    if not head.startswith(b"NRRD000"):
        raise ValueError("expected a file that begins with NRRD000")
    fields: Fields = {}
    place = head.find(b"\n") + 1
    while place and (end := head.find(b"\n", place)) >= 0:
        line = head[place:end].decode("latin-1").rstrip("\r")
        place = end + 1
        if not line:
            return fields, place
        if line.startswith("#") or ":=" in line:
            key, _, code = line.partition(":=")
            fields |= {key: code} if key in CODES else {}
            continue
        name, _, value = line.partition(": ")
        if name not in FIELDS or name in fields:
            raise ValueError(f"the header has a field that is not supported, or one twice: {line[:50]!a}")
        if name in UNITS and set(value.replace('"', " ").split()) - {"mm"}:
            raise ValueError(f"{name}: {value[:50]!a}, expected mm")
        fields[name] = value.strip()
    raise ValueError("the header has no end")


def axes_of(fields: Fields) -> Axes:
    """The fields of PER_AXIS, of three or four axes each."""
    dimension = fields.get("dimension", "")
    if dimension not in ("3", "4"):
        raise ValueError(f"dimension: {dimension[:20]!a}, expected 3")
    axes = {name: _words(name, fields[name]) for name in PER_AXIS if name in fields}
    for name, words in axes.items():
        if len(words) != int(dimension):
            raise ValueError(f"{name}: {fields[name][:50]!a}, expected {dimension} of them, as many as dimensions")
    if "sizes" not in axes or not all(word.isdecimal() and int(word) for word in axes["sizes"]):
        raise ValueError(f"the header promises no voxel: sizes: {fields.get('sizes', '')[:50]!a}")
    return axes


def _words(name: str, value: str) -> list[str]:
    if name != "space directions":
        return value.split()
    if VECTOR.sub("", value).strip():
        raise ValueError(f"{name}: {value[:50]!a}, expected vectors (x,y,z)")
    return VECTOR.findall(value)


def _single_axis(axes: Axes) -> int | None:
    """The axis of one volume among four axes: the one that is none in space, else the last; None where there is none."""
    directions = axes.get("space directions", [])
    axis = directions.index("none") if directions.count("none") == 1 else 3
    return axis if len(axes["sizes"]) == 4 and axes["sizes"][axis] == "1" else None


def without_axis(axes: Axes, axis: int) -> Axes:
    """What the fields say of the other axes."""
    return {name: words[:axis] + words[axis + 1 :] for name, words in axes.items()}


def grid_of(axes: Axes, fields: Fields, path: Path) -> Grid:
    """Where the voxels of three axes lie. Raises UserError unless the header says how far apart they are along each."""
    if not ALONG_AXES.issuperset(axes.get("kinds", [])):
        raise ValueError(f"kinds: {fields['kinds'][:50]!a}, expected domain or space along each axis")
    in_space = not {"space", "space dimension"}.isdisjoint(fields)
    name, other = ("space directions", "spacings") if in_space else ("spacings", "space directions")
    if name in axes and (other in axes or (not in_space and "space origin" in fields)):
        raise ValueError(f"expected {name} alone, found {other if other in axes else 'space origin'} beside it")
    if name not in axes:
        beside = [f"{field}: {fields[field][:50]}" for field in ("spacings", "thicknesses") if field in fields]
        found = f", found {' and '.join(beside)}" if beside else "; 1 mm is not assumed"
        raise UserError(f"{path}: no spacing, expected {name} in mm{found}")
    x, y, z = map(int, axes["sizes"])
    ox = oy = oz = 0.0
    if in_space:
        space = fields.get("space", "").lower().removesuffix("-time")
        if space not in TO_LPS and space not in UNORIENTED:
            raise ValueError(f"space: {fields['space'][:50]!a}, expected left-posterior-superior or the like")
        signs = TO_LPS.get(space, (1, 1, 1))
        vectors = [_vector(name, word, signs) for word in axes[name]]
        if "space origin" in fields:
            ox, oy, oz = _vector("space origin", fields["space origin"], signs)
    else:
        vectors = np.diag([number_of(word) for word in axes[name]]).tolist()
    spacing = [math.sqrt(sum(part * part for part in vector)) for vector in vectors]
    if not all(mm > 0 for mm in spacing) or (not in_space and np.diag(vectors).min() < 0):  # NaN is not
        raise UserError(f"{path}: {name}: {fields[name][:100]}, expected a spacing above 0 along each axis")
    sx, sy, sz = spacing
    unit = [[part * (1.0 / mm) for part in vector] for vector, mm in zip(vectors, spacing, strict=True)]
    return Grid((z, y, x), (sz, sy, sx), (ox, oy, oz), tuple(np.transpose(unit).ravel().tolist()))


def _vector(name: str, word: str, signs: tuple[int, int, int]) -> list[float]:
    """To the left, the back and the top, in mm; of a vector with time as its fourth number the first three."""
    numbers = [number_of(number) for number in word.strip("()").split(",")] if word != "none" else []
    if len(numbers) not in (3, 4):
        raise ValueError(f"{name}: {word[:50]!a}, expected (x,y,z)")
    return [sign * number for sign, number in zip(signs, numbers, strict=False)]


def voxels_of(file: FileBytes, start: int, fields: Fields) -> np.ndarray:
    """The uncompressed voxels, exactly as many as the header promises, in one row."""
    dtype = _dtype(fields)
    encoding = fields.get("encoding", "")
    if encoding not in ENCODINGS:
        raise ValueError(f"expected encoding raw or gzip, found {encoding[:20]!a}")
    promised = math.prod(map(int, fields["sizes"].split())) * dtype.itemsize
    return np.frombuffer(voxels_behind(file, start, promised, ENCODINGS[encoding]), dtype)


def _dtype(fields: Fields) -> np.dtype:
    name, endian = fields.get("type", ""), fields.get("endian")
    size = next((size for size, names in ELEMENT_TYPES.items() if name in names.split(", ")), 0)
    if not size:
        raise ValueError(f"the header has no usable type: {name[:50]!a}")
    if size > 1 and endian not in ("little", "big"):
        raise ValueError("expected endian little or big")
    kind = "f" if name in ("float", "double") else "u" if name.startswith("u") else "i"
    return np.dtype(f"{'>' if endian == 'big' else '<'}{kind}{size}")
