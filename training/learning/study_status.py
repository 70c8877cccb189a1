"""How far a study is: which of its runs are done, running, stopped or missing."""

from collections import Counter
from pathlib import Path

import torch

from model.errors import UserError
from model.files import only_run
from training.data.splits import folds_of
from training.learning.study_runs import Job, finished_runs
from training.scores.rows import Row, read_records

STATES = ("done", "running", "stopped", "missing")  # a stopped run resumes from its last epoch


def status_text(jobs: list[Job], results: Path) -> str:
    """One line about the study and one about each run."""
    rows = read_records(results, Row)
    done = finished_runs(rows, folds_of(jobs[0].data))
    epochs = {(row.method, row.fold, row.seed): row.epochs for row in rows}
    counts: Counter[str] = Counter()
    lines = []
    for job in jobs:
        state, finished = ("done", epochs[job.key]) if job.key in done else _unfinished(job)
        counts[state] += 1
        loss, fold, seed = job.key
        lines.append(f"{loss} fold {fold} seed {seed}: {state}, {finished} of {job.config.epochs} epochs")
    return "\n".join([f"{len(jobs)} runs: " + ", ".join(f"{counts[state]} {state}" for state in STATES), *lines])


def _unfinished(job: Job) -> tuple[str, int]:
    """Of a run without rows: its state - a lock on its folder says that it is running - and how many epochs it did."""
    checkpoint, running = job.folder / "checkpoint.pt", False
    try:
        if job.folder.exists():
            with only_run(job.folder):
                pass
    except UserError:
        running = True
    history = torch.load(checkpoint, map_location="cpu", weights_only=True)["history"] if checkpoint.exists() else []
    return "running" if running else "stopped" if history else "missing", len(history)
