"""Scores a folder of masks against a folder of labels: rows per case, their summary by lesion size, and two figures.

The scores are the challenge's, on each label's own grid, and equal those of `evaluation.evaluate`; unlike there, a mask must
lie on the label's grid and not only have its shape.
"""

from pathlib import Path

from tqdm import tqdm

from model.errors import UserError
from model.images.brain import brain_mask
from model.images.formats import stem_of
from model.images.volume import Volume, read_volume, require_same_grid
from model.run.find_cases import MASK_STEM
from training.accuracy import agreement_words, draw_volumes, score_cells
from training.cases import require_mask
from training.pages.plots import draw_dice_by_size
from training.pages.study_tables import table, wrapped
from training.scores.metrics import describe
from training.scores.pairs import Pair, find_pairs
from training.scores.rows import CaseScore, write_records
from training.scores.statistics import LOADS, VOLUMES, size_strata
from training.tables import write_text

SCORES, SUMMARY, DICE_PLOT, VOLUME_PLOT = "scores.csv", "summary.md", "dice.png", "volumes.png"
SIZES = {LOADS: "lesion load", VOLUMES: "lesion volume"}  # what the strata are of
EXPLAINED = {
    LOADS: "Cases are grouped by lesion load, the label's share of the brain (ADC > 0).",
    VOLUMES: "Cases are grouped by the label's volume, since no ADC maps (--adc) say how large each brain is.",
}
READING = """In brackets: 95 % bootstrap intervals of the mean over cases. MASD does not exist where exactly one of the masks
is empty: it is left out of the mean and counted. Where both are empty, Dice and NSD are 1 and MASD is 0."""


def score_folders(masks: Path, labels: Path, out: Path, adc: Path | None = None) -> str:
    """Score every case and write scores.csv, summary.md, dice.png and volumes.png to `out`; returns the summary.

    Raises UserError, before anything is written, when the folders do not pair up or a file is not usable, and when `out`
    cannot be written.
    """
    pairs = find_pairs(masks, labels, adc)
    rows = [score_pair(pair, masks, labels) for pair in tqdm(pairs, unit="case", leave=False, disable=None)]
    strata = size_strata(rows)
    text = summary(strata, masks, labels) + guessed(pairs)
    try:
        write_records(rows, out / SCORES, CaseScore)
        draw_dice_by_size(strata, SIZES[tuple(strata)], out / DICE_PLOT)
        draw_volumes(rows, out / VOLUME_PLOT)
        write_text(out / SUMMARY, text)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}: {error.filename})") from None
    return text


def guessed(pairs: list[Pair]) -> str:
    """A sentence on the masks whose names are more than their case's, so that a wrong guess is seen; else empty."""
    longer = [pair for pair in pairs if stem_of(pair.mask) not in (pair.case, MASK_STEM)]
    if not longer:
        return ""
    example = f"{longer[0].mask.name} with {longer[0].case}"
    return f"\nPaired by the beginning of the mask's name: {len(longer)} of {len(pairs)} cases, e.g. {example}.\n"


def score_pair(pair: Pair, masks: Path, labels: Path) -> CaseScore:
    """Everything that is said about one case.

    Raises UserError when a file cannot be used, is not on the label's grid, or a mask holds other values than 0 and 1.
    """
    label, mask = read_volume(pair.label), read_volume(pair.mask)
    for volume in (label, mask):
        require_mask(volume)
    require_same_grid(label, mask)
    truth = label.voxels > 0
    return CaseScore(
        case=pair.case,
        **describe(mask.voxels > 0, truth, label.grid.spacing_mm),
        lesion_load=float(truth.sum()) / brain_voxels(pair.adc, label) if pair.adc else float("nan"),
        mask=pair.mask.relative_to(masks).as_posix(),
        label=pair.label.relative_to(labels).as_posix(),
    )


def brain_voxels(path: Path, label: Volume) -> int:
    """How many voxels of an ADC map are brain. Raises UserError for a map without any, or not on the label's grid."""
    adc = read_volume(path)
    require_same_grid(label, adc)
    count = int(brain_mask(adc.voxels).sum())
    if not count:
        raise UserError(f"{path}: no brain, expected voxels with ADC above 0")
    return count


def summary(strata: dict[str, list[CaseScore]], masks: Path, labels: Path) -> str:
    """summary.md: scores over all cases and by lesion size, and how the volumes agree."""
    rows = sorted((row for part in strata.values() for row in part), key=lambda row: row.case)
    header = ["cases", "n", "Dice", "MASD mm", "NSD at 2 mm", "without MASD"]
    lines = [[name, str(len(part)), *score_cells(part)] for name, part in ({"all": rows} | strata).items()]
    volumes = agreement_words(rows)
    parts = [
        "# Scores",
        wrapped(f"Masks of {masks} against labels of {labels}, each on its label's grid, by the challenge's definitions."),
        table(header, lines),
        wrapped(f"{EXPLAINED[tuple(strata)]} {READING}"),
        wrapped(f"All cases: {volumes}."),
        wrapped(f"Case by case: {SCORES}, {DICE_PLOT} and {VOLUME_PLOT} (mean and difference of both volumes)."),
    ]
    return "\n\n".join(parts) + "\n"
