"""One case's report: a page that opens from disk, with a table of the lesions, a viewer and the slices."""

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np

from model.files import write_whole
from model.images.brain import brain_box
from model.images.case import Case
from model.images.grid import crop_grid
from model.images.nifti import encode_nifti
from model.report.montage import ADC_WINDOW, montage
from model.report.page import asset, base64_text, page, short, text
from model.report.results import MIDLINE_MM

INT16 = np.iinfo(np.int16)

VIEWER = """<section id="viewer">
<h2>Viewer</h2>
<p id="viewer-notice">The viewer needs JavaScript and WebGL2, which this browser does not offer here.</p>
<div id="viewer-stage" hidden>
<p class="controls">
<label><input type="checkbox" id="show-mask" checked> Mask</label>
<label>Opacity <input type="range" id="opacity" min="0.1" max="1" step="0.05" value="0.5"></label>
<label>View <select id="view">
<option value="MULTIPLANAR">three planes</option><option value="AXIAL">axial</option>
<option value="CORONAL">coronal</option><option value="SAGITTAL">sagittal</option>
</select></label>
</p>
<div id="viewer-frame"><canvas id="viewer-canvas" aria-label="ADC with the mask"></canvas></div>
<p id="location" aria-live="off"></p>
</div>
</section>"""

TABLE_NOTE = f"""<p class="note">A lesion is a part of the mask whose voxels touch. Side: the patient's, by the lesion's
centre; midline within {MIDLINE_MM:g} mm of the brain's middle. Position: its centre in the scanner's space, mm to the
patient's left, back and top. It counts from the scanner's origin, not from the brain's middle, so its sign need not agree
with the side. Probability: the mean over the lesion's voxels. Confidence, 0 to 1: the share of the lesion that the networks
alone would mark, on average, which is no probability that it is real. A lesion's number moves the viewer to it.
results.json has the numbers in full.</p>"""


def write_report(path: Path, name: str, case: Case, mask: np.ndarray, results: dict) -> None:
    """Write the report of the case called `name`, whole or not at all.

    mask: boolean (z, y, x) on the case's grid; `results`: what results.json holds.
    Raises UserError when the file cannot be written, ValueError when the mask is not of the grid's size.
    """
    if mask.shape != case.grid.size:
        raise ValueError(f"the mask is {mask.shape}, the grid is {case.grid.size}")
    sections = (
        f"<header><h1>{text(name)}</h1><p>Lesions in a newborn's diffusion MRI, marked by trees and networks.</p></header>",
        _summary(results),
        f'<section id="lesions"><h2>Lesions</h2>\n{lesion_table(results)}</section>',
        VIEWER,
        f'<section id="slices"><h2>Slices</h2>\n{montage(case, mask)}</section>',
        _checks(case, results),
        _provenance(results),
        _licences(),
        _viewer_data(case, mask),
    )
    write_whole(path, page(f"{name}: report", "\n".join(sections), "report.js", [asset("niivue.umd.js")]).encode())


def lesion_table(results: dict) -> str:
    """A row per lesion, numbers rounded; a sentence where there is none."""
    lesions = results["lesion_list"]
    if not lesions:
        return "<p>No lesion was found.</p>"
    heads = ("Lesion", "Side", "Volume, ml", "Share of brain, %", "Lowest Z", "Position, mm", "Probability", "Confidence")
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    rows = "".join(_lesion_row(number, lesion, results) for number, lesion in enumerate(lesions, 1))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n{TABLE_NOTE}'


def percent(share: float) -> str:
    """A share of 0..1 in percent, rounded."""
    return short(100.0 * share)


def viewer_volumes(case: Case, mask: np.ndarray) -> tuple[bytes, bytes]:
    """ADC, rounded to int16, and mask around the brain and the mask, as gzipped NIfTI files."""
    box = brain_box(case.brain | mask, 2)
    grid = crop_grid(case.grid, box)
    adc = np.clip(np.rint(case.adc.voxels[box]), INT16.min, INT16.max).astype(np.int16)
    return encode_nifti(adc, grid), encode_nifti(mask[box].astype(np.uint8), grid)


