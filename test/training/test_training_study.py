"""Small studies on seven invented cases and a small network, on the CPU, in this process.

Fold 0 trains on five cases and holds out two; with batches of two, an epoch has three steps.
"""

import dataclasses
import functools
import json
import math
import operator
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import exit_code
from inference_helpers import load
from training_helpers import CASES, FOLDS, Here, write_other_study

import training.study as module
from model.errors import UserError
from model.files import only_run
from model.networks.predict import Predictor
from training.data.dataset import PackedCase
from training.data.splits import folds_of
from training.learning import executors, study_runs
from training.learning.executors import LocalExecutor, reason, slurm_executor, slurm_options, work_off
from training.learning.losses import LOSSES
from training.learning.protocols import Prediction
from training.learning.study_runs import Job
from training.learning.train_config import default_config
from training.scores.case_row import case_row
from training.scores.methods import RULE
from training.scores.metrics import score
from training.scores.rows import Epoch, Row, curves_path, read_records


@pytest.fixture(scope="module", autouse=True)
def data(small_study: Path) -> Iterator[Path]:
    """The packed cases; the study scores every second epoch and runs here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_runs, "VALIDATE_EVERY", 2)
        patch.setattr(module, "LocalExecutor", lambda slots: Here())
        yield small_study


def words(data: Path, folder: Path, *options: str) -> list[object]:
    """The command's options."""
    places = ("--data", data, "--runs", folder / "runs", "--results", folder / "results")
    return [*places, "--epochs", "3", "--warmup-epochs", "1", "--device", "cpu", *options]


def study(data: Path, folder: Path, *options: str) -> Path:
    """Run the command; returns the results file."""
    assert exit_code(module.main, *words(data, folder, *options)) == 0
    return folder / "results" / "native.csv"


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results file of an undisturbed study. Not to be written to."""
    return study(data, tmp_path_factory.mktemp("study"), "--losses", "dice", "--folds", "0", "2")


def of_networks(path: Path) -> list[Row]:
    return [row for row in read_records(path, Row) if row.method != RULE]


# --- the rows ---


def test_a_run_has_the_scores_of_its_weights_on_its_held_out_cases_only(finished: Path) -> None:
    expected = [("dice", fold, 0, case) for fold in (0, 2) for case in FOLDS[fold]]
    assert [(row.method, row.fold, row.seed, row.case) for row in of_networks(finished)] == expected
    for row in of_networks(finished):
        folder = finished.parents[1] / f"runs/native/{row.method}-fold{row.fold}-seed0"
        provenance = json.loads((folder / f"fold{row.fold}.json").read_text())["provenance"]
        assert not set(provenance["cases"]["training"]) & set(FOLDS[row.fold])
        case = CASES[row.case]
        mask = Predictor(load(folder)).mask(case.adc, case.zadc, math.prod(case.spacing_mm))
        require_scores(row, mask, case)
        assert row.epochs == 3
        assert row.peak_mb > 50
        assert min(row.train_seconds, row.predict_seconds) > 0


def require_scores(row: Row, mask: np.ndarray, case: PackedCase) -> None:
    def close(value: float) -> object:
        return pytest.approx(value, rel=1e-5, nan_ok=True)  # six digits

    scores = score(mask, case.label, case.spacing_mm)
    assert (row.dice, row.masd_mm, row.nsd) == (close(scores.dice), close(scores.masd_mm), close(scores.nsd))
    assert row.lesion_load == close(np.count_nonzero(case.label) / np.count_nonzero(case.adc > 0))
    assert row.slice_mm == case.spacing_mm[0]
    assert math.isnan(row.grid_dice)


def test_a_run_is_done_when_each_of_its_cases_has_a_row(data: Path, finished: Path) -> None:
    rows, folds = of_networks(finished), folds_of(data)
    assert study_runs.finished_runs(rows, folds) == {("dice", 0, 0), ("dice", 2, 0)}
    assert study_runs.finished_runs(rows[1:], folds) == {("dice", 2, 0)}


def test_the_rule_has_a_row_per_case(finished: Path) -> None:
    rows = [row for row in read_records(finished, Row) if row.method == RULE]
    assert [(row.fold, row.case, row.seed) for row in rows] == [(f, c, -1) for f, names in enumerate(FOLDS) for c in names]
    for row in rows:
        case = CASES[row.case]
        require_scores(row, (case.adc > 0) & (case.zadc < -2), case)
        assert (row.epochs, row.machine) == (0, "")
        assert math.isnan(row.train_seconds)


def test_the_curves_have_a_point_per_epoch(finished: Path) -> None:
    points = read_records(curves_path(finished), Epoch)
    assert [(p.method, p.fold, p.epoch) for p in points] == [("dice", f, n) for f in (0, 2) for n in (1, 2, 3)]
    assert [math.isfinite(point.dice) for point in points] == [False, True, False] * 2
    assert all(math.isfinite(point.loss) for point in points)
    (checkpoint,) = finished.parents[1].glob("runs/**/dice-fold0-seed0/checkpoint.pt")
    scored = torch.load(checkpoint, weights_only=True)["history"][1]
    assert scored["dice"] != scored["nsd"]
    assert (points[1].dice, points[1].nsd) == pytest.approx((scored["dice"], scored["nsd"]), abs=1e-5)


FACTS = {"train_seconds": 1.0, "epochs": 1, "predict_seconds": 1.0, "peak_mb": 1.0, "machine": "cpu"}


@pytest.mark.parametrize(
    ("predicted", "lesion", "expected"), [(False, False, ""), (False, True, "no prediction"), (True, False, "no lesion")]
)
def test_why_there_is_no_masd(predicted: bool, lesion: bool, expected: str) -> None:
    case = dataclasses.replace(CASES["case0"], label=CASES["case0"].label & lesion)
    row = case_row(case, Prediction(CASES["case1"].label & predicted), ("dice", 0, 0), **FACTS)
    assert row.nan_reason == expected
    assert math.isnan(row.masd_mm) == bool(expected)
    assert (row.predicted_ml > 0, row.true_ml > 0) == (predicted, lesion)


def test_a_resampling_protocol_is_scored_on_both_grids() -> None:
    case, other = CASES["case0"], CASES["case1"]
    both = Prediction(case.label, (other.label, case.label, (3.0, 1.0, 2.0)))
    row = case_row(case, both, ("dice", 0, 0), **FACTS)
    assert row.dice == 1
    scores = score(other.label, case.label, (3.0, 1.0, 2.0))
    assert (row.grid_dice, row.grid_masd_mm, row.grid_nsd) == (scores.dice, scores.masd_mm, scores.nsd)


def drawn(*slices: str) -> np.ndarray:
    """A mask from one string per slice, its rows apart by a space, # in a lesion."""
    return np.array([[[voxel == "#" for voxel in row] for row in text.split()] for text in slices])


