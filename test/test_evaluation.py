"""The evaluation against numbers derived on paper, against MONAI, and on files that cannot be used.

How distances are measured: the surface runs half a voxel from the voxels' centres, cut into one element per corner that
eight voxels share. Element areas on a grid of a x b x c mm: t = sqrt((ab)^2 + (bc)^2 + (ca)^2) / 8 at the corner of a mask
(a triangle through three half edges), e = a sqrt(b^2 + c^2) / 2 on an edge along a. A single voxel has eight corners. The
distance of an element is the one to the nearest element of the other mask.
"""

import dataclasses
import json
import math
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_masks import GRID, NAMES, ONE, SIZE, voxels
from monai.metrics import compute_surface_dice
from phantom import write_image
from scipy.ndimage import gaussian_filter

from evaluation.evaluate import METRICS, LesionEvaluation, main
from model.errors import UserError
from model.images.volume import Grid
from training.common.cli import run
from training.scores.metrics import Scores, mean_scores

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = Grid(SIZE, (1.0, 3.0, 7.0), (5.0, 6.0, 7.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


class Folders:
    """Predictions and labels on disk, on GRID unless told."""

    def __init__(self, root: Path) -> None:
        self.predictions, self.labels, self.output = root / "predictions", root / "labels", root / "out" / "metrics.json"
        self.predictions.mkdir()
        self.labels.mkdir()

    def predict(self, case: str, mask: np.ndarray, ending: str = "", grid: Grid = GRID) -> Path:
        path = self.predictions / f"{case}{ending}.mha"
        write_image(mask, grid, path)
        return path

    def label(self, case: str, mask: np.ndarray, grid: Grid = GRID) -> Path:
        path = self.labels / f"{case}_lesion.mha"
        write_image(mask.astype(np.float32), grid, path)  # as the published labels are
        return path

    def evaluate(self, **options) -> dict:
        self.output.parent.mkdir(exist_ok=True)
        LesionEvaluation(self.predictions, self.labels, self.output, **options).evaluate()
        return json.loads(self.output.read_text())

    def words(self) -> list[str]:
        return ["--predictions", str(self.predictions), "--labels", str(self.labels), "--output", str(self.output)]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def three_cases(folders: Folders) -> Folders:
    """A hit beside a false voxel, a miss, and an empty label with an empty prediction."""
    for case, prediction, label in zip(NAMES, (((3, 4, 6), (3, 4, 9)), (), ()), (ONE, ONE, ()), strict=True):
        folders.predict(case, voxels(*prediction))
        folders.label(case, voxels(*label))
    return folders


EARLIER = '{"case": {}, "aggregates": {}}'  # what another run may have left


def single(folders: Folders, prediction: np.ndarray, label: np.ndarray, grid: Grid = GRID) -> list:
    folders.predict(NAMES[0], prediction, grid=grid)
    folders.label(NAMES[0], label, grid)
    case = folders.evaluate()["case"]
    return [case[metric][NAMES[0]] for metric in METRICS]


def refusal(folders: Folders, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """The one line of a run that is refused, with an earlier result in place that must not outlive it."""
    folders.output.parent.mkdir()
    folders.output.write_text(EARLIER)
    monkeypatch.setattr(sys, "argv", ["evaluate", *folders.words(), *options])
    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2
    assert list(folders.output.parent.iterdir()) == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_a_false_voxel_three_columns_away(folders: Folders) -> None:
    # Columns are 1.5 mm for the scorer. The label's 8 elements lie on the prediction: 0 mm. Of the prediction's 16, 8 lie on
    # the label, 4 are 2 columns = 3 mm and 4 are 3 columns = 4.5 mm away: (4 x 3 + 4 x 4.5) / 16 = 1.875 mm on average.
    # MASD = (0 + 1.875) / 2. Within 2 mm: 8 + 8 of 24. Dice: one voxel of 1 and 2.
    scores = single(folders, voxels((3, 4, 6), (3, 4, 9)), voxels(*ONE))
    assert scores == pytest.approx([2 / 3, 0.9375, 2 / 3])


def test_the_lower_half_of_a_lesion_of_two_slices(folders: Folders) -> None:
    # The prediction's 8 corners (area t each) lie on the label. Of the label's elements, its 4 lower corners and the 4
    # elements between the slices (area e, edges along z) lie on the prediction, its 4 upper corners are 4 mm away.
    # Grid for the scorer, z y x: 4 x 1 x 1.5 mm.
    t = math.sqrt((4 * 1) ** 2 + (1 * 1.5) ** 2 + (1.5 * 4) ** 2) / 8  # 0.9207 mm2
    e = 4 * math.sqrt(1**2 + 1.5**2) / 2  # 3.6056 mm2
    masd_mm = (0 + 4 * t * 4 / (8 * t + 4 * e)) / 2  # 0.3381
    nsd = (8 * t + 4 * t + 4 * e) / (8 * t + 8 * t + 4 * e)  # 0.8737
    scores = single(folders, voxels(*ONE), voxels((3, 4, 6), (4, 4, 6)))
    assert scores == pytest.approx([2 / 3, masd_mm, nsd])
    assert (masd_mm, nsd) == pytest.approx((0.3381, 0.8737), abs=1e-4)


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [((), (), [1, 0, 1]), ((), ONE, [0, None, 0]), (ONE, (), [0, None, 0]), (ONE, ONE, [1, 0, 1])],
    ids=["both empty", "prediction empty", "label empty", "equal"],
)
def test_empty_masks(folders: Folders, prediction: tuple, label: tuple, expected: list) -> None:
    assert single(folders, voxels(*prediction), voxels(*label)) == expected


@pytest.mark.parametrize("seed", range(4))
def test_nsd_equals_monai(folders: Folders, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (10, 21, 16)
    label, prediction = (gaussian_filter(rng.normal(size=size), (0.7, 2, 2)) > 0.05 for _ in range(2))
    expected = compute_surface_dice(
        torch.tensor(prediction)[None, None],
        torch.tensor(label)[None, None],
        class_thresholds=[2.0],
        include_background=True,
        spacing=(4.0, 1.0, 1.5),  # what reaches the surface code
        use_subvoxels=True,
    )
    grid = Grid(size, GRID.spacing_mm, GRID.origin_mm, GRID.direction)
    nsd = single(folders, prediction.astype(np.uint8), label, grid)[2]
    assert 0.1 < nsd < 0.95
    assert nsd == pytest.approx(expected.item(), abs=1e-6)


def test_a_predictions_own_geometry_does_not_count_as_the_challenge_scores(folders: Folders) -> None:
    blob = np.random.default_rng(0).random(SIZE) < 0.1
    folders.label(NAMES[0], blob)
    results = []
    for grid in (GRID, ELSEWHERE):
        folders.predict(NAMES[0], np.roll(blob, 2, axis=2).astype(np.uint8), grid=grid)
        results.append(folders.evaluate(any_grid=True))
    assert results[0] == results[1]


OFF_GRID = {
    "spacing_mm": GRID.spacing_mm[::-1],
    "origin_mm": (GRID.origin_mm[0] + 0.5, *GRID.origin_mm[1:]),
    "direction": tuple(-cosine for cosine in GRID.direction),
}


@pytest.mark.parametrize("name", OFF_GRID)
def test_a_prediction_on_another_grid_is_refused_unless_told(three_cases: Folders, capsys, monkeypatch, name: str) -> None:
    path = three_cases.predict(NAMES[1], voxels(), grid=dataclasses.replace(GRID, **{name: OFF_GRID[name]}))
    line = refusal(three_cases, capsys, monkeypatch)
    label = three_cases.labels / f"{NAMES[1]}_lesion.mha"
    assert line.startswith(f"error: {label} and {path} are not on one grid: {name} (")
    monkeypatch.setattr(sys, "argv", ["evaluate", *three_cases.words(), "--as-the-challenge"])
    run(main)
    assert capsys.readouterr().out.startswith("3 cases: Dice 0.5556")


def test_metrics_json(three_cases: Folders) -> None:
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
    single(folders, voxels(), voxels(*ONE))
    masd = json.loads(folders.output.read_text())["aggregates"]["MASD"]
    assert (masd["mean"], masd["count"], masd["nan"]) == (None, 0, 1)


def test_names_and_not_order_make_the_pairs(three_cases: Folders) -> None:
    before = three_cases.evaluate()
    # the first prediction now comes last and the last first, whichever way the folder is listed
    below = three_cases.predictions / "zzz"
    below.mkdir()
    (three_cases.predictions / f"{NAMES[0]}.mha").rename(below / f"{NAMES[0]}_zzz.mha")
    (three_cases.predictions / f"{NAMES[1]}.mha").rename(three_cases.predictions / f"{NAMES[1]}_0.mha")
    after = three_cases.evaluate()
    assert after["aggregates"] == before["aggregates"]
    assert [after["case"][metric] for metric in METRICS] == [before["case"][metric] for metric in METRICS]
    assert list(after["case"]["pred_fname"].values()) == [f"{NAMES[2]}.mha", f"{NAMES[0]}_zzz.mha", f"{NAMES[1]}_0.mha"]


def test_suffix_picks_among_the_masks_of_several_methods(folders: Folders) -> None:
    folders.label(NAMES[0], voxels(*ONE))
    folders.predict(NAMES[0], voxels(*ONE), "_network")
    folders.predict(NAMES[0], voxels(), "_rule")
    assert [folders.evaluate(suffix=s)["case"]["NSD"][NAMES[0]] for s in ("_network", "_rule")] == [1, 0]


def test_hidden_files_and_other_types_are_left_alone(three_cases: Folders) -> None:
    before = three_cases.evaluate()
    for name in (".MGHNICU_010-VISIT_01.0f3c.partial.mha", "scores.csv", "predictions.json"):
        (three_cases.predictions / name).write_text("not a mask")
    assert three_cases.evaluate() == before


def test_missing_and_extra_predictions(three_cases: Folders, capsys, monkeypatch) -> None:
    (three_cases.predictions / f"{NAMES[0]}.mha").rename(three_cases.predictions / "MGHNICU_011-VISIT_01.mha")
    (three_cases.predictions / f"{NAMES[1]}.mha").unlink()
    line = refusal(three_cases, capsys, monkeypatch)
    missing = ", ".join(str(three_cases.labels / f"{name}_lesion.mha") for name in NAMES[:2])
    extra = three_cases.predictions / "MGHNICU_011-VISIT_01.mha"
    assert line == f"error: no prediction for {missing}; no label for {extra}\n"


@pytest.mark.parametrize("kind", ["prediction", "label"])
def test_two_files_of_one_case(three_cases: Folders, capsys, monkeypatch, kind: str) -> None:
    if kind == "prediction":
        first, second = (three_cases.predictions / f"{NAMES[1]}{ending}.mha" for ending in ("", "_b"))
    else:
        below = three_cases.labels / "below"
        below.mkdir()
        first, second = (folder / f"{NAMES[1]}_lesion.mha" for folder in (three_cases.labels, below))
    shutil.copy(first, second)
    line = refusal(three_cases, capsys, monkeypatch)
    assert line == f"error: expected one file per case, found {first}, {second}\n"


def test_wrong_shape(three_cases: Folders, capsys, monkeypatch) -> None:
    path = three_cases.predict(NAMES[2], np.zeros((9, 15, 12), np.uint8))
    line = refusal(three_cases, capsys, monkeypatch)
    label = three_cases.labels / f"{NAMES[2]}_lesion.mha"
    assert line == f"error: {path}: expected 15 x 12 x 9 voxels (x, y, z) as in {label}, found 12 x 15 x 9\n"


@pytest.mark.parametrize("kind", ["predict", "label"])
@pytest.mark.parametrize("value", [2, 255, 0.5, -1, math.nan])
def test_wrong_values(three_cases: Folders, capsys, monkeypatch, kind: str, value: float) -> None:
    path = getattr(three_cases, kind)(NAMES[1], np.where(voxels(*ONE), np.float32(value), 0))
    line = refusal(three_cases, capsys, monkeypatch)
    what = (
        "are NaN or infinite"
        if math.isnan(value)
        else re.escape(f"expected only 0 and 1, found [{sorted((0, value))[0]:.1f}, ")
    )
    assert re.match(f"error: {re.escape(str(path))}: .*{what}", line)


@pytest.mark.parametrize("keep", [0, 100, -3])
@pytest.mark.parametrize("kind", ["predictions", "labels"])
def test_a_file_that_is_cut_off(three_cases: Folders, capsys, monkeypatch, kind: str, keep: int) -> None:
    path = next(iter(sorted(getattr(three_cases, kind).iterdir())))
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: expected a whole image file" in refusal(three_cases, capsys, monkeypatch)


def test_a_file_that_changes_after_it_was_checked(three_cases: Folders) -> None:
    evaluation = LesionEvaluation(three_cases.predictions, three_cases.labels, three_cases.output)
    evaluation.load()
    evaluation.merge_ground_truth_and_predictions()
    path = three_cases.predict(NAMES[0], voxels((0, 0, 0)))
    with pytest.raises(UserError, match=f"{path}: changed"):
        evaluation.score()


ANY_NAMES = {  # label, prediction
    "blank": ("baby 1_lesion.mha", "baby 1.mha"),
    "dots": ("baby.v1.2_lesion.mha", "baby.v1.2_hie.mha"),
    "umlaut": ("Säugling_lesion.mha", "Säugling.mha"),
    "umlaut of two characters": (unicodedata.normalize("NFD", "Säugling_lesion.mha"), "Säugling_x.mha"),
    "other letters": ("新生児_lesion.mha", "新生児.mha"),
    "number": ("007.mha", "007_lesion.mha"),
    "bids": ("sub-01_ses-2_lesion.mha", "sub-01_ses-2_desc-hie_mask.mha"),
    "brackets": ("a[1]* (%s) {x}_lesion.mha", "a[1]* (%s) {x}.mha"),
    "upper case suffix": ("baby_lesion.MHA", "baby.MHA"),
    "longest case": ("baby_2_lesion.mha", "baby_2_x.mha"),
}


@pytest.mark.parametrize("kind", ANY_NAMES)
def test_any_name_is_a_case(folders: Folders, kind: str) -> None:
    """A second case, called baby, is an empty mask on an empty label: it would score 0 in each other's place."""
    label, prediction = ANY_NAMES[kind]
    for path in (folders.labels / label, folders.predictions / prediction):
        write_image(voxels(*ONE), GRID, path.with_suffix(".mha"))
        path.with_suffix(".mha").rename(path)
    if kind != "upper case suffix":
        folders.label("baby", voxels())
        folders.predict("baby", voxels())
    metrics = folders.evaluate()
    assert metrics["aggregates"]["DiceCoefficient"]["mean"] == 1
    assert prediction in metrics["case"]["pred_fname"].values()


@pytest.mark.parametrize(
    ("kind", "name", "lacks"),
    [
        ("predictions", "overlay.mha", "label"),
        ("predictions", "MGHNICU_010-VISIT_01-ADC_ss.mha", "label"),
        ("predictions", "baby 1.mha", "label"),
        ("labels", "baby 1.mha", "prediction"),
        ("labels", "MGHNICU_012-VISIT_01_lesion.mha", "prediction"),
    ],
)
def test_a_name_without_its_other(three_cases: Folders, capsys, monkeypatch, kind: str, name: str, lacks: str) -> None:
    path = getattr(three_cases, kind) / name
    write_image(voxels(), GRID, path)
    assert refusal(three_cases, capsys, monkeypatch) == f"error: no {lacks} for {path}\n"


def test_fewer_cases_than_told(three_cases: Folders, capsys, monkeypatch) -> None:
    assert "We expected to find 4, but we found 3." in refusal(three_cases, capsys, monkeypatch, "--cases", "4")


@pytest.mark.parametrize("kind", ["predictions", "labels"])
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_and_none(three_cases: Folders, capsys, monkeypatch, kind: str, there: bool) -> None:
    folder = getattr(three_cases, kind)
    shutil.rmtree(folder)
    if there:
        folder.mkdir()
    expected = f"error: {folder}: " + ("no file *.mha found" if there else "no such folder") + "\n"
    assert refusal(three_cases, capsys, monkeypatch) == expected


def command(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    python = [sys.executable, "-W", "error::FutureWarning", "-m", "evaluation.evaluate"]
    return subprocess.run([*python, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command_from_the_files_that_the_image_holds(three_cases: Folders, tmp_path: Path) -> None:
    """Only what the Dockerfile copies is there, so nothing else can be needed."""
    for line in (ROOT / "evaluation" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, target = line.split()[1:]
            folder = tmp_path / "app" / Path(target).relative_to("/opt/app")
            folder.mkdir(parents=True, exist_ok=True)
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, folder, **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))
    done = command(*three_cases.words(), "--cases", "3", cwd=tmp_path / "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 cases: Dice 0.5556, MASD 0.469 mm (1 without), NSD 0.5556\n"
    written = json.loads(three_cases.output.read_text())
    assert written == three_cases.evaluate()


def test_the_command_refuses_in_one_line(three_cases: Folders) -> None:
    three_cases.output.parent.mkdir()
    three_cases.output.write_text(EARLIER)
    path = three_cases.labels / f"{NAMES[2]}_lesion.mha"
    path.unlink()
    done = command(*three_cases.words())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: no label for {three_cases.predictions / NAMES[2]}.mha\n"
    assert not three_cases.output.exists()


@pytest.mark.parametrize(
    "kind", ["prediction", "label", "text", "table", "empty", "list", "link", "dangling link", "folder"]
)
def test_an_output_that_is_something_else_stays(
    three_cases: Folders, tmp_path: Path, capsys, monkeypatch, kind: str
) -> None:
    output = tmp_path / "mine"
    texts = {
        "text": "notes",
        "table": '{"case": {}, "aggregates": {}, "mine": 1}',
        "empty": "",
        "list": '["case", "aggregates"]',
    }
    if kind in texts:
        output.write_text(texts[kind])
    elif kind == "folder":
        output.mkdir()
    elif "link" in kind:
        (tmp_path / "metrics.json").write_text(EARLIER)
        output.symlink_to(tmp_path / ("metrics.json" if kind == "link" else "nowhere"))
    else:
        output = next(path for path in getattr(three_cases, f"{kind}s").iterdir() if path.name.startswith(NAMES[0]))
    before = {path: path.lstat().st_ino for path in tmp_path.rglob("*")}
    monkeypatch.setattr(sys, "argv", ["evaluate", *three_cases.words(), "--output", str(output)])
    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2
    what = "an output outside of" if kind in ("prediction", "label") else "a new file, or a metrics.json to replace"
    assert capsys.readouterr().err.startswith(f"error: {output}: expected {what}")
    assert {path: path.lstat().st_ino for path in tmp_path.rglob("*")} == before


def test_an_output_that_cannot_be_written(three_cases: Folders) -> None:
    done = command(*three_cases.words(), "--output", "/proc/nowhere/metrics.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: /proc/nowhere/metrics.json: cannot be written")


def test_torch_is_not_needed() -> None:
    code = "import sys, evaluation.evaluate; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "evalutils" in done.stdout.split()
    assert not {"torch", "monai", "safetensors"} & set(done.stdout.split())
