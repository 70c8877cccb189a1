"""docs/study.md: the order of its sections, and the words around the tables that do not depend on the figures."""

from pathlib import Path

from training.pages import study_tables as tables
from training.pages.markdown import wrapped
from training.pages.study_answer import answer
from training.pages.study_tables import Study
from training.scores.statistics import RESAMPLES, ZERO_METHOD

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
  mean; how far another training run would is not in it.
- Differences are paired, on the cases that both methods have. p is from Wilcoxon's signed-rank test, two-sided (scipy,
  `zero_method="{ZERO_METHOD}"`: cases without a difference keep their rank). p (Holm) is corrected over the rows of its
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
The figures of arXiv 2502.09148 are means of the four official validation cases, one run per loss, trained on 85 cases and
scored on the resampled grid. Here 44 of those 85 cases are cross-validated in five folds: a network is trained on at most 36
of them, and every case is scored once. Widths, dropout rates and the rate of decay are not published; they are this
project's. With so few cases there, and others here, the columns agree or disagree in order of magnitude at best. Their *MSD*
stands beside our MASD; `inf` is theirs, ours leaves such cases out."""

SPACING = """\
Until September 2024 the challenge's scorer handed the spacing to the surface code as (x, y, z); figures published before
compare with the *before* columns."""

COST = """\
Minutes of training: median (smallest to largest). Memory is the process's resident memory, on a GPU the device's. Runs may
have shared their machine with others."""

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
    ]
    parts += ["## How to read the tables", READING]
    for study in studies:
        parts += [f"## {study.title}", *(protocol_parts(study, figures) if not study.rows.empty else ["not run"])]
    if (figures / PHANTOM).exists():
        parts += [
            "## The six losses on the phantom",
            PHANTOM_TEXT,
            figure(PHANTOM, "Masks of the six losses on the phantom"),
        ]
    return "\n\n".join(parts) + "\n"


def protocol_parts(study: Study, figures: Path) -> list[str]:
    """What the page says about one protocol that has rows."""
    parts = ["### Scores", tables.scores_table(study), *figure_parts(study, figures)]
    parts += ["### Differences to the best loss", tables.best_tables(study)]
    parts += ["### By lesion load and slice thickness", STRATA, tables.strata_tables(study)]
    parts += ["### What the Hausdorff term adds", tables.boundary_tables(study)]
    if study.protocol != "native":
        parts += ["### What resampling the labels costs", RESAMPLING, tables.resampling_table(study)]
        parts += ["### Beside the published figures", PUBLISHED, tables.published_table(study)]
    parts += ["### With the older order of the spacing", SPACING, tables.spacing_table(study)]
    return [*parts, "### Time and memory", COST, tables.cost_table(study)]


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
