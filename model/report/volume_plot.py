"""The lesion volumes of a folder's cases as a picture."""

import math

from model.report.numbers import shown, volume
from model.report.page import link, text

PLOT_SIZE, PLOT_MARGIN = (900, 260), (60, 20, 20, 34)  # width, height; left, top, right, bottom


def volume_plot(done: list[dict]) -> str:
    """SVG: a circle per case, the largest volume first, on a logarithmic scale; empty masks as rings below it.

    It says nothing that the table does not, so screen readers and the tab key pass over it.
    """
    ordered = sorted(done, key=lambda entry: -entry["results"]["lesion_volume_ml"])
    volumes = [entry["results"]["lesion_volume_ml"] for entry in ordered]
    decades = _decades([ml for ml in volumes if ml > 0])
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
    return f'<svg class="plot" viewBox="0 0 {width} {height}" aria-hidden="true">{ticks}{none}{circles}{label}</svg>'


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
    lesion_ml = entry["results"]["lesion_volume_ml"]
    kind = "" if lesion_ml > 0 else ' class="empty"'
    title = f"{text(entry['case'])}: {shown(volume, lesion_ml)} ml"
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"{kind}><title>{title}</title></circle>'
    return f'<a href="{link(entry["report"])}" tabindex="-1">{circle}</a>' if entry["report"] else circle
