"""Whole runs of the training command on seven invented cases and a small network, on the CPU.

Fold 0 trains on five cases and validates on two; with batches of two, an epoch has three steps.
"""

import dataclasses
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import load
from safetensors.torch import load_file
from training_helpers import CASES, FOLDS, SMALL, tensors, write_other_study, write_study

from model.errors import UserError
from model.networks import stored
from training.common.provenance import git_commit
from training.data.dataset import PackedCase
from training.learning.losses import LOSSES
from training.learning.protocols import PROTOCOLS, Native
from training.learning.train_config import TrainConfig
from training.learning.training_loop import validate
from training.learning.training_run import hold_out, train
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


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("steps", [STEPS, 2 * STEPS + 2])
def test_a_killed_run_resumes_bit_for_bit(data: Path, finished: Path, tmp_path: Path, replace_loss, steps: int) -> None:
    calls, loss, lines = itertools.count(), LOSSES[CONFIG.loss], []

    def killing(*arguments: torch.Tensor) -> torch.Tensor:
        if next(calls) == steps:
            raise Killed
        return loss(*arguments)

    replace_loss(CONFIG.loss, killing)
    with pytest.raises(Killed):
        train(CONFIG, data, tmp_path, CPU, validate_every=2, say=lines.append)
    assert not list(tmp_path.glob("*.safetensors"))

    torch.manual_seed(7)  # a new process knows nothing of the old one's random state
    train(CONFIG, data, tmp_path, CPU, validate_every=2, say=lines.append)
    require_same_run(tmp_path, finished)
    whole_epochs = steps // STEPS
    assert next(calls) == steps + 1 + (CONFIG.epochs - whole_epochs) * STEPS  # no finished epoch was repeated
    number = r"\d+\.\d"
    for epoch, line in enumerate(lines, 1):
        dice = rf", Dice {number}+" if epoch == 2 else ""
        assert re.fullmatch(rf"epoch {epoch} of 3: loss {number}+{dice}, {number} s", line), line
    assert len(lines) == 3


@pytest.mark.parametrize(("module", "name", "calls"), [(torch, "save", 2), (stored, "write_sidecar", 0)])
def test_a_run_that_is_killed_while_it_writes_resumes(
    data: Path, finished: Path, tmp_path: Path, monkeypatch, module: object, name: str, calls: int
) -> None:
    """Of the third checkpoint, or of the sidecar beside the weights, half is written."""
    count, write = itertools.count(), getattr(module, name)

    def killing(*arguments: object) -> None:
        if next(count) == calls:
            next(path for path in arguments if isinstance(path, Path)).write_bytes(b"half")
            raise Killed
        write(*arguments)

    monkeypatch.setattr(module, name, killing)
    with pytest.raises(Killed):
        train(CONFIG, data, tmp_path, CPU, validate_every=2)
    train(CONFIG, data, tmp_path, CPU, validate_every=2)
    require_same_run(tmp_path, finished)


def test_a_finished_run_is_the_same_on_the_same_data_packed_again(finished: Path, tmp_path: Path, batches: list) -> None:
    """Another file, of which numpy keeps other times and no compression; nothing is trained."""
    for name, case in CASES.items():
        arrays = {"spacing_mm": np.array(case.spacing_mm), "label": case.label, "zadc": case.zadc, "adc": case.adc}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    run = shutil.copytree(finished, tmp_path / "run")
    assert train(CONFIG, tmp_path, run, CPU) == run / "fold0.safetensors"
    require_same_run(run, finished)
    assert not batches


# --- early stopping ---


def test_a_run_ends_when_the_inner_cases_bring_no_progress(data: Path, tmp_path: Path, replace_loss) -> None:
    """After the second epoch none is better; that one's weights are written. Of five training cases one is inner."""
    inner, tversky = iter([5.0, 3.0, 4.0, 3.5]), LOSSES["tversky"]

    def scripted(*arguments: torch.Tensor) -> torch.Tensor:
        return tversky(*arguments) if torch.is_grad_enabled() else torch.tensor(next(inner))

    replace_loss(CONFIG.loss, scripted)
    path = train(dataclasses.replace(CONFIG, epochs=9, patience=2), data, tmp_path, CPU, validate_every=0)
    state = checkpoint(tmp_path)
    assert [entry["inner_loss"] for entry in state["history"]] == [5.0, 3.0, 4.0, 3.5]
    assert all(torch.equal(tensor, state["best"][name].half()) for name, tensor in load_file(path).items())
    assert not torch.equal(state["best"]["threshold"], state["average"]["module.threshold"])
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["provenance"]["cases"]["inner"] == ["case6"]  # the fifth: all have one lesion load


