"""Whole runs of the training command on seven invented cases and a small network, on the CPU.

Fold 0 trains on five cases and validates on two; with batches of two, an epoch has three steps.
"""

import dataclasses
import itertools
import json
import math
import pickle
import platform
import re
import shutil
from pathlib import Path

import monai
import numpy as np
import pytest
import torch
from inference_helpers import load
from safetensors.torch import load_file
from training_helpers import CASES, FOLDS, OTHER_DATA, SMALL, tensors, write_other_study

from model.errors import UserError
from training.common.provenance import git_commit
from training.learning.losses import LOSSES
from training.learning.protocols import Native
from training.learning.train_config import TrainConfig
from training.learning.training_loop import Training, validate
from training.learning.training_run import train
from training.scores.metrics import mean_scores

CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=3, warmup_epochs=1, batch_size=2)
STEPS = 3  # per epoch


@pytest.fixture(scope="module", autouse=True)
def data(small_study: Path) -> Path:
    return small_study


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run of CONFIG. Not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    train(CONFIG, data, folder, CPU, validate_every=2)
    return folder


@pytest.fixture
def batches(replace_loss) -> list[tuple]:
    """Fills with what each training step got: (slice thickness of each crop, target) - the thickness tells cases apart."""
    seen, tversky = [], LOSSES["tversky"]

    def spy(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
        seen.append((spacing_mm[:, 0].tolist(), target.clone()))
        return tversky(logits, target, spacing_mm)

    replace_loss(CONFIG.loss, spy)
    return seen


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def require_same_run(a: Path, b: Path) -> None:
    """The written weights are rounded, so the network, its average and the optimizer are compared bit for bit too."""
    assert (a / "fold0.safetensors").read_bytes() == (b / "fold0.safetensors").read_bytes()
    first, second = tensors(checkpoint(a)), tensors(checkpoint(b))
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    losses = [[entry["loss"] for entry in checkpoint(folder)["history"]] for folder in (a, b)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == CONFIG.epochs


def epochs(batches: list[tuple]) -> list[list[tuple]]:
    return [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]


def thickness(names: list[str]) -> list[float]:
    return sorted(CASES[name].spacing_mm[0] for name in names)


# --- the same run gives the same weights ---


def test_same_seed_same_weights(data: Path, finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)  # whatever came before, and however often the run looks at its validation cases
    np.random.seed(123)
    train(CONFIG, data, tmp_path, CPU, validate_every=0)
    require_same_run(tmp_path, finished)


@pytest.mark.parametrize("seed", [1, 2**31])
def test_another_seed_gives_other_weights(data: Path, finished: Path, tmp_path: Path, seed: int) -> None:
    train(dataclasses.replace(CONFIG, seed=seed), data, tmp_path, CPU)
    assert (tmp_path / "fold0.safetensors").read_bytes() != (finished / "fold0.safetensors").read_bytes()


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("steps", [STEPS, STEPS + 1, 2 * STEPS + 2])
def test_a_killed_run_resumes_bit_for_bit(data: Path, finished: Path, tmp_path: Path, replace_loss, steps: int) -> None:
    calls, loss = itertools.count(), LOSSES[CONFIG.loss]

    def killing(*arguments: torch.Tensor) -> torch.Tensor:
        if next(calls) == steps:
            raise Killed
        return loss(*arguments)

    replace_loss(CONFIG.loss, killing)
    with pytest.raises(Killed):
        train(CONFIG, data, tmp_path, CPU)
    assert not list(tmp_path.glob("*.safetensors"))

    torch.manual_seed(7)  # a new process knows nothing of the old one's random state
    train(CONFIG, data, tmp_path, CPU)
    require_same_run(tmp_path, finished)
    whole_epochs = steps // STEPS
    assert next(calls) == steps + 1 + (CONFIG.epochs - whole_epochs) * STEPS  # no finished epoch was repeated


def test_a_log_gets_a_line_for_each_epoch_once(data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    for _ in range(2):  # the second finds nothing to do
        train(CONFIG, data, tmp_path, CPU, validate_every=2, say=lines.append)
    number = r"\d+\.\d"
    assert len(lines) == 3
    for epoch, line in enumerate(lines, 1):
        dice = rf", Dice {number}+" if epoch == 2 else ""
        assert re.fullmatch(rf"epoch {epoch} of 3: loss {number}+{dice}, {number} s", line), line


def test_a_finished_run_is_not_trained_again(data: Path, finished: Path, tmp_path: Path, batches: list) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    assert train(CONFIG, data, tmp_path, CPU) == tmp_path / "fold0.safetensors"
    require_same_run(tmp_path, finished)
    assert not batches


def test_a_kill_while_saving_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    training = Training(CONFIG, Native(SMALL), CPU)
    training.save(path, {})
    before = path.read_bytes()

    def killed(_: object, partial: Path) -> None:
        partial.write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(Killed):
        training.save(path, {})
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert path.read_bytes() == before


# --- what is refused ---


@pytest.mark.parametrize("change", [{"seed": 1}, {"loss": "dice"}, {"epochs": 4}, {"learning_rate": 2e-3}])
def test_the_folder_of_another_run_is_refused(data: Path, finished: Path, change: dict) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=rf"checkpoint\.pt: .* another {next(iter(change))};.*--run"):
        train(dataclasses.replace(CONFIG, **change), data, finished, CPU)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_the_folder_of_another_network_is_refused(data: Path, finished: Path) -> None:
    with pytest.raises(UserError, match="another model"):
        train(CONFIG, data, finished, CPU, model=dataclasses.replace(SMALL, margin=3))


def test_the_folder_of_other_folds_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "packed")
    folds = [["case2", "case3"], ["case0", "case1"], *FOLDS[2:]]  # validates on cases trained on
    (other / "splits.json").write_text(json.dumps({"folds": folds}))
    with pytest.raises(UserError, match="checkpoint"):
        train(CONFIG, other, finished, CPU)


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        *((kind, ["case3"], "case3") for kind in OTHER_DATA),
        ("Z negated", ["case0"], "case0"),  # which is held out: its scores are in the history
        ("labels inverted", list(CASES), "case0, case1, case2, case3, case4 and 2 more"),
    ],
)
def test_a_run_on_other_data_is_not_continued(finished: Path, tmp_path: Path, kind: str, names: list, words: str) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=rf"checkpoint\.pt: belongs to a run on other data \({words}\); choose another --run"
    ):
        train(CONFIG, write_other_study(tmp_path / "other", kind, names), finished, CPU)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_checkpoint_that_does_not_know_its_data_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    state = checkpoint(finished)
    del state["config"]["data"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="other data \\(which data they were is not told\\)"):
        train(CONFIG, data, tmp_path, CPU)


