"""One case's report: a page that opens from disk, with a table of the lesions, a viewer and the slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.files import write_whole
from model.images.case import Case
from model.report.lesion_table import lesion_table
from model.report.montage import choose_slices, montage
from model.report.numbers import percent, shown, volume
from model.report.page import asset, page, text
from model.report.results import REVIEW
from model.report.review_panel import SCRIPTS
from model.report.thumbnail import thumbnail
from model.report.viewer import BUNDLE, viewer, viewer_data
from model.report.wording import ESTIMATED, certainty_facts, is_estimated, other_warnings, reviewed_words, z_map_name

if TYPE_CHECKING:
    from model.networks.predict import Segmentation
    from model.run.reviewed import Draft

TIMES = "\N{MULTIPLICATION SIGN}"
SERIES = (("Series", "uid"), ("Description", "description"), ("Study date", "study_date"))  # of the ADC map, in DICOM
OF_DRAFT = '<p class="note">The lesions of the draft; the viewer and the last column show what the reader decided.</p>\n'
NO_SIDES = "The file does not say how its voxels lie in the patient: left and right are not known."


def write_report(path: Path, name: str, case: Case, found: Segmentation, results: dict, draft: Draft | None = None) -> None:
    """Write the report of the case called `name`, whole or not at all.

    found: mask and probabilities on the case's grid; `results`: what results.json holds; draft: of a reviewed case. The
    viewer and the table show the draft's lesions then, with the review loaded.
    Raises UserError when the file cannot be written.
    """
    mask, lesions = found.mask, results["lesion_list"]
    drafted = results | results[REVIEW]["draft"] if draft else results
    figures = {index + 1 for index in choose_slices(mask, case.brain, lesions)[0]}
    sections = (
        _header(name, case, found, results),
        "<main>",
        viewer(results),
        f'<section id="lesions"><h2>Lesions</h2>\n{OF_DRAFT if draft else ""}{lesion_table(drafted, figures)}</section>',
        f'<section id="slices"><h2>Slices</h2>\n{montage(case, mask, lesions, z_map_name(results))}</section>',
        _provenance(case, results),
        _licences(),
        "</main>",
        viewer_data(name, case, draft.answer if draft else found, drafted, draft.review if draft else None),
    )
    weights = [results["weights"]] if results.get("weights") else []
    write_whole(path, page(f"{name}: report", "\n".join(sections), SCRIPTS, weights, [asset(BUNDLE)]).encode())


def _header(name: str, case: Case, found: Segmentation, results: dict) -> str:
    """The name, the numbers that matter most, the slice with most lesion, and all that makes the numbers less sure."""
    remarks = [NO_SIDES] if not case.adc.oriented else []
    remarks += [f"{ESTIMATED}."] if is_estimated(results) else []
    remarks += other_warnings(results)
    items = "".join(f"<li>{text(remark)}</li>" for remark in remarks)
    box = f'<section id="checks" class="warning"><h2>Look at the input first</h2>\n<ul>{items}</ul></section>'
    return (
        f'<header><div class="title"><div><h1>{text(name)}</h1>'
        "<p>Lesions of hypoxic-ischaemic encephalopathy in a newborn's diffusion MRI, marked by software.</p>\n"
        f"{_reviewed(results)}{_summary(results)}</div>{thumbnail(case, found.mask)}</div>\n"
        f"{box if remarks else ''}</header>"
    )


def _reviewed(results: dict) -> str:
    """When the mask was reviewed, by whom, and the remark; empty where it was not."""
    if not (words := reviewed_words(results)):
        return ""
    remark = results[REVIEW]["remark"]
    return f'<p id="reviewed">Mask reviewed: {text(words)}.{text(f" Remark: {remark}") if remark else ""}</p>\n'


def _summary(results: dict) -> str:
    lesions = results["lesion_list"]
    largest = f"{volume(lesions[0]['volume_ml'])} ml, {lesions[0]['side'] or 'side not known'}" if lesions else "none"
    facts = (
        ("Lesion volume", f"{shown(volume, results['lesion_volume_ml'])} ml", "lesion_volume_ml"),
        ("Share of the brain", f"{shown(percent, results['lesion_share_of_brain'])} %", "lesion_share_of_brain"),
        ("Lesions", text(results["lesions"]), "lesions_number"),
        ("Largest", text(largest), "largest"),
        ("Brain volume", f"{shown(volume, results['brain_volume_ml'])} ml", "brain_volume_ml"),
        *certainty_facts(results),
    )
    items = "".join(f'<div><dt>{name}</dt><dd id="{key}">{value}</dd></div>' for name, value, key in facts)
    said = '<p id="reviewed-facts" class="soft">As changed on this page; results.json has what it began with.</p>'
    return f'<dl class="facts">{items}</dl>{said}'


def _provenance(case: Case, results: dict) -> str:
    """The maps' grid, the DICOM series, weights, device and the versions of the software."""
    z, y, x = case.grid.size
    spacing = f" {TIMES} ".join(f"{mm:.4g}" for mm in case.grid.spacing_mm[::-1])
    rows = [
        ("Both maps", f"{x} {TIMES} {y} {TIMES} {z} voxels (x, y, z) of {spacing} mm"),
        *((name, results.get("series", {}).get(key)) for name, key in SERIES),
        ("Z map", "estimated from the ADC" if is_estimated(results) else "given"),
        *((name, results.get(name.lower())) for name in ("Weights", "Device")),
        *sorted(results.get("software", {}).items()),
    ]
    lines = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>\n' for name, value in rows if value is not None
    )
    return f'<section id="provenance"><h2>Made with</h2>\n<table class="plain"><tbody>{lines}</tbody></table></section>'


def _licences() -> str:
    """The viewer's licence asks to be repeated wherever the viewer goes."""
    words = text(asset("niivue.LICENSE.txt"))
    return f'<details id="licences"><summary>Licences of the viewer</summary><pre>{words}</pre></details>'
