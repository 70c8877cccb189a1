"""The page of a folder of cases: a table with a picture of each, which sorts and filters."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.files import write_whole
from model.report.numbers import percent, shown, volume, whole_percent
from model.report.page import link, page, text
from model.report.results import CHANCE, REVIEW
from model.report.thumbnail import thumbnail_of
from model.report.wording import ESTIMATED, is_estimated, is_reviewed, other_warnings, reviewed_words, verdict

# between a case's name and the remark: head, key of `_values`, how a number is written; None: a word
COLUMNS: tuple[tuple[str, str, Callable[[Any], str] | None], ...] = (
    ("Lesion volume, ml", "lesion_volume_ml", volume),
    ("Share of brain, %", "lesion_share_of_brain", percent),
    ("Lesions", "lesions", str),
    ("Largest, ml", "largest_ml", volume),
    ("Side", "side", None),
    ("Brain volume, ml", "brain_volume_ml", volume),
    ("Chance of a lesion, %", CHANCE, whole_percent),
    ("Expected Dice", "expected_dice", "{:.2f}".format),
)

FILTER = """<p class="controls"><label>Filter by name <input type="search" id="filter" autocomplete="off"></label>
{to_review}<span id="shown" role="status"></span></p>"""
TO_REVIEW = '<label><input type="checkbox" id="to-review" autocomplete="off"> To review only</label>\n'


def write_index(path: Path, entries: list[dict]) -> None:
    """Write the page of several cases, those that failed first, whole or not at all.

    An entry has "case", "status" ("done", "failed" or a word for why it is not done), "reason" (empty when done), "results"
    (what results.json holds, or None) and "report" (path of its report from the page's folder, not percent-encoded, or
    None).
    Raises UserError when the file cannot be written.
    """
    done = [entry for entry in entries if entry["status"] == "done"]
    ordered = [entry for entry in entries if entry["status"] != "done"] + done
    rows = "".join(_row(entry, path.parent) for entry in ordered)
    sections = (
        f"<header><h1>Cases</h1><p>{_totals(entries, done)}</p>{_estimated(done)}</header>",
        f"<main>{FILTER.format(to_review=TO_REVIEW if _progress(done) else '')}",
        '<div class="wide" tabindex="0" role="region" aria-label="Cases">',
        f'<table id="cases">{_head()}',
        f"<tbody>{rows}</tbody></table></div>",
        "</main>",
    )
    weights = sorted({str(entry["results"].get("weights", "not known")) for entry in done})
    write_whole(path, page("Cases", "\n".join(sections), ["index.js"], weights).encode())


def _totals(entries: list[dict], done: list[dict]) -> str:
    """How many are done, failed and of every other status that occurs, how many masks are empty, how many reviewed."""
    counts = {"failed": 0} | collections.Counter(entry["status"] for entry in entries if entry["status"] != "done")
    others = ", ".join(f"{count} {text(status)}" for status, count in counts.items())
    empty = sum(entry["results"]["lesion_volume_ml"] == 0 for entry in done)
    cases = "1 case" if len(entries) == 1 else f"{len(entries)} cases"
    said = f"{cases}: {len(done)} done, {others}. {empty} without a lesion.{_progress(done)}"
    return f'<span id="totals">{said}</span>'


def _progress(done: list[dict]) -> str:
    """How many are reviewed; empty where no review was taken."""
    if not any(REVIEW in entry["results"] for entry in done):
        return ""
    return f" {sum(is_reviewed(entry['results']) for entry in done)} of {len(done)} reviewed."


def _estimated(done: list[dict]) -> str:
    """How many cases have a Z map that was estimated; nothing where none has."""
    count = sum(is_estimated(entry["results"]) for entry in done)
    words = f"{count} of {len(done)} masks: {ESTIMATED}."
    return f'<p class="warning">{text(words)}</p>' if count else ""


def _head() -> str:
    heads = [("Case", True), *((name, form is None) for name, _, form in COLUMNS), ("Remark", True)]
    cells = "".join(
        f'<th scope="col"{" class=words" if of_words else ""}><button type="button">{name}</button></th>'
        for name, of_words in heads
    )
    return f'<thead><tr><td class="picture"></td>{cells}</tr></thead>'


def _row(entry: dict, folder: Path) -> str:
    """A case; what one that is not done has no number for stays empty, and its reason stands in the last column."""
    results, name = entry["results"] or {}, text(entry["case"])
    address = link(entry["report"]) if entry["report"] else ""
    picture = thumbnail_of(folder / entry["report"], address) if entry["report"] else ""
    case = f'<a href="{address}">{name}</a>' if address else name
    badge = ' <span class="badge" title="the mask is much less reliable than with the challenge\'s Z map">Z estimated</span>'
    failed = entry["status"] != "done"
    whole = is_reviewed(results)
    said = f"reviewed{'' if whole else ' in part'}"
    reviewed = f' <span class="badge reviewed" title="{text(reviewed_words(results))}">{said}</span>'
    attribute = "" if failed else f' data-reviewed="{"yes" if whole else "no"}"'
    words = [f"{probably.capitalize()}."] if (probably := verdict(results)) else []
    remark = f"{entry['status']}: {entry['reason']}" if failed else " ".join([*words, *other_warnings(results)])
    values = _values(results)
    cells = "".join(_cell(values.get(key), form) for _, key, form in COLUMNS)
    return (
        f'<tr{attribute}><td class="picture">{picture}</td><th scope="row" class="words" data-value="{name}">{case}'
        f"{badge if is_estimated(results) else ''}{reviewed if REVIEW in results else ''}</th>{cells}"
        f'<td class="words{" failed" if failed else ""}">{text(remark)}</td></tr>\n'
    )


def _values(results: dict) -> dict:
    """The results, with volume and side of the largest lesion."""
    largest: dict = next(iter(results.get("lesion_list", [])), {})
    return results | {"largest_ml": largest.get("volume_ml"), "side": largest.get("side") or ""}


def _cell(value: object, form: Callable[[Any], str] | None) -> str:
    """With the value in full for the sorting."""
    kind = "" if form else ' class="words"'
    content = shown(form, value) if form else text(value)
    return f'<td{kind} data-value="{text("" if value is None else value)}">{content}</td>'
