"""Reviews go back into a folder of results: what is written, what is done again, and what is refused."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from folder_helpers import summary, write_maps
from inference_helpers import GRID, LESIONS, arguments, content, files_below, moved_aside, results_of, voxels_of
from phantom import write_image
from review_helpers import OTHER, TIME, mask_of, review_of, write_mask, write_review

import process
from model.errors import UserError
from model.files import sha256_of
from model.images.components import largest_first
from model.images.volume import read_volume
from model.reviews.find import find_reviews
from model.run.reviewed import changes_of

FIRST, SECOND = LESIONS  # of two voxels and of one
KEPT = mask_of(FIRST, OTHER)  # the second lesion struck out, one voxel added
OF_DRAFT = ("lesion_volume_ml", "lesion_share_of_brain", "lesions")
NEWER = "2026-03-01T12:30:01+01:00"


@pytest.fixture(scope="module")
def done(tmp_path_factory, rule_weights):
    """Two cases with their results; and the same after case a got KEPT as its page saves it, with that review."""
    root = tmp_path_factory.mktemp("done")
    for name in ("a", "b"):
        write_maps(root / "good" / name, ".mha")
    words = [*arguments(root / "good", root / "output", rule_weights), "--cases"]
    assert process.main(words) == 0
    shutil.copytree(root, root / "drafted")
    write_review(root / "reviews" / "a.review.json", review_of(results_of(root / "output" / "a"), "a", KEPT))
    assert process.main([*words, "--reviews", str(root / "reviews")]) == 0
    return root


@pytest.fixture
def good(done, tmp_path):
    return shutil.copytree(done / "good", tmp_path / "good")


@pytest.fixture
def drafted(done, output):
    """Their folder of results."""
    return shutil.copytree(done / "drafted" / "output", output)


@pytest.fixture
def reviewed(done, output, folder):
    """Case a has KEPT."""
    shutil.copytree(done / "reviews", folder, dirs_exist_ok=True)
    return shutil.copytree(done / "output", output)


def test_a_review_of_a_page_becomes_the_mask_and_the_draft_stays_beside_it(drafted, take, folder):
    before = results_of(drafted / "a")
    path = write_review(folder / "saved.review (1).json", review_of(before, "a", KEPT, remark="left\nthalamus"))
    code, out, _ = take()
    assert (code, "a: done: 0.009 ml in 2 lesion(s)" in out) == (0, True)  # 3 voxels of 3 mm3
    assert files_below(drafted / "a") == ["lesions-draft.mha", "lesions.mha", "results.json"]
    assert voxels_of(drafted / "a" / "lesions.mha").tolist() == KEPT.tolist()
    assert voxels_of(drafted / "a" / "lesions-draft.mha").tolist() == mask_of(*LESIONS).tolist()
    results = results_of(drafted / "a")
    assert (results["lesions"], results["lesion_volume_ml"]) == (2, 0.009)
    assert (results["chance_of_lesion"], results["expected_dice"]) == (None, None)
    assert [(lesion["volume_ml"], lesion["slice"], lesion["chance_real"]) for lesion in results["lesion_list"]] == [
        (0.006, 3, None),
        (0.003, 5, None),
    ]
    assert results["review"] == {
        "by": "AB",
        "time": TIME,
        "remark": "left\nthalamus",
        "file": path.name,
        "sha256": sha256_of(path),
        "kind": "page",
        "rejected": [2],
        "changed": [],
        "added": 1,
        "undecided": [1],
        "dice_with_draft": 0.6667,  # 2 * 2 / (3 + 3)
        "draft": {key: before[key] for key in (*OF_DRAFT, "chance_of_lesion", "expected_dice", "lesion_list")},
    }
    rows = summary(drafted)
    words = [rows["a"][column] for column in ("status", "reviewed", "lesions")]
    assert words == ["done", "2026-03-01 12:30+01:00 AB (1 undecided)", "2"]
    assert (rows["b"]["status"], rows["b"]["reviewed"]) == ("done before", "")
    assert sorted(moved_aside(drafted)) == ["a/lesions.mha", "a/results.json"]


@pytest.mark.parametrize("name", ["a-reviewed.nrrd", "a.seg.nrrd"])
def test_a_mask_is_taken_by_its_name(drafted, take, folder, name):
    path = write_mask(folder / name.replace(".seg", ""), KEPT)
    if name.endswith(".seg.nrrd"):
        path = with_segment(path, folder / name)
    os.utime(path, (1e9, 1e9))
    assert take()[0] == 0
    assert voxels_of(drafted / "a" / "lesions.mha").tolist() == KEPT.tolist()
    review = results_of(drafted / "a")["review"]
    assert (review["kind"], review["by"], review["file"], review["sha256"]) == ("mask", None, name, sha256_of(path))
    assert review["time"] == datetime.fromtimestamp(1e9, UTC).isoformat()
    assert (review["rejected"], review["changed"], review["added"]) == ([2], [], 1)
    assert take()[0] == 0
    assert summary(drafted)["a"]["status"] == "done before"


def with_segment(nrrd: Path, path: Path) -> Path:
    """The same file with what 3D Slicer adds of its one segment."""
    head, data = nrrd.read_bytes().split(b"\n\n", 1)
    keys = b"\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment0_Name:=Lesions of somebody\nSegment0_ID:=Segment_1"
    path.write_bytes(head + keys + b"\n\n" + data)
    nrrd.unlink()
    return path


@pytest.mark.parametrize(
    ("places", "rejected", "changed", "added", "dice"),
    [
        (LESIONS, [], [], 0, 1.0),
        ((), [1, 2], [], 0, 0.0),
        (((2, 5, 3), SECOND), [], [1], 0, 0.8),  # half of the first: 2 * 2 / (3 + 2)
        ((FIRST, (4, 5, 3), SECOND), [], [1], 0, 0.8571),  # grown: 2 * 3 / (3 + 4)
        (((slice(2, 4), slice(5, 15), 3), (4, 14, slice(3, 10)), (5, 14, 10), SECOND), [], [1, 2], 0, None),  # joined
        ((OTHER,), [1, 2], [], 1, 0.0),
    ],
)
def test_what_was_changed_is_told_by_the_drafts_numbers(places, rejected, changed, added, dice):
    found = changes_of(largest_first(mask_of(*LESIONS)), mask_of(*places))
    assert (found["rejected"], found["changed"], found["added"]) == (rejected, changed, added)
    assert dice is None or found["dice_with_draft"] == dice


def test_voxels_outside_the_brain_are_left_out_with_a_warning(drafted, take, folder):
    write_mask(folder / "a.mha", mask_of(FIRST, (0, 0, slice(0, 2))))
    code, out, _ = take()
    said = "2 of 4 voxel(s) of the reviewed mask lie outside the brain (ADC above 0) and were left out."
    assert (code, f"a: warning: {said}" in out, said in summary(drafted)["a"]["warnings"]) == (0, True, True)
    assert voxels_of(drafted / "a" / "lesions.mha").tolist() == mask_of(FIRST).tolist()


def test_a_mask_that_may_be_of_another_scan_is_told_or_refused(drafted, take, folder):
    write_mask(folder / "a.mha", mask_of(OTHER))
    assert take()[0] == 0
    assert "shares no voxel with the draft" in summary(drafted)["a"]["warnings"]
    write_mask(folder / "a.mha", mask_of(FIRST, (0, 0, slice(0, 3))))
    assert take()[0] == 2
    assert "3 of 5 voxel(s) of the reviewed mask lie outside the brain" in summary(drafted)["a"]["reason"]
    assert voxels_of(drafted / "a" / "lesions.mha").tolist() == mask_of(OTHER).tolist()


def test_other_runs_keep_a_reviewed_mask_and_need_no_review(reviewed, go, good, take, count):
    before = content(reviewed / "a")
    for words in ((), ("--overwrite",)):
        assert go(good, *words)[0] == 0
        assert take(*words)[0] == 0
        assert summary(reviewed)["a"]["status"] == "done before"
        assert summary(reviewed)["a"]["reviewed"] == "2026-03-01 12:30+01:00 AB (1 undecided)"
    assert content(reviewed / "a") == before
    assert not count


def test_what_made_the_draft_does_not_outdate_a_reviewed_mask(reviewed, go, good, take, random_weights):
    before = content(reviewed / "a")
    for words in (("--empty-below", "0.9"), ("--weights", str(random_weights))):
        assert go(good, *words)[0] == 2  # since case b is outdated
        assert [row["status"] for row in summary(reviewed).values()] == ["done before", "outdated"]
    assert take(*words, "--overwrite")[0] == 0
    assert [row["status"] for row in summary(reviewed).values()] == ["done before", "done"]
    assert content(reviewed / "a") == before


STAYS = "a reviewed mask is replaced by a newer review alone (--reviews), or when its folder is moved away"


def another_z_map(case: Path, output: Path) -> None:
    write_image(read_volume(case / "zadc.mha").voxels - 0.125, GRID, case / "zadc.mha")


def no_mask(case: Path, output: Path) -> None:
    (output / "lesions.mha").unlink()


def an_edited_mask(case: Path, output: Path) -> None:
    write_mask(output / "lesions.mha", mask_of(FIRST))


@pytest.mark.parametrize(
    ("words", "change", "status", "says"),
    [
        ((), another_z_map, "outdated", "the Z map was replaced since"),
        (("--overwrite",), no_mask, "outdated", "its files are not all there as wanted"),
        (("--report", "--overwrite"), an_edited_mask, "changed", "changed since it was written, or not of this program"),
    ],
)
def test_without_its_review_a_reviewed_case_is_never_done_again(reviewed, go, good, words, change, status, says):
    change(good / "a", reviewed / "a")
    before = content(reviewed / "a")
    assert go(good, *words)[0] == 2
    row = summary(reviewed)["a"]
    assert (row["status"], says in row["reason"], row["reason"].endswith(STAYS)) == (status, True, True)
    assert content(reviewed / "a") == before


def test_a_reviewed_case_stays_when_its_scan_cannot_be_read(reviewed, go, good):
    before = content(reviewed / "a")
    (good / "a" / "adc.mha").write_bytes(b"ObjectType = Image\n")
    assert go(good, "--overwrite")[0] == 2
    assert summary(reviewed)["a"]["status"] in ("failed", "outdated")
    (good / "a" / "adc.mha").unlink()
    assert go(good, "--overwrite")[0] == 2
    assert summary(reviewed)["a"]["status"] == "failed"
    assert content(reviewed / "a") == before


def test_with_its_review_it_gets_what_is_missing(reviewed, take):
    (reviewed / "a" / "lesions-draft.mha").unlink()
    assert take("--report")[0] == 0
    assert summary(reviewed)["a"]["status"] == "done"
    assert files_below(reviewed / "a") == ["lesions-draft.mha", "lesions.mha", "report.html", "results.json"]
    assert voxels_of(reviewed / "a" / "lesions.mha").tolist() == KEPT.tolist()


def test_a_newer_review_is_taken_and_an_older_one_is_not(reviewed, take, folder):
    newer = review_of(results_of(reviewed / "a"), "a", mask_of(FIRST), time=NEWER) | {
        "lesions": [kept("keep"), kept("reject")]
    }
    write_review(folder / "a.review.json", newer)
    assert take()[0] == 0
    assert (summary(reviewed)["a"]["status"], results_of(reviewed / "a")["review"]["time"]) == ("done", NEWER)
    assert voxels_of(reviewed / "a" / "lesions.mha").tolist() == mask_of(FIRST).tolist()
    before = content(reviewed / "a")
    for time, seconds in ((TIME, "00"), ("2026-03-01T11:30:01Z", "01")):  # older, and of the very same moment
        write_review(folder / "a.review.json", newer | {"time": time, "remark": "another"})
        assert take("--overwrite")[0] == 2
        row = summary(reviewed)["a"]
        says = f"of 2026-03-01 11:30:{seconds}+00:00, not newer than a.review.json of 2026-03-01 11:30:01+00:00"
        assert (row["status"], says in row["reason"], STAYS in row["reason"]) == ("failed", True, True)
    assert content(reviewed / "a") == before


def test_a_mask_in_another_order_of_voxels_is_taken_by_its_header(drafted, take, folder):
    """As programs store it that turn all images one way: rows and slices the other way round."""
    directions, origin, steps = np.reshape(GRID.direction, (3, 3)).copy(), np.array(GRID.origin_mm), GRID.spacing_mm[::-1]
    for axis in (1, 2):
        origin += directions[:, axis] * steps[axis] * (GRID.size[2 - axis] - 1)
        directions[:, axis] *= -1
    grid = type(GRID)(GRID.size, GRID.spacing_mm, tuple(origin.tolist()), tuple(directions.ravel().tolist()))
    write_image(np.flip(KEPT, (0, 1)).astype(np.uint8), grid, folder / "a.nii.gz")
    assert take()[0] == 0
    assert voxels_of(drafted / "a" / "lesions.mha").tolist() == KEPT.tolist()


def kept(decision: str) -> dict:
    return {"decision": decision, "size": None}


def test_a_newer_review_leaves_a_mask_that_someone_edited_meanwhile(reviewed, take, folder):
    an_edited_mask(Path(), reviewed / "a")
    edited = (reviewed / "a" / "lesions.mha").read_bytes()
    write_mask(folder / "a.mha", mask_of(SECOND))
    (folder / "a.review.json").unlink()
    assert take()[0] == 2
    assert summary(reviewed)["a"]["status"] == "changed"
    assert voxels_of(reviewed / "a" / "lesions.mha").tolist() == mask_of(FIRST).tolist()
    assert take("--overwrite")[0] == 0
    assert voxels_of(reviewed / "a" / "lesions.mha").tolist() == mask_of(SECOND).tolist()
    assert edited in [path.read_bytes() for path in (reviewed / "previous").glob("*/a/lesions.mha")]


def test_a_review_can_come_with_the_first_run_and_a_draft_that_is_outdated_is_no_hindrance(drafted, take, folder, good):
    write_mask(folder / "a.mha", KEPT)
    shutil.rmtree(drafted / "a")
    assert (take()[0], summary(drafted)["a"]["status"]) == (0, "done")
    another_z_map(good / "b", drafted / "b")
    write_mask(folder / "b.mha", KEPT)
    assert (take()[0], summary(drafted)["b"]["status"]) == (0, "done")


# --- refused, with what lies there as it was ---


def page(**changes):
    return lambda folder, results: write_review(folder / "a.review.json", review_of(results, "a", KEPT, **changes))


def other_grid(folder: Path, results: dict) -> None:
    review = review_of(results, "a", KEPT)
    write_review(folder / "a.review.json", review | {"grid": review["grid"] | {"spacing_mm": [3.0, 1.25, 0.9]}})


def image(voxels: np.ndarray, grid=GRID):
    return lambda folder, results: write_image(voxels.astype(np.uint8), grid, folder / "a.nii.gz")


def two(folder: Path, results: dict) -> None:
    page()(folder, results)
    write_mask(folder / "a-reviewed.nii.gz", KEPT)


def cut(folder: Path, results: dict) -> None:
    path = write_mask(folder / "a.nii.gz", KEPT)
    path.write_bytes(path.read_bytes()[:-9])


SHIFTED = type(GRID)(GRID.size, GRID.spacing_mm, (-31.25, 12.5, -69.75), GRID.direction)
REFUSED = {
    "another scan": (page(adc_voxels_sha256="0" * 64), "a review of another scan"),
    "another draft": (
        page(draft_sha256="0" * 64),
        "a-reviewed.nii.gz of the same page, given instead, takes the mask itself",
    ),
    "other lesions": (page(lesions=[kept("keep")]), "a-reviewed.nii.gz of the same page, given instead"),
    "another grid": (other_grid, "not on one grid: spacing_mm"),
    "a mask on another grid": (image(mask_of(FIRST), SHIFTED), "not on one grid: origin_mm"),
    "other labels": (image(2 * KEPT), "expected a mask of lesions with the values 0 and 1, found 2"),
    "two reviews": (two, "expected one review of the case, found "),
    "cut off": (cut, "a.nii.gz: "),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_a_refused_review_fails_its_case_and_changes_nothing(drafted, take, folder, make, says):
    before = content(drafted / "a")
    make(folder, results_of(drafted / "a"))
    code, _, error = take("--overwrite")
    rows = summary(drafted)
    assert (code, rows["a"]["status"], rows["b"]["status"]) == (2, "failed", "done before")
    assert says in rows["a"]["reason"]
    assert says in error
    assert content(drafted / "a") == before
    assert not moved_aside(drafted)


@pytest.mark.parametrize("make", [page(draft_sha256="0" * 64, time=NEWER), two], ids=["another draft", "two reviews"])
def test_a_refused_review_changes_nothing_of_a_reviewed_and_outdated_case(reviewed, take, folder, good, make):
    another_z_map(good / "a", reviewed / "a")
    before = content(reviewed / "a")
    make(folder, results_of(reviewed / "a"))
    assert take("--overwrite")[0] == 2
    assert content(reviewed / "a") == before


def test_a_mask_that_was_taken_for_another_scan_is_not_taken_for_this_one(drafted, take, folder, good):
    """A folder of reviews stays where it is, and `--overwrite` is said for what is outdated."""
    write_mask(folder / "a.nii.gz", KEPT)
    assert take()[0] == 0
    before = content(drafted / "a")
    adc = read_volume(good / "a" / "adc.mha").voxels
    write_image(adc * np.float32(1.25), GRID, good / "a" / "adc.mha")
    assert (take()[0], summary(drafted)["a"]["status"]) == (2, "outdated")
    for _ in range(2):
        assert take("--overwrite")[0] == 2
        row = summary(drafted)["a"]
        assert (row["status"], "a.nii.gz: was taken for another scan" in row["reason"]) == ("failed", True)
        assert content(drafted / "a") == before
    os.utime(write_mask(folder / "a.nii.gz", mask_of(FIRST)), (datetime.now(UTC).timestamp() + 9,) * 2)
    assert (take()[0], summary(drafted)["a"]["status"]) == (0, "done")


def test_a_mask_is_taken_again_for_a_copy_of_its_scan(drafted, take, folder, good):
    write_mask(folder / "a.nii.gz", KEPT)
    assert take()[0] == 0
    write_image(read_volume(good / "a" / "adc.mha").voxels, GRID, good / "a" / "adc.nrrd")
    (good / "a" / "adc.mha").unlink()
    assert (take("--overwrite")[0], summary(drafted)["a"]["status"]) == (0, "done")
    assert voxels_of(drafted / "a" / "lesions.nrrd").tolist() == KEPT.tolist()


NO_RESULTS = {
    "software": {"hie-lesions": "1"},
    "weights": "",
    "inputs": {"adc": {"sha256": "", "voxels_sha256": "0" * 64}},
    "lesions": 0,
}
NO_REVIEW = {
    "notes.txt": "found a file that is of no case of the input",
    "c.nii.gz": "found a file that is of no case of the input",
    "A.nii.gz": "found a file that is of no case of the input",
    "a.review.nii.gz": "found a file that is of no case of the input",
    "b-reviewed.nii.gz": "there are cases b and b-reviewed, so that this mask could be of either",
    "other.json": 'found a file without "format"',
    "c.review.json": "found a review of a case that is not in the input",
    "folder": "found a folder",
    "": "found an empty folder",
    "a.mhd": "a.mhd: cannot be read (",
}


@pytest.mark.parametrize(("name", "says"), NO_REVIEW.items())
def test_what_is_no_review_of_a_case_is_refused(folder, name, says):
    (folder / ".hidden").touch()
    (folder / "Thumbs.db").touch()
    if name.endswith(".nii.gz"):
        write_mask(folder / name, KEPT)
    elif name == "c.review.json":
        write_review(folder / name, review_of(NO_RESULTS, "c", KEPT))
    elif name == "folder":
        (folder / name).mkdir()
    elif name:
        (folder / name).write_text("{}")
    with pytest.raises(UserError) as refused:
        find_reviews(folder, ["a", "b", "b-reviewed"])
    assert says in str(refused.value)


def test_it_stops_the_run_before_anything_is_written(drafted, take, folder, good):
    shutil.copytree(good / "a", good / "new")
    write_mask(folder / "c.nii.gz", KEPT)
    before = content(drafted)
    assert take()[0] == 2
    assert content(drafted) == before


def test_there_has_to_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    for name, found in (("none", "none"), ("file", "a file")):
        with pytest.raises(UserError, match=f"expected a folder of reviews, found {found}"):
            find_reviews(tmp_path / name, "a")


def test_the_folder_of_reviews_is_not_where_a_case_is_written(drafted, go, good):
    shutil.copytree(good / "a", good / "new")
    write_mask(drafted / "new" / "new.nii.gz", KEPT)
    code, _, error = go(good, "--reviews", str(drafted / "new"))
    assert (code, "expected another folder, the results of new would replace" in error) == (2, True)
    assert files_below(drafted / "new") == ["new.nii.gz"]


def test_a_hostile_review_reaches_the_table_as_text(drafted, take, folder):
    """No formula, no line break, no sign that steers a terminal."""
    hostile = {"initials": "=cmd|' /C calc'!A0", "remark": '=HYPERLINK("x")\n</script><b>'}
    write_review(folder / "=a.json", review_of(results_of(drafted / "a"), "a", KEPT, **hostile))
    assert take()[0] == 0
    assert summary(drafted)["a"]["reviewed"] == f"2026-03-01 12:30+01:00 {hostile['initials']} (1 undecided)"
    assert "HYPERLINK" not in (drafted / "summary.csv").read_text(encoding="utf-8")
    assert results_of(drafted / "a")["review"]["remark"] == hostile["remark"]


def test_a_copy_of_a_reviewed_scan_is_told_and_its_mask_stays(reviewed, go, good, take):
    """The warning that two scans are the same asks for results to be written again, which needs the review."""
    before = content(reviewed / "a")
    shutil.copytree(good / "a", good / "copy")
    assert go(good)[0] == 0
    assert "same voxels as that of copy" in summary(reviewed)["a"]["warnings"]
    assert content(reviewed / "a") == before
    assert take()[0] == 0
    assert "same voxels as that of copy" in json.dumps(results_of(reviewed / "a")["warnings"])
    assert voxels_of(reviewed / "a" / "lesions.mha").tolist() == KEPT.tolist()
