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

import functools
import hashlib
import json
import math
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
DIGESTS = ("adc_sha256", "adc_voxels_sha256", "draft_sha256")
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Review:
    """A review file's content, checked. The mask is boolean (z, y, x) on `grid`; the other fields as the module says."""

    case: str
    time: datetime
    initials: str = ""
    remark: str = ""
    software: str
    weights: str = ""
    adc_sha256: str
    adc_voxels_sha256: str
    draft_sha256: str = ""
    grid: Grid
    size: int = 0
    lesions: tuple[ReviewedLesion, ...] = ()
    added: tuple[AddedRegion, ...] = ()
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
    return {name: getattr(review, name) for name in (*LONGEST, *DIGESTS, "size")} | {
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
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise _WrongError("a file that is no JSON") from None
    if type(content) is not dict or content.get("format") != FORMAT:
        raise _WrongError(f'a file without "format": "{FORMAT}"')
    if type(version := content.get("format_version")) is not int or version != FORMAT_VERSION:
        raise _WrongError("another format_version" if type(version) is not int else f"format_version {str(version)[:20]}")
    return content


def _object(content: dict) -> Review:
    if odd := sorted({*FORMS, "format", "format_version"} ^ content.keys()):
        raise _WrongError(f"entries that are missing or not known: {', '.join(odd)[:200]!r}")
    for name, form in FORMS.items():
        _require(_fits(content[name], form), name)
    size, spacing_mm, origin_mm, direction = (tuple(content["grid"][name]) for name in FORMS["grid"])
    grid = Grid(size, spacing_mm, origin_mm, direction)
    _require(math.prod(grid.size) <= MAX_VOXELS, "grid")
    added = tuple(AddedRegion(tuple(region["voxel"]), region["size"]) for region in content["added"])
    _require(all(0 <= n < end for region in added for n, end in zip(region.voxel, grid.size, strict=True)), "added")
    runs = content["mask"]
    _require(sum(runs) == math.prod(grid.size) and runs[0] >= 0 and all(n > 0 for n in runs[1:]), "mask")
    return Review(
        **{name: content[name] for name in (*LONGEST, *DIGESTS, "size")},
        time=datetime.fromisoformat(content["time"]),
        grid=grid,
        lesions=tuple(ReviewedLesion(**lesion) for lesion in content["lesions"]),
        added=added,
        mask=np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(grid.size),
    )


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise _WrongError(f"an entry that cannot be used: {name}")


def _fits(value: Any, form: Any) -> bool:
    """Whether a value has a form: by each key, by the entry's place, for all entries of a list, or as a function says."""
    if type(form) is dict:
        return type(value) is dict and value.keys() == form.keys() and all(_fits(value[key], form[key]) for key in form)
    if type(form) is tuple:
        return type(value) is list and len(value) == len(form) and all(map(_fits, value, form))
    if type(form) is list:
        return type(value) is list and all(_fits(entry, form[0]) for entry in value)
    return form(value)


def _text(value: Any, longest: int, breaks: str = "") -> bool:
    if type(value) is not str or len(value) > longest:
        return False
    return not any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in breaks for letter in value)


def _time(value: Any) -> bool:
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):  # of text, and of anything else
        return False
    return time.tzinfo is not None and time.year in YEARS


def _digest(value: Any) -> bool:
    return type(value) is str and SHA256.fullmatch(value) is not None


def _whole(value: Any) -> bool:
    return type(value) is int


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST_MM  # 1e999 is infinite, and beyond


def _size(value: Any) -> bool:
    return type(value) is int and value in SIZES


FORMS: dict[str, Any] = {
    **{name: functools.partial(_text, longest=longest) for name, longest in LONGEST.items()},
    "remark": functools.partial(_text, longest=LONGEST["remark"], breaks=BREAKS),
    "time": _time,
    **dict.fromkeys(DIGESTS, _digest),
    "adc_sha256": lambda value: value == "" or _digest(value),
    "grid": {
        "size": (lambda n: _whole(n) and n > 0,) * 3,
        "spacing_mm": (lambda n: _number(n) and SPACING_MM[0] <= n <= SPACING_MM[1],) * 3,
        "origin_mm": (_number,) * 3,
        "direction": (_number,) * 9,
    },
    "size": _size,
    "lesions": [{"decision": lambda word: word in DECISIONS, "size": lambda n: n is None or _size(n)}],
    "added": [{"voxel": (_whole,) * 3, "size": _size}],
    "mask": [_whole],
}
