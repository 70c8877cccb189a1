"""The table of a case's lesions: those that a reader looks for, and the smallest folded into one line that opens."""

from collections.abc import Collection

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
    with_chances = any(lesion["chance_real"] is not None for lesion in results["lesion_list"])
    heads = [("Lesion", ""), ("Side", "words"), ("Slice", ""), ("Volume, ml", "")]
    heads += [("Position from the brain's centre, mm", "words"), (z_map_name(results, "Lowest Z"), "")]
    heads += [("Real, %", "")] if with_chances else []
    head = "".join(f'<th scope="col" class="{kind}">{text(name)}</th>' for name, kind in heads)
    rows = "".join(_row(number, lesion, figures, with_chances) for number, lesion in lesions)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Lesions">'
        f'<table class="lesions"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
    )


def _row(number: int, lesion: dict, figures: Collection[int], with_chances: bool) -> str:
    slice_number = lesion["slice"]
    values = [
        (text(lesion["side"] or UNKNOWN), "words"),
        (f'<a href="#slice-{slice_number}">{slice_number}</a>' if slice_number in figures else str(slice_number), ""),
        (shown(volume, lesion["volume_ml"]), ""),
        (text(place(lesion["from_brain_centre_mm"])), "words"),
        (shown(deviations, lesion["lowest_z"]), ""),
    ]
    if with_chances:
        values.append((shown(whole_percent, lesion["chance_real"]), ""))
    cells = "".join(f'<td class="{kind}">{value}</td>' if kind else f"<td>{value}</td>" for value, kind in values)
    button = f'<button type="button" aria-label="Lesion {number}: show in the viewer">{number}</button>'
    return f'<tr><th scope="row">{button}</th>{cells}</tr>\n'
