"""Evaluation from files: an untrained network is the rule, so both columns must agree."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from training_helpers import SMALL, invented_case

from model.errors import UserError
from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.stored import sealed
from model.networks.torch_engine import save_weights
from training import evaluate
from training.data.dataset import PackedCase
from training.scores.metrics import Scores, score

HELD_OUT = ["case0", "case1"]


def publish(case: PackedCase, root: Path) -> None:
    files = {
        f"1ADC_ss/{case.name}-ADC_ss.mha": case.adc,
        f"2Z_ADC/Zmap_{case.name}-ADC_smooth2mm_clipped10.mha": case.zadc,
        f"3LABEL/{case.name}_lesion.mha": case.label.astype(np.uint8),
    }
    for name, voxels in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(case.spacing_mm[::-1])
        sitk.WriteImage(image, str(root / name))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Published cases, untrained weights and the command line that evaluates them; returns the root of them all."""
    for number in range(3):
        publish(invented_case(number), tmp_path / "data")
    provenance = {"cases": {"training": ["case2"], "validation": HELD_OUT}}
    save_weights(tmp_path / "weights/a.safetensors", LesionNet(SMALL), SMALL, InferenceConfig(), provenance)
    options = {"--data": "data", "--weights": "weights", "--out": "out"}
    words = [word for option, folder in options.items() for word in (option, str(tmp_path / folder))]
    monkeypatch.setattr(sys, "argv", ["evaluate", *words, "--device", "cpu"])
    monkeypatch.setattr(evaluate, "read_fold", lambda fold: (["case2"], HELD_OUT))
    return tmp_path


def test_an_untrained_network_scores_as_the_rule(command: Path, capsys: pytest.CaptureFixture) -> None:
    evaluate.main()
    rows = list(csv.DictReader((command / "out" / "scores.csv").open()))
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
    printed = capsys.readouterr().out
    assert "cases without MASD (one mask empty): network 0, rule 0, of 2" in printed
    assert "dice, network - rule: +0.000, standard error 0.000, better in 0 and worse in 0 cases" in printed


def test_the_rule_alone_needs_no_weights_and_takes_every_case(command: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (command / "weights").iterdir():
        path.unlink()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--rule-only"])
    evaluate.main()
    rows = list(csv.DictReader((command / "out" / "scores.csv").open()))
    assert [(row["case"], row["method"]) for row in rows] == [(f"case{number}", "rule") for number in range(3)]


def test_paired_differences_by_hand(capsys: pytest.CaptureFixture) -> None:
    pairs = [(0.5, 0.4), (0.4, 0.5), (0.9, 0.6)]  # +0.1, -0.1, +0.3: mean 0.1, standard error 0.2 / sqrt(3)
    evaluate.print_table(
        {str(i): {"network": Scores(a, 1.0, a), "rule": Scores(b, 1.0, b)} for i, (a, b) in enumerate(pairs)}
    )
    assert "dice, network - rule: +0.100, standard error 0.115, better in 2 and worse in 1 cases" in capsys.readouterr().out


def test_cases_trained_on_are_refused(command: Path) -> None:
    path = command / "weights" / "a.json"
    sidecar = json.loads(path.read_text())
    sidecar["provenance"]["cases"]["training"].append("case1")
    path.write_text(json.dumps(sealed(sidecar)))
    with pytest.raises(UserError, match=r"a\.json: trained on case1"):
        evaluate.main()
    assert not (command / "out").exists()


def test_a_missing_held_out_case_is_named(command: Path) -> None:
    for path in (command / "data").rglob("*case1*"):
        path.unlink()
    with pytest.raises(UserError, match="held-out cases are missing: case1"):
        evaluate.main()
