"""The scores of a folder of masks as files: rows per case, their summary by lesion size, and two figures."""

from pathlib import Path

import pandas as pd

from model.images.formats.names import stem_of
from model.names.output_names import MASK_STEM
from training.pages.agreement import agreement_words, draw_agreement
from training.pages.cells import SCORE_HEADER, score_cells
from training.pages.markdown import table, wrapped, write_text
from training.pages.plots import draw_dice_by_size
from training.scores.pairs import Pair, Pairs, left_out_words
from training.scores.rows import CaseScore, as_frame, write_records
from training.scores.statistics import LOADS, VOLUMES, size_strata

SCORES, SUMMARY, DICE_PLOT, VOLUME_PLOT = "scores.csv", "summary.md", "dice.png", "volumes.png"
FILES = (SCORES, SUMMARY, DICE_PLOT, VOLUME_PLOT)
SIZES: dict[tuple[str, ...], str] = {LOADS: "lesion load", VOLUMES: "lesion volume"}  # what the strata are of
EXPLAINED: dict[tuple[str, ...], str] = {
    LOADS: "Cases are grouped by lesion load, the label's share of the brain (ADC > 0).",
    VOLUMES: "Cases are grouped by the label's volume, since no ADC maps (--adc) say how large each brain is.",
}
READING = """In brackets: 95 % bootstrap intervals of the mean over cases. MASD does not exist where exactly one of the masks
is empty: it is left out of the mean and counted. Where both are empty, Dice and NSD are 1 and MASD is 0."""


def write_scores(records: list[CaseScore], pairs: Pairs, masks: Path, labels: Path, out: Path) -> str:
    """Write FILES to `out`; returns the summary. Raises OSError."""
    rows = as_frame(records, CaseScore)
    strata = size_strata(rows)
    text = summary(strata, masks, labels) + not_scored(pairs) + guessed(pairs.scored)
    write_records(records, out / SCORES, CaseScore)
    draw_dice_by_size(strata, SIZES[tuple(strata)], out / DICE_PLOT)
    draw_agreement(rows, out / VOLUME_PLOT)
    write_text(out / SUMMARY, text)
    return text


def not_scored(pairs: Pairs) -> str:
    """Which cases are left out; else empty."""
    if not pairs.left_out:
        return ""
    count = len(pairs.left_out)
    sentence = (
        f"Not scored, {count} of {count + len(pairs.scored)} cases, whose masks are not current: "
        f"{left_out_words(pairs.left_out)}. All figures are of the other cases."
    )
    return f"\n{wrapped(sentence)}\n"


def guessed(pairs: list[Pair]) -> str:
    """A sentence on the masks whose names are more than their case's, so that a wrong guess is seen; else empty."""
    longer = [pair for pair in pairs if stem_of(pair.mask) not in (pair.case, MASK_STEM)]
    if not longer:
        return ""
    example = f"{longer[0].mask.name} with {longer[0].case}"
    return f"\nPaired by the beginning of the mask's name: {len(longer)} of {len(pairs)} cases, e.g. {example}.\n"


def summary(strata: dict[str, pd.DataFrame], masks: Path, labels: Path) -> str:
    """summary.md: scores over all cases and by lesion size, and how the volumes agree."""
    rows = pd.concat(strata.values()).sort_values("case")
    header = ["cases", "n", *SCORE_HEADER]
    lines = [[name, str(len(part)), *score_cells(part)] for name, part in ({"all": rows} | strata).items()]
    volumes = agreement_words(rows)
    parts = [
        "# Scores",
        wrapped(
            f"Masks of `{masks}` against labels of `{labels}`, each on its label's grid, by the challenge's definitions."
        ),
        table(header, lines),
        wrapped(f"{EXPLAINED[tuple(strata)]} {READING}"),
        wrapped(f"All cases: {volumes}."),
        wrapped(f"Each case: {SCORES}, {DICE_PLOT} and {VOLUME_PLOT} (Bland-Altman)."),
    ]
    return "\n\n".join(parts) + "\n"
