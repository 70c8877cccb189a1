"""The table of a case's lesions: those that a reader looks for, and the smallest folded into one line that opens."""

import json
from collections.abc import Container

from model.report.numbers import UNKNOWN, deviations, percent, place, probability, shown, volume
from model.report.page import text
from model.report.results import MIDLINE_MM
from model.report.wording import lowest_z_name

SMALL_ML = 0.05  # lesions below it fold

NOTE = f"""<p class="note">A lesion is a part of the mask whose voxels touch. Side and position are those of its centre, seen
from the brain's centre along the image's axes. A lesion within {MIDLINE_MM:g} mm of the middle counts as midline, and so
does one that reaches as far to both sides. Probability is the mean over the lesion. Marked by networks: the share of the
lesion that the networks would mark without the trees, which is no probability that it is real. A lesion's number moves
the viewer to it. results.json has the numbers in full.</p>"""


def lesion_table(results: dict, figures: Container[int] = ()) -> str:
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
    return "\n".join([*parts, NOTE])


def _table(lesions: list[tuple[int, dict]], results: dict, figures: Container[int]) -> str:
    heads = (
        ("Lesion", ""),
        ("Side", "words"),
        ("Position from the brain's centre, mm", "words place"),
        ("Slice", ""),
        ("Volume, ml", ""),
        ("Share of brain, %", ""),
        (lowest_z_name(results), ""),
        ("Probability", ""),
        ("Marked by networks, %", ""),
    )
    head = "".join(f'<th scope="col" class="{kind}">{text(name)}</th>' for name, kind in heads)
    rows = "".join(_row(number, lesion, results, figures) for number, lesion in lesions)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Lesions">'
        f'<table class="lesions"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
    )


def _row(number: int, lesion: dict, results: dict, figures: Container[int]) -> str:
    brain_ml, slice_number = results["brain_volume_ml"], lesion["slice"]
    words = (lesion["side"] or UNKNOWN, place(lesion["from_brain_centre_mm"]))
    numbers = (
        f'<a href="#slice-{slice_number}">{slice_number}</a>' if slice_number in figures else str(slice_number),
        shown(volume, lesion["volume_ml"]),
        shown(percent, lesion["volume_ml"] / brain_ml) if brain_ml else "",
        shown(deviations, lesion["lowest_z"]),
        shown(probability, lesion["probability"]),
        shown(_whole_percent, lesion["confidence"]),
    )
    cells = "".join(f'<td class="words">{text(word)}</td>' for word in words) + "".join(f"<td>{n}</td>" for n in numbers)
    where = text(json.dumps(lesion["centre_mm"]))
    button = f'<button type="button" data-mm="{where}" aria-label="Lesion {number}: show in the viewer">{number}</button>'
    return f'<tr><th scope="row">{button}</th>{cells}</tr>\n'


def _whole_percent(share: float) -> str:
    return f"{100 * share:.0f}"
