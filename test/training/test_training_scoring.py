"""Two folders scored: numbers derived on paper, the evaluation's numbers, strata, and what is refused without a trace.

The golden cases are those of test_evaluation.py, where their distances are derived.
"""

import csv
import json
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden_masks import GRID, NAMES, ONE, SIZE, voxels
from phantom import write_image

from evaluation.evaluate import METRICS, LesionEvaluation
from model.files import sha256_of
from model.images.volume import Grid
from model.inputs.found_case import FoundCase
from model.outputs.own_files import with_record
from model.outputs.summary import Outcome, write_summary
from training import evaluate
from training.common.cli import run
from training.common.outputs import RECORD
from training.scores.names import case_of
from training.scores.rows import CaseScore, as_frame, read_records
from training.scores.statistics import LOADS, VOLUMES, size_strata

TWO = ((3, 4, 6), (3, 4, 9))


class Folders:
    """Masks, labels and ADC maps on disk, and the command that scores them."""

    def __init__(self, root: Path) -> None:
        self.masks, self.labels, self.adc, self.out = (root / name for name in ("masks", "labels", "adc", "new/scores"))

    def write(self, path: Path, voxels: np.ndarray, grid: Grid = GRID) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(voxels, grid, path)
        return path

    def mask(self, name: str, voxels: np.ndarray, grid: Grid = GRID) -> Path:
        return self.write(self.masks / name, voxels, grid)

    def label(self, name: str, voxels: np.ndarray) -> Path:
        return self.write(self.labels / name, voxels.astype(np.float32))  # as the published labels are

    def brain(self, name: str, count: int, grid: Grid = GRID) -> Path:
        """An ADC map whose brain has `count` voxels."""
        adc = np.where(np.arange(math.prod(SIZE)) < count, 1000, 0).reshape(SIZE).astype(np.float32)
        return self.write(self.adc / name, adc, grid)

    def words(self, *options: object) -> list[str]:
        return ["evaluate", str(self.masks), str(self.labels), "--out", str(self.out), *map(str, options)]

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


def scored(folders: Folders, monkeypatch: pytest.MonkeyPatch, *options: object) -> dict[str, CaseScore]:
    monkeypatch.setattr(sys, "argv", folders.words(*options))
    run(evaluate.main)
    return folders.rows()


def refusal(folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *options: object) -> str:
    """The one line of a run that is refused and leaves nothing, not even the output folder's parent."""
    monkeypatch.setattr(sys, "argv", folders.words(*options))
    with pytest.raises(SystemExit) as stop:
        run(evaluate.main)
    assert stop.value.code == 2
    assert not folders.out.parent.exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").strip()


def test_two_cases_by_hand(two_cases: Folders, monkeypatch, capsys) -> None:
    hit, missed = scored(two_cases, monkeypatch).values()
    shared = {"lesion_load": math.nan, "true_ml": 0.006, "true_lesions": 1}
    assert vars(hit) == pytest.approx(
        shared
        | {"case": NAMES[0], "mask": f"{NAMES[0]}.mha", "label": f"{NAMES[0]}_lesion.mha"}
        | {"dice": 2 / 3, "masd_mm": 0.9375, "nsd": 2 / 3, "nan_reason": ""}
        | {"predicted_ml": 0.012, "predicted_lesions": 2, "lesion_precision": 0.5, "lesion_recall": 1},
        abs=1e-6,
        nan_ok=True,
    )
    assert vars(missed) == pytest.approx(
        shared
        | {"case": NAMES[1], "mask": f"{NAMES[1]}.mha", "label": f"{NAMES[1]}_lesion.mha"}
        | {"dice": 0, "masd_mm": math.nan, "nsd": 0, "nan_reason": "no prediction"}
        | {"predicted_ml": 0, "predicted_lesions": 0, "lesion_precision": math.nan, "lesion_recall": 0},
        abs=1e-6,
        nan_ok=True,
    )
    text = (two_cases.out / "summary.md").read_text()
    assert capsys.readouterr().out == text
    # of two cases, a quarter of the resamples is twice the one and a quarter twice the other: the interval spans both
    means = "0.333 [0.000, 0.667] | 0.94 | 0.333 [0.000, 0.667] | 1 (1 missed, 0 false)"
    assert f"| all | 2 | {means} |\n| empty | 0 | - | - | - | 0 |\n| below 1 ml | 2 | {means} |" in text
    # differences of 0.006 and -0.006 ml: mean 0, spread 0.0085, 1.96 times that is 0.017
    assert "+0.00 [-0.01, +0.01] ml, limits of agreement -0.02 to +0.02 ml" in text
    assert "by the label's volume" in text
    assert sorted(path.name for path in two_cases.out.iterdir()) == [
        RECORD,
        "dice.png",
        "scores.csv",
        "summary.md",
        "volumes.png",
    ]


