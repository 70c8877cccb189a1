"""The training command's options and what it writes beside the weights."""

import argparse
import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import SMALL

import training.train as module
from model.errors import UserError
from model.networks.config import to_json
from training.common.provenance import git_commit
from training.learning.train_config import TrainConfig, add_config_options, config_from, default_config, options
from training.learning.training_run import provenance
from training.scores.metrics import Scores


def test_the_sidecar_is_json_for_every_reader() -> None:
    scores = [Scores(0.0, math.nan, 0.0)]  # the only validation case was missed
    told = provenance(TrainConfig(), torch.device("cpu"), {"training": ["case1"], "validation": ["case0"]}, scores, [])
    assert json.loads(json.dumps(told, allow_nan=False))["validation_scores"]["case0"]["masd_mm"] is None  # NaN is no JSON


def test_the_commit_is_this_codes_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(module.__file__).parents[1]
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("not in a repository")
    monkeypatch.chdir(tmp_path)
    assert git_commit().removesuffix("-dirty") == head.stdout.strip()


def test_training_does_not_need_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GIT_COMMIT", raising=False)
    assert git_commit() == "unknown"
    monkeypatch.setenv("GIT_COMMIT", "abc")
    assert git_commit() == "abc"


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(fold=3, loss="dice", patch=(8, 16, 24), bfloat16=True, learning_rate=5e-4),
        default_config("paper", seed=2, patience=0),
        default_config("paper", fold=1, bfloat16=True),
    ],
)
def test_the_recorded_options_give_the_configuration_again(config: TrainConfig) -> None:
    parser = argparse.ArgumentParser()
    add_config_options(parser, default_config(config.protocol))
    assert config_from(parser.parse_args(options(config))) == config


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_the_command_trains_as_its_options_say(
    command, small_study: Path, tmp_path: Path, monkeypatch, on_a_terminal
) -> None:
    """A file gets a line for each epoch, and a terminal, which has a bar, does not."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_a_terminal)
    options = "--fold 2 --loss dice --seed 0 --epochs 1 --warmup-epochs 0 --learning-rate 5e-4 --bfloat16 --device cpu"
    words = [*options.split(), "--run", tmp_path]
    folds, *lines, held_out, path = command(module.main, "--data", small_study, *words).splitlines()
    assert Path(path) == tmp_path / "fold2.safetensors"
    assert folds.startswith("7 cases in the 5 folds of ")
    assert re.fullmatch(r"held-out cases: Dice [\d.]+, NSD [\d.]+; each one's scores are in fold2\.json", held_out)
    assert [line.startswith("epoch 1 of 1: loss ") for line in lines] == [True] * (not on_a_terminal)
    sidecar = json.loads(Path(path).with_suffix(".json").read_text())
    config = TrainConfig(fold=2, loss="dice", seed=0, epochs=1, warmup_epochs=0, learning_rate=5e-4, bfloat16=True)
    assert sidecar["provenance"]["training"] == dataclasses.asdict(config) | {"patch": []}
    assert sidecar["provenance"]["device"].startswith("cpu")
    assert sidecar["model"] == json.loads(json.dumps(to_json(SMALL)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("weight_decay", -0.1),
        ("ema_decay", 1.0),
        ("patch", (8, 16)),
    ],
)
def test_a_configuration_that_cannot_train_is_refused(name: str, value: float | tuple) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} .*: expected "):
        TrainConfig(**{name: value})
