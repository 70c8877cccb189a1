"""The loss study: every (protocol, loss, fold, seed) is one independent, resumable run; its rows go into training/results.

Example, the whole native study:

    python -m training.study --protocol native --losses all --folds all --seeds 0 --data data/packed

A run whose rows are in the results file is not run again, and a run that was killed continues from its last epoch.
`--executor slurm` hands every run to Slurm as a job of its own; the default runs them here, one per GPU, or one after the
other (`--workers`) on a machine without.
"""

import argparse
import dataclasses
import itertools
import math
import platform
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from safetensors.torch import load_file

from model.errors import UserError, one_line
from model.networks.config import to_json
from model.networks.torch_engine import pick_device
from training.common.cli import run
from training.data.dataset import PackedCase, load_cases
from training.data.splits import FOLDS, read_fold
from training.learning.losses import LOSSES
from training.learning.protocols import PROTOCOLS, Prediction
from training.learning.train_config import TrainConfig, add_config_options, config_from, protocol_defaults
from training.scores.metrics import Scores, describe, score
from training.scores.rows import RESULTS, RULE, Epoch, Row, add_results, read_records, require_configuration
from training.scores.rule import rule_mask
from training.train import train

VALIDATE_EVERY = 10  # epochs between points of the held-out curve
PER_RUN = {"fold", "loss", "seed"}  # fields of TrainConfig that a study varies
NO_SCORES = Scores(math.nan, math.nan, math.nan)
NO_RUN = {
    "train_seconds": math.nan,
    "epochs": 0,
    "peak_mb": math.nan,
    "machine": "",
}  # of a mask without a run


@dataclass(frozen=True)
class Job:
    """One run and where its files lie."""

    config: TrainConfig
    data: Path  # packed cases
    folder: Path  # of this run
    device: str = "auto"
    threads: int = 0  # of torch on the CPU; 0: torch's own choice

    @property
    def key(self) -> tuple[str, int, int]:
        """Which run of its protocol it is: (loss, fold, seed)."""
        return self.config.loss, self.config.fold, self.config.seed