def test_the_same_again_gives_the_same_bytes(two_cases: Folders, monkeypatch) -> None:
    scored(two_cases, monkeypatch)
    before = {path.name: path.read_bytes() for path in two_cases.out.iterdir()}
    scored(two_cases, monkeypatch)
    assert {path.name: path.read_bytes() for path in two_cases.out.iterdir()} == before


def test_the_evaluations_numbers(folders: Folders, monkeypatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shift in zip(NAMES, (0, 1, 2), strict=True):
        label = rng.random(SIZE) < 0.05
        folders.mask(f"{name}_network.mha", np.roll(label, shift, axis=1).astype(np.uint8))
        folders.label(f"{name}_lesion.mha", label)
    folders.label("MGHNICU_012-VISIT_01_lesion.mha", voxels())
    folders.mask("MGHNICU_012-VISIT_01.mha", voxels(*ONE))
    rows = scored(folders, monkeypatch)
    output = tmp_path / "metrics.json"
    LesionEvaluation(folders.masks, folders.labels, output).evaluate()
    expected = json.loads(output.read_text())["case"]
    for metric, field in zip(METRICS, ("dice", "masd_mm", "nsd"), strict=True):
        found = {case: getattr(row, field) for case, row in rows.items()}
        values = {case: math.nan if value is None else value for case, value in expected[metric].items()}
        assert found == pytest.approx(values, rel=1e-5, nan_ok=True)


def test_folders_as_the_program_writes_them_in_any_format(two_cases: Folders, monkeypatch, tmp_path: Path) -> None:
    expected = scored(two_cases, monkeypatch)
    other = Folders(tmp_path / "other")
    for name, mask, suffix in ((NAMES[0], voxels(*TWO), ".nii.gz"), (NAMES[1], voxels(), ".nrrd")):
        other.mask(f"{name}/lesions{suffix}", mask)
        other.mask(f"{name}/probabilities{suffix}", mask.astype(np.float32))
        other.label(f"{name}.mhd", voxels(*ONE))
    (other.masks / "summary.csv").write_text("case\n")
    other.mask(".hidden.mha", voxels())
    rows = scored(other, monkeypatch)
    assert [row.mask for row in rows.values()] == [f"{NAMES[0]}/lesions.nii.gz", f"{NAMES[1]}/lesions.nrrd"]
    files = {"mask": "", "label": ""}
    assert list(map(repr, (replace(row, **files) for row in rows.values()))) == [
        repr(replace(row, **files)) for row in expected.values()
    ]


class RunFolder:
    """Cases as a run of a folder leaves them: masks with their records, maps that they name, and a summary."""

    def __init__(self, folders: Folders, suffix: str = ".nii.gz") -> None:
        self.folders, self.suffix, self.rows = folders, suffix, []

    def add(self, name: str, status: str = "done", *, mask: bool = True, listed: bool = True) -> Path:
        """A case whose mask is its label; returns the mask's path."""
        folder, adc = self.folders.masks / name, self.folders.adc / f"{name}{self.suffix}"
        self.folders.label(f"{name}_lesion.mha", voxels(*ONE))
        self.folders.brain(adc.name, 500)
        case = FoundCase(name, adc=adc)
        place = folder / f"lesions{self.suffix}"
        if mask:
            self.folders.write(place, voxels(*ONE))
            inputs = {"adc": {"file": adc.name, "sha256": sha256_of(adc)}}
            results = with_record({"lesion_volume_ml": 0.006, "inputs": inputs}, folder)
            (folder / "results.json").write_text(json.dumps(results))
        if listed:
            done = status in ("done", "done before")
            self.rows.append(Outcome(case, status, {} if done else None, "" if done else "why", place if done else None))
            write_summary(self.rows, self.folders.masks / "summary.csv")
        return place


def left_out(folders: Folders, monkeypatch, capsys, *options: object) -> tuple[set[str], str]:
    """Which cases are scored, and the words on those that are not, on stdout and in summary.md."""
    rows = scored(folders, monkeypatch, *options)
    text = (folders.out / "summary.md").read_text()
    assert capsys.readouterr().out == text
    return set(rows), " ".join(text.partition("Not scored, ")[2].split("\n\n")[0].split())


def test_of_a_run_those_masks_are_scored_that_its_summary_calls_current(folders: Folders, monkeypatch, capsys) -> None:
    run_folder = RunFolder(folders)
    for name, status in (("a", "done"), ("b", "done before"), ("-c", "done"), ("d", "outdated"), ("e", "changed")):
        run_folder.add(name, status)
    run_folder.add("=f", "failed", mask=False)
    run_folder.add("g", "failed")  # of an earlier run
    run_folder.add("h", "scan gone")
    cases, words = left_out(folders, monkeypatch, capsys)
    assert cases == {"a", "b", "-c"}
    expected = (
        "5 of 8 cases, whose masks are not current: =f (failed), d (outdated), e (changed), g (failed), h (scan gone)."
    )
    assert words == f"{expected} All figures are of the other cases."


def edit_mask(run_folder: RunFolder, mask: Path) -> None:
    run_folder.folders.write(mask, voxels(*TWO))


def remove_record(run_folder: RunFolder, mask: Path) -> None:
    (mask.parent / "results.json").unlink()


def edit_record(run_folder: RunFolder, mask: Path) -> None:
    path = mask.parent / "results.json"
    path.write_text(path.read_text().replace("0.006", "0.007"))


def replace_map(run_folder: RunFolder, mask: Path) -> None:
    run_folder.folders.brain("b.nii.gz", 501)


def leave_out_of_the_summary(run_folder: RunFolder, mask: Path) -> None:
    del run_folder.rows[1]
    write_summary(run_folder.rows, run_folder.folders.masks / "summary.csv")


def add_a_byte_order_mark(run_folder: RunFolder, mask: Path) -> None:
    edit_mask(run_folder, mask)
    path = run_folder.folders.masks / "summary.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit_mask, "the mask was changed since the run"),
        (remove_record, "no results.json beside it"),
        (edit_record, "its results.json is not as the run wrote it"),
        (replace_map, "the ADC map was replaced since the run"),
        (leave_out_of_the_summary, "not in summary.csv"),
        (add_a_byte_order_mark, "the mask was changed since the run"),
    ],
)
def test_a_mask_that_is_not_what_its_run_wrote_is_left_out(
    folders: Folders, monkeypatch, capsys, change: Callable, reason: str
) -> None:
    run_folder = RunFolder(folders)
    masks = {name: run_folder.add(name) for name in "abc"}
    change(run_folder, masks["b"])
    cases, words = left_out(folders, monkeypatch, capsys)
    assert cases == {"a", "c"}
    assert words.startswith(f"1 of 3 cases, whose masks are not current: b ({reason}).")


