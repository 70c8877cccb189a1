"""The file that a case's page saves, `NAME.review.json`: what a reader decided, and the mask that came of it.

One JSON object in UTF-8 with these keys and no others:

- `format` "hie-lesions review", `format_version` 1
- `case`: its name; `time`: when it was saved, ISO 8601 with its offset from UTC; `initials` and `remark` of the reader, may
  be empty
- `software`: the version of this program that made the draft; `weights`: their id, or empty
- `adc_sha256`: of the ADC map's file (`sha256` in results.json), may be empty; `adc_voxels_sha256`: of its voxels
  (`voxels_sha256` there); `draft_sha256`: of the draft's mask, as `mask_digest` makes it
- `grid`: `size` (z, y, x), `spacing_mm` (z, y, x), `origin_mm` (x, y, z) and `direction` of the ADC map, as in `Grid`
- `size`: steps by which all lesions were grown (above 0) or shrunk, of `SIZES`
- `lesions`: of each of the draft, in the order of results.json, its `decision` (one of DECISIONS) and its own `size`; null
  where it follows the case's
- `added`: of each region that was added by a click, its `voxel` (z, y, x) and its `size`
- `mask`: the mask on the whole grid, run-length coded: how many voxels in a row, in the order z, y, x with x fastest, are
  outside, then inside, then outside and so on. Only the first number may be 0, and together they are all voxels

The mask counts: it also holds what was drawn and erased by hand. An empty one says that there is no lesion in this brain.
A review comes from outside. All of it is checked, and `remark`, `initials` and `case` are to be shown as text only.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import UserError
from model.images.grid import MAX_VOXELS, Grid
from model.images.limits import SPACING_MM

FORMAT, FORMAT_VERSION = "hie-lesions review", 1
SUFFIX = ".review.json"
DECISIONS = ("keep", "reject", "undecided")
SIZES = range(-10, 11)
LARGEST_FILE = 32 << 20  # bytes; a mask of 4 million runs fits
LONGEST = {"case": 1000, "initials": 20, "remark": 4000, "software": 100, "weights": 100}  # letters
YEARS = range(2000, 3000)  # beyond, no offset leads out of what a time can be
LARGEST_MM = 1e13  # of a grid's numbers
SHA256 = re.compile("[0-9a-f]{64}")
BREAKS = "\n\t"  # that a remark may hold; other control characters have no place in any text


@dataclass(frozen=True)
class ReviewedLesion:
    """What became of a lesion of the draft."""

    decision: str  # one of DECISIONS; an undecided one stays in the mask
    size: int | None  # of SIZES; None: as the case


@dataclass(frozen=True)
class AddedRegion:
    """A region that was added by a click."""

    voxel: tuple[int, int, int]  # (z, y, x)
    size: int  # of SIZES


@dataclass(frozen=True, eq=False)
class Review:
    """A review file's content, checked. The mask is boolean (z, y, x) on `grid`; the other fields as the module says."""

    case: str
    time: datetime
    initials: str
    remark: str
    software: str
    weights: str
    adc_sha256: str
    adc_voxels_sha256: str
    draft_sha256: str
    grid: Grid
    size: int
    lesions: tuple[ReviewedLesion, ...]
    added: tuple[AddedRegion, ...]
    mask: np.ndarray
    sha256: str = ""  # of the file

    def numbers_of(self, decision: str) -> tuple[int, ...]:
        """The lesions of the draft, counted from 1, that have one of DECISIONS."""
        return tuple(number for number, lesion in enumerate(self.lesions, 1) if lesion.decision == decision)


def mask_digest(mask: np.ndarray) -> str:
    """SHA-256 of a mask, boolean (z, y, x): of its size and of its voxels, a byte each, x fastest."""
    return hashlib.sha256(f"{mask.shape}".encode() + mask.astype(np.uint8).tobytes()).hexdigest()


