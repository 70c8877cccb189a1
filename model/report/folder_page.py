"""The page of a folder of cases: a table that sorts itself, and the volumes as a picture."""

import collections
import math
from pathlib import Path
from urllib.parse import quote

from model.files import write_whole
from model.report.case_page import percent
from model.report.page import page, short, text

COLUMNS = (  # head, key of the results, None where the column is made from the entry
    ("Case", None),
    ("Lesion volume, ml", "lesion_volume_ml"),
    ("Share of brain, %", "lesion_share_of_brain"),
    ("Lesions", "lesions"),
    ("Brain volume, ml", "brain_volume_ml"),
    ("Seconds", "seconds"),
    ("Remark", None),
)
PLOT_SIZE, PLOT_MARGIN = (900, 260), (60, 20, 20, 34)  # width, height; left, top, right, bottom


def write_index(path: Path, entries: list[dict]) -> None:
    """Write the page of several cases, whole or not at all.

    An entry has "case", "status" ("done", "failed" or a word for why it is not done), "reason" (empty when done), "results"
    (what results.json holds, or None) and "report" (path of its report from the page's folder, not percent-encoded, or
    None).
    Raises UserError when the file cannot be written.
    """
    done = [entry for entry in entries if entry["status"] == "done"]
    rows = "".join(map(_row, entries))
    sections = (
        f"<header><h1>Cases</h1><p>{_totals(entries, done)}</p></header>",
        f"<h2>Lesion volumes</h2>\n{volume_plot(done)}" if done else "",
        f'<h2>Table</h2>\n<div class="wide"><table id="cases">{_head()}\n<tbody>{rows}</tbody></table></div>',
    )
    write_whole(path, page("Cases", "\n".join(sections), "index.js").encode())


def volume_plot(done: list[dict]) -> str:
    """SVG: a circle per case, the largest volume first, on a logarithmic scale; empty masks as rings below it."""
    ordered = sorted(done, key=lambda entry: -entry["results"]["lesion_volume_ml"])
    volumes = [entry["results"]["lesion_volume_ml"] for entry in ordered]
    decades = _decades([volume for volume in volumes if volume > 0])
    (width, height), (left, _, right, bottom) = PLOT_SIZE, PLOT_MARGIN
    step = (width - left - right) / len(ordered)
    circles = "".join(
        _circle(entry, left + (n + 0.5) * step, _height(volumes[n], decades)) for n, entry in enumerate(ordered)
    )
    ticks = "".join(_tick(f"{10.0**power:g}", _height(10.0**power, decades)) for power in decades)
    none = _tick("none", _height(0, decades)) if 0 in volumes else ""
    label = (
        f'<text x="{left}" y="{height - bottom + 28}">Lesion volume in ml, {len(ordered)} cases, the largest first</text>'
    )
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="Lesion volumes of the cases">'
        f"{ticks}{none}{circles}{label}</svg>"
    )


def _decades(volumes: list[float]) -> range:
    """The powers of ten from below the smallest volume to above the largest; of one ml where there is none."""
    if not volumes:
        return range(0, 2)
    low = math.floor(math.log10(min(volumes)))
    return range(low, max(math.ceil(math.log10(max(volumes))), low + 1) + 1)


def _height(volume_ml: float, decades: range) -> float:
    """From the top of the plot: the lowest of equal rows is that of empty masks, above it the logarithmic scale."""
    _, top, _, bottom = PLOT_MARGIN
    floor = PLOT_SIZE[1] - bottom
    row = (floor - top) / len(decades)
    return floor - row * (math.log10(volume_ml) - decades[0] + 1) if volume_ml > 0 else floor


def _tick(label: str, y: float) -> str:
    left, _, right, _ = PLOT_MARGIN
    line = f'<line x1="{left}" x2="{PLOT_SIZE[0] - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _circle(entry: dict, x: float, y: float) -> str:
    volume = entry["results"]["lesion_volume_ml"]
    kind = "" if volume > 0 else ' class="empty"'
    circle = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"{kind}><title>{text(entry["case"])}: {short(volume)} ml</title></circle>'
    )
    return f'<a href="{link(entry["report"])}">{circle}</a>' if entry["report"] else circle


def link(relative: str) -> str:
    """A path below the page's folder as an address that can be nothing else, no other scheme and no other host."""
    return "./" + quote(relative.encode("utf-8", "surrogateescape"))


def _totals(entries: list[dict], done: list[dict]) -> str:
    volumes = [entry["results"]["lesion_volume_ml"] for entry in done]
    empty = volumes.count(0)
    return (
        f'<span id="totals">{len(entries)} cases: {len(done)} done, {_others(entries)}.'
        f" Lesion volume {short(sum(volumes))} ml in all, {empty} without a lesion.</span>"
    )


def _others(entries: list[dict]) -> str:
    """How many failed, and how many are of every other status that occurs."""
    counts = {"failed": 0} | collections.Counter(entry["status"] for entry in entries if entry["status"] != "done")
    return ", ".join(f"{count} {text(status)}" for status, count in counts.items())


def _head() -> str:
    cells = "".join(
        f'<th scope="col"{"" if key else " class=words"}><button type="button">{name}</button></th>' for name, key in COLUMNS
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _row(entry: dict) -> str:
    """A case; what a failed one has no number for stays empty, and its reason stands in the last column."""
    results = entry["results"] or {}
    name = text(entry["case"])
    case = f'<a href="{link(entry["report"])}">{name}</a>' if entry["report"] else name
    numbers = "".join(f"<td>{_number(key, results.get(key))}</td>" for _, key in COLUMNS if key)
    failed = entry["status"] != "done"
    remark = f"{entry['status']}: {entry['reason']}" if failed else "; ".join(results.get("warnings", []))
    kind = "words failed" if failed else "words"
    return f'<tr><td class="words">{case}</td>{numbers}<td class="{kind}">{text(remark)}</td></tr>\n'


def _number(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return percent(value) if key == "lesion_share_of_brain" else short(value)
