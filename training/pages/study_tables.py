"""The tables of docs/study.md: one protocol's rows in Markdown."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from training.data.splits import FOLDS, SPLITS, read_folds
from training.pages.cells import SCORE_HEADER, interval, number, p_value, without_masd
from training.pages.markdown import table, wrapped
from training.scores.methods import RULE, STUDY
from training.scores.metrics import METRICS
from training.scores.statistics import (
    Comparison,
    against_best,
    best_loss,
    boundary_effect,
    by_method,
    estimate,
    per_case,
    seed_means,
    size_strata,
)

TITLES = {"native": "Native protocol", "paper": "Paper protocol"}

# arXiv 2502.09148: Dice, MSD, NSD, epochs. Means of four validation cases on the resampled grid.
PUBLISHED = {
    "dice": (0.3800, 15.0650, 0.3850, 32),
    "dice-focal": (0.4900, 1.7925, 0.5275, 49),
    "tversky": (0.3525, 15.3650, 0.3375, 38),
    "hausdorffdt": (0.3300, math.inf, 0.2800, 29),
    "dice-focal-hausdorffdt": (0.4925, 1.4225, 0.5300, 72),
    "tversky-hausdorffdt": (0.5000, 1.6250, 0.5325, 59),
}


@dataclass(frozen=True)
class Study:
    """What is known of one protocol; the rule's rows are those of the cases that any loss has, or all without a loss."""

    protocol: str
    rows: pd.DataFrame
    epochs: pd.DataFrame
    configuration: dict = dataclasses.field(default_factory=dict)  # that all rows share

    @property
    def title(self) -> str:
        return TITLES[self.protocol]

    @property
    def folds(self) -> Sequence[Sequence[str]]:
        return self.configuration.get("folds") or read_folds(SPLITS).held_out

    @functools.cached_property
    def methods(self) -> dict[str, pd.DataFrame]:
        return by_method(self.rows)

    @functools.cached_property
    def best(self) -> str | None:
        """The best loss by Dice, if any was run."""
        return best_loss(self.rows)

    @functools.cached_property
    def against_best(self) -> dict[str, list[Comparison]]:
        """By Dice and by NSD: the best loss minus every other method."""
        return {field: against_best(self.rows, field) for field in ("dice", "nsd")}

    @functools.cached_property
    def boundary_effect(self) -> dict[str, list[Comparison]]:
        """Every compound minus its region loss by Dice, over all cases and by lesion load."""
        return boundary_effect(self.rows, "dice")


def folds_of(rows: pd.DataFrame) -> str:
    """How many folds were run, which were not, and how many seeds."""
    run = set(rows["fold"])
    missing = ", ".join(str(fold) for fold in range(FOLDS) if fold not in run)
    seeds = rows["seed"].nunique()
    words = f"{len(run)} of {FOLDS} folds" + (f"; not run: {missing}" if missing else "")
    return words + (f"; {seeds} seeds" if seeds > 1 else "")


def method_lines(study: Study, line: Callable[[str, pd.DataFrame], list[str]]) -> list[list[str]]:
    """A line of cells for each method that was run: its name, then `line(method, its rows)`."""
    return [[STUDY[method], *line(method, rows)] for method, rows in study.methods.items()]


def scores_table(study: Study) -> str:
    """Every method's scores, with intervals over the cases."""

    def line(method: str, rows: pd.DataFrame) -> list[str]:
        scores = [interval(estimate(per_case(rows, field)), METRICS[field].digits) for field in METRICS]
        lesions = [number(mean_of(rows, field), 2) for field in ("lesion_recall", "lesion_precision")]
        cases = str(rows["case"].nunique())
        return [folds_of(rows), cases, *scores, seed_range(rows), without_masd(rows), *lesions, epochs_of(rows)]

    *scores, without = SCORE_HEADER
    header = ["method", "run", "cases", *scores, "Dice by seed", without, "recall", "precision", "epochs"]
    text = table(header, method_lines(study, line))
    sets = {frozenset(rows["case"]) for method, rows in study.methods.items() if method != RULE}
    if len(sets) > 1:
        text += "\n\n" + wrapped("The losses ran on different cases, so compare the paired differences and not these means.")
    return text


def seed_range(rows: pd.DataFrame) -> str:
    """The smallest and the largest mean Dice of a seed; - where there is one seed."""
    means = seed_means(rows, "dice")
    digits = METRICS["dice"].digits
    return f"{number(min(means), digits)} to {number(max(means), digits)}" if len(means) > 1 else "-"