def test_the_same_data_packed_again_are_the_same(data: Path, finished: Path, tmp_path: Path) -> None:
    """Another file, of which numpy keeps other times and no compression."""
    for name, case in CASES.items():
        arrays = {"spacing_mm": np.array(case.spacing_mm), "label": case.label, "zadc": case.zadc, "adc": case.adc}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert train(CONFIG, tmp_path, finished, CPU) == finished / "fold0.safetensors"


def test_an_unknown_loss_lists_the_known_ones(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--loss focal: unknown, expected one of {', '.join(LOSSES)}$"):
        train(TrainConfig(loss="focal"), data, tmp_path, CPU)


def test_an_unknown_fold_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a fold from 0 to 4, found 5"):
        train(TrainConfig(fold=5), data, tmp_path, CPU)


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_checkpoint_cannot_run_code(data: Path, tmp_path: Path) -> None:
    torch.save({"config": Payload(tmp_path / "executed")}, tmp_path / "checkpoint.pt")
    with pytest.raises((pickle.UnpicklingError, UserError)):
        train(CONFIG, data, tmp_path, CPU)
    assert not (tmp_path / "executed").exists()


# --- what a training step sees ---


def test_steps_see_each_training_case_once_and_no_validation_case(data: Path, tmp_path: Path, batches: list) -> None:
    train(CONFIG, data, tmp_path, CPU, validate_every=1)
    assert len(batches) == CONFIG.epochs * STEPS
    for epoch in epochs(batches):
        seen = sorted(itertools.chain.from_iterable(crops for crops, _ in epoch))
        assert seen == thickness(list(CASES.keys() - FOLDS[0]))


def test_epochs_differ_in_order_and_augmentation(data: Path, tmp_path: Path, batches: list) -> None:
    train(dataclasses.replace(CONFIG, epochs=6), data, tmp_path, CPU, validate_every=0)
    assert len({str([crops for crops, _ in epoch]) for epoch in epochs(batches)}) > 3
    case2 = CASES["case2"].spacing_mm[0]
    targets = [target[crops.index(case2)] for crops, target in batches if case2 in crops]
    assert len({target.sum().item() for target in targets}) > 2  # zoomed and turned anew in each epoch


def test_seeds_differ_in_order_and_augmentation(data: Path, tmp_path: Path, batches: list) -> None:
    for seed in range(4):
        train(dataclasses.replace(CONFIG, seed=seed, epochs=1), data, tmp_path / str(seed), CPU, validate_every=0)
    seen = [str([(crops, target.sum().item()) for crops, target in epoch]) for epoch in epochs(batches)]
    assert len(set(seen)) == 4


# --- what is written ---


def test_the_weights_are_the_average(finished: Path) -> None:
    state = checkpoint(finished)
    written = load_file(finished / "fold0.safetensors")
    for name, tensor in written.items():
        assert torch.equal(tensor, state["average"][f"module.{name}"].half())
    last_layer = "head.conv.conv.weight"  # zero before training
    assert not torch.equal(written[last_layer], state["network"][last_layer].half())
    assert written[last_layer].count_nonzero() > 0


def test_the_weights_load_and_score_as_the_sidecar_says(finished: Path) -> None:
    ensemble = load(finished)
    provenance = json.loads((finished / "fold0.json").read_text())["provenance"]
    scores = validate(ensemble.networks[0].module, [CASES[name] for name in FOLDS[0]], Native(SMALL), CPU)
    assert ensemble.models == [SMALL]
    assert provenance["validation_scores"] == {name: dataclasses.asdict(s) for name, s in zip(FOLDS[0], scores, strict=True)}
    assert provenance["validation_mean"] == dataclasses.asdict(mean_scores(scores))


def test_the_sidecar_says_how_the_weights_were_made(finished: Path) -> None:
    provenance = json.loads((finished / "fold0.json").read_text())["provenance"]
    given = "--protocol native --fold 0 --loss tversky-hausdorffdt --seed 0 --epochs 3 --warmup-epochs 1"
    assert provenance["command"] == f"python -m training.train {given}"
    assert provenance["git_commits"] == [git_commit()]
    assert provenance["device"].startswith("cpu, ")
    assert provenance["versions"] == {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
    }
    assert provenance["training"] == dataclasses.asdict(CONFIG) | {"patch": []}
    assert provenance["training"]["seed"] == 0
    assert provenance["data"] == {name: case.digest for name, case in CASES.items()}
    assert provenance["cases"] == {"training": sorted(CASES.keys() - FOLDS[0]), "validation": FOLDS[0]}
    assert "BONBID-HIE" in provenance["data_licence"]
    assert "non-commercial" in provenance["data_licence"]


def test_scores_are_kept_where_asked(finished: Path) -> None:
    history = checkpoint(finished)["history"]
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert ["dice" in entry for entry in history] == [False, True, False]
    assert all(math.isfinite(entry["loss"]) and entry["seconds"] > 0 for entry in history)