def test_diagonal_neighbours_are_one_lesion() -> None:
    prediction = drawn("#.... ..... ....#", "..... .#... ....#")  # one over a corner, one over a face
    label = drawn("..... ..... .....", "..... .#.#. ...#.")  # the first voxel hits; the other two touch over a face
    case = PackedCase("a", np.ones(label.shape), -np.ones(label.shape), label, (4.0, 1.0, 2.0))
    row = case_row(case, Prediction(prediction), ("dice", 0, 0), **FACTS)
    assert (row.predicted_lesions, row.true_lesions, row.lesion_precision, row.lesion_recall) == (2, 2, 0.5, 0.5)
    assert (row.predicted_ml, row.true_ml) == (pytest.approx(4 * 0.008), pytest.approx(3 * 0.008))


# --- which runs are done ---


ONE_EPOCH = ("--folds", "0", "--epochs", "1")


def test_runs_in_the_results_are_not_run_again(data: Path, tmp_path: Path, replace_loss, capsys) -> None:
    path = study(data, tmp_path, "--losses", "dice", *ONE_EPOCH)
    before = list(map(str, of_networks(path)))
    replace_loss("dice", None)  # cannot be called
    study(data, tmp_path, "--losses", "dice", "tversky", *ONE_EPOCH)
    assert "\n1 of 2 runs to do\n" in capsys.readouterr().out
    assert [str(row) for row in of_networks(path) if row.method == "dice"] == before
    content = path.read_bytes()
    study(data, tmp_path, "--losses", "tversky", "dice", *ONE_EPOCH)
    assert "0 of 2 runs to do\n" in capsys.readouterr().out
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("kind", "epochs", "reason"),
    [
        (None, "2", "another configuration (training.epochs: 3 and 2)"),
        ("Z negated", "3", "another configuration (other data: case4); "),
    ],
)
def test_the_results_of_another_study_are_refused(data: Path, finished: Path, tmp_path: Path, refusal, kind, epochs, reason):
    before, folder = finished.read_bytes(), finished.parents[1]
    other = write_other_study(tmp_path / "other", kind, ["case4"]) if kind else data
    line = refusal(module.main, *words(other, folder, "--losses", "hausdorffdt", "--folds", "0", "--epochs", epochs))
    assert line.startswith(f"{finished}: ")
    assert reason in line
    assert "--results folder" in line
    assert finished.read_bytes() == before
    assert not (folder / "runs/native/hausdorffdt-fold0-seed0").exists()