def test_every_eighth_patient_by_lesion_load_is_inner_with_all_scans() -> None:
    names = [f"{name}-VISIT_0{visit}" for name in "abcdef" for visit in (1, 2)]
    brain = np.ones((2, 4, 5), np.float32)
    cases = [
        PackedCase(name, brain, brain, (np.arange(40) < 20 - load).reshape(brain.shape), (3.0, 1.0, 1.0))
        for load, name in enumerate(names)
    ]
    chosen, inner = hold_out(cases, 3)
    assert [case.name for case in inner] == ["d-VISIT_02", "d-VISIT_01"]  # the fifth from below, and the patient's other
    assert [case.name for case in chosen] == [name for name in reversed(names) if not name.startswith("d")]
    assert hold_out(cases, 0) == (cases, [])
    with pytest.raises(UserError, match="--patience 3: 4 training cases are too few"):
        hold_out(cases[:4], 3)


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config": {"epochs": 4}}, r"belongs to a run of another configuration \(epochs\); choose another --run folder"),
        ({"model": dataclasses.replace(SMALL, margin=3)}, r"belongs to a run of another configuration \(model\);"),
        ({"folds": True}, r"belongs to a run of another configuration \(cases\);"),
        # which is held out: its scores are in the history
        ({"kind": "Z negated", "names": ["case0"]}, r"belongs to a run on other data \(case0\); choose another --run"),
        ({"untold": True}, r"on other data \(which data they were is not told\)"),
        ({"cut": True}, r"damaged checkpoint \(.*\); remove it to start over"),
    ],
)
def test_the_folder_of_another_run_is_refused(finished, tmp_path: Path, monkeypatch, change: dict, reason: str) -> None:
    if "model" in change:
        monkeypatch.setitem(PROTOCOLS, "native", lambda: Native(change["model"]))
    run = shutil.copytree(finished, tmp_path / "run")
    data = write_other_study(tmp_path / "packed", change.get("kind", "Z negated"), change.get("names", ()))
    if "folds" in change:
        write_study(data, CASES, [FOLDS[1], FOLDS[0], *FOLDS[2:]])  # validates on cases trained on
    if "untold" in change:
        state = checkpoint(run)
        del state["config"]["data"]
        torch.save(state, run / "checkpoint.pt")
    if "cut" in change:
        (run / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes()[:999])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=rf"^{run}/checkpoint\.pt: .*{reason}"):
        train(dataclasses.replace(CONFIG, **change.get("config", {})), data, run, CPU)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


# --- what a training step sees ---


def test_steps_see_each_training_case_once_and_anew_in_each_epoch(data: Path, tmp_path: Path, batches: list) -> None:
    """And no validation case. With another seed it is another order, and other changes."""
    train(dataclasses.replace(CONFIG, epochs=5), data, tmp_path / "0", CPU, validate_every=1)
    other = dataclasses.replace(CONFIG, epochs=1, warmup_epochs=0, seed=2**31)
    train(other, data, tmp_path / "1", CPU, validate_every=0)
    assert len(batches) == 6 * STEPS
    for epoch in epochs(batches):
        seen = sorted(itertools.chain.from_iterable(crops for crops, _ in epoch))
        assert seen == thickness(list(CASES.keys() - FOLDS[0]))
    assert len({str([crops for crops, _ in epoch]) for epoch in epochs(batches)}) > 3
    case2 = CASES["case2"].spacing_mm[0]
    targets = [target[crops.index(case2)].sum().item() for crops, target in batches if case2 in crops]
    assert len(set(targets[:5])) > 2  # zoomed and turned anew
    assert targets[0] != targets[5]


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
    assert provenance["versions"].keys() == {"python", "torch", "monai", "numpy"}
    assert provenance["training"] == dataclasses.asdict(CONFIG) | {"patch": []}
    assert provenance["data"] == {name: case.digest for name, case in CASES.items()}
    assert provenance["cases"] == {"training": sorted(CASES.keys() - FOLDS[0]), "validation": FOLDS[0]}
    assert re.search("BONBID-HIE.*non-commercial", provenance["data_licence"])
