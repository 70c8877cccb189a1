"""The evaluation against numbers derived on paper, and on files that cannot be used.

How the distances and surfaces themselves are measured is held by test/training/test_training_metrics.py.
"""

import dataclasses
import json
import math
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import golden_masks
import numpy as np
import pytest
from golden_masks import GRID, NAMES, ONE, TWO, voxels

from evaluation.evaluate import METRICS, LesionEvaluation, main
from training.scores.metrics import Scores, mean_scores

ROOT = Path(__file__).resolve().parents[1]


class Folders(golden_masks.Folders):
    """And what the evaluation makes of them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.output = root / "out" / "metrics.json"

    def evaluate(self, **options) -> dict:
        self.output.parent.mkdir(exist_ok=True)
        LesionEvaluation(self.masks, self.labels, self.output, **options).evaluate()
        return json.loads(self.output.read_text())

    def words(self) -> list[str]:
        return ["--predictions", str(self.masks), "--labels", str(self.labels), "--output", str(self.output)]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def three_cases(folders: Folders) -> Folders:
    """A hit beside a false voxel, a miss, and an empty label with an empty prediction."""
    for case, prediction, label in zip(NAMES, (TWO, (), ()), (ONE, ONE, ()), strict=True):
        folders.mask(f"{case}.mha", voxels(*prediction))
        folders.label(f"{case}_lesion.mha", voxels(*label))
    return folders


SCORED = "3 cases: Dice 0.5556, MASD 0.469 mm (1 without), NSD 0.5556\n"
EARLIER = '{"case": {}, "aggregates": {}}'  # what another run may have left


@pytest.fixture
def refused(refusal) -> Callable[..., str]:
    """Runs the command, which refuses with an earlier result in place that must not outlive it; returns the line."""

    def call(folders: Folders, *options: object) -> str:
        folders.output.parent.mkdir()
        folders.output.write_text(EARLIER)
        line = refusal(main, *folders.words(), *options)
        assert list(folders.output.parent.iterdir()) == []
        return line

    return call


OFF_GRID = {
    "spacing_mm": (4.0, 1.0, 1.5),
    "origin_mm": (GRID.origin_mm[0] + 0.5, *GRID.origin_mm[1:]),
    "direction": tuple(-cosine for cosine in GRID.direction),
}


@pytest.mark.parametrize("name", OFF_GRID)
def test_a_prediction_on_another_grid_is_refused_unless_told(three_cases: Folders, refused, command, name: str) -> None:
    """Then it is measured on the label's."""
    grid = dataclasses.replace(GRID, **{name: OFF_GRID[name]})
    path, label = three_cases.mask(f"{NAMES[0]}.mha", voxels(*TWO), grid=grid), three_cases.labels / f"{NAMES[0]}_lesion.mha"
    assert refused(three_cases).startswith(f"{label} and {path} are not on one grid: {name} (")
    assert command(main, *three_cases.words(), "--as-the-challenge") == SCORED


def test_metrics_json(three_cases: Folders) -> None:
    """Of the first case. Columns are 1.5 mm for the scorer. A voxel has 8 surface elements, at its corners.

    The label's 8 lie on the prediction: 0 mm. Of the prediction's 16, 8 lie on the label, 4 are 2 columns = 3 mm and 4 are
    3 columns = 4.5 mm away: (4 x 3 + 4 x 4.5) / 16 = 1.875 mm on average. MASD = (0 + 1.875) / 2. Within 2 mm: 8 + 8 of 24.
    Dice: one voxel of 1 and 2.
    """
    metrics = three_cases.evaluate()
    assert metrics["case"] == {
        "DiceCoefficient": dict(zip(NAMES, (pytest.approx(2 / 3), 0, 1), strict=True)),
        "MASD": dict(zip(NAMES, (pytest.approx(0.9375), None, 0), strict=True)),
        "NSD": dict(zip(NAMES, (pytest.approx(2 / 3), 0, 1), strict=True)),
        "pred_fname": {name: f"{name}.mha" for name in NAMES},
        "gt_fname": {name: f"{name}_lesion.mha" for name in NAMES},
    }
    expected = mean_scores([Scores(2 / 3, 0.9375, 2 / 3), Scores(0, math.nan, 0), Scores(1, 0, 1)])
    aggregates = metrics["aggregates"]
    assert [aggregates[metric]["mean"] for metric in METRICS] == pytest.approx(
        [expected.dice, expected.masd_mm, expected.nsd]
    )
    assert [aggregates[metric]["count"] for metric in METRICS] == [3, 2, 3]
    assert [aggregates[metric]["nan"] for metric in METRICS] == [0, 1, 0]
    assert {"std", "min", "max", "25pc", "50pc", "75pc"} < set(aggregates["MASD"])


