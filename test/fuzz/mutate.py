"""Damage that real files suffer: each function takes a file's bytes and a random generator and returns other bytes.

A fuzzer that flips bits blindly stays in the header's first lines. These mutations know where the header ends and what its
fields mean.
"""

import gzip
import json
import random
import re
import struct
import zlib
from collections.abc import Callable

from mutate_dicom import one_element, one_syntax, pixels

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    *("0", "-0", "-1", "1", "2", "3", "1e-9", "0.5", "8", "100.0001", "1e30", "1e300", "-1e300", "1e-300", "nan", "-nan"),
    *("inf", "-inf", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "99999999999999999999999", "1,5", "0x10", "", "abc", "\0", "\u00e9", "1 " * 50, "9" * 5000),
)
WORDS = (
    *("True", "False", "T", "0", "", "LOCAL", "LIST", "LIST 2", "/etc/passwd", "/dev/zero", "/dev/stdin", ".", "..", "%d"),
    *("slice%03d.raw 1 4 1", "MET_CHAR", "MET_SHORT", "MET_LONG", "MET_LONG_LONG", "MET_DOUBLE", "MET_FLOAT_ARRAY"),
    *("MET_STRING", "MET_OTHER", "MET_NONE", "raw", "gzip", "bzip2", "hex", "ascii", "big", "little", "double", "int16"),
    *("block", "left-posterior-superior", "none", "(1,0,0) (0,1,0) (0,0,1)", "0 0 0 0 0 0 0 0 0", "2 0 0 0 1 0 0 0 1"),
    *("1 0.5 0 0 1 0 0 0 1", "-1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0", "0.2 0.2 0.2", "0.19 1 1", "14 15 1", "256 256 256"),
)
FIELDS = (
    *("NDims", "DimSize", "ElementType", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "TransformMatrix"),
    *("Rotation", "Orientation", "CenterOfRotation", "CompressedData", "CompressedDataSize", "BinaryData", "HeaderSize"),
    *("BinaryDataByteOrderMSB", "ElementByteOrderMSB", "ElementNumberOfChannels", "ElementDataFile", "ElementMin"),
    *("ElementMax", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "Modality", "SequenceID"),
    *("ObjectType", "ID", "AnatomicalOrientation", "DistanceUnits", "Comment", "Name", "Color", "ParentID", "Modality"),
)
END = re.compile(rb"ElementDataFile[^\n]*\n|\n\n")  # of a MetaImage's or NRRD's header
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


def header_end(data: bytes) -> int:
    match = END.search(data)
    return match.end() if match else len(data)


def _lines(data: bytes) -> tuple[list[bytes], bytes]:
    end = header_end(data)
    return data[:end].splitlines(keepends=True), data[end:]


def one_number(data: bytes, rng: random.Random) -> bytes:
    """Another value for one number of the header."""
    return _with_number(data, rng, lambda number: rng.choice(NUMBERS))


def nudged_number(data: bytes, rng: random.Random) -> bytes:
    """One number of the header a little larger or smaller: still plausible."""
    return _with_number(data, rng, lambda number: f"{number + rng.choice((-1, 1, 0.001, -0.001, 0.01, 0.5)):.12g}")


def _with_number(data: bytes, rng: random.Random, other: Callable[[float], str]) -> bytes:
    places = list(NUMBER.finditer(data, 0, header_end(data)))
    if not places:
        return data
    place = rng.choice(places)
    return data[: place.start()] + other(float(place.group())).encode() + data[place.end() :]


def one_value(data: bytes, rng: random.Random) -> bytes:
    """Another value for a whole field."""
    lines, rest = _lines(data)
    if not lines:
        return data
    at = rng.randrange(len(lines))
    name, mark, _ = re.match(rb"([^:=]*)(\s*:?=?\s*)(.*)", lines[at].rstrip(b"\r\n"), re.DOTALL).groups()
    lines[at] = name + mark + rng.choice(WORDS + NUMBERS).encode() + b"\n"
    return b"".join(lines) + rest


def lines_mixed(data: bytes, rng: random.Random) -> bytes:
    """A line of the header is missing, there twice, elsewhere, or a new one."""
    lines, rest = _lines(data)
    if not lines:
        return data
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case _:
            lines.insert(to, f"{rng.choice(FIELDS)} = {rng.choice(WORDS + NUMBERS)}\n".encode())
    return b"".join(lines) + rest


def cut(data: bytes, rng: random.Random) -> bytes:
    """Cut off anywhere, half of the time among the voxels."""
    return data[: rng.randrange(header_end(data) if rng.random() < 0.5 else 0, len(data) + 1)]


def longer(data: bytes, rng: random.Random) -> bytes:
    """Something is appended: noise, zeros or the file again."""
    return data + rng.choice((rng.randbytes(rng.randrange(1, 200)), bytes(rng.randrange(1, 5000)), data))


