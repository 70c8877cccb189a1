"""The table of a case's lesions: those that a reader looks for, and the smallest folded into one line that opens."""

from collections.abc import Callable, Collection

from model.report.numbers import UNKNOWN, deviations, place, shown, volume, whole_percent
from model.report.page import asset, text
from model.report.results import MIDLINE_MM
from model.report.wording import z_map_name

SMALL_ML = 0.05  # lesions below it fold


def lesion_table(results: dict, figures: Collection[int] = ()) -> str:
    """A row per lesion, the largest first; a sentence where there is none.

    figures: numbers of the slices that the page has a figure of, to which their numbers lead.
    """
    lesions = list(enumerate(results["lesion_list"], 1))
    if not lesions:
        return "<p>No lesion was found.</p>"
    large = [(number, lesion) for number, lesion in lesions if lesion["volume_ml"] >= SMALL_ML]
    small = lesions[len(large) :]
    parts = [_table(large, results, figures) if large else f"<p>No lesion of {SMALL_ML:g} ml or more.</p>"]
    if small:
        in_all = shown(volume, sum(lesion["volume_ml"] for _, lesion in small))
        words = f"{len(small)} {'more' if large else 'smaller'}, {in_all} ml in all"
        parts.append(
            f'<details id="small-lesions"><summary>{words}<span class="soft">, each under {SMALL_ML:g} ml</span></summary>\n'
            f"{_table(small, results, figures)}</details>"
        )
    if any(lesion["slice"] not in figures for _, lesion in lesions):
        parts.append(f'<p class="note">Slices that are no links have no figure: the page shows {len(figures)}.</p>')
    return "\n".join([*parts, asset("lesion_note.html").rstrip().format(midline_mm=MIDLINE_MM)])


def _table(lesions: list[tuple[int, dict]], results: dict, figures: Collection[int]) -> str:
    columns: list[tuple[str, str, Callable[[dict], str]]] = [  # head, class, cell of a lesion
        ("Side", "words", lambda lesion: text(lesion["side"] or UNKNOWN)),
        ("Slice", "", lambda lesion: _slice(lesion["slice"], figures)),
        ("Volume, ml", "", lambda lesion: shown(volume, lesion["volume_ml"])),
        ("Position from the brain's centre, mm", "words", lambda lesion: text(place(lesion["from_brain_centre_mm"]))),
        (z_map_name(results, "Lowest Z"), "", lambda lesion: shown(deviations, lesion["lowest_z"])),
    ]
    if any(lesion["chance_real"] is not None for lesion in results["lesion_list"]):
        columns.append(("Real, %", "", lambda lesion: shown(whole_percent, lesion["chance_real"])))
    head = "".join(f'<th scope="col" class="{kind}">{text(name)}</th>' for name, kind, _ in [("Lesion", "", None), *columns])
    rows = []
    for number, lesion in lesions:
        button = f'<button type="button" aria-label="Lesion {number}: show in the viewer">{number}</button>'
        cells = "".join(f'<td class="{kind}">{cell(lesion)}</td>' for _, kind, cell in columns)
        rows.append(f'<tr><th scope="row">{button}</th>{cells}</tr>\n')
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Lesions">'
        f'<table class="lesions"><thead><tr>{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table></div>'
    )


def _slice(number: int, figures: Collection[int]) -> str:
    return f'<a href="#slice-{number}">{number}</a>' if number in figures else str(number)
