"""From reviewed cases to weights of one's own: the commands of docs/adapt.md, on an invented hospital."""

import dataclasses
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import TINY, arguments
from phantom import write_image
from study_rows import row, table
from training_helpers import grid_of, invented_case, write_study

from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.stored import read_sidecar, write_sidecar
from model.networks.torch_engine import save_weights
from training import adapted, cases, fit, ship, splits
from training.data.dataset import PackedCase
from training.data.splits import folds_of
from training.learning.onnx_graph import export
from training.scores.methods import ADAPTED, RULE
from training.scores.metrics import dice_of
from training.scores.rows import Row, read_records

ROOT = Path(__file__).resolve().parents[2]


def write_scans(cases: dict[str, PackedCase], folder: Path) -> None:
    """As process.py --cases takes them."""
    for name, case in cases.items():
        (folder / name).mkdir(parents=True)
        for what in ("adc", "zadc"):
            write_image(getattr(case, what), grid_of(case), folder / name / f"{what}.nii.gz")


def patient(number: int) -> PackedCase:
    """With a lesion of low Z; a shift of 3 hides from the rule what own trees see."""
    case = invented_case(number)
    return dataclasses.replace(case, name=f"baby{number}", zadc=np.where(case.brain, case.zadc + np.float32(3), case.zadc))


def write_dealt(cases: list[PackedCase], folder: Path) -> None:
    """Packed, with folds of their own."""
    write_study(folder, {case.name: case for case in cases}, [[case.name for case in cases[n::5]] for n in range(5)])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network, which answers as the rule does, and says that it was trained on another's case."""
    folder = tmp_path_factory.mktemp("ours")
    provenance = {"cases": {"training": ["other"]}, "scans": ["0"]}
    save_weights(folder / "fold0-dice.safetensors", LesionNet(TINY), TINY, InferenceConfig(), provenance)
    export(folder)
    return folder


def test_reviewed_cases_become_weights(tmp_path: Path, ours: Path, few_trees, main, command) -> None:
    """Trees alone: packed, dealt, fitted, compared with ours, which are the rule, exported, and put to work."""
    here = {case.name: case for case in map(patient, range(10))}
    scans, lesions, reviews, data = (tmp_path / name for name in ("scans", "lesions", "reviews", "own"))
    write_scans(here, scans)
    reviews.mkdir()
    for name, case in here.items():
        write_image(case.label.astype(np.uint8), grid_of(case), reviews / f"{name}.nii.gz")
    assert main([*arguments(scans, lesions, ours), "--cases", "--reviews", str(reviews)]) == 0
    command(cases.main, "--reviewed", lesions, "--scans", scans, "--out", data)
    command(splits.main, "--data", data)
    command(fit.main, "--data", data, "--trees-alone")
    page = command(adapted.main, "--data", data, "--ours", ours)
    assert (data / "results" / "adapted.md").read_text() in page
    for words in (
        "they do better here",
        "from 10 cases in the 5 folds of splits.json of the data. All are scored.",
        "10 of the labels are reviewed drafts",
    ):
        assert words in page.replace("\n", " ")
    rows = read_records(data / "results" / "adapted.csv", Row)
    for found in rows:
        if found.method in ("ours", RULE):
            case = here[found.case]
            assert found.dice == pytest.approx(dice_of(case.brain & (case.zadc < -2), case.label), abs=1e-5)
    provenance = json.loads((data / "weights" / "decision.json").read_text())["provenance"]
    assert provenance["cases"]["training"] == sorted(here)
    assert provenance["folds"] == "10 cases in the 5 folds of splits.json of the data"

    words = ("bash", "export.sh", "--model-only", "--weights", data / "weights", tmp_path / "dist")
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(tmp_path / "dist" / "model.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    another = patient(10)
    write_scans({another.name: another}, tmp_path / "next" / "scans")
    words = arguments(tmp_path / "next" / "scans", tmp_path / "next" / "lesions", tmp_path / "unpacked")
    assert main([*words, "--cases"]) == 0
    mask = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "next" / "lesions" / another.name / "lesions.nii.gz")) > 0
    assert dice_of(mask, another.label) > 0.4