def test_a_mask_of_another_adc_map_than_the_one_given(folders: Folders, monkeypatch, capsys) -> None:
    run_folder = RunFolder(folders)
    for name in "abc":
        run_folder.add(name)
    folders.masks.joinpath("summary.csv").unlink()
    (folders.adc / "b.nii.gz").replace(folders.adc / "other.nii.gz")
    folders.brain("b-ADC_ss.nii.gz", 499)
    folders.write(folders.adc / "c.mha", np.full(SIZE, 1000, np.float32))  # in another format: not told
    (folders.adc / "c.nii.gz").unlink()
    cases, words = left_out(folders, monkeypatch, capsys, "--adc", folders.adc)
    assert cases == {"a", "c"}
    assert words.startswith("1 of 3 cases, whose masks are not current: b (made from another ADC map than b-ADC_ss.nii.gz).")
    assert (
        "No summary.csv says whether the masks of 2 cases of a run were outdated" in (folders.out / "summary.md").read_text()
    )


def test_a_run_without_a_current_mask_is_refused(folders: Folders, monkeypatch, capsys) -> None:
    run_folder = RunFolder(folders)
    run_folder.add("a", "outdated")
    run_folder.add("b", "failed", mask=False)
    line = refusal(folders, monkeypatch, capsys)
    assert line == f"{folders.masks}: no mask is current: a (outdated), b (failed)"


@pytest.mark.parametrize(
    ("name", "case"),
    [("a", "a"), ("a_b", "a_b"), ("a_c", "a"), ("a_b_c", "a_b"), ("a_bc", "a"), ("ab", ""), ("a-b", ""), ("b_a", "")],
)
def test_the_longest_case_that_a_name_begins_with(name: str, case: str) -> None:
    assert case_of(name, ["a_b", "a"]) == case