def run_job(job: Job) -> tuple[list[Row], list[Epoch]]:
    """Train, or continue to train, one network and score it on its held-out cases."""
    if job.threads:
        torch.set_num_threads(job.threads)
    if job.device.startswith("cuda:"):
        torch.cuda.set_device(job.device)  # from here on "cuda" is this one
    device, _ = pick_device(job.device.partition(":")[0])
    path = train(job.config, job.data, job.folder, device, VALIDATE_EVERY)
    protocol = PROTOCOLS[job.config.protocol]()
    checkpoint = torch.load(job.folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network = protocol.network().to(device)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    history = checkpoint["history"]
    facts = {
        "train_seconds": sum(entry["seconds"] for entry in history),
        "epochs": len(history),
        "machine": machine(device),
    }
    rows = []
    for case in load_cases(job.data, read_fold(job.config.fold)[1]):
        started = time.perf_counter()
        prediction = protocol.predict(network, case, device)
        seconds = time.perf_counter() - started
        rows.append(case_row(case, prediction, job.key, predict_seconds=seconds, peak_mb=peak_mb(), **facts))
    return rows, [curve_point(job.key, entry) for entry in history]


def case_row(case: PackedCase, prediction: Prediction, key: tuple[str, int, int], **facts: float | str) -> Row:
    """Everything the results say about one case."""
    old = score(prediction.mask, case.label, case.spacing_mm, old_order=True)
    grid = NO_SCORES
    if prediction.grid_mask is not None:
        grid = score(prediction.grid_mask, prediction.grid_label, prediction.grid_spacing_mm)
    return Row(
        case=case.name,
        method=key[0],
        fold=key[1],
        seed=key[2],
        masd_mm_old=old.masd_mm,
        nsd_old=old.nsd,
        lesion_load=case.lesion_load,
        slice_mm=case.spacing_mm[0],
        grid_dice=grid.dice,
        grid_masd_mm=grid.masd_mm,
        grid_nsd=grid.nsd,
        **describe(prediction.mask, case.label, case.spacing_mm),
        **facts,
    )


def curve_point(key: tuple[str, int, int], entry: dict) -> Epoch:
    """One entry of a run's history."""
    return Epoch(*key, entry["epoch"], entry["loss"], entry.get("dice", math.nan), entry.get("nsd", math.nan))


def machine(device: torch.device) -> str:
    """What computed it, in a few words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def peak_mb() -> float:
    """The largest resident memory of this process so far; on CUDA the device's memory instead."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one too
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def rule_rows(data: Path) -> list[Row]:
    """The rule Z < -2 on every case of the folds."""
    return [
        case_row(case, Prediction(rule_mask(case.adc, case.zadc)), (RULE, fold, -1), predict_seconds=0.0, **NO_RUN)
        for fold in range(FOLDS)
        for case in load_cases(data, read_fold(fold)[1])
    ]


def study_configuration(config: TrainConfig) -> dict:
    """What all rows of a results file share."""
    shared = {name: value for name, value in dataclasses.asdict(config).items() if name not in PER_RUN}
    folds = [read_fold(fold)[1] for fold in range(FOLDS)]
    return {"training": shared, "model": to_json(PROTOCOLS[config.protocol]().model), "folds": folds}


def run_folder(runs: Path, loss: str, fold: int, seed: int) -> Path:
    """Where a run of a protocol's study lies."""
    return runs / f"{loss}-fold{fold}-seed{seed}"


def finished_runs(rows: list[Row]) -> set[tuple[str, int, int]]:
    """(loss, fold, seed) of the runs that have a row of every case of their fold."""
    cases: dict[tuple[str, int, int], set[str]] = {}
    for row in rows:
        cases.setdefault((row.method, row.fold, row.seed), set()).add(row.case)
    return {key for key, names in cases.items() if names >= set(read_fold(key[1])[1])}


def plan(args: argparse.Namespace, config: TrainConfig, results: Path) -> list[Job]:
    """The runs that were asked for and whose rows are not there yet; loss by loss, each over the folds."""
    done = finished_runs(read_records(results, Row))
    jobs = []
    for seed, loss, fold in itertools.product(args.seeds, args.losses, args.folds):
        changed = dataclasses.replace(config, loss=loss, fold=fold, seed=seed)
        folder = run_folder(args.runs / config.protocol, loss, fold, seed)
        jobs.append(Job(changed, args.data, folder, args.device, args.threads))
    return [job for job in jobs if job.key not in done]


class LocalExecutor:
    """Runs jobs here, one after the other in each of the slots.

    Each has a fresh process, so that its memory is its own and one that is killed takes no other with it.
    """

    def __init__(self, slots: int) -> None:
        self._threads = ThreadPoolExecutor(slots)
        self._free = SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)

    def submit(self, function: Callable[[Job], tuple], job: Job) -> Future:
        """Queue a job; with several GPUs each slot has its own."""
        return self._threads.submit(self._run, function, job)

    def _run(self, function: Callable[[Job], tuple], job: Job) -> tuple:
        slot = self._free.get()
        if job.device in ("auto", "cuda") and torch.cuda.device_count() > 1:
            job = dataclasses.replace(job, device=f"cuda:{slot % torch.cuda.device_count()}")
        try:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:  # CUDA does not survive a fork
                return process.submit(function, job).result()
        finally:
            self._free.put(slot)


def slurm_executor(folder: Path, options: dict[str, object]) -> object:
    """One Slurm job per run, through submitit; its logs lie in `folder`. Raises UserError without submitit or Slurm."""
    try:
        import submitit
    except ImportError:
        raise UserError("--executor slurm: needs the package submitit (requirements-train.txt)") from None
    if shutil.which("sbatch") is None:
        raise UserError("--executor slurm: sbatch is not on this machine's PATH")
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    try:
        executor.update_parameters(name="hie-study", **options)
    except (AssertionError, NameError, ValueError) as error:
        raise UserError(f"--slurm: {one_line(error)}") from None
    return executor