def test_no_case_has_a_masd(folders: Folders) -> None:
    folders.mask(f"{NAMES[0]}.mha", voxels())
    folders.label(f"{NAMES[0]}_lesion.mha", voxels(*ONE))
    masd = folders.evaluate()["aggregates"]["MASD"]
    assert (masd["mean"], masd["count"], masd["nan"]) == (None, 0, 1)


def test_names_and_not_order_make_the_pairs(three_cases: Folders) -> None:
    before = three_cases.evaluate()
    # the first prediction now comes last and the last first, whichever way the folder is listed
    below = three_cases.masks / "zzz"
    below.mkdir()
    (three_cases.masks / f"{NAMES[0]}.mha").rename(below / f"{NAMES[0]}_zzz.mha")
    (three_cases.masks / f"{NAMES[1]}.mha").rename(three_cases.masks / f"{NAMES[1]}_0.mha")
    after = three_cases.evaluate()
    assert after["aggregates"] == before["aggregates"]
    assert [after["case"][metric] for metric in METRICS] == [before["case"][metric] for metric in METRICS]
    assert list(after["case"]["pred_fname"].values()) == [f"{NAMES[2]}.mha", f"{NAMES[0]}_zzz.mha", f"{NAMES[1]}_0.mha"]


def test_suffix_picks_among_the_masks_of_several_methods(folders: Folders) -> None:
    folders.label(f"{NAMES[0]}_lesion.mha", voxels(*ONE))
    folders.mask(f"{NAMES[0]}_network.mha", voxels(*ONE))
    folders.mask(f"{NAMES[0]}_rule.mha", voxels())
    assert [folders.evaluate(suffix=s)["case"]["NSD"][NAMES[0]] for s in ("_network", "_rule")] == [1, 0]


def test_hidden_files_and_other_types_are_left_alone(three_cases: Folders) -> None:
    before = three_cases.evaluate()
    for name in (".MGHNICU_010-VISIT_01.0f3c.partial.mha", "scores.csv", "predictions.json"):
        (three_cases.masks / name).write_text("not a mask")
    assert three_cases.evaluate() == before


def swap_the_first_and_lose_the_second(f: Folders) -> None:
    (f.masks / f"{NAMES[0]}.mha").rename(f.masks / "MGHNICU_011-VISIT_01.mha")
    (f.masks / f"{NAMES[1]}.mha").unlink()


