"""Two folders scored: numbers derived on paper, the evaluation's numbers, strata, and what is refused without a trace.

The golden cases are those of test_evaluation.py, where their distances are derived.
"""

import csv
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import golden_masks
import numpy as np
import pytest
from golden_masks import GRID, NAMES, ONE, SIZE, TWO, voxels

from model.errors import UserError
from model.files import sha256_of
from model.images.volume import Grid
from model.inputs.found_case import FoundCase
from model.outputs.record import with_record
from model.outputs.summary import Outcome, write_summary
from training import evaluate
from training.common.outputs import RECORD
from training.scores.names import case_of
from training.scores.pairs import find_pairs
from training.scores.rows import CaseScore, read_records


class Folders(golden_masks.Folders):
    """With ADC maps, and the command that scores them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.adc, self.out = root / "adc", root / "new/scores"

    def brain(self, name: str, count: int, grid: Grid = GRID) -> Path:
        """An ADC map whose brain has `count` voxels."""
        adc = np.where(np.arange(math.prod(SIZE)) < count, 1000, 0).reshape(SIZE).astype(np.float32)
        return self.write(self.adc / name, adc, grid)

    def words(self, *options: object) -> list[str]:
        return [str(self.masks), str(self.labels), "--out", str(self.out), *map(str, options)]

    def rows(self) -> dict[str, CaseScore]:
        return {row.case: row for row in read_records(self.out / "scores.csv", CaseScore)}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def two_cases(folders: Folders) -> Folders:
    """A hit beside a false voxel, and a miss."""
    for name, mask in zip(NAMES, (voxels(*TWO), voxels()), strict=False):
        folders.mask(f"{name}.mha", mask)
        folders.label(f"{name}_lesion.mha", voxels(*ONE))
    return folders


def scored(folders: Folders, command, *options: object) -> dict[str, CaseScore]:
    command(evaluate.main, *folders.words(*options))
    return folders.rows()


def test_two_cases_by_hand(two_cases: Folders, command) -> None:
    printed = command(evaluate.main, *two_cases.words())
    shared = {"lesion_load": math.nan, "true_ml": 0.006, "true_lesions": 1}
    hit = {"dice": 2 / 3, "masd_mm": 0.9375, "nsd": 2 / 3, "nan_reason": ""}
    hit |= {"predicted_ml": 0.012, "predicted_lesions": 2, "lesion_precision": 0.5, "lesion_recall": 1}
    missed = {"dice": 0, "masd_mm": math.nan, "nsd": 0, "nan_reason": "no prediction"}
    missed |= {"predicted_ml": 0, "predicted_lesions": 0, "lesion_precision": math.nan, "lesion_recall": 0}
    for name, expected in zip(NAMES, (hit, missed), strict=False):
        files = {"case": name, "mask": f"{name}.mha", "label": f"{name}_lesion.mha"}
        assert vars(two_cases.rows()[name]) == pytest.approx(shared | files | expected, abs=1e-6, nan_ok=True)
    text = (two_cases.out / "summary.md").read_text()
    assert printed == text
    # of two cases, a quarter of the resamples is twice the one and a quarter twice the other: the interval spans both
    means = "0.333 [0.000, 0.667] | 0.94 | 0.333 [0.000, 0.667] | 1 (1 missed, 0 false)"
    assert f"| all | 2 | {means} |\n| empty | 0 | - | - | - | 0 |\n| below 1 ml | 2 | {means} |" in text
    # differences of 0.006 and -0.006 ml: mean 0, spread 0.0085, 1.96 times that is 0.017
    assert "+0.00 [-0.01, +0.01] ml, limits of agreement -0.02 to +0.02 ml" in text
    assert "by the label's volume" in text
    assert "Paired by" not in text
    written = [RECORD, "dice.png", "scores.csv", "summary.md", "volumes.png"]
    assert sorted(path.name for path in two_cases.out.iterdir()) == written


def test_folders_as_the_program_writes_them_in_any_format(two_cases: Folders, command, tmp_path: Path) -> None:
    expected = scored(two_cases, command)
    other = Folders(tmp_path / "other")
    for name, mask, suffix in ((NAMES[0], voxels(*TWO), ".nii.gz"), (NAMES[1], voxels(), ".nrrd")):
        other.mask(f"{name}/lesions{suffix}", mask)
        other.mask(f"{name}/probabilities{suffix}", mask.astype(np.float32))
        other.label(f"{name}.mhd", voxels(*ONE))
    (other.masks / "summary.csv").write_text("case\n")
    other.mask(".hidden.mha", voxels())
    rows = scored(other, command)
    assert [row.mask for row in rows.values()] == [f"{NAMES[0]}/lesions.nii.gz", f"{NAMES[1]}/lesions.nrrd"]
    files = {"mask": "", "label": ""}
    assert list(map(repr, (replace(row, **files) for row in rows.values()))) == [
        repr(replace(row, **files)) for row in expected.values()
    ]


class RunFolder:
    """Cases as a run of a folder leaves them: masks with their records, maps that they name, and a summary."""

    def __init__(self, folders: Folders) -> None:
        self.folders, self.rows = folders, []

    def add(self, name: str, status: str = "done", *, mask: bool = True) -> None:
        """A case whose mask is its label."""
        folder, adc = self.folders.masks / name, self.folders.adc / f"{name}.nii.gz"
        self.folders.label(f"{name}_lesion.mha", voxels(*ONE))
        self.folders.brain(adc.name, 500)
        case = FoundCase(name, adc=adc)
        place = folder / "lesions.nii.gz"
        if mask:
            self.folders.write(place, voxels(*ONE))
            inputs = {"adc": {"file": adc.name, "sha256": sha256_of(adc)}}
            results = with_record({"lesion_volume_ml": 0.006, "inputs": inputs}, folder)
            (folder / "results.json").write_text(json.dumps(results))
        done = status in ("done", "done before")
        self.rows.append(Outcome(case, status, {} if done else None, "" if done else "why", place if done else None))
        write_summary(self.rows, self.folders.masks / "summary.csv")


def test_of_a_run_those_masks_are_scored_that_its_summary_calls_current(folders: Folders, command) -> None:
    run_folder = RunFolder(folders)
    for name, status in (("a", "done"), ("b", "done before"), ("-c", "done"), ("d", "outdated"), ("e", "changed")):
        run_folder.add(name, status)
    run_folder.add("=f", "failed", mask=False)
    run_folder.add("g", "failed")  # of an earlier run
    run_folder.add("h", "scan gone")
    printed = command(evaluate.main, *folders.words())
    assert printed == (folders.out / "summary.md").read_text()
    assert set(folders.rows()) == {"a", "b", "-c"}
    reasons = "=f (failed), d (outdated), e (changed), g (failed), h (scan gone)"
    expected = f"Not scored, 5 of 8 cases, whose masks are not current: {reasons}. All figures are of the other cases."
    assert expected in " ".join(printed.split())


def cut_summary(run: RunFolder) -> None:
    del run.rows[1]
    write_summary(run.rows, run.folders.masks / "summary.csv")


def edit_after_a_byte_order_mark(run: RunFolder) -> None:
    path = run.folders.masks / "summary.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    run.folders.mask("b/lesions.nii.gz", voxels(*TWO))


def edit_record(run: RunFolder) -> None:
    path = run.folders.masks / "b" / "results.json"
    path.write_text(path.read_text().replace("0.006", "0.007"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit_after_a_byte_order_mark, "the mask was changed since the run"),
        (lambda run: (run.folders.masks / "b" / "results.json").unlink(), "no results.json beside it"),
        (edit_record, "its results.json is not as the run wrote it"),
        (lambda run: run.folders.brain("b.nii.gz", 501), "the ADC map was replaced since the run"),
        (cut_summary, "not in summary.csv"),
    ],
)
def test_a_mask_that_is_not_what_its_run_wrote_is_left_out(folders: Folders, change: Callable, reason: str) -> None:
    run_folder = RunFolder(folders)
    for name in "abc":
        run_folder.add(name)
    change(run_folder)
    pairs = find_pairs(folders.masks, folders.labels)
    assert ([pair.case for pair in pairs.scored], pairs.left_out) == (["a", "c"], {"b": reason})


def test_a_mask_of_another_adc_map_than_the_one_given(folders: Folders) -> None:
    run_folder = RunFolder(folders)
    for name in "abc":
        run_folder.add(name)
    folders.masks.joinpath("summary.csv").unlink()
    (folders.adc / "b.nii.gz").replace(folders.adc / "other.nii.gz")
    folders.brain("b-ADC_ss.nii.gz", 499)
    folders.write(folders.adc / "c.mha", np.full(SIZE, 1000, np.float32))  # in another format: not told
    (folders.adc / "c.nii.gz").unlink()
    pairs = find_pairs(folders.masks, folders.labels, folders.adc)
    assert [pair.case for pair in pairs.scored] == ["a", "c"]
    assert pairs.left_out == {"b": "made from another ADC map than b-ADC_ss.nii.gz"}


def test_a_run_without_a_current_mask_is_refused(folders: Folders) -> None:
    run_folder = RunFolder(folders)
    run_folder.add("a", "outdated")
    run_folder.add("b", "failed", mask=False)
    with pytest.raises(UserError, match=rf"^{folders.masks}: no mask is current: a \(outdated\), b \(failed\)$"):
        find_pairs(folders.masks, folders.labels)


def test_the_longest_case_that_a_name_begins_with() -> None:
    names = {"a": "a", "a_b": "a_b", "a_c": "a", "a_b_c": "a_b", "a_bc": "a", "ab": "", "a-b": "", "b_a": ""}
    assert {name: case_of(name, ["a_b", "a"]) for name in names} == names


FIRST, SECOND = NAMES[:2]
ELSEWHERE = replace(GRID, origin_mm=(0, 0, 0))


def both_brains(folders: Folders, count: int, grid: Grid = GRID) -> None:
    for name in (FIRST, SECOND):
        folders.brain(f"{name}-ADC_ss.mha", count, grid)


# by name: what is changed, and the line about two cases, 1 and 2, or its beginning; with ADC in the name --adc is given
UNUSABLE: dict[str, tuple[Callable[[Folders], object], str]] = {
    "two masks": (
        lambda f: f.mask(f"{SECOND}_b.nii", voxels()),
        "expected one file per case, found {masks}/2.mha, {masks}/2_b.nii",
    ),
    "a mask and a folder": (
        lambda f: f.mask(f"{SECOND}/lesions.mha", voxels()),
        "expected one file per case, found {masks}/2/lesions.mha, {masks}/2.mha",
    ),
    "two ADC maps": (
        lambda f: [f.brain(f"{name}.mha", 100) for name in (FIRST, SECOND, f"{SECOND}-ADC_ss")],
        "expected one file per case, found {adc}/2-ADC_ss.mha, {adc}/2.mha",
    ),
    "no mask": (
        lambda f: (f.masks / f"{FIRST}.mha").rename(f.masks / "lesions.mha"),
        "no mask for {labels}/1_lesion.mha; no label for {masks}/lesions.mha",
    ),
    "seven without a mask": (
        lambda f: [f.label(f"P{number}.mha", voxels()) for number in range(7)],
        f"no mask for {', '.join(f'{{labels}}/P{number}.mha' for number in range(5))} and 2 more",
    ),
    "no ADC map": (lambda f: f.brain(f"{FIRST}-ADC_ss.mha", 100), "no ADC map for {labels}/2_lesion.mha"),
    "ADC without brain": (lambda f: both_brains(f, 0), "{adc}/1-ADC_ss.mha: no brain..."),
    "ADC elsewhere": (
        lambda f: both_brains(f, 9, ELSEWHERE),
        "{labels}/1_lesion.mha and {adc}/1-ADC_ss.mha are not on one grid: origin_mm...",
    ),
    "no folder": (lambda f: f.masks.rename(f.masks.with_name("elsewhere")), "{masks}: no such folder..."),
    "no label": (lambda f: [path.unlink() for path in f.labels.iterdir()], "{labels}: no image found..."),
    "the labels as masks": (lambda f: setattr(f, "masks", f.labels), "{masks}: expected masks and labels in two folders..."),
    "another origin": (
        lambda f: f.mask(f"{SECOND}.mha", voxels(*ONE), ELSEWHERE),
        "{labels}/2_lesion.mha and {masks}/2.mha are not on one grid: origin_mm...",
    ),
    "a mask of two classes": (
        lambda f: f.mask(f"{SECOND}.mha", np.where(voxels(*ONE), np.float32(2), 0)),
        "{masks}/2.mha: expected only 0 and 1, found [0.0...",
    ),
    "a label of shares": (
        lambda f: f.label(f"{SECOND}_lesion.mha", np.where(voxels(*ONE), np.float32(0.5), 0)),
        "{labels}/2_lesion.mha: expected only 0 and 1, found [0.0...",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_folders_that_cannot_be_scored_are_refused_without_a_trace(two_cases: Folders, refusal, kind: str) -> None:
    change, expected = UNUSABLE[kind]
    change(two_cases)
    line = refusal(evaluate.main, *two_cases.words(*(["--adc", two_cases.adc] if "ADC" in kind else [])))
    for short, name in (("/1", FIRST), ("/2", SECOND)):
        expected = expected.replace(short, f"/{name}")
    expected = expected.format(**{name: getattr(two_cases, name) for name in ("masks", "labels", "adc")})
    assert line == expected or (expected.endswith("...") and line.startswith(expected[:-3]))
    assert not two_cases.out.parent.exists()


def test_strata_of_lesion_load(two_cases: Folders, command) -> None:
    two_cases.brain(f"{NAMES[0]}-ADC_ss.mha", 50)
    two_cases.brain(f"{NAMES[1]}.nii", 1000)
    two_cases.brain("another.mha", 0)  # an ADC map of a case that is not scored does not matter
    hit, missed = scored(two_cases, command, "--adc", two_cases.adc).values()
    assert (hit.lesion_load, missed.lesion_load) == pytest.approx((0.02, 0.001))
    text = (two_cases.out / "summary.md").read_text()
    assert "| below 1 % | 1 | 0.000 | - | 0.000 | 1 (1 missed, 0 false) |\n| 1-5 % | 1 | 0.667 | 0.94 | 0.667 | 0 |" in text
    assert "by lesion load, the label's share of the brain" in text


def test_one_case_has_no_interval(folders: Folders, command) -> None:
    folders.mask("baby.mha", voxels())
    folders.label("baby.mha", voxels())
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        scored(folders, command)
    text = (folders.out / "summary.md").read_text()
    assert "| all | 1 | 1.000 | 0.00 | 1.000 | 0 |" in text
    assert "+0.00 ml, limits of agreement - to - ml" in text


def test_the_default_folder_and_the_table(two_cases: Folders, command, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command(evaluate.main, "masks", "labels")
    with (tmp_path / "scores" / "scores.csv").open(newline="") as file:
        assert next(csv.reader(file))[:5] == ["case", "dice", "masd_mm", "nsd", "nan_reason"]


def test_a_mask_that_is_paired_by_the_beginning_of_its_name_is_said(folders: Folders, command) -> None:
    folders.mask("a_10.mha", voxels(*ONE))
    folders.label("a_lesion.mha", voxels(*ONE))
    line = "Paired by the beginning of the mask's name: 1 of 1 cases, e.g. a_10.mha with a."
    assert line in command(evaluate.main, *folders.words())