def mean_of(rows: pd.DataFrame, field: str) -> float:
    """The mean over the cases that have the number."""
    return per_case(rows, field).mean()


def epochs_of(rows: pd.DataFrame) -> str:
    """Mean number of epochs over the runs; - for the rule."""
    return f"{rows.groupby(['fold', 'seed'])['epochs'].first().mean():.0f}" if (rows["method"] != RULE).all() else "-"


def comparison_cells(comparison: Comparison, digits: int) -> list[str]:
    """Difference, interval, better and worse, n, p and corrected p; bold where it is clear."""
    difference = interval(comparison.difference, digits, "+")
    return [
        f"**{difference}**" if comparison.clear else difference,
        f"{comparison.better} / {comparison.worse}",
        str(comparison.difference.n),
        p_value(comparison.p),
        p_value(comparison.p_holm),
    ]


COMPARISON_HEADER = ["better / worse", "n", "p", "p (Holm)"]


def best_tables(study: Study) -> str:
    """The best loss minus every other method, by Dice and by NSD."""
    best = study.best
    if best is None:
        return "No loss has been run."
    words = f"Best loss by mean Dice: **{best}**. Differences are {best} minus the other: above zero, {best} is ahead."
    parts = [wrapped(words)]
    for field, found in study.against_best.items():
        lines = [[STUDY[c.second], *comparison_cells(c, METRICS[field].digits)] for c in found]
        parts.append(table([f"{best} minus", METRICS[field].title, *COMPARISON_HEADER], lines))
    return "\n\n".join(parts)


def strata_table(study: Study) -> str:
    """Mean Dice of methods by lesion load, the number of cases in each cell."""
    strata = size_strata(study.rows)

    def line(method: str, _: pd.DataFrame) -> list[str]:
        means = [estimate(per_case(rows[rows["method"] == method], "dice")) for rows in strata.values()]
        return [f"{number(mean.mean, METRICS['dice'].digits)} ({mean.n})" for mean in means]

    return table(["Dice (n)", *strata], method_lines(study, line))


def boundary_tables(study: Study) -> str:
    """Compounds minus their region losses: by Dice over all cases and by lesion load, by NSD over all cases."""
    parts = []
    effects = {"dice": study.boundary_effect, "nsd": {"all": boundary_effect(study.rows, "nsd").get("all", [])}}
    for field, effect in effects.items():
        lines = [
            [f"{c.first} minus {c.second}", name, *comparison_cells(c, METRICS[field].digits)]
            for name, comparisons in effect.items()
            for c in comparisons
        ]
        if lines:
            header = ["pair", "cases", METRICS[field].title, *COMPARISON_HEADER]
            parts.append(table(header, sorted(lines, key=lambda line: line[0])))
    return "\n\n".join(parts) or "No compound has been run together with its region loss."


def published_table(study: Study) -> str:
    """The study's own figures beside ours on the grid that it scored on."""
    lines = []
    for loss, (dice, msd, nsd, epochs) in PUBLISHED.items():
        if loss in study.methods:
            rows = study.methods[loss]
            ours = [number(mean_of(rows, f"grid_{field}"), METRICS[field].digits) for field in METRICS]
            published = [f"{dice:.4f}", f"{msd:.4f}", f"{nsd:.4f}", str(epochs)]
            lines.append([loss, *published, *ours, epochs_of(rows), folds_of(rows)])
    header = ["loss", "published: Dice", "MSD", "NSD", "epochs", "here, same grid: Dice", "MASD mm", "NSD", "epochs", "run"]
    return table(header, lines)


def protocol_table(study: Study) -> str:
    """What differs between the published study and this one."""
    rows = study.rows[study.rows["method"] != RULE]
    folds = sorted(set(rows["fold"]))
    training, model = (study.configuration.get(part, {}) for part in ("training", "model"))
    trained = sorted({sum(map(len, study.folds)) - len(study.folds[fold]) for fold in folds})
    lines = [
        ["trained on", "85 cases", f"{' or '.join(map(str, trained))} of them; every eighth only for early stopping"],
        ["scored on", "4 cases of the official validation", f"{rows['case'].nunique()} of the 85, held out by fold"],
        ["stopped early on", "the cases that are scored", "cases that are not scored"],
        ["networks per loss", "1", f"{len(folds) * rows['seed'].nunique()} (fold {', '.join(map(str, folds))})"],
        ["feature maps by level", "not published", ", ".join(map(str, model.get("channels", ["-"])))],
        ["epochs at most", "100", str(training.get("epochs", "-"))],
    ]
    return table(["", "published", "here"], lines)
