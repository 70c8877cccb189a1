"""Where the runs of the study compute: in processes of this machine, or as jobs of Slurm."""

import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from model.errors import UserError, one_line
from training.data.splits import folds_of
from training.learning.study_runs import Job, run_job, study_configuration
from training.scores.rows import add_results


class LocalExecutor:
    """Runs jobs here, one after the other in each of the slots.

    Each has a fresh process, so that its memory is its own and one that is killed takes no other with it.
    """

    def __init__(self, slots: int) -> None:
        self._threads = ThreadPoolExecutor(slots)
        self._free: SimpleQueue[int] = SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)

    def submit(self, function: Callable[[Job], tuple], job: Job) -> Future:
        """Queue a job; with several GPUs each slot has its own, which is what "cuda" means to the job."""
        return self._threads.submit(self._run, function, job)

    def _run(self, function: Callable[[Job], tuple], job: Job) -> tuple:
        slot, gpus = self._free.get(), torch.cuda.device_count()
        own: dict[str, Any] = {}
        if job.device != "cpu" and gpus > 1:
            own = {"initializer": torch.cuda.set_device, "initargs": (slot % gpus,)}
        try:
            with ProcessPoolExecutor(1, get_context("spawn"), **own) as process:  # CUDA does not survive a fork
                return process.submit(function, job).result()
        finally:
            self._free.put(slot)


def slurm_executor(folder: Path, options: dict[str, object]) -> object:
    """One Slurm job per run, through submitit; its logs lie in `folder`. Raises UserError without submitit or Slurm."""
    try:
        import submitit
    except ImportError:
        raise UserError("--executor slurm: needs the package submitit (./setup.sh training)") from None
    if shutil.which("sbatch") is None:
        raise UserError("--executor slurm: sbatch is not on this machine's PATH")
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    try:
        executor.update_parameters(name="hie-study", **options)
    except (AssertionError, NameError, ValueError) as error:
        raise UserError(f"--slurm: {one_line(error)}") from None
    return executor


def slurm_options(words: list[str]) -> dict[str, object]:
    """KEY=VALUE words as parameters; whole numbers become int. Raises UserError for a word without =."""
    pairs = [word.partition("=") for word in words]
    for word, (_, equals, _) in zip(words, pairs, strict=True):
        if not equals:
            raise UserError(f"--slurm {word}: expected KEY=VALUE, such as timeout_min=60")
    return {key: int(value) if value.isdigit() else value for key, _, value in pairs}


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
                    rows, epochs, data = pending.pop(job).result()
                    add_results(rows, epochs, study_configuration(job.config, folds_of(job.data), data), results)
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
        if pending:
            for child in active_children():  # a run that goes on would keep this process; its finished epochs are kept
                child.terminate()
    return failures


def submit(executor: Any, job: Job) -> Future:
    """Hand a job over; one that is refused, as by sbatch, is a job that failed."""
    try:
        return executor.submit(run_job, job)
    except Exception as error:
        refused: Future = Future()
        refused.set_exception(error)
        return refused


def reason(error: Exception) -> str:
    """An error in one line; of a Slurm job's, whose message is a traceback, that one's last line."""
    text = f"{type(error).__name__}: {error}"
    if "Traceback" in text:
        text = text.rpartition("Traceback")[2].partition("\n-----")[0].rstrip().rpartition("\n")[2]
    return one_line(text)[:500]