def _lesion_row(number: int, lesion: dict, results: dict) -> str:
    place = ", ".join(str(round(mm)) for mm in lesion["centre_mm"])
    brain_ml = results["brain_volume_ml"]
    share = percent(lesion["volume_ml"] / brain_ml) if brain_ml else ""
    volume, *others = (short(lesion[key]) for key in ("volume_ml", "lowest_z", "probability", "confidence"))
    lowest_z, probability, confidence = others
    cells = (text(lesion.get("side") or "unknown"), volume, share, lowest_z, place, probability, confidence)
    button = f'<button type="button" data-mm="{text(json.dumps(lesion["centre_mm"]))}">{number}</button>'
    return f'<tr><th scope="row">{button}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'


def _summary(results: dict) -> str:
    facts = (
        ("Lesion volume", f"{short(results['lesion_volume_ml'])} ml", "lesion_volume_ml"),
        ("Share of the brain", f"{percent(results['lesion_share_of_brain'])} %", "lesion_share_of_brain"),
        ("Lesions", results["lesions"], "lesions"),
        ("Brain volume", f"{short(results['brain_volume_ml'])} ml", "brain_volume_ml"),
    )
    items = "".join(f'<div><dt>{name}</dt><dd id="{key}">{text(value)}</dd></div>' for name, value, key in facts)
    return f'<dl class="facts">{items}</dl>'


def _checks(case: Case, results: dict) -> str:
    """What the checks of the input remarked, and the grid that they saw."""
    warnings = results.get("warnings", [])
    remarks = "".join(f"<li>{text(warning)}</li>" for warning in warnings) or "<li>No remarks.</li>"
    z, y, x = case.grid.size
    spacing = " &times; ".join(f"{mm:.4g}" for mm in case.grid.spacing_mm[::-1])
    grid = f"<p>Both maps: {x} &times; {y} &times; {z} voxels (x, y, z) of {spacing} mm.</p>"
    return f'<section id="checks"><h2>Input checks</h2>\n<ul>{remarks}</ul>\n{grid}</section>'


def _provenance(results: dict) -> str:
    """Weights, device, time and the versions of the software."""
    rows = [("Weights", results.get("weights")), ("Device", results.get("device")), ("Seconds", results.get("seconds"))]
    rows = [(name, value) for name, value in rows if value is not None] + sorted(results.get("software", {}).items())
    lines = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>\n' for name, value in rows)
    return f'<section id="provenance"><h2>Made with</h2>\n<table class="plain"><tbody>{lines}</tbody></table></section>'


def _licences() -> str:
    """The viewer's licence asks to be repeated wherever the viewer goes."""
    words = text(asset("niivue.LICENSE.txt"))
    return f'<details id="licences"><summary>Licences of the viewer</summary><pre>{words}</pre></details>'


@cache
def _packed_viewer() -> str:
    """NiiVue's bundle as gzip in base64, packed once for all the cases of a run."""
    return base64_text(gzip.compress(asset("niivue.umd.js").encode("utf-8"), compresslevel=9, mtime=0))


def _viewer_data(case: Case, mask: np.ndarray) -> str:
    """What the script of the page reads: blocks of base64 that no browser runs."""
    adc, overlay = viewer_volumes(case, mask)
    blocks = (("niivue", _packed_viewer()), ("adc", base64_text(adc)), ("mask", base64_text(overlay)))
    data = "\n".join(f'<script type="application/gzip" id="{name}-data">{content}</script>' for name, content in blocks)
    settings = json.dumps({"adcWindow": ADC_WINDOW})
    return f'{data}\n<script type="application/json" id="settings">{settings}</script>'