@pytest.mark.parametrize("kind", ["mask", "folder", "label", "adc"])
def test_two_files_of_one_case(two_cases: Folders, monkeypatch, capsys, kind: str) -> None:
    name = NAMES[1]
    first = {"mask": f"{name}.mha", "folder": f"{name}.mha", "label": f"{name}.nrrd", "adc": f"{name}-ADC_ss.mha"}[kind]
    second = {"mask": f"{name}_b.nii", "folder": f"{name}/lesions.mha", "label": f"{name}_lesion.mha", "adc": f"{name}.mha"}
    options = ()
    if kind == "adc":
        paths = [two_cases.brain(file, 100) for file in (f"{NAMES[0]}.mha", first, second[kind])][1:]
        options = ("--adc", two_cases.adc)
    else:
        write = two_cases.label if kind == "label" else two_cases.mask
        paths = [write(file, voxels()) for file in (first, second[kind])]
    line = refusal(two_cases, monkeypatch, capsys, *options)
    assert line == f"expected one file per case, found {', '.join(map(str, sorted(paths)))}"


def test_missing_and_extra_masks(two_cases: Folders, monkeypatch, capsys) -> None:
    extra = (two_cases.masks / f"{NAMES[0]}.mha").rename(two_cases.masks / "lesions.mha")
    line = refusal(two_cases, monkeypatch, capsys)
    assert line == f"no mask for {two_cases.labels / NAMES[0]}_lesion.mha; no label for {extra}"


def test_many_missing_masks_are_counted(two_cases: Folders, monkeypatch, capsys) -> None:
    paths = [two_cases.label(f"P{number}.mha", voxels()) for number in range(7)]
    line = refusal(two_cases, monkeypatch, capsys)
    assert line == f"no mask for {', '.join(map(str, paths[:5]))} and 2 more"


def test_a_missing_map(two_cases: Folders, monkeypatch, capsys) -> None:
    two_cases.brain(f"{NAMES[0]}-ADC_ss.mha", 100)
    line = refusal(two_cases, monkeypatch, capsys, "--adc", two_cases.adc)
    assert line == f"no ADC map for {two_cases.labels / NAMES[1]}_lesion.mha"


@pytest.mark.parametrize("kind", ["masks", "labels"])
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_and_none(two_cases: Folders, monkeypatch, capsys, kind: str, there: bool) -> None:
    folder = getattr(two_cases, kind)
    folder.rename(folder.with_name("elsewhere"))
    if there:
        folder.mkdir()
    expected = "no image found, expected files <case>" if there else "no such folder"
    assert refusal(two_cases, monkeypatch, capsys).startswith(f"{folder}: {expected}")


def test_masks_are_not_scored_against_themselves(two_cases: Folders, monkeypatch, capsys) -> None:
    two_cases.masks = two_cases.labels
    assert "expected masks and labels in two folders" in refusal(two_cases, monkeypatch, capsys)


@pytest.mark.parametrize("change", [{"spacing_mm": (4.0, 1.0, 1.5)}, {"origin_mm": (0, 0, 0)}])
def test_a_mask_off_the_labels_grid(two_cases: Folders, monkeypatch, capsys, change: dict) -> None:
    path = two_cases.mask(f"{NAMES[1]}.mha", voxels(*ONE), replace(GRID, **change))
    line = refusal(two_cases, monkeypatch, capsys)
    assert line.startswith(f"{two_cases.labels / NAMES[1]}_lesion.mha and {path} are not on one grid: {next(iter(change))}")


@pytest.mark.parametrize("kind", ["mask", "label"])
@pytest.mark.parametrize("value", [2, 255, 0.5, -1])
def test_other_values_than_0_and_1(two_cases: Folders, monkeypatch, capsys, kind: str, value: float) -> None:
    name = {"mask": f"{NAMES[1]}.mha", "label": f"{NAMES[1]}_lesion.mha"}[kind]
    path = getattr(two_cases, kind)(name, np.where(voxels(*ONE), np.float32(value), 0))
    line = refusal(two_cases, monkeypatch, capsys)
    assert line.startswith(f"{path}: expected only 0 and 1, found [{min(0.0, value)}")


def test_a_file_that_is_cut_off(two_cases: Folders, monkeypatch, capsys) -> None:
    path = two_cases.masks / f"{NAMES[1]}.mha"
    path.write_bytes(path.read_bytes()[:-3])
    assert refusal(two_cases, monkeypatch, capsys).startswith(f"{path}: expected a whole image file")


