"""What became of the cases of a folder: a line each while they run, and `summary.csv`."""

from __future__ import annotations

import csv
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model.errors import UserError
from model.files import write_whole
from model.inputs.found_case import FoundCase
from model.names.platform_paths import REPORT_PATH
from model.report.wording import reviewed_words, verdict

DONE, DONE_BEFORE, FAILED = "done", "done before", "failed"
OUTDATED, CHANGED = "outdated", "changed"  # results of other files, weights or options; files that someone changed since
GONE = "scan gone"  # results of a case that is not in the input any more
ENCODING = "utf-8-sig"  # of the summary: without a byte-order mark Excel takes umlauts for other letters
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a cell that begins with one is a formula, or hides one
MONTH = (
    r"(jan(uary?|uar)?|feb(ruary?|ruar)?|mar(ch)?|m(ä|a)rz|mrz|apr(il)?|may|mai|jun[ei]?|jul[iy]?|aug(ust)?|sept?(ember)?"
    r"|o[ck]t(ober)?|nov(ember)?|de[cz](ember)?)"
)
SIGNS = r"[\d\s.,:;/()%'$€£^e+-]*"  # of numbers and dates
NO_TEXT = re.compile(  # what a spreadsheet makes a number, a date, a time, a truth or an error of, in English or German
    rf"{SIGNS}\d{SIGNS}|[\d:.]+( +[ap]|[ap]m| +[ap]m)|(?=.*\d){SIGNS}{MONTH}{SIGNS}|true|false|wahr|falsch|#.*",
    re.IGNORECASE,
)
OF_BRAIN = ("lesion_volume_ml", "brain_volume_ml", "lesion_share_of_brain", "lesions")
NUMBERS = (*OF_BRAIN, "chance_of_lesion", "expected_dice", "seconds")
FILES_OF_CASE = ("adc", "zadc", "brain_mask", "mask")
COLUMNS = ("case", "status", "reason", *NUMBERS, "reviewed", "warnings", "weights", "z_map", *FILES_OF_CASE)


@dataclass(frozen=True)
class Outcome:
    """What became of a case: `results` unless it failed, else `reason`."""

    case: FoundCase
    status: str
    results: dict | None = None
    reason: str = ""
    mask: Path | None = None


def announce(outcome: Outcome) -> None:
    """One line, above the bar where there is one."""
    results = outcome.results or {}
    what = outcome.reason
    if not what:
        mask = f"{results['lesion_volume_ml']} ml in {results['lesions']} lesion(s), {results['seconds']} s"
        what = "; ".join(filter(None, [mask, verdict(results)]))
    tqdm.write(f"{outcome.case.name}: {outcome.status}: {what}", file=sys.stdout)
    for warning in results.get("warnings", []):
        tqdm.write(f"{outcome.case.name}: warning: {warning}", file=sys.stdout)
    sys.stdout.flush()


def write_summary(outcomes: list[Outcome], path: Path) -> None:
    """A line for every case, whole or not at all. Raises UserError when it cannot be written."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, quoting=csv.QUOTE_NONNUMERIC)  # a tab between quotation marks parts no columns
    writer.writeheader()
    writer.writerows(summary_row(outcome, path.parent) for outcome in outcomes)
    write_whole(path, file.getvalue().encode(ENCODING, "backslashreplace"))  # names of files need not be Unicode


def is_summary(path: Path) -> bool:
    """Whether a file is a summary as `write_summary` writes it, by its header. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open(newline="", encoding=ENCODING, errors="replace") as file:
        columns = next(csv.reader(file), [])
    return "case" in columns and "status" in columns and set(columns) <= set(COLUMNS)


def summary_row(outcome: Outcome, root: Path) -> dict:
    """Empty where there is nothing to say; the mask's path is relative to the summary."""
    results = outcome.results or {}
    texts = {
        "case": outcome.case.name,
        "status": outcome.status,
        "reason": outcome.reason,
        "reviewed": reviewed_words(results),
        "warnings": " ".join(results.get("warnings", [])),
        "weights": results.get("weights", ""),
        "z_map": results.get("z_map", ""),
        "adc": outcome.case.adc or "",
        "zadc": outcome.case.zadc or "",
        "brain_mask": outcome.case.brain_mask or "",
        "mask": outcome.mask.relative_to(root) if outcome.mask else "",
    }
    return {name: results.get(name, "") for name in NUMBERS} | {name: cell(str(text)) for name, text in texts.items()}


def cell(text: str) -> str:
    """A text as a cell that stays text in a spreadsheet, with one sign before it where that is needed.

    An apostrophe where it would be a formula, which spreadsheets show; a tab, which they do not, where it would be a number,
    a date or the like.
    """
    if text.startswith((*FORMULA_SIGNS, "'")):
        return f"'{text}"
    return f"\t{text}" if NO_TEXT.fullmatch(text) else text


def index_entry(outcome: Outcome) -> dict:
    """What `index.html` shows of a case."""
    return {
        "case": outcome.case.name,
        "status": DONE if outcome.status == DONE_BEFORE else outcome.status,
        "reason": outcome.reason,
        "results": outcome.results,
        "report": f"{outcome.case.place}/{REPORT_PATH}" if outcome.results else None,
    }


def require_success(outcomes: list[Outcome]) -> None:
    """Raise UserError that names every case of the input which is not done, with its reason."""
    given = [outcome for outcome in outcomes if outcome.status != GONE]
    parts = []
    for words, statuses in (("failed", (FAILED,)), ("not done again", (OUTDATED, CHANGED))):
        reasons = [f"{outcome.case.name}: {outcome.reason}" for outcome in given if outcome.status in statuses]
        parts += [f"{len(reasons)} of {len(given)} cases {words}: {'; '.join(reasons)}"] if reasons else []
    if parts:
        raise UserError("; ".join(parts))