def read_review(path: Path) -> Review:
    """Read and check a review file; what it holds is in the module's own words.

    Raises UserError, one line, where it is no such file, or anything in it is not as it must be.
    """
    try:
        data = _bytes_of(path)
        found = _object(_content(data))
    except _WrongError as error:
        raise UserError(f"{path}: expected a review as the page of a case saves it, found {error}") from None
    return replace(found, sha256=hashlib.sha256(data).hexdigest())


def grid_content(grid: Grid) -> dict:
    """A grid as a review file holds it."""
    return {
        "size": list(grid.size),
        "spacing_mm": list(map(float, grid.spacing_mm)),
        "origin_mm": list(map(float, grid.origin_mm)),
        "direction": list(map(float, grid.direction)),
    }


def review_content(review: Review) -> dict:
    """A review as a file holds it, which `read_review` reads again."""
    names = (*LONGEST, "adc_sha256", "adc_voxels_sha256", "draft_sha256", "size")
    return {name: getattr(review, name) for name in names} | {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "time": review.time.isoformat(),
        "grid": grid_content(review.grid),
        "lesions": [asdict(lesion) for lesion in review.lesions],
        "added": [{"voxel": list(region.voxel), "size": region.size} for region in review.added],
        "mask": _runs(review.mask),
    }


def _runs(mask: np.ndarray) -> list[int]:
    inside = mask.ravel()
    ends = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    runs: list[int] = np.diff([0, *ends.tolist(), inside.size]).tolist()
    return [0, *runs] if inside[0] else runs


class _WrongError(ValueError):
    """What is wrong with a review, in words that go behind "found"."""


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > LARGEST_FILE:
        raise _WrongError(f"more than {LARGEST_FILE >> 20} MiB")
    return data


def _content(data: bytes) -> dict:
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number)
    except _WrongError:
        raise
    except (ValueError, RecursionError):
        raise _WrongError("a file that is no JSON") from None
    if type(content) is not dict or content.get("format") != FORMAT:
        raise _WrongError(f'a file without "format": "{FORMAT}"')
    if type(version := content.get("format_version")) is not int or version != FORMAT_VERSION:
        raise _WrongError("another format_version" if type(version) is not int else f"format_version {version:.20g}")
    return content


def _once(pairs: list[tuple[str, object]]) -> dict:
    if len(keys := dict(pairs)) < len(pairs):
        raise _WrongError("a key that is there twice")
    return keys


def _no_number(name: str) -> None:
    raise _WrongError(f"{name}, which is no number")


def _object(content: dict) -> Review:
    keys = {*Review.__dataclass_fields__, "format", "format_version"} - {"sha256"}
    _require_keys(content, keys, "the file")
    grid = _grid(content["grid"])
    _require(type(content["lesions"]) is list and type(content["added"]) is list, "lesions and added that are no lists")
    texts = {name: _text(content[name], name) for name in LONGEST}
    digests = {name: _digest(content[name], name) for name in ("adc_sha256", "adc_voxels_sha256", "draft_sha256")}
    lesions = tuple(_lesion(lesion, number) for number, lesion in enumerate(content["lesions"], 1))
    added = tuple(_added(region, grid) for region in content["added"])
    mask = _mask(content["mask"], grid)
    time, size = _time(content["time"]), _size(content["size"], "the case")
    return Review(**texts, **digests, time=time, grid=grid, size=size, lesions=lesions, added=added, mask=mask)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _WrongError(otherwise)


def _require_keys(found: Any, keys: set[str], what: str) -> None:
    _require(type(found) is dict, f"{what} that is no object")
    missing = sorted(keys - set(found))
    _require(not missing, f"{what} without {', '.join(missing)}")
    _require(len(found) == len(keys), f"{what} with a key that is none of {', '.join(sorted(keys))}")


def _text(value: Any, name: str) -> str:
    _require(type(value) is str, f"{name} that is no text")
    _require(len(value) <= LONGEST[name], f"{name} of {len(value)} letters, more than {LONGEST[name]}")
    allowed = BREAKS if name == "remark" else ""
    odd = any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in allowed for letter in value)
    _require(not odd, f"{name} with control characters")
    return value


