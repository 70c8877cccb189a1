"""How far a study is: which of its runs are done, running, stopped or missing, and how long the rest takes."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.errors import UserError
from model.files import only_run
from training.data.splits import folds_of
from training.learning.study_runs import Job, finished_runs
from training.scores.rows import Row, read_records

STATES = ("done", "running", "stopped", "missing")  # a stopped run resumes from its last epoch


@dataclass(frozen=True)
class RunStatus:
    """One run. Its rows say that it is done, a lock on its folder that it is running."""

    job: Job
    state: str
    epochs: int  # finished
    epoch_seconds: float  # nan where no epoch is finished


def status_text(jobs: list[Job], results: Path) -> str:
    """One line about the study and one about each run. The time left is the most: a run may stop early."""
    rows = read_records(results, Row)
    done = finished_runs(rows, folds_of(jobs[0].data))
    costs = {(row.method, row.fold, row.seed): (row.epochs, row.train_seconds / row.epochs) for row in rows if row.epochs}
    runs = [RunStatus(job, "done", *costs[job.key]) if job.key in done else _unfinished(job) for job in jobs]
    known = [run.epoch_seconds for run in runs if not math.isnan(run.epoch_seconds)]
    elsewhere = float(np.mean(known)) if known else math.nan
    counts, total, lines = Counter(run.state for run in runs), 0.0, []
    for run in runs:
        loss, fold, seed = run.job.key
        words = f"{loss} fold {fold} seed {seed}: {run.state}"
        if run.state == "done":
            lines.append(f"{words}, {run.epochs} epochs")
            continue
        each = elsewhere if math.isnan(run.epoch_seconds) else run.epoch_seconds
        seconds = (run.job.config.epochs - run.epochs) * each
        total += seconds
        words += f", {run.epochs} of {run.job.config.epochs} epochs" if run.state != "missing" else ""
        lines.append(f"{words}, {_duration(seconds)}")
    found = ", ".join(f"{counts[state]} {state}" for state in STATES)
    return "\n".join([f"{len(runs)} runs: {found}; {_duration(total)}, one run after the other", *lines])


def _unfinished(job: Job) -> RunStatus:
    checkpoint = job.folder / "checkpoint.pt"
    history = torch.load(checkpoint, map_location="cpu", weights_only=True)["history"] if checkpoint.exists() else []
    seconds = float(np.mean([entry["seconds"] for entry in history])) if history else math.nan
    unlocked = "stopped" if history else "missing"
    return RunStatus(job, "running" if _is_locked(job.folder) else unlocked, len(history), seconds)


def _is_locked(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        with only_run(folder):
            return False
    except UserError:
        return True


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "time left not known"
    return f"at most {seconds / 60:.1f} min left" if seconds < 5400 else f"at most {seconds / 3600:.1f} h left"
