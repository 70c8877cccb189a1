"""Slices of a case as figures of a page: ADC and Z map side by side, the mask's outline over both.

A slice is one z of the arrays; rows are y, columns x. Slices are shown as radiologists look at them, the patient's left on
the viewer's right and the front on top, which turns an axis that the grid counts the other way. The axes of an oblique scan
are called by the nearest of the patient's, as for the networks.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.images.brain import brain_box
from model.images.case import Case
from model.images.grid import Grid
from model.images.orientation import turn_to_canonical
from model.report.page import base64_text, text

MOST_SLICES = 24
ADC_WINDOW = (200, 2200)  # 1e-6 mm2/s; a newborn's brain has about 1000 to 1600, lesions less, fluid 3000
Z_WINDOW = (-6, 6)
GREYS = ("000000", "ffffff")
BLUE_TO_RED = ("053061", "4393c3", "f7f7f7", "d6604d", "67001f")
AXIS_ENDS = (("I", "S"), ("A", "P"), ("R", "L"))  # of the canonical z, y and x, the low end first
MASK_COLOUR = "ffe100"
GAP_MM = 4.0  # between the two maps


@dataclass(frozen=True, eq=False)
class View:
    """How slices of one case are cut and turned for the eye."""

    box: tuple[slice, slice]  # rows and columns around the brain
    turned: tuple[bool, bool]  # whether rows and columns are shown in reverse
    letters: tuple[str, str, str, str]  # at the top, the bottom, the left and the right; empty where not known
    pixel_mm: tuple[float, float]  # (row, column)

    def cut(self, plane: np.ndarray) -> np.ndarray:
        """The part of a slice that is shown, (rows, columns) as they are shown."""
        rows, columns = (slice(None, None, -1) if turned else slice(None) for turned in self.turned)
        return plane[self.box][rows, columns]


def montage(case: Case, mask: np.ndarray, lesions: Sequence[dict], z_map_name: str = "Z map") -> str:
    """HTML: a sentence that says which slices are shown, the scales, a figure per slice. mask: boolean (z, y, x)."""
    view = make_view(case)
    indices, sentence = choose_slices(mask, case.brain, lesions)
    figures = (_figure(case, mask, index, view) for index in indices)
    return f'<p>{sentence}</p>\n{_legend(z_map_name)}\n<div class="slices">\n{"".join(figures)}</div>'


def choose_slices(mask: np.ndarray, brain: np.ndarray, lesions: Sequence[dict]) -> tuple[list[int], str]:
    """Which slices to show, in their order, and the sentence about them: all with lesions where there are not too many.

    lesions: those of results.json, the largest first. Where there are too many slices, theirs come before all others.
    """
    areas = np.count_nonzero(mask, axis=(1, 2))
    with_lesions = np.flatnonzero(areas)
    if not len(with_lesions):
        inside = np.flatnonzero(brain.any(axis=(1, 2)))
        middle = int(inside[0] + inside[-1]) // 2
        around = range(max(middle - 1, 0), min(middle + 2, len(areas)))
        return list(around), "No lesion was found. Shown are slices from the middle of the brain."
    if len(with_lesions) <= MOST_SLICES:
        return with_lesions.tolist(), f"The slices with lesions: {len(with_lesions)} of {len(areas)}."
    own = dict.fromkeys(lesion["slice"] - 1 for lesion in lesions)
    largest = dict.fromkeys(np.argsort(-areas, kind="stable").tolist())
    which = (
        "one for every lesion, and those with the largest lesion area"
        if len(own) <= MOST_SLICES
        else "of the largest lesions"
    )
    shown = f"{MOST_SLICES} of the {len(with_lesions)} slices with lesions: {which}."
    return sorted([*(own | largest)][:MOST_SLICES]), shown


def make_view(case: Case) -> View:
    """The brain's box and the turn that puts left, back and bottom at the right and lower edges."""
    _, y, x = brain_box(case.brain, 2)
    _, (top, bottom), (left, right) = axis_ends(case.grid)
    turned = bottom not in "LPI", right not in "LPI"
    if turned[0]:
        top, bottom = bottom, top
    if turned[1]:
        left, right = right, left
    letters = (top, bottom, left, right) if case.adc.oriented else ("", "", "", "")
    return View((y, x), turned, letters, case.grid.spacing_mm[1:])


def axis_ends(grid: Grid) -> list[tuple[str, str]]:
    """The letters of the patient's sides at the low and the high end of each axis of the array; no two axes share one."""
    turn = turn_to_canonical(grid)
    canonical = [ends[::-1] if is_reversed else ends for ends, is_reversed in zip(AXIS_ENDS, turn.reversed, strict=True)]
    return [canonical[turn.axes.index(axis)] for axis in range(3)]


def outline(mask: np.ndarray) -> str:
    """SVG path along the pixel edges around a boolean (rows, columns) mask, one unit a pixel; empty for an empty mask."""
    padded = np.pad(mask.astype(np.int8), 1)
    level = np.diff(padded, axis=0)[:, 1:-1] != 0  # edge above row y, at column x
    upright = np.diff(padded, axis=1)[1:-1].T != 0  # edge left of column x, at row y
    across = [f"M{start} {y}h{length}" for y, start, length in _runs(level)]
    down = [f"M{x} {start}v{length}" for x, start, length in _runs(upright)]
    return "".join(across + down)


