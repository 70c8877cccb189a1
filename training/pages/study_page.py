"""docs/study.md: the order of its sections, and the words around the tables that do not depend on the figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training.common.loss_names import LOSS_NAMES
from training.data.splits import FOLDS, fold_words
from training.pages import study_tables as tables
from training.pages.cells import interval, number
from training.pages.markdown import wrapped
from training.pages.plots import draw_curves, draw_dice
from training.pages.publish import figure
from training.pages.study_tables import Study
from training.scores.methods import RULE
from training.scores.metrics import METRICS
from training.scores.statistics import RESAMPLES, ZERO_METHOD, estimate, per_case

TOP = """\
Generated from `training/results/` by `python -m training.tables`: do not edit. The rows come from `python -m
training.study`. Scores are the challenge's, on the patient's own grid unless a table says otherwise. Every case is
segmented by a network that did not see it."""

READING = f"""\
- `0.478 [0.401, 0.551]` is the mean over cases with its 95 % bootstrap interval ({RESAMPLES:,} resamples of the cases).
  Seeds are averaged within a case first. The interval covers the choice of cases. It does not cover chance in training:
  for that see *Dice by seed*, the lowest and the highest mean of a single seed.
- Differences are paired by case. With one seed each, p is from Wilcoxon's signed-rank test, two-sided
  (`zero_method="{ZERO_METHOD}"`). With several, interval and p are from a bootstrap over cases and seeds. p (Holm) is
  corrected over the rows of a table, for the Hausdorff term over all cases and over the lesion loads apart. **Bold**
  and "significant" mean that p (Holm) is below 0.05 and the interval excludes zero.
- The best loss is picked on the cases that it is scored on, so its lead is optimistic. Network, learning rate, batch
  size and epochs were chosen with tversky-hausdorffdt on folds 0 and 1 ([experiments](appendix/experiments.md)). Other
  losses might do better with settings of their own. Networks of different folds share training cases; the intervals
  ignore that.
- MASD does not exist where exactly one mask is empty. Such cases are left out of its mean and counted under *without
  MASD*. On a lesion-free case Dice and NSD are 1 for an empty mask, else 0.
- *recall* is the share of true lesions (26-connected) that the mask touches. *precision* is the share of marked lesions
  that touch a true one. *epochs* is the mean over the runs."""

STRATA = "Lesion load is the lesions' share of the brain. The number of cases is in parentheses."

PUBLISHED = """\
The figures of arXiv 2502.09148 beside ours, on the grid that it scored on. The second table says what differs; its
dropout rates and decay of the learning rate are not published either. So few cases allow a comparison of the order of
magnitude only. *MSD* is their name for MASD. Where they report `inf`, ours leaves such cases out."""


def study_text(studies: list[Study]) -> str:
    parts = [
        "# The loss study",
        TOP,
        "## Which loss, how sure, for which lesions",
        *(wrapped(answer(study)) for study in studies),
    ]
    parts += ["## How to read the tables", READING]
    for study in studies:
        parts += [f"## {study.title}", *(protocol_parts(study) if not study.rows.empty else ["not run"])]
    return "\n\n".join(parts) + "\n"


def answer(study: Study) -> str:
    if study.best is None:
        return f"**{study.title}.** No loss has been run."
    effects = study.boundary_effect.get("all", [])
    digits = METRICS["dice"].digits
    words = " and ".join(f"by {interval(c.difference, digits, '+')} when added to {c.second}" for c in effects)
    boundary = f" The Hausdorff term changes Dice {words}." if words else ""
    return f"**{study.title}.** {short_answer(study)}{boundary}"


def short_answer(study: Study) -> str:
    """Which loss, how far ahead of the others and of the rule, and what these figures leave out."""
    best = study.best
    if best is None:
        return "No loss has been run."
    dice = estimate(per_case(study.methods[best], "dice"))
    told_apart, rule = [], []
    for field, differences in study.against_best.items():
        metric, found = METRICS[field], {c.second: c for c in differences}
        clear = [c for c in found.values() if c.clear and c.second != RULE]
        names = ", ".join(f"{c.second} ({number(c.difference.mean, metric.digits, '+')})" for c in clear)
        told_apart.append(f"by {metric.name} {names or 'none'}")
        rule += [f"{interval(found[RULE].difference, metric.digits, '+')} in {metric.name}"] if RULE in found else []
    sentences = [f"The best loss by mean Dice is **{best}**: {interval(dice, METRICS['dice'].digits)} over {dice.n} cases."]
    if len(study.methods.keys() - {RULE}) > 1:
        sentences.append(f"Significant differences to other losses: {'; '.join(told_apart)}.")
    if rule:
        sentences.append(f"Its difference to the rule Z < -2 is {' and '.join(rule)}.")
    return " ".join([*sentences, *limits(study)])


def limits(study: Study) -> list[str]:
    """What is missing, and what the intervals leave out."""
    networks = study.rows[study.rows["method"] != RULE]
    run, planned = len(networks[["method", "fold"]].drop_duplicates()), len(LOSS_NAMES) * FOLDS
    missing = [loss for loss in LOSS_NAMES if loss not in set(networks["method"])]
    sentences = []
    if run < planned:
        names = f"; not run: {', '.join(missing)}" if missing else ""
        sentences.append(f"{run} of {planned} combinations of loss and fold have been run{names}.")
    seeds = networks.groupby("method")["seed"].nunique()
    repeated = [f"{method} with {count} seeds" for method, count in seeds.items() if count > 1]
    if not repeated:
        sentences.append("Every network was trained once: the effect of chance in training is not known.")
    elif (seeds == 1).any():
        sentences.append(f"Trained {' and '.join(repeated)}, every other loss with one.")
    return sentences


def protocol_parts(study: Study) -> list[str]:
    """What the page says about one protocol that has rows."""
    parts = [f"Folds: {fold_words(study.folds)}.", "### Scores", tables.scores_table(study)]
    parts += [figure(one.name, one.caption) for one in figures_of(study)]
    if study.protocol == "native":
        parts += ["### Differences to the best loss", tables.best_tables(study)]
        parts += ["### By lesion load", STRATA, tables.strata_table(study)]
        return [*parts, "### What the Hausdorff term adds", tables.boundary_tables(study)]
    parts += ["### Beside the published figures", PUBLISHED]
    return [*parts, tables.published_table(study), tables.protocol_table(study)]


@dataclass(frozen=True)
class StudyFigure:
    """A figure of one protocol: its file's name, what it shows, and what draws it from which data."""

    name: str
    caption: str
    draw: Callable[[pd.DataFrame, Path], None]
    data: pd.DataFrame


def figures_of(study: Study) -> list[StudyFigure]:
    """Those that there are data for."""
    dice, curves = (f"{study.protocol}-{kind}.png" for kind in ("dice", "curves"))
    both = (
        StudyFigure(dice, "Dice of every case by method, with mean and interval", draw_dice, study.rows),
        StudyFigure(curves, "Training loss and held-out Dice by epoch, one line per run", draw_curves, study.epochs),
    )
    return [one for one in both if not one.data.empty]
