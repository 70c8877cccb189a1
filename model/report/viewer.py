"""The viewer of a case's page: its controls, its legend, and the volumes that NiiVue draws.

The volumes are gzipped NIfTI files around the brain, in the canonical order and in mm from the brain's
centre: what the viewer calls left is what the table calls so, in oblique scans too. ADC is int16 in its own unit. Mask, Z
map and probability are uint8, 0 where there is nothing to draw; `STORED` says how the numbers are stored.
"""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from model.images.brain import Box, brain_box
from model.images.case import Case
from model.images.formats.nifti import encode_nifti
from model.images.grid import Grid
from model.images.orientation import turn_to_canonical
from model.report.montage import ADC_WINDOW, BLUE_TO_RED, GREYS, MASK_COLOUR, Z_WINDOW, scale
from model.report.page import asset, base64_text, text
from model.report.results import from_brain_centre
from model.report.review_panel import json_block, review_about
from model.report.wording import z_map_name
from model.reviews.review_file import LONGEST, SIZES, Review, review_content

if TYPE_CHECKING:
    from model.networks.predict import Segmentation

INT16 = np.iinfo(np.int16)
BUNDLE = "niivue.umd.js"
PROBABILITY_COLOURS = ("440154", "3b528b", "21918c", "5ec962", "fde725")  # viridis
# of the labels of the drawing, in the order of the script's: outside, mask, chosen lesion, rejected, rejected and chosen;
# an opacity of 1 of 255 leaves the outline
COLOURS = ((MASK_COLOUR, 0), (MASK_COLOUR, 255), ("ff9a00", 255), ("ff5a4d", 1), ("ff9a00", 1))
DRAWING = [(label, colour, opacity) for label, (colour, opacity) in enumerate(COLOURS)]
FAINTEST = 0.05  # probabilities below it are not drawn over the ADC map