def colour_png(plane: np.ndarray, brain: np.ndarray, window: tuple[float, float], colours: tuple[str, ...]) -> bytes:
    """A slice as PNG of one pixel a voxel: the window's ends get the first and last colour; black outside the brain."""
    image = Image.fromarray(grey_levels(plane, brain, window))
    image.putpalette(_palette(colours))
    file = io.BytesIO()
    image.save(file, "png")  # a third of the time of optimize=True, and 0.4 % larger
    return file.getvalue()


def map_pngs(case: Case, view: View, index: int) -> list[bytes]:
    """The ADC and the Z map of a slice as PNG, each in its window and its colours."""
    inside = view.cut(case.brain[index])
    maps = ((case.adc, ADC_WINDOW, GREYS), (case.zadc, Z_WINDOW, BLUE_TO_RED))
    return [colour_png(view.cut(volume.voxels[index]), inside, window, colours) for volume, window, colours in maps]


def caption(mask: np.ndarray, view: View, index: int) -> str:
    """Which slice it is, and the area of the mask in it."""
    area_cm2 = float(np.count_nonzero(mask[index])) * view.pixel_mm[0] * view.pixel_mm[1] / 100
    return f"slice {index + 1} of {len(mask)}, mask {area_cm2:.2f} cm²"


def grey_levels(plane: np.ndarray, brain: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """A slice as uint8 of the same shape: 1 to 255 from the window's low end to its high end, 0 outside the brain."""
    low, high = window
    shades = np.rint(np.clip((plane - low) / (high - low), 0, 1) * 254).astype(np.uint8) + 1
    return np.where(brain, shades, np.uint8(0))


def _palette(colours: tuple[str, ...]) -> bytes:
    """Black, then 255 shades from the first colour to the last: 256 times RGB."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in colours], float)
    at = np.linspace(0, len(stops) - 1, 255)
    shades = np.column_stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T])
    return bytes(3) + np.rint(shades).astype(np.uint8).tobytes()


def _runs(edges: np.ndarray) -> list[tuple[int, int, int]]:
    """Unbroken runs along the rows of a boolean array: (row, start, length)."""
    steps = np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(rows.tolist(), starts.tolist(), (ends - starts).tolist(), strict=True))


def _figure(case: Case, mask: np.ndarray, index: int, view: View) -> str:
    marked = view.cut(mask[index])
    height, width = (n * mm for n, mm in zip(marked.shape, view.pixel_mm, strict=True))
    images = "".join(
        f'<image x="{number * (width + GAP_MM):.6g}" width="{width:.6g}" height="{height:.6g}" preserveAspectRatio="none"'
        f' href="data:image/png;base64,{base64_text(png)}"/>'
        for number, png in enumerate(map_pngs(case, view, index))
    )
    words = caption(mask, view, index)
    return (
        f'<figure id="slice-{index + 1}">'
        f'<svg viewBox="0 0 {2 * width + GAP_MM:.6g} {height:.6g}" role="img" aria-label="ADC and Z map, {words}">'
        f"{images}{_strokes(outline(marked), f'outline-{index}', width, view)}{_letters(view, width, height)}</svg>"
        f"<figcaption>{words}</figcaption></figure>\n"
    )


def _strokes(path: str, name: str, width: float, view: View) -> str:
    """The outline over both maps, each time as a dark rim and a bright line in it."""
    if not path:
        return ""
    rows_mm, columns_mm = view.pixel_mm
    turn = f'transform="scale({columns_mm:.6g} {rows_mm:.6g})" vector-effect="non-scaling-stroke"'
    uses = (
        f'<use href="#{name}" x="{left:.6g}" class="{kind}"/>' for left in (0, width + GAP_MM) for kind in ("rim", "line")
    )
    return f'<defs><path id="{name}" d="{path}" {turn}/></defs>{"".join(uses)}'


def _letters(view: View, width: float, height: float) -> str:
    """The letters at the four edges of both maps."""
    top, bottom, left, right = view.letters
    places = ((top, width / 2, 8), (bottom, width / 2, height - 2), (left, 5, height / 2), (right, width - 5, height / 2))
    return "".join(
        f'<text x="{start + x:.4g}" y="{y:.4g}">{letter}</text>'
        for start in (0, width + GAP_MM)
        for letter, x, y in places
        if letter
    )


def _legend(z_map_name: str) -> str:
    """Both scales with the values at their ends, and the outline's colour."""
    scales = (
        scale("ADC", ADC_WINDOW, "&times; 10⁻⁶ mm²/s", GREYS, "scale-adc"),
        scale(z_map_name, Z_WINDOW, "standard deviations from the healthy mean", BLUE_TO_RED, "scale-z"),
        scale("Outline of the mask", None, "", (MASK_COLOUR,), "scale-mask"),
    )
    return f'<p class="legend">{" ".join(scales)}</p>'


def scale(name: str, window: tuple[float, float] | None, unit: str, colours: tuple[str, ...], identity: str) -> str:
    """HTML of a colour scale with the values at its ends; a patch of one colour without a window. unit: HTML."""
    stops = "".join(f'<stop offset="{n / max(len(colours) - 1, 1)}" stop-color="#{c}"/>' for n, c in enumerate(colours))
    ends = [f'<span class="end">{value:g}</span>'.replace("-", "&minus;") for value in window or ()]
    low, high = ends or ("", "")
    width = 80 if window else 14
    bar = (
        f'<svg viewBox="0 0 {width} 10" width="{width}" height="10" aria-hidden="true">'
        f'<linearGradient id="{identity}">{stops}</linearGradient>'
        f'<rect width="{width}" height="10" fill="url(#{identity})"/></svg>'
    )
    return f'<span class="scale">{" ".join(filter(None, (text(name), low, bar, high, unit)))}</span>'
