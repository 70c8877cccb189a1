"""docs/study.md: the order of its sections, and the words around the tables that do not depend on the figures."""

import itertools
import math
from pathlib import Path

from training.common.loss_names import LOSS_NAMES
from training.data.splits import FOLDS
from training.pages import study_tables as tables
from training.pages.cells import interval, number
from training.pages.markdown import wrapped
from training.pages.study_tables import Study
from training.scores.methods import RULE
from training.scores.metrics import METRICS
from training.scores.statistics import (
    RESAMPLES,
    ZERO_METHOD,
    against_best,
    best_loss,
    boundary_effect,
    by_method,
    compare_runs,
    estimate,
    per_case,
    with_holm,
)

PHANTOM = "phantom-losses.png"
FIGURES = {
    "dice": "Dice of every case by method, with mean and interval",
    "volume": "Dice against lesion volume, one panel per loss",
    "curves": "Training loss and held-out Dice by epoch, one line per run",
}

TOP = """\
Generated from `training/results/` by `.venv/bin/python -m training.tables`; changes made here are lost. The rows come from
`python -m training.study`. Scores are the challenge's, on the patient's own grid unless a table says otherwise, and every
case is segmented by a network that did not see it."""

READING = f"""\
- `0.478 [0.401, 0.551]`: the mean over cases and its 95 % bootstrap interval ({RESAMPLES:,} resamples of the cases,
  percentiles, fixed seed). Seeds are averaged within a case first. The interval says how far other cases would move the
  mean; how far another training run would is not in it. *Dice by seed* is: the smallest and the largest of the means over
  all cases, one mean per seed.
- Differences are paired, on the cases that both methods have. Where neither method has more than one seed, p is from
  Wilcoxon's signed-rank test, two-sided (scipy, `zero_method="{ZERO_METHOD}"`: cases without a difference keep their rank).
  Where one has, interval and p are from a bootstrap over both: cases are drawn, and seeds for each method and fold.
- p (Holm) is corrected over the rows of its
  table, for the Hausdorff term over all cases and over the strata apart; intervals are not corrected. **Bold** and
  "significant" mean that p (Holm) is below 0.05 and the interval excludes zero.
- The best loss is picked on the same cases, which flatters its lead. Learning rate, batch size, epochs and network were
  chosen in trials with tversky-hausdorffdt on folds 0 and 1 (docs/experiments.md) and are the same for all: the others
  might do better with settings of their own. Networks of different folds share training cases, which the intervals do not
  know.
- MASD is missing where exactly one of the masks is empty, and is left out of the mean, so a missed case costs nothing there.
  *without MASD* counts these masks: all lesions missed, or a false mark on an empty case. On an empty case Dice and NSD are
  1 for an empty mask, else 0.
- *recall*: share of the true lesions (26-connected) that the mask touches; *precision*: share of the marked lesions that
  touch a true one; means over the cases that have any. *epochs*: mean over the runs."""

STRATA = """\
Lesion load is the lesions' share of the brain. In parentheses the number of cases; **bold** is the best loss of a column,
which is no test; where losses have different numbers of cases, none is bold. In empty cases the mean Dice is the share of
masks rightly left empty."""

RESAMPLING = """\
The same predictions, scored on the protocol's grid of 32 x 192 x 192 voxels against the resampled label (*grid*), and
brought back and scored on the patient's grid against the label as it was drawn (*patient*). The difference is grid minus
patient, on the cases that have both."""

PUBLISHED = """\
The figures of arXiv 2502.09148 stand beside ours on the grid that it scored on; the second table says what differs. Dropout
rates and the rate of decay are not published either; they are this project's. With so few cases there, and others here, the
columns agree or disagree in order of magnitude at best. Their *MSD* stands beside our MASD; `inf` is theirs, ours leaves
such cases out."""

PHANTOM_TEXT = """\
Networks of the native protocol, fold 0, seed 0, on the invented case in `test/case`. It shows how their masks differ and is
no evidence of quality: nothing in it comes from a patient."""


def study_text(studies: list[Study], figures: Path) -> str:
    """The whole page; figures that are not in the folder are left out."""
    parts = [
        "# The loss study",
        TOP,
        "## Which loss, how sure, for which lesions",
        *(wrapped(answer(study)) for study in studies),
        *([wrapped(both)] if (both := both_protocols(studies)) else []),
    ]
    parts += ["## How to read the tables", READING]
    for study in studies:
        parts += [f"## {study.title}", *(protocol_parts(study, figures) if not study.rows.empty else ["not run"])]
    if (figures / PHANTOM).exists():
        parts += [
            "## The losses on the phantom",
            PHANTOM_TEXT,
            figure(PHANTOM, "Masks of the losses on the phantom"),
        ]
    return "\n\n".join(parts) + "\n"


