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
    assert read_review(written(tmp_path / "a", CONTENT | {"mask": runs})).mask.sum() == voxels


BAD = [
    *(("case", value) for value in (None, "a\nb")),
    ("initials", "A" * 21),
    *(("remark", value) for value in ("\x1b[31m", "\ud800", "a" * 4001)),
    *(("time", value) for value in ("2026-03-01T12:30:00", "yesterday", 12, "0001-01-01T00:00:00+12:00")),
    *(("draft_sha256", value) for value in ("", SUM.upper())),
    *(("grid", value) for value in ([2, 3, 4], {"size": [2, 3, 4]})),
    *(("grid", GRID | {"size": value}) for value in ([2, 3], [2, 3, 4.0], [0, 3, 4], [4096, 4096, 4])),
    *(("grid", GRID | change) for change in ({"spacing_mm": [0, 1, 1]}, {"origin_mm": [0, 1]}, {"direction": [True] * 9})),
    ("grid", GRID | {"origin_mm": [float("inf"), 1, 1]}),
    *(("size", value) for value in (11, True)),
    *(("lesions", value) for value in ({}, [None], [{"decision": "Keep", "size": 0}], [{"decision": "keep", "size": -11}])),
    *(("added", [{"voxel": value, "size": 0}]) for value in ([2, 0, 0], [-1, 0, 0], [0, 0])),
    ("added", [{"voxel": [0, 0, 0], "size": None}]),
    *(("mask", runs) for runs in ([], [5, 2, 16, 2], [10**30, 2], [5, 0, 19], [-1, 25], [5, 2.0, 17], [5, True, 18])),
]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no JSON"),
        ("[" * 100000, "no JSON"),
        ("[]", 'without "format"'),
        (CONTENT | {"format": "other"}, 'without "format"'),
        (CONTENT | {"format_version": 2}, "format_version 2"),
        (CONTENT | {"format_version": 10**400}, "format_version 1000"),
        (CONTENT | {"format_version": True}, "another format_version"),
        (CONTENT | {"more": 1}, "entries that are missing or not known: 'more'"),
        ({key: value for key, value in CONTENT.items() if key != "mask"}, "entries that are missing or not known: 'mask'"),
        *((CONTENT | {name: value}, f"an entry that cannot be used: {name}") for name, value in BAD),
    ],
    ids=lambda value: None,
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
