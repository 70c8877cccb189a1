"""What became of the cases of a folder: a line each while they run, and `summary.csv`."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model.errors import UserError
from model.files import write_whole
from model.run.found_case import FoundCase
from model.run.platform_paths import REPORT_PATH

DONE, DONE_BEFORE, FAILED = "done", "done before", "failed"
NUMBERS = ("lesion_volume_ml", "brain_volume_ml", "lesion_share_of_brain", "lesions", "seconds")
COLUMNS = ("case", "status", "reason", *NUMBERS, "warnings", "weights", "adc", "zadc", "mask")


@dataclass(frozen=True)
class Outcome:
    """What became of a case: `results` unless it failed, else `reason`."""

    found: FoundCase
    status: str
    results: dict | None = None
    reason: str = ""
    mask: Path | None = None


def announce(outcome: Outcome) -> None:
    """One line, above the bar where there is one."""
    results = outcome.results or {}
    what = outcome.reason or f"{results['lesion_volume_ml']} ml in {results['lesions']} lesion(s), {results['seconds']} s"
    tqdm.write(f"{outcome.found.name}: {outcome.status}: {what}", file=sys.stdout)
    for warning in results.get("warnings", []):
        tqdm.write(f"{outcome.found.name}: warning: {warning}", file=sys.stdout)
    sys.stdout.flush()


def write_summary(outcomes: list[Outcome], path: Path) -> None:
    """A line for every case, whole or not at all. Raises UserError when it cannot be written."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(summary_row(outcome, path.parent) for outcome in outcomes)
    write_whole(path, file.getvalue().encode(errors="backslashreplace"))  # names of files need not be Unicode


def summary_row(outcome: Outcome, root: Path) -> dict:
    """Empty where there is nothing to say; the mask's path is relative to the summary."""
    results = outcome.results or {}
    return {
        "case": outcome.found.name,
        "status": outcome.status,
        "reason": outcome.reason,
        **{name: results.get(name, "") for name in (*NUMBERS, "weights")},
        "warnings": " ".join(results.get("warnings", [])),
        "adc": outcome.found.adc or "",
        "zadc": outcome.found.zadc or "",
        "mask": outcome.mask.relative_to(root) if outcome.mask else "",
    }


def index_entry(outcome: Outcome) -> dict:
    """What `index.html` shows of a case."""
    return {
        "case": outcome.found.name,
        "status": FAILED if outcome.status == FAILED else DONE,
        "reason": outcome.reason,
        "results": outcome.results,
        "report": f"{outcome.found.name}/{REPORT_PATH}" if outcome.results else None,
    }


def require_success(outcomes: list[Outcome]) -> None:
    """Raise UserError that names every case which failed, with its reason."""
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    if failed:
        reasons = "; ".join(f"{outcome.found.name}: {outcome.reason}" for outcome in failed)
        raise UserError(f"{len(failed)} of {len(outcomes)} cases failed: {reasons}")
