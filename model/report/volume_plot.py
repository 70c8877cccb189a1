"""The lesion volumes of a folder's cases as a picture."""

import math

from model.report.numbers import shown, volume
from model.report.page import link, text

WIDTH, ROW = 600, 22  # of a plot, and the height of a case in it
LEFT, TOP, RIGHT = 245, 26, 20  # margins; the names stand at the left
MOST_ROWS = 40  # in one plot, so that it fits on a printed page
LONGEST_NAME = 23  # letters; the middle of a longer one is left out


def volume_plot(done: list[dict]) -> str:
    """SVG: a circle per case beside its name, the largest volume first, on a logarithmic scale; empty masks as rings.

    It says nothing that the table does not, so screen readers and the tab key pass over it.
    """
    ordered = sorted(done, key=lambda entry: -entry["results"]["lesion_volume_ml"])
    decades = _decades([ml for entry in ordered if (ml := entry["results"]["lesion_volume_ml"]) > 0])
    plots = (_plot(ordered[n : n + MOST_ROWS], decades) for n in range(0, len(ordered), MOST_ROWS))
    return f"<p>In ml, on a logarithmic scale; {len(ordered)} cases, the largest first.</p>\n{''.join(plots)}"


def _plot(entries: list[dict], decades: range) -> str:
    height = TOP + ROW * len(entries)
    scale = [("none", 0.0), *((f"{10.0**power:g}", 10.0**power) for power in decades)]
    ticks = "".join(_tick(label, _across(ml, decades), height) for label, ml in scale)
    circles = "".join(_case(entry, decades, TOP + (n + 0.5) * ROW) for n, entry in enumerate(entries))
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" aria-hidden="true">{ticks}{circles}</svg>\n'


def _decades(volumes: list[float]) -> range:
    """The powers of ten from below the smallest volume to above the largest; of one ml where there is none."""
    if not volumes:
        return range(0, 2)
    low = math.floor(math.log10(min(volumes)))
    return range(low, max(math.ceil(math.log10(max(volumes))), low + 1) + 1)


def _across(volume_ml: float, decades: range) -> float:
    """From the left of the plot: the first of equal columns is that of empty masks, after it the logarithmic scale."""
    column = (WIDTH - LEFT - RIGHT) / len(decades)
    return LEFT + (column * (math.log10(volume_ml) - decades[0] + 1) if volume_ml > 0 else 0)


def _tick(label: str, x: float, height: float) -> str:
    line = f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 6}" y2="{height}"/>'
    return f'{line}<text x="{x:.0f}" y="{TOP - 10}" class="tick">{label}</text>'


def _case(entry: dict, decades: range, y: float) -> str:
    """Its name and its circle, which leads to its report."""
    lesion_ml, name = entry["results"]["lesion_volume_ml"], entry["case"]
    kind = "" if lesion_ml > 0 else ' class="empty"'
    half = LONGEST_NAME // 2
    short = name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"
    title = f"{text(name)}: {shown(volume, lesion_ml)} ml"
    circle = f'<circle cx="{_across(lesion_ml, decades):.0f}" cy="{y:g}"{kind}><title>{title}</title></circle>'
    linked = f'<a href="{link(entry["report"])}" tabindex="-1">{circle}</a>' if entry["report"] else circle
    return f'<text x="{LEFT - 12}" y="{y + 5:g}">{text(short)}</text>{linked}'