def work_off(jobs: list[Job], executor: object, results: Path) -> list[str]:
    """Run all jobs and add each one's rows as soon as it ends; returns what went wrong, a line per failed job."""
    started, failures = time.perf_counter(), []
    pending = {}
    try:
        for job in jobs:
            pending[job] = submit(executor, job)
        while pending:
            for job in [job for job, future in pending.items() if future.done()]:
                name = f"{job.config.protocol} {job.config.loss} fold {job.config.fold} seed {job.config.seed}"
                try:
                    rows, epochs = pending.pop(job).result()
                    add_results(rows, epochs, study_configuration(job.config), results)
                except Exception as error:  # one failed run must not cost the others
                    failures.append(f"{name}: {reason(error)}")
                    print(failures[-1], file=sys.stderr, flush=True)
                    continue
                done = len(jobs) - len(pending)
                left = (time.perf_counter() - started) / done * len(pending) / 60
                dice = np.mean([row.dice for row in rows])
                print(f"{name}: Dice {dice:.4f}  [{done} of {len(jobs)}, about {left:.0f} min left]", flush=True)
            time.sleep(0.2)
    finally:
        for future in pending.values():  # none is left unless this process is interrupted
            future.cancel()
    return failures


def submit(executor: object, job: Job) -> Future:
    """Hand a job over; one that is refused, as by sbatch, is a job that failed."""
    try:
        return executor.submit(run_job, job)
    except Exception as error:
        refused = Future()
        refused.set_exception(error)
        return refused


def reason(error: Exception) -> str:
    """An error in one line; of a Slurm job's, whose message is a traceback, that one's last line."""
    text = f"{type(error).__name__}: {error}"
    if "Traceback" in text:
        text = text.rpartition("Traceback")[2].partition("\n-----")[0].rstrip().rpartition("\n")[2]
    return one_line(text)[:500]


def chosen(words: list[str], everything: list, option: str) -> list:
    """What a list option names: "all", or some of `everything`. Raises UserError for anything else."""
    if words == ["all"]:
        return everything
    known = {str(item): item for item in everything}
    for word in words:
        if word not in known:
            raise UserError(f"{option} {word}: unknown, expected all or some of {', '.join(known)}")
    return [known[word] for word in dict.fromkeys(words)]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/packed"), help="packed cases (default: %(default)s)")
    parser.add_argument("--losses", nargs="+", default=["all"], help="all, or some of: " + ", ".join(LOSSES))
    parser.add_argument("--folds", nargs="+", default=["all"], help="all, or some of 0 to 4 (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="folder of the runs (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--executor", choices=("local", "slurm"), default="local", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="local runs at once (default: one per GPU, or one)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of a run (default: torch's choice)")
    parser.add_argument("--slurm", nargs="*", default=[], metavar="KEY=VALUE", help="parameters of submitit's AutoExecutor")
    add_config_options(parser, protocol_defaults(), leave_out=PER_RUN)
    args = parser.parse_args()
    args.losses = chosen(args.losses, list(LOSSES), "--losses")
    args.folds = chosen(args.folds, list(range(FOLDS)), "--folds")
    return args


def slurm_options(words: list[str]) -> dict[str, object]:
    """KEY=VALUE words as parameters; whole numbers become int. Raises UserError for a word without =."""
    pairs = [word.partition("=") for word in words]
    for word, (_, equals, _) in zip(words, pairs, strict=True):
        if not equals:
            raise UserError(f"--slurm {word}: expected KEY=VALUE, such as timeout_min=60")
    return {key: int(value) if value.isdigit() else value for key, _, value in pairs}


def main() -> None:
    args = parse_arguments()
    results = args.results / f"{args.protocol}.csv"
    config = config_from(args)
    require_configuration(study_configuration(config), results)
    if RULE not in {row.method for row in read_records(results, Row)}:
        add_results(rule_rows(args.data), [], study_configuration(config), results)
    jobs = plan(args, config, results)
    print(f"{len(jobs)} of {len(args.losses) * len(args.folds) * len(args.seeds)} runs to do", flush=True)
    if args.executor == "slurm":
        executor = slurm_executor(args.runs / "slurm", slurm_options(args.slurm))
    else:
        executor = LocalExecutor(args.workers or max(torch.cuda.device_count(), 1))
    failures = work_off(jobs, executor, results)
    if failures:
        raise UserError(f"{len(failures)} of {len(jobs)} runs failed, the others' rows are in {results}; {failures[0]}")
    print(results)


if __name__ == "__main__":
    run(main)