@pytest.mark.parametrize(
    ("count", "grid", "words"), [(0, GRID, "no brain"), (9, replace(GRID, origin_mm=(0, 0, 0)), "grid")]
)
def test_a_map_without_a_brain_or_elsewhere(two_cases: Folders, monkeypatch, capsys, count, grid, words) -> None:
    for name in NAMES[:2]:
        path = two_cases.brain(f"{name}-ADC_ss.mha", count, grid)
    line = refusal(two_cases, monkeypatch, capsys, "--adc", two_cases.adc)
    assert str(path).replace(NAMES[1], NAMES[0]) in line
    assert words in line


def test_strata_of_lesion_load(two_cases: Folders, monkeypatch) -> None:
    two_cases.brain(f"{NAMES[0]}-ADC_ss.mha", 50)
    two_cases.brain(f"{NAMES[1]}.nii", 1000)
    two_cases.brain("another.mha", 0)  # an ADC map of a case that is not scored does not matter
    hit, missed = scored(two_cases, monkeypatch, "--adc", two_cases.adc).values()
    assert (hit.lesion_load, missed.lesion_load) == pytest.approx((0.02, 0.001))
    text = (two_cases.out / "summary.md").read_text()
    assert "| below 1 % | 1 | 0.000 | - | 0.000 | 1 (1 missed, 0 false) |\n| 1-5 % | 1 | 0.667 | 0.94 | 0.667 | 0 |" in text
    assert "by lesion load, the label's share of the brain" in text


def row(number: int, true_ml: float, load: float = math.nan) -> CaseScore:
    return CaseScore(f"case{number}", 0.5, 1, 0.5, "", 1, true_ml, load, 1, int(true_ml > 0), 1, 1, "", "")


def test_strata_by_hand() -> None:
    sizes = [row(n, ml) for n, ml in enumerate((0.0, 0.001, 1.0, 1.001, 10.0, 10.001, 500.0))]
    volumes = size_strata(as_frame(sizes, CaseScore))
    assert {name: len(rows) for name, rows in volumes.items()} == dict(zip(VOLUMES, (1, 2, 2, 2), strict=True))
    shares = [row(n, load, load) for n, load in enumerate((0.0, 0.01, 0.011, 0.05, 0.051, 0.9))]
    loads = size_strata(as_frame(shares, CaseScore))
    assert {name: len(rows) for name, rows in loads.items()} == dict(zip(LOADS, (1, 1, 2, 2), strict=True))


@pytest.mark.parametrize("label", [voxels(), voxels(*ONE)])
def test_one_case_has_no_interval(folders: Folders, monkeypatch, label: np.ndarray) -> None:
    folders.mask("baby.mha", label)
    folders.label("baby.mha", label)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        scored(folders, monkeypatch)
    text = (folders.out / "summary.md").read_text()
    assert "| all | 1 | 1.000 | 0.00 | 1.000 | 0 |" in text
    assert "+0.00 ml, limits of agreement - to - ml" in text


def test_an_output_that_cannot_be_written(two_cases: Folders, monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", two_cases.words("--out", tmp_path / "file"))
    with pytest.raises(SystemExit):
        run(evaluate.main)
    assert f"{tmp_path / 'file'}: output cannot be written there" in capsys.readouterr().err


def test_the_default_folder_and_the_table(two_cases: Folders, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", "masks", "labels"])
    run(evaluate.main)
    with (tmp_path / "scores" / "scores.csv").open(newline="") as file:
        assert next(csv.reader(file))[:5] == ["case", "dice", "masd_mm", "nsd", "nan_reason"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "--data and --out not given"),
        (["--data", "data"], "--out not given"),
        (["--data", "data", "--out", "out", "--adc", "adc"], "--adc goes with PRED and LABELS only"),
        (["masks"], "expected LABELS after PRED"),
        (["masks", "labels", "--fold", "0"], "--fold cannot be used with PRED and LABELS"),
        (["masks", "labels", "--rule-only", "--device", "cpu"], "--device, --rule-only cannot be used"),
    ],
)
def test_the_two_uses_do_not_mix(words: list[str], problem: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *words])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert stop.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("a", False), ("a_10", True)])
def test_a_mask_that_is_paired_by_the_beginning_of_its_name_is_said(
    folders: Folders, monkeypatch, capsys, name, said
) -> None:
    folders.mask(f"{name}.mha", voxels(*ONE))
    folders.label("a_lesion.mha", voxels(*ONE))
    monkeypatch.setattr(sys, "argv", folders.words())
    evaluate.main()
    line = f"Paired by the beginning of the mask's name: 1 of 1 cases, e.g. {name}.mha with a."
    assert (line in capsys.readouterr().out) == said
    assert (line in (folders.out / "summary.md").read_text()) == said