def test_cases_that_ours_saw_teach_and_are_not_scored(tmp_path: Path, ours: Path, few_trees, command, refusal) -> None:
    """By name, and under another name with another label; of the few others nothing is concluded."""
    ours = shutil.copytree(ours, tmp_path / "ours")
    some = list(map(patient, range(11)))
    write_dealt(some, tmp_path)
    sidecar = read_sidecar(ours / "fold0-dice.json")
    seen = dataclasses.replace(some[4], name="a", label=~some[4].label)

    def taught(names: list[str], scans: list[str]) -> None:
        write_sidecar(ours / "fold0-dice.json", sidecar | {"provenance": {"cases": {"training": names}, "scans": scans}})

    taught(["baby2", "a"], [seen.scan_digest])
    page = command(adapted.main, "--data", tmp_path, "--ours", ours).replace("\n", " ")
    assert "Scored are the 9 that ours did not see; the other 2 only teach." in page
    assert "better in 9 and worse in 0 of 9 cases: fewer than 10 cases with a lesion do not tell: keep ours." in page
    scored = {row.case for row in read_records(tmp_path / "results" / "adapted.csv", Row)}
    assert scored == {case.name for case in some} - {"baby2", "baby4"}
    for names in ([f"{case.name}-VISIT_02" for case in some], [case.name for case in some]):
        taught(names, ["0"])
        assert "trained on all cases" in refusal(adapted.main, "--data", tmp_path, "--ours", ours)
    taught(["other"], [])
    words = "no sidecar says which scans the weights were trained on"
    assert words in refusal(adapted.main, "--data", tmp_path, "--ours", ours)


@pytest.mark.parametrize(
    ("gain", "lesions", "verdict"),
    [
        (0.1, 10, "better in 12 and worse in 0 of 12 cases: they do better here."),
        (0.0, 12, "better in 0 and worse in 0 of 12 cases: no measurable gain: keep ours."),
        (0.1, 9, "fewer than 10 cases with a lesion do not tell: keep ours."),
    ],
)
def test_the_page_says_which_weights_to_keep(gain: float, lesions: int, verdict: str) -> None:
    cases = {f"baby{number}": dataclasses.replace(patient(number), fold=number % 5) for number in range(12)}
    rows = [
        row(name, method, dice=0.5 + gain * (method == "trees"), true_lesions=int(number < lesions))
        for number, name in enumerate(cases)
        for method in ("ours", "trees")
    ]
    page = adapted.page(table(*rows), cases).replace("\n", " ")
    assert verdict in page
    assert "reviewed drafts" not in page


def test_own_networks_are_asked_about_what_they_hold_out(tmp_path: Path, ours: Path, few_trees, command, refusal) -> None:
    """One that saw a case of its fold is refused, and no page is written."""
    write_dealt(list(map(patient, range(10))), tmp_path)
    folds, weights = folds_of(tmp_path), tmp_path / "networks"

    def save(fold: int, names: list[str]) -> None:
        provenance = {"cases": {"training": names}, "training": {"fold": fold, "seed": 0}}
        save_weights(weights / f"fold{fold}-dice.safetensors", LesionNet(TINY), TINY, InferenceConfig(), provenance)

    for fold in range(5):
        save(fold, sorted(folds.fold_of) if fold == 3 else folds.of(fold)[0])
    words = ("--data", tmp_path, "--ours", ours, "--weights", weights, "--device", "cpu")
    assert f"fold3-dice.json: trained on {folds.held_out[3][0]}" in refusal(adapted.main, *words)
    assert not list((tmp_path / "results").glob("*.md"))
    save(3, folds.of(3)[0])
    assert ADAPTED["decision"] in command(adapted.main, *words)
    rows = read_records(tmp_path / "results" / "adapted.csv", Row)
    assert {row.case: row.fold for row in rows if row.method == "decision"} == folds.fold_of


def test_of_cases_without_a_lesion_nothing_is_learnt(tmp_path: Path, refusal) -> None:
    """Empty masks would be better than any other."""
    write_dealt([dataclasses.replace(case, label=case.label & False) for case in map(patient, range(10))], tmp_path)
    assert refusal(fit.main, "--data", tmp_path, "--trees-alone").startswith("none of the 10 cases has a lesion")
    assert not list((tmp_path / "weights").glob("*"))
    words = ("--runs", tmp_path, "--losses", "dice")  # before any network is replaced
    assert refusal(ship.main, "--data", tmp_path, *words).startswith("none of the 10 cases has a lesion")