@dataclass(frozen=True)
class Stored:
    """How a map is stored in a byte: `steps` a unit, and `zero` for 0, of the range `window`."""

    steps: int
    zero: int
    window: tuple[float, float]

    def bytes_of(self, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Values cut at the window's ends as uint8; 0 outside."""
        stored = np.rint(np.clip(values, *self.window) * self.steps) + self.zero
        return np.where(inside, stored, 0).astype(np.uint8)


STORED = {"z": Stored(steps=10, zero=128, window=(-10, 10)), "probability": Stored(steps=200, zero=1, window=(0, 1))}


def viewer(results: dict) -> str:
    """The viewer's part of the page; the page's script fills it."""
    name = z_map_name(results)
    scales = {
        "mask": scale("Mask", None, "", (MASK_COLOUR,), "viewer-mask"),
        "z": scale(name, Z_WINDOW, "standard deviations", BLUE_TO_RED, "viewer-z"),
        "probability": scale("Probability", (0, 1), "", PROBABILITY_COLOURS, "viewer-probability"),
    }
    legends = (
        f'<span id="adc-legend">{scale("ADC", ADC_WINDOW, "&times; 10⁻⁶ mm²/s", GREYS, "viewer-adc")}</span>',
        *(f'<span data-overlay="{layer}" hidden>{html}</span>' for layer, html in scales.items()),
    )
    ends = {"smallest": SIZES[0], "largest": SIZES[-1], "longest": LONGEST}
    return asset("viewer.html").rstrip().format(z_map=text(name), legend=" ".join(legends), **ends)


def viewer_box(case: Case, mask: np.ndarray) -> Box:
    """What the viewer shows of the array: the brain and the mask, with a margin."""
    return brain_box(case.brain | mask, 2)


def viewer_volumes(case: Case, found: "Segmentation") -> dict[str, bytes]:
    """By name "adc", "mask", "z" and "probability": what the viewer draws, around the brain and the mask.

    Their place (x, y, z) is that in `from_brain_centre`, to the left, the back and the top.
    """
    box, turn = viewer_box(case, found.mask), turn_to_canonical(case.grid)
    inside = case.brain[box] | found.mask[box]
    adc = np.clip(np.rint(case.adc.voxels[box]), INT16.min, INT16.max).astype(np.int16)
    maps = {"z": case.zadc.voxels[box], "probability": found.probabilities[box]}
    layers = {"adc": adc, "mask": found.mask[box].astype(np.uint8)}
    layers |= {name: STORED[name].bytes_of(values, inside) for name, values in maps.items()}
    turned = {name: turn.to_canonical(layer) for name, layer in layers.items()}
    first = [box[axis].stop - 1 if back else box[axis].start for axis, back in zip(turn.axes, turn.reversed, strict=True)]
    (x, y, z) = from_brain_centre(np.array([[first[turn.axes.index(axis)] for axis in range(3)]]), case)[0].tolist()
    grid = Grid(turned["adc"].shape, turn.spacing_mm(case.grid), (x, y, z), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    return {name: encode_nifti(layer, grid) for name, layer in turned.items()}


def viewer_data(name: str, case: Case, found: "Segmentation", results: dict, review: Review | None = None) -> str:
    """What the scripts of the page read of the case called `name`: blocks of base64 that no browser runs, and settings.

    review: of this mask, with which the page begins.
    """
    volumes = viewer_volumes(case, found)
    packed = {"niivue": _packed_bundle()} | {name: base64_text(content) for name, content in volumes.items()}
    blocks = [f'<script type="application/gzip" id="{name}-data">{content}</script>' for name, content in packed.items()]
    settings = json.dumps(viewer_settings(case))
    about = review_about(name, case, found.mask, results, viewer_box(case, found.mask))
    begun = [json_block("review-begun", review_content(review))] if review else []
    return "\n".join([*blocks, f'<script type="application/json" id="settings">{settings}</script>', about, *begun])


def viewer_settings(case: Case) -> dict:
    """Windows, colours and how places are told.

    "stack" is the axis of a place from the brain's centre along which slices lie, x, y or z counted from 0, and "slice" what
    gives a slice's number, counted from 1: its number at the centre, and what is added for each mm.
    """
    turn = turn_to_canonical(case.grid)
    canonical = turn.axes.index(0)
    per_mm = (-1 if turn.reversed[canonical] else 1) / case.grid.spacing_mm[0]
    return {
        "adcWindow": ADC_WINDOW,
        "slices": case.grid.size[0],
        "slice": [float(case.brain_centre[0]) + 1, per_mm],
        "stack": 2 - canonical,
        "oriented": case.adc.oriented,
        "zName": "estimated Z" if case.estimated else "Z",
        "maps": {name: {"steps": stored.steps, "zero": stored.zero} for name, stored in STORED.items()},
        "colours": {"drawing": _colour_map(DRAWING), "z": _z_colours(), "probability": _probability_colours()},
    }


def _colour_map(stops: list[tuple[int, str, int]]) -> dict[str, list[int]]:
    """NiiVue's form of colours at stored values: (value, colour, opacity of 0 to 255)."""
    channels = zip(*((*bytes.fromhex(colour), opacity, value) for value, colour, opacity in stops), strict=True)
    return dict(zip("RGBAI", map(list, channels), strict=True))


def _z_colours() -> dict[str, list[int]]:
    stored, (low, high) = STORED["z"], Z_WINDOW
    values = np.linspace(low, high, len(BLUE_TO_RED)) * stored.steps + stored.zero
    inner = [(round(value), colour, 255) for value, colour in zip(values.tolist(), BLUE_TO_RED, strict=True)]
    return _colour_map([(0, BLUE_TO_RED[0], 0), (1, BLUE_TO_RED[0], 255), *inner, (255, BLUE_TO_RED[-1], 255)])


def _probability_colours() -> dict[str, list[int]]:
    stored = STORED["probability"]
    values = np.linspace(0, 1, len(PROBABILITY_COLOURS)) * stored.steps + stored.zero
    first, *inner = [(round(value), colour, 255) for value, colour in zip(values.tolist(), PROBABILITY_COLOURS, strict=True)]
    faint = round(FAINTEST * stored.steps) + stored.zero
    clear = [(0, first[1], 0), (faint - 1, first[1], 0), (faint, first[1], 255)]
    return _colour_map([*clear, *inner, (255, PROBABILITY_COLOURS[-1], 255)])


@cache
def _packed_bundle() -> str:
    """NiiVue's bundle as gzip in base64, packed once for all the cases of a run."""
    return base64_text(gzip.compress(asset(BUNDLE).encode("utf-8"), compresslevel=9, mtime=0))