def test_data_that_change_while_the_study_runs_give_no_rows(tmp_path: Path, replace_loss, capsys) -> None:
    """As with jobs that wait in Slurm's queue: the first run's loss is what changes the data that the second reads."""
    moving = write_other_study(tmp_path / "packed", "Z negated", [])
    path, dice = tmp_path / "results" / "native.csv", LOSSES["dice"]

    def moves(*arguments: torch.Tensor) -> torch.Tensor:
        shutil.copytree(other, moving, dirs_exist_ok=True)
        return dice(*arguments)

    other = write_other_study(tmp_path / "other", "Z negated", ["case4"])
    replace_loss("dice", moves)
    assert exit_code(module.main, *words(moving, tmp_path, "--losses", "dice", "tversky", *ONE_EPOCH)) == 2
    assert re.search(r"^error: 1 of 2 runs failed.*\(other data: case4\)", capsys.readouterr().err, re.MULTILINE)
    assert {row.method for row in of_networks(path)} == {"dice"}


def test_the_status_starts_nothing(data: Path, finished: Path, capsys) -> None:
    """One run is done, one is held by a process, one was stopped after two epochs."""
    before, folder = finished.read_bytes(), finished.parents[1]
    held, stopped = (folder / f"runs/native/dice-fold{fold}-seed0" for fold in (1, 3))
    stopped.mkdir()
    torch.save({"history": [{}] * 2}, stopped / "checkpoint.pt")
    with only_run(held):
        study(data, folder, "--losses", "dice", "--folds", "0", "1", "3", "4", "--status")
    assert capsys.readouterr().out.splitlines() == [
        "4 runs: 1 done, 1 running, 1 stopped, 1 missing",
        "dice fold 0 seed 0: done, 3 of 3 epochs",
        "dice fold 1 seed 0: running, 0 of 3 epochs",
        "dice fold 3 seed 0: stopped, 2 of 3 epochs",
        "dice fold 4 seed 0: missing, 0 of 3 epochs",
    ]
    assert finished.read_bytes() == before
    assert not (folder / "runs/native/dice-fold4-seed0").exists()


def test_a_failed_run_does_not_cost_the_others(data: Path, tmp_path: Path, replace_loss, capsys) -> None:
    def failing(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of\nmemory")

    replace_loss("dice", failing)
    options = ("--losses", "dice", "tversky", "--folds", "0", "1", "--epochs", "1")
    assert exit_code(module.main, *words(data, tmp_path, *options)) == 2
    *failures, last = capsys.readouterr().err.strip().splitlines()[-3:]
    assert failures == [f"native dice fold {fold} seed 0: RuntimeError: out of memory" for fold in (0, 1)]
    assert last.startswith("error: 2 of 4 runs failed, the others' rows are in ")
    rows = of_networks(tmp_path / "results" / "native.csv")
    assert [(row.method, row.case) for row in rows] == [("tversky", case) for case in FOLDS[0] + FOLDS[1]]


def a_job(loss: str = "dice", **changes: object) -> Job:
    return Job(default_config("native", loss=loss), Path("data"), Path("run"), **changes)


def test_a_refused_job_is_a_failed_one(tmp_path: Path, capsys) -> None:
    def refuse(_, job: Job) -> Future:
        raise RuntimeError("sbatch: no such partition")

    failures = work_off([a_job("dice"), a_job("tversky")], SimpleNamespace(submit=refuse), tmp_path / "native.csv")
    assert failures == [
        f"native {loss} fold 0 seed 0: RuntimeError: sbatch: no such partition" for loss in ("dice", "tversky")
    ]


class Interrupted(Future):
    """Of a job during which Ctrl-C is pressed."""

    def done(self) -> bool:
        raise KeyboardInterrupt


def test_an_interrupted_study_cancels_its_jobs(tmp_path: Path) -> None:
    future = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        work_off([a_job()], SimpleNamespace(submit=lambda *_: future), tmp_path / "native.csv")
    assert future.cancelled()


def test_a_traceback_is_told_in_its_last_line() -> None:
    text = (
        'failed with trace:\n------\nTraceback (most recent call last):\n  File "a.py"\nUserError: bad\n------\nsee the logs'
    )
    assert reason(RuntimeError(text)) == "UserError: bad"
    assert reason(RuntimeError("out of\n memory")) == "RuntimeError: out of memory"


# --- the command ---


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--losses", "dice", "focal"], f"--losses focal: unknown, expected all or some of {', '.join(LOSSES)}"),
        (["--folds", "0", "7"], "--folds 7: unknown, expected all or some of 0, 1, 2, 3, 4"),
        (["--protocol", "other"], "--protocol other: unknown, expected one of native, paper"),
        (["--executor", "slurm", "--slurm", "timeout_min"], "--slurm timeout_min: expected KEY=VALUE"),
    ],
)
def test_unknown_names_list_the_known_ones(data: Path, tmp_path: Path, refusal, options: list[str], expected: str) -> None:
    assert refusal(module.main, *words(data, tmp_path, *options)).startswith(expected)