def answer(study: Study) -> str:
    """One paragraph on one protocol."""
    if best_loss(study.rows) is None:
        return f"**{study.title}.** No loss has been run."
    effects = boundary_effect(study.rows, "dice").get("all", [])
    words = " and ".join(f"{interval(c.difference, METRICS['dice'].digits, '+')} beside {c.second}" for c in effects)
    boundary = f" Adding the Hausdorff term changes Dice by {words}." if words else ""
    return f"**{study.title}.** {short_answer(study)}{boundary}"


def short_answer(study: Study) -> str:
    """Which loss, how far ahead of the others and of the rule, and what these figures leave out."""
    best = best_loss(study.rows)
    if best is None:
        return "No loss has been run."
    groups = by_method(study.rows)
    dice = estimate(per_case(groups[best], "dice"))
    told_apart, rule = [], []
    for field, metric in ((field, METRICS[field]) for field in ("dice", "nsd")):
        found = {c.second: c for c in against_best(study.rows, field)}
        clear = [c for c in found.values() if c.clear and c.second != RULE]
        names = ", ".join(f"{c.second} ({number(c.difference.mean, metric.digits, '+')})" for c in clear)
        told_apart.append(f"by {metric.name} {names or 'none'}")
        rule += [f"{interval(found[RULE].difference, metric.digits, '+')} in {metric.name}"] if RULE in found else []
    sentences = [f"The best loss by mean Dice is **{best}**: {interval(dice, METRICS['dice'].digits)} over {dice.n} cases."]
    if len(groups.keys() - {RULE}) > 1:
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
        sentences.append("Every network was trained once: how much chance in training moves these figures is not known.")
    elif (seeds == 1).any():
        sentences.append(f"Trained {' and '.join(repeated)}, every other loss with one.")
    return sentences


def both_protocols(studies: list[Study]) -> str:
    """What holds in the native and in a resampling protocol; empty unless both have a pair of losses."""
    native, *others = (study.rows[study.rows["method"] != RULE] for study in studies)
    paper = next((rows for rows in reversed(others) if len({*rows["method"]} & {*native["method"]}) > 1), None)
    if paper is None:
        return ""
    cases = {*native["case"]} & {*paper["case"]}
    first, second = (by_method(rows[rows["case"].isin(cases)]) for rows in (native, paper))
    pairs = list(itertools.combinations([loss for loss in first if loss in second], 2))
    found = [with_holm([compare_runs(groups, *pair, "dice") for pair in pairs]) for groups in (first, second)]
    agreeing = [(a, b) for a, b in zip(*found, strict=True) if a.difference.mean * b.difference.mean > 0]
    clear = [(a.first, a.second)[:: int(math.copysign(1, a.difference.mean))] for a, b in agreeing if a.clear and b.clear]
    names = "; ".join(" over ".join(pair) for pair in clear) or "none"
    bests = [max(groups, key=lambda loss: per_case(groups[loss], "dice").mean()) for groups in (first, second)]
    same = f"the same, {bests[0]}" if bests[0] == bests[1] else f"not the same, {' and '.join(bests)}"
    return (
        f"**Native and paper protocol**, on the {len(cases)} cases that both have: of {len(pairs)} pairs of losses"
        f" {len(agreeing)} are in the same order by mean Dice. The best loss is {same}."
        f" Significant in both: {names}."
    )


def protocol_parts(study: Study, figures: Path) -> list[str]:
    """What the page says about one protocol that has rows."""
    parts = ["### Scores", tables.scores_table(study), *figure_parts(study, figures)]
    parts += ["### Differences to the best loss", tables.best_tables(study)]
    parts += ["### By lesion load and slice thickness", STRATA, tables.strata_table(study)]
    parts += ["### What the Hausdorff term adds", tables.boundary_tables(study)]
    if study.protocol != "native":
        parts += ["### What resampling the labels costs", RESAMPLING, tables.resampling_table(study)]
        parts += ["### Beside the published figures", PUBLISHED, tables.published_table(study), tables.protocol_table(study)]
    return parts


def figure_parts(study: Study, figures: Path) -> list[str]:
    """The figures of one protocol that there are."""
    names = {figure_name(study, kind): caption for kind, caption in FIGURES.items()}
    return [figure(name, caption) for name, caption in names.items() if (figures / name).exists()]


def figure_name(study: Study, kind: str) -> str:
    """File name of one of FIGURES."""
    return f"{study.protocol}-{kind}.png"


def figure(name: str, caption: str) -> str:
    """A figure in Markdown."""
    return f"![{caption}](figures/{name})"
