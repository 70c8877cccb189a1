"""Evaluation from files: an untrained network is the rule, so both columns must agree."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from training_helpers import SMALL, invented_case, publish

from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.stored import sealed
from model.networks.torch_engine import save_weights
from training import evaluate
from training.scores.metrics import Scores, score

HELD_OUT = ["case0", "case1"]


@pytest.fixture
def words(tmp_path: Path, use_folds, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Published cases and untrained weights, and the options with which the command evaluates them."""
    for number in range(3):
        publish(invented_case(number), tmp_path / "data")
    provenance = {"cases": {"training": ["case2"], "validation": HELD_OUT}}
    save_weights(tmp_path / "weights/a.safetensors", LesionNet(SMALL), SMALL, InferenceConfig(), provenance)
    use_folds([HELD_OUT, ["case2"]])
    monkeypatch.chdir(tmp_path)
    return ["--data", "data", "--weights", "weights", "--out", "out", "--device", "cpu"]


def test_an_untrained_network_scores_as_the_rule(words: list, command) -> None:
    printed = command(evaluate.main, *words)
    rows = list(csv.DictReader(Path("out/scores.csv").read_text().splitlines()))
    assert [(row["case"], row["method"]) for row in rows] == [
        (name, method) for name in HELD_OUT for method in ("network", "rule")
    ]
    for number, name in enumerate(HELD_OUT):
        case = invented_case(number)
        expected = score((case.adc > 0) & (case.zadc < -2), case.label, case.spacing_mm)
        for row in rows[2 * number : 2 * number + 2]:
            found = [float(row[metric]) for metric in ("dice", "masd_mm", "nsd")]
            assert row["case"] == name
            assert found == pytest.approx([expected.dice, expected.masd_mm, expected.nsd])
    assert "cases without MASD (one mask empty): network 0, rule 0, of 2" in printed
    assert "dice, network - rule: +0.000, standard error 0.000, better in 0 and worse in 0 cases" in printed


def test_the_rule_alone_needs_no_weights_and_takes_every_case(words: list, command) -> None:
    shutil.rmtree("weights")
    command(evaluate.main, *words, "--rule-only")
    rows = list(csv.DictReader(Path("out/scores.csv").read_text().splitlines()))
    assert [(row["case"], row["method"]) for row in rows] == [(f"case{number}", "rule") for number in range(3)]


def test_paired_differences_by_hand(capsys: pytest.CaptureFixture) -> None:
    pairs = [(0.5, 0.4), (0.4, 0.5), (0.9, 0.6)]  # +0.1, -0.1, +0.3: mean 0.1, standard error 0.2 / sqrt(3)
    evaluate.print_table(
        {str(i): {"network": Scores(a, 1.0, a), "rule": Scores(b, 1.0, b)} for i, (a, b) in enumerate(pairs)}
    )
    assert "dice, network - rule: +0.100, standard error 0.115, better in 2 and worse in 1 cases" in capsys.readouterr().out


def test_cases_trained_on_are_refused(words: list, refusal) -> None:
    path = Path("weights/a.json")
    sidecar = json.loads(path.read_text())
    sidecar["provenance"]["cases"]["training"].append("case1")
    path.write_text(json.dumps(sealed(sidecar)))
    assert refusal(evaluate.main, *words).startswith("weights/a.json: trained on case1")
    assert not Path("out").exists()


def test_a_missing_held_out_case_is_named(words: list, refusal) -> None:
    for path in Path("data").rglob("*case1*"):
        path.unlink()
    assert "held-out cases are missing: case1" in refusal(evaluate.main, *words)