def _digest(value: Any, name: str) -> str:
    empty = name == "adc_sha256" and value == ""
    _require(empty or (type(value) is str and SHA256.fullmatch(value) is not None), f"{name} that is no SHA-256 sum")
    return value


def _time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):  # of text, and of anything else
        time = datetime.min
    _require(time.tzinfo is not None, "a time that is not in ISO 8601 with an offset from UTC")
    _require(time.year in YEARS, f"a time outside the years {YEARS[0]} to {YEARS[-1]}")
    return time


def _numbers(value: Any, count: int, what: str) -> list[float]:
    fits = type(value) is list and len(value) == count and all(type(n) in (int, float) for n in value)
    _require(fits, f"{what} that is not {count} numbers")
    _require(all(abs(n) <= LARGEST_MM for n in value), f"{what} beyond {LARGEST_MM:g}")  # 1e999 is infinite, and beyond
    return [float(n) for n in value]


def _whole(value: Any, count: int, ends: tuple[int, ...], what: str) -> tuple[int, ...]:
    """As many whole numbers, each from 0 and below its end."""
    fits = type(value) is list and len(value) == count and all(type(n) is int for n in value)
    _require(fits and all(0 <= n < end for n, end in zip(value, ends, strict=True)), f"{what} out of range")
    return tuple(value)


def _grid(value: Any) -> Grid:
    _require_keys(value, {"size", "spacing_mm", "origin_mm", "direction"}, "a grid")
    z, y, x = _whole(value["size"], 3, (MAX_VOXELS + 1,) * 3, "the grid's size")
    _require(0 < z * y * x <= MAX_VOXELS, f"a grid of {z * y * x} voxels, expected 1 to {MAX_VOXELS}")
    sz, sy, sx = _numbers(value["spacing_mm"], 3, "the grid's spacing_mm")
    low, high = SPACING_MM
    _require(all(low <= mm <= high for mm in (sz, sy, sx)), f"a grid with a spacing_mm outside {low:g} to {high:g}")
    ox, oy, oz = _numbers(value["origin_mm"], 3, "the grid's origin_mm")
    return Grid((z, y, x), (sz, sy, sx), (ox, oy, oz), tuple(_numbers(value["direction"], 9, "the grid's direction")))


def _size(value: Any, what: str) -> int:
    _require(type(value) is int and value in SIZES, f"{what} with a size that is not {SIZES[0]} to {SIZES[-1]}")
    return value


def _lesion(value: Any, number: int) -> ReviewedLesion:
    _require_keys(value, {"decision", "size"}, f"lesion {number}")
    decision, size = value["decision"], value["size"]
    _require(type(decision) is str and decision in DECISIONS, f"lesion {number} with none of {', '.join(DECISIONS)}")
    return ReviewedLesion(decision, None if size is None else _size(size, f"lesion {number}"))


def _added(value: Any, grid: Grid) -> AddedRegion:
    _require_keys(value, {"voxel", "size"}, "an added region")
    z, y, x = _whole(value["voxel"], 3, grid.size, "the voxel of an added region")
    return AddedRegion((z, y, x), _size(value["size"], "an added region"))


def _mask(value: Any, grid: Grid) -> np.ndarray:
    voxels = int(np.prod(grid.size))
    _require(type(value) is list and len(value) > 0, "a mask that is no list of runs")
    _require(all(type(n) is int for n in value), "a mask with runs that are no whole numbers")
    _require(value[0] >= 0 and all(n > 0 for n in value[1:]), "a mask with a run of no voxels")
    _require(sum(value) == voxels, f"a mask whose runs are not the {voxels} voxels of its grid")
    inside = np.arange(len(value)) % 2 == 1
    return np.repeat(inside, value).reshape(grid.size)