def flipped(data: bytes, rng: random.Random) -> bytes:
    """A few bytes differ, half of the time in the header."""
    changed = bytearray(data)
    last = header_end(data) if rng.random() < 0.5 else len(data)
    for _ in range(rng.randrange(1, 5)):
        if last:
            changed[rng.randrange(last)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def hole(data: bytes, rng: random.Random) -> bytes:
    """A block of zeros, as a broken transfer leaves it, or a block that is missing."""
    if not data:
        return data
    start, length = rng.randrange(len(data)), rng.choice((1, 16, 512, 4096))
    return data[:start] + rng.choice((b"", bytes(min(length, len(data) - start)))) + data[start + length :]


def voxels(data: bytes, rng: random.Random) -> bytes:
    """Some float voxels become NaN, infinite, huge or negative; a compressed stream is made anew, with its length."""
    end = header_end(data)
    head, body = data[:end], data[end:]
    compressed = re.search(rb"CompressedDataSize = (\d+)", head)
    try:
        plain = bytearray(zlib.decompress(body) if compressed else body)
    except zlib.error:
        return data
    if len(plain) >= 4:
        for _ in range(rng.randrange(1, 20)):
            value = rng.choice((float("nan"), float("inf"), 1e30, -1e30, 1e-40, -5.0, 0.0, 1e5, 99.9, 101.0))
            struct.pack_into("<f", plain, rng.randrange(len(plain) // 4) * 4, value)
    if compressed:
        body = zlib.compress(bytes(plain), rng.randrange(10))
        head = head.replace(compressed.group(), b"CompressedDataSize = %d" % len(body))
        return head + body
    return head + bytes(plain)


def no_image(data: bytes, rng: random.Random) -> bytes:
    """Nothing, noise, or another kind of file."""
    others = (b"", b"\0", b"\x1f\x8b", b"{}", b"%PDF-1.4\n", b"PK\x03\x04", b"NRRD0005\n", b"ObjectType = Image\n", b"II*\0")
    return rng.choice(others) + (rng.randbytes(rng.randrange(400)) if rng.random() < 0.5 else b"")


NIFTI_FIELDS = ((0, "i"), (40, "8h"), (70, "h"), (72, "h"), (76, "8f"), (108, "f"), (112, "f"), (116, "f"), (123, "b"))
NIFTI_MORE = ((252, "h"), (254, "h"), (256, "3f"), (268, "3f"), (280, "4f"), (296, "4f"), (312, "4f"), (344, "4s"))
MGH_FIELDS = ((0, "i"), (4, "4i"), (4, "4i"), (20, "i"), (28, "h"), (30, "3f"), (42, "9f"), (78, "3f"))


def nifti_field(data: bytes, rng: random.Random) -> bytes:
    """Another value for one number of a NIfTI-1 header: dimensions, type, spacing, offset, scale, both transforms."""
    return _field(data, rng, NIFTI_FIELDS + NIFTI_MORE, "<")


def mgh_field(data: bytes, rng: random.Random) -> bytes:
    """Another value for one number of a header of FreeSurfer's: version, size, type, spacing, axes, centre."""
    return _field(data, rng, MGH_FIELDS, ">")


def _field(data: bytes, rng: random.Random, fields: tuple[tuple[int, str], ...], order: str) -> bytes:
    if len(data) < 352:
        return data
    offset, form = rng.choice(fields)
    changed, kind = bytearray(data), form[-1]
    place = offset + rng.randrange(int(form[:-1] or 1)) * struct.calcsize(kind if kind != "s" else "b")
    if kind == "f":
        value = rng.choice((0.0, -1.0, 1e-9, 0.19, 0.5, 8.0, 1e30, float("nan"), float("inf"), 1.0, rng.uniform(-2, 2)))
    else:
        low, high = {"i": (-(2**31), 2**31 - 1), "h": (-(2**15), 2**15 - 1)}.get(kind, (-128, 127))
        value = rng.choice((low, high, 0, 1, 2, 3, 4, -1, rng.randrange(low, high), rng.randrange(-8, 64)))
    struct.pack_into(f"{order}{kind if kind != 's' else 'b'}", changed, place, value)
    return bytes(changed)


ANY = (cut, longer, flipped, hole)
TEXT = (*[one_number] * 2, nudged_number, *[one_value] * 2, lines_mixed, *ANY, voxels, no_image)
NIFTI, MGH = ((*[field] * 4, *ANY, no_image) for field in (nifti_field, mgh_field))
ODD = (
    *(None, True, -1, 0, 1, 11, 1e999, float("nan"), 2**64, 10**40, 0.5, "", "keep", "\0", "\ud800"),
    *([], {}, [1, 2, 3], [[]]),
)


def json_value(data: bytes, rng: random.Random) -> bytes:
    """One value of a JSON object, at any depth, taken away, put there twice or replaced."""
    try:
        content = inner = json.loads(data)
        while isinstance(inner, dict | list) and inner:
            key = rng.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
            if not isinstance(inner[key], dict | list) or rng.random() < 0.3:
                break
            inner = inner[key]
        else:
            return data
        kind = rng.random()
        if kind < 0.2:
            del inner[key]
        elif kind < 0.4 and isinstance(inner, list):
            inner.insert(key, inner[key])
        else:
            inner[key] = rng.choice((*ODD, rng.randrange(-40, 40), rng.random()))
        return json.dumps(content).encode()
    except (ValueError, RecursionError, TypeError):
        return cut(data, rng)


def zipped(mutation: Mutation) -> Mutation:
    """The same damage below an intact gzip stream."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        try:
            return gzip.compress(mutation(gzip.decompress(data), rng), 1, mtime=0)
        except (OSError, EOFError, zlib.error):
            return mutation(data, rng)

    return mutate


MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    ".mha": TEXT,
    ".mhd": TEXT,
    ".nrrd": TEXT,
    ".nii": NIFTI,
    ".nii.gz": (*map(zipped, NIFTI), *ANY),
    ".mgz": (*map(zipped, MGH), *ANY),
    ".mgh": MGH,
    ".review.json": (*[json_value] * 6, one_number, one_number, cut, longer, flipped, flipped, hole),
    ".dcm": (*[one_element] * 6, one_syntax, pixels, pixels, cut, longer, flipped, flipped, hole, no_image),
}


def damaged(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """One to four mutations, one after the other."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        data = rng.choice(MUTATIONS[suffix])(data, rng)
    return data