# by name: what is changed, and the line about three cases, the NAMES, or its beginning
UNUSABLE: dict[str, tuple[Callable[[Folders], object], str]] = {
    "missing and extra": (
        swap_the_first_and_lose_the_second,
        "no prediction for {labels}/{0}_lesion.mha, {labels}/{1}_lesion.mha; no label for {masks}/MGHNICU_011-VISIT_01.mha",
    ),
    "two predictions": (
        lambda f: f.write(f.masks / f"{NAMES[1]}_b.mha", voxels()),
        "expected one file per case, found {masks}/{1}.mha, {masks}/{1}_b.mha",
    ),
    "two labels": (
        lambda f: f.write(f.labels / "below" / f"{NAMES[1]}_lesion.mha", voxels()),
        "expected one file per case, found {labels}/{1}_lesion.mha, {labels}/below/{1}_lesion.mha",
    ),
    "another shape": (
        lambda f: f.mask(f"{NAMES[2]}.mha", np.zeros((9, 15, 12), np.uint8)),
        "{masks}/{2}.mha: expected 15 x 12 x 9 voxels (x, y, z) as in {labels}/{2}_lesion.mha, found 12 x 15 x 9",
    ),
    "a prediction of another value": (
        lambda f: f.mask(f"{NAMES[1]}.mha", np.where(voxels(*ONE), np.float32(-0.5), 0)),
        "{masks}/{1}.mha: expected only 0 and 1, found [-0.5, ...",
    ),
    "a label of two classes": (
        lambda f: f.label(f"{NAMES[1]}_lesion.mha", voxels(*ONE) * 2),
        "{labels}/{1}_lesion.mha: expected only 0 and 1, found [0.0, 2.0]",
    ),
    "an empty label": (
        lambda f: (f.labels / f"{NAMES[2]}_lesion.mha").write_bytes(b""),
        "{labels}/{2}_lesion.mha: expected a whole image file...",
    ),
    "no labels": (lambda f: shutil.rmtree(f.labels), "{labels}: no such folder"),
    "no predictions": (lambda f: [path.unlink() for path in f.masks.iterdir()], "{masks}: no file *.mha found"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_files_that_cannot_be_scored_are_refused(three_cases: Folders, refused, kind: str) -> None:
    change, expected = UNUSABLE[kind]
    change(three_cases)
    line, expected = refused(three_cases), expected.format(*NAMES, **vars(three_cases))
    assert line == expected or (expected.endswith("...") and line.startswith(expected[:-3]))


def test_fewer_cases_than_told(three_cases: Folders, refused) -> None:
    assert "We expected to find 4, but we found 3." in refused(three_cases, "--cases", "4")


ANY_NAMES = {  # label, prediction
    "dots": ("baby.v1.2_lesion.mha", "baby.v1.2_hie.mha"),
    "umlaut of two characters": (unicodedata.normalize("NFD", "Säugling_lesion.mha"), "Säugling_x.mha"),
    "brackets": ("a[1]* (%s) {x}.mha", "a[1]* (%s) {x}_lesion.mha"),
    "upper case suffix": ("baby_lesion.MHA", "baby.MHA"),
    "longest case": ("baby_2_lesion.mha", "baby_2_x.mha"),
}


@pytest.mark.parametrize("kind", ANY_NAMES)
def test_any_name_is_a_case(folders: Folders, kind: str) -> None:
    """A second case, called baby, is an empty mask on an empty label: it would score 0 in each other's place."""
    label, prediction = ANY_NAMES[kind]
    for path in (folders.labels / label, folders.masks / prediction):
        folders.write(path.with_suffix(".mha"), voxels(*ONE)).rename(path)
    if kind != "upper case suffix":
        folders.label("baby_lesion.mha", voxels())
        folders.mask("baby.mha", voxels())
    metrics = folders.evaluate()
    assert metrics["aggregates"]["DiceCoefficient"]["mean"] == 1
    assert prediction in metrics["case"]["pred_fname"].values()


def test_the_command_from_the_files_that_the_image_holds(three_cases: Folders, tmp_path: Path) -> None:
    """Only what the Dockerfile copies is there, and no package that its image lacks can be imported."""
    (tmp_path / "app").mkdir()
    for package in ("torch", "monai", "safetensors", "nibabel", "pydicom"):
        (tmp_path / "app" / f"{package}.py").write_text("raise ModuleNotFoundError")
    for line in (ROOT / "evaluation" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, target = line.split()[1:]
            folder = tmp_path / "app" / Path(target).relative_to("/opt/app")
            folder.mkdir(parents=True, exist_ok=True)
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, folder, **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))
    words = [sys.executable, "-W", "error::FutureWarning", "-m", "evaluation.evaluate", *three_cases.words(), "--cases", "3"]
    done = subprocess.run(words, cwd=tmp_path / "app", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SCORED
    assert json.loads(three_cases.output.read_text()) == three_cases.evaluate()


@pytest.mark.parametrize("place", ["mine", "link", "folder", f"masks/{NAMES[0]}.mha", f"labels/{NAMES[0]}_lesion.mha"])
def test_an_output_that_is_something_else_stays(three_cases: Folders, tmp_path: Path, refusal, place: str) -> None:
    (tmp_path / "mine").write_text('{"case": {}, "aggregates": {}, "mine": 1}')
    (tmp_path / "earlier").write_text(EARLIER)
    (tmp_path / "link").symlink_to("earlier")
    (tmp_path / "folder").mkdir()
    output, before = tmp_path / place, {path: path.lstat().st_ino for path in tmp_path.rglob("*")}
    what = "a new file, or a metrics.json to replace" if "/" not in place else "an output outside of"
    line = refusal(main, *three_cases.words(), "--output", output)
    assert line.startswith(f"{output}: expected {what}")
    assert {path: path.lstat().st_ino for path in tmp_path.rglob("*")} == before


def test_an_output_that_cannot_be_written(three_cases: Folders, refusal) -> None:
    line = refusal(main, *three_cases.words(), "--output", "/proc/nowhere/metrics.json")
    assert line.startswith("/proc/nowhere/metrics.json: cannot be written")
