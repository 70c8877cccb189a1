"""The training command's options and what it writes beside the weights."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import SMALL

import training.train as module
from model.errors import UserError
from model.networks.config import InferenceConfig, to_json
from model.networks.network import LesionNet
from model.networks.torch_engine import save_weights
from training.common.provenance import git_commit
from training.learning.train_config import TrainConfig, default_config, options
from training.learning.training_run import provenance
from training.scores.metrics import Scores


def test_the_sidecar_is_json_for_every_reader(tmp_path: Path) -> None:
    scores = [Scores(0.0, math.nan, 0.0)]  # the only validation case was missed
    written = provenance(TrainConfig(), torch.device("cpu"), {"training": ["case1"], "validation": ["case0"]}, scores, [])
    save_weights(tmp_path / "a.safetensors", LesionNet(SMALL), SMALL, InferenceConfig(), written)
    constants = []
    json.loads((tmp_path / "a.json").read_text(), parse_constant=constants.append)
    assert constants == []  # NaN is no JSON


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


def test_the_command_turns_options_into_the_configuration(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    called = []
    monkeypatch.setattr(module, "train", lambda *arguments, **_: called.append(arguments))
    options = ["--fold", "2", "--loss", "dice", "--seed", "0", "--epochs", "7", "--learning-rate", "5e-4", "--bfloat16"]
    monkeypatch.setattr(sys, "argv", ["train", "--data", "packed", "--run", str(tmp_path), "--device", "cpu", *options])
    module.main()
    config = TrainConfig(fold=2, loss="dice", seed=0, epochs=7, learning_rate=5e-4, bfloat16=True)
    assert called == [(config, Path("packed"), tmp_path, torch.device("cpu"))]


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(fold=3, loss="dice", patch=(8, 16, 24), bfloat16=True, learning_rate=5e-4),
        default_config("paper", seed=2, patience=0),
        default_config("paper", fold=1, bfloat16=True),
    ],
)
def test_the_recorded_options_give_the_configuration_again(config, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    called = []
    monkeypatch.setattr(module, "train", lambda *arguments, **_: called.append(arguments[0]))
    monkeypatch.setattr(sys, "argv", ["train", "--data", "packed", "--run", "run", "--device", "cpu", *options(config)])
    module.main()
    assert called == [config]


def test_the_command_defaults_to_the_configurations_defaults(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    called = []
    monkeypatch.setattr(module, "train", lambda *arguments, **_: called.append(arguments[0]))
    monkeypatch.setattr(sys, "argv", ["train", "--data", "packed", "--run", "run", "--device", "cpu"])
    module.main()
    assert called == [TrainConfig()]


def test_the_architecture_is_a_files_where_asked(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    called = []
    monkeypatch.setattr(module, "train", lambda *_, model, **__: called.append(model))
    (tmp_path / "small.json").write_text(json.dumps(to_json(SMALL)))
    words = ["train", "--data", "packed", "--run", "run", "--device", "cpu", "--model", str(tmp_path / "small.json")]
    monkeypatch.setattr(sys, "argv", words)
    module.main()
    assert called == [SMALL]
    (tmp_path / "small.json").write_text("{}")
    with pytest.raises(UserError, match=r"small\.json"):
        module.main()


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_a_file_gets_the_lines_and_a_terminal_does_not(on_a_terminal, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(module, "train", lambda *_, say, **__: say("an epoch") if say else None)
    monkeypatch.setattr(sys, "argv", ["train", "--data", "packed", "--run", "run", "--device", "cpu"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_a_terminal)
    module.main()
    assert ("an epoch\n" in capsys.readouterr().out) == (not on_a_terminal)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("fold", -1),
        ("learning_rate", -1.0),
        ("learning_rate", math.nan),
        ("weight_decay", -0.1),
        ("warmup_epochs", -1),
        ("ema_decay", 1.0),
        ("ema_decay", math.nan),
    ],
)
def test_a_configuration_that_cannot_train_is_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name.replace("_", "-")):
        TrainConfig(**{name: value})
