"""Review files: what is read of them, and that whatever is wrong in one is told in one line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from model.errors import UserError
from model.reviews.review_file import AddedRegion, ReviewedLesion, mask_digest, read_review

SUM = "0123456789abcdef" * 4
GRID = {
    "size": [2, 3, 4],
    "spacing_mm": [3.0, 1.25, 0.8],
    "origin_mm": [-31.25, 12.5, -70.75],
    "direction": [0, 1, 0, 1, 0, 0, 0, 0, -1],
}
CONTENT = {
    "format": "hie-lesions review",
    "format_version": 1,
    "case": "baby 1",
    "time": "2026-03-01T12:30:00+01:00",
    "initials": "AB",
    "remark": "<b>left</b>\nthalamus \U0001f9e0",
    "software": "3.1.0",
    "weights": "",
    "adc_sha256": "",
    "adc_voxels_sha256": SUM,
    "draft_sha256": SUM,
    "grid": GRID,
    "size": -2,
    "lesions": [
        {"decision": "keep", "size": 3},
        {"decision": "reject", "size": None},
        {"decision": "undecided", "size": None},
    ],
    "added": [{"voxel": [1, 2, 3], "size": 0}],
    "mask": [5, 2, 16, 1],
}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def changed(*keys: str | int, value: object) -> dict:
    """The content with another value at a place in it."""
    content = json.loads(json.dumps(CONTENT))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return content


def test_a_review_is_read(tmp_path):
    """On paper: voxels 5 and 6 of 2 x 3 x 4 lie at y 1, x 1 and 2 of the first slice; the last run is the last voxel."""
    review = read_review(written(tmp_path / "a.review.json", CONTENT))
    assert np.argwhere(review.mask).tolist() == [[0, 1, 1], [0, 1, 2], [1, 2, 3]]
    assert (review.mask.dtype, review.mask.shape, review.grid.size) == (bool, (2, 3, 4), (2, 3, 4))
    assert review.lesions == (ReviewedLesion("keep", 3), ReviewedLesion("reject", None), ReviewedLesion("undecided", None))
    assert (review.numbers_of("reject"), review.numbers_of("undecided")) == ((2,), (3,))
    assert review.added == (AddedRegion((1, 2, 3), 0),)
    assert (review.size, review.grid.spacing_mm, review.grid.direction[:2]) == (-2, (3.0, 1.25, 0.8), (0.0, 1.0))
    assert review.time == datetime(2026, 3, 1, 11, 30, tzinfo=UTC)
    assert review.time.utcoffset() == timedelta(hours=1)
    assert (review.case, review.initials, review.remark) == ("baby 1", "AB", CONTENT["remark"])
    assert (review.adc_sha256, review.adc_voxels_sha256, review.draft_sha256) == ("", SUM, SUM)


@pytest.mark.parametrize(("runs", "voxels"), [([24], 0), ([0, 24], 24), ([0, 1, 23], 1), ([23, 1], 1)])
def test_masks_at_the_ends(tmp_path, runs, voxels):
    assert read_review(written(tmp_path / "a", changed("mask", value=runs))).mask.sum() == voxels


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no JSON"),
        ("[" * 100000, "no JSON"),
        ("[]", 'without "format"'),
        ('{"format": "x", "format": "y"}', "there twice"),
        ('{"format": NaN}', "NaN, which is no number"),
        (changed("format", value="other"), 'without "format"'),
        (changed("format_version", value=2), "format_version 2"),
        (changed("format_version", value=True), "another format_version"),
        (changed("more", value=1), "a key that is none of"),
        ({key: value for key, value in CONTENT.items() if key != "mask"}, "the file without mask"),
        (changed("case", value=None), "case that is no text"),
        (changed("case", value="a\nb"), "case with control characters"),
        (changed("initials", value="A" * 21), "initials of 21 letters, more than 20"),
        (changed("remark", value="\x1b[31m"), "remark with control characters"),
        (changed("remark", value="\ud800"), "remark with control characters"),
        (changed("remark", value="a" * 4001), "of 4001 letters"),
        (changed("time", value="2026-03-01T12:30:00"), "an offset from UTC"),
        (changed("time", value="yesterday"), "an offset from UTC"),
        (changed("time", value=12), "an offset from UTC"),
        (changed("time", value="0001-01-01T00:00:00+12:00"), "outside the years 2000 to 2999"),
        (changed("draft_sha256", value=""), "draft_sha256 that is no SHA-256"),
        (changed("adc_voxels_sha256", value=SUM.upper()), "adc_voxels_sha256 that is no SHA-256"),
        (changed("grid", value=[2, 3, 4]), "a grid that is no object"),
        (changed("grid", "size", value=[2, 3]), "the grid's size out of range"),
        (changed("grid", "size", value=[2, 3, 4.0]), "the grid's size out of range"),
        (changed("grid", "size", value=[0, 3, 4]), "a grid of 0 voxels"),
        (changed("grid", "size", value=[4096, 4096, 4]), "a grid of 67108864 voxels, expected 1 to 16777216"),
        (changed("grid", "spacing_mm", value=[0, 1, 1]), "a spacing_mm outside 0.2 to 100"),
        (changed("grid", "origin_mm", value=[0, 1]), "origin_mm that is not 3 numbers"),
        (json.dumps(changed("grid", "origin_mm", value=["HERE", 1, 1])).replace('"HERE"', "1e999"), "origin_mm beyond"),
        (changed("grid", "direction", value=[True] * 9), "direction that is not 9 numbers"),
        (changed("size", value=11), "the case with a size that is not -10 to 10"),
        (changed("size", value=True), "the case with a size"),
        (changed("lesions", value={}), "no lists"),
        (changed("lesions", 1, value=None), "lesion 2 that is no object"),
        (changed("lesions", 1, "decision", value="Keep"), "lesion 2 with none of keep, reject, undecided"),
        (changed("lesions", 0, "size", value=-11), "lesion 1 with a size"),
        (changed("added", 0, "voxel", value=[2, 0, 0]), "voxel of an added region out of range"),
        (changed("added", 0, "voxel", value=[-1, 0, 0]), "voxel of an added region out of range"),
        (changed("added", 0, "size", value=None), "an added region with a size"),
        (changed("mask", value=[]), "no list of runs"),
        (changed("mask", value=[5, 2, 16, 2]), "not the 24 voxels"),
        (changed("mask", value=[10**30, 2]), "not the 24 voxels"),
        (changed("mask", value=[5, 0, 19]), "a run of no voxels"),
        (changed("mask", value=[-1, 25]), "a run of no voxels"),
        (changed("mask", value=[5, 2.0, 17]), "no whole numbers"),
        (changed("mask", value=[5, True, 18]), "no whole numbers"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, content, says):
    path = written(tmp_path / "a.review.json", content)
    with pytest.raises(UserError) as caught:
        read_review(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a review as the page of a case saves it, found ")
    assert says in message
    assert "\n" not in message
    assert len(message) < 400


def test_a_file_that_is_too_long_or_missing(tmp_path):
    with (tmp_path / "long").open("wb") as file:
        file.truncate((32 << 20) + 1)
    for name, says in (("long", "found more than 32 MiB"), ("none", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(UserError, match=says):
            read_review(tmp_path / name)


def test_the_digest_of_a_mask_tells_its_voxels_and_its_size():
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 0, 1] = True
    others = [mask.reshape(3, 2, 4), np.roll(mask, 1), mask.T]
    assert len({mask_digest(mask), *map(mask_digest, others)}) == 4
    assert mask_digest(np.asfortranarray(mask)) == mask_digest(mask)