def test_all_are_all_and_names_count_once(data: Path, tmp_path: Path, command) -> None:
    def planned(*options: str) -> list[str]:
        said = command(module.main, *words(data, tmp_path, *options, "--status"))
        return re.findall(r"^(\S+ fold \d seed \d): missing", said, re.MULTILINE)

    assert planned("--seeds", "3") == [f"{loss} fold {fold} seed 3" for fold in range(5) for loss in LOSSES]
    some = planned("--losses", "dice", "dice", "--folds", "1", "1", "--seeds", "0", "3")
    assert some == ["dice fold 1 seed 0", "dice fold 1 seed 3"]


# --- where runs are done ---


def test_a_killed_process_takes_no_other_job_with_it() -> None:
    executor = LocalExecutor(1)
    ends = [os.getpid, functools.partial(os._exit, 1), os.getpid]
    jobs = [SimpleNamespace(device="cpu", end=end) for end in ends]
    first, killed, last = [executor.submit(operator.methodcaller("end"), job) for job in jobs]
    with pytest.raises(Exception, match="terminated abruptly"):
        killed.result(60)
    assert len({first.result(60), last.result(60), os.getpid()}) == 3  # each in a process of its own


class FakePool(Here):
    """Stands for a pool of one process, which begins with a choice of the GPU."""

    def __init__(self, *_: object, initializer: object = None, initargs: tuple = ()) -> None:
        assert initializer in (None, torch.cuda.set_device)
        self.gpu = initargs

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, function: Callable, job: object) -> Future:
        return super().submit(function, self.gpu)


@pytest.mark.parametrize(("device", "used"), [("auto", [(0,), (0,), (1,), (1,)]), ("cpu", [()] * 4)])
def test_gpus_share_the_jobs(monkeypatch: pytest.MonkeyPatch, device: str, used: list[tuple]) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(executors, "ProcessPoolExecutor", FakePool)
    executor, both = LocalExecutor(2), threading.Barrier(2)

    def pair_up(gpu: tuple) -> tuple[int, tuple]:
        return both.wait(60), gpu  # returns only when two jobs run at once

    done = [future.result(60) for future in [executor.submit(pair_up, a_job(device=device)) for _ in range(4)]]
    assert sorted(place for place, _ in done) == [0, 0, 1, 1]
    assert sorted(gpu for _, gpu in done) == used


def test_slurm_needs_submitit_and_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"--executor slurm: sbatch is not on this machine's PATH"):
        slurm_executor(tmp_path, {})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"--executor slurm: needs the package submitit"):
        slurm_executor(tmp_path, {})


@pytest.fixture
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that look like Slurm's, to which nothing is handed over."""
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


@pytest.mark.parametrize("options", [{"minutes": 3}, {"timeout_min": "long"}])
def test_slurm_refuses_unknown_parameters(no_slurm: Path, options: dict) -> None:
    with pytest.raises(UserError, match=f"^--slurm: .*{next(iter(options))}"):
        slurm_executor(no_slurm, options)


def test_slurm_parameters_reach_submitit(no_slurm: Path) -> None:
    options = slurm_options(["timeout_min=10", "mem_gb=2", "slurm_partition=gpu", "slurm_comment=a=b"])
    parameters = slurm_executor(no_slurm, options).parameters
    expected = {"job_name": "hie-study", "time": 10, "mem": "2GB", "partition": "gpu", "comment": "a=b"}
    assert {name: parameters[name] for name in expected} == expected
