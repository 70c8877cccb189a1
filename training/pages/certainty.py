"""The section of docs/accuracy.md on how sure the masks are: the chances of lesions and of cases, and the expected Dice."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from model.lesions.certainty import REAL_SHARE
from training.pages.cells import interval, number
from training.pages.markdown import table, wrapped
from training.pages.plots import BLUE, VERMILION, new_figure, save, styled
from training.scores.rows import CASE, SHAM, TWIN, MarkedCase, MarkedLesion, require_frame
from training.scores.statistics import LEVEL, SEED, Estimate

RESAMPLES = 2000  # of the cases, for each interval
BINS = 5
MAPS = {"crossval": "given Z map", "estimated": "Z estimated from the ADC"}  # by the name of the rows
MAKERS = {"crossval": "crossval", "estimated": "zmap"}  # of those rows
STYLES = {"crossval": (VERMILION, "s"), "estimated": (BLUE, "o")}
LEVELS = (0.2, 0.3, 0.4, 0.5)  # chances of a lesion

HOW = """Made from training/results/crossval-lesions.csv and crossval-cases.csv, and from those of the estimates, which the
same commands write. Each figure is a logistic regression fitted to the out-of-fold masks of the other four folds. Intervals
resample cases, a case with its twin. Like the calibration, the fits saw masks of trees that had the scored fold in
training."""
REAL = f"""**`chance_real`** of a lesion, from its volume alone: the chance that a reader marks {100 * REAL_SHARE:.0f} % of
it or more. In the fit every case has the same weight. Its lowest Z and its probabilities added nothing."""
DICE = """**`expected_dice`** of a case is the figure by which the mask was chosen, calibrated. It puts masks in order, so
that a reader can begin with the worst; it does not tell how good a single mask is. The rank correlation is that of the
figure before its calibration. One calibration would not change the order, but each fold has its own, which shift the folds
against each other."""
CHANCE = """**`chance_of_lesion`** of a case, from the volume and the number of the marked lesions. Three cases are without a
lesion; to them come pseudo-healthy twins: each case below 5 % load with its lesions replaced by tissue of the other side or
from nearby (`training/data/twins.py`). Those with and without a lesion weigh the same in the fit, so the chance is that of a
place where half of all brains have one."""
FLATTERS = """The two numbers were chosen among about thirty while looking at these cases, which flatters. Estimated Z maps
tell too little for it ([experiments](appendix/experiments.md)), so it is not given there."""


@dataclass(frozen=True, eq=False)
class Certainty:
    """The rows of one kind of Z map: lesions with `real` and the weight 1 / lesions of the case; cases; others too."""

    lesions: pd.DataFrame
    cases: pd.DataFrame
    with_others: pd.DataFrame


def read(results: Path) -> dict[str, Certainty]:
    """By the keys of MAPS. Raises UserError where there are no rows."""
    found = {}
    for name in MAPS:
        lesions = require_frame(results / f"{name}-lesions.csv", MarkedLesion, MAKERS[name])
        cases = require_frame(results / f"{name}-cases.csv", MarkedCase, MAKERS[name])
        weights = 1 / lesions.groupby("case")["case"].transform("count")
        lesions = lesions.assign(real=lesions["marked_share"] >= REAL_SHARE, weight=weights)
        cases = cases.assign(ill=cases["true_ml"] > 0)
        found[name] = Certainty(lesions, cases[cases["kind"] == CASE], cases)
    return found


def section(found: dict[str, Certainty], figure: str) -> str:
    """figure: what `draw` draws, in Markdown."""
    given = found["crossval"]
    parts = [
        wrapped(HOW),
        wrapped(REAL),
        real_table(found),
        figure,
        wrapped(DICE),
        dice_table(found),
        wrapped(f"{CHANCE} {chance_words(given.with_others)} {FLATTERS}"),
        levels_table(given.with_others),
    ]
    return "\n\n".join(parts)


def auc(values: np.ndarray, truth: np.ndarray) -> float:
    """The chance that a true one has the higher value, ties half; nan where all are true, or none."""
    positive, negative = np.count_nonzero(truth), np.count_nonzero(~truth)
    if not positive or not negative:
        return float("nan")
    return float((rankdata(values)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; nan where one of the two is constant."""
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def over_cases(rows: pd.DataFrame, statistic: Callable[..., float], *fields: str) -> str:
    """A statistic of columns with its bootstrap interval over the cases that the rows are of, as a cell."""
    places = list(rows.reset_index(drop=True).groupby("case").indices.values())
    columns = [rows[field].to_numpy() for field in fields]
    rng = np.random.default_rng(SEED)
    drawn = [np.concatenate([places[n] for n in rng.integers(len(places), size=len(places))]) for _ in range(RESAMPLES)]
    found = [statistic(*(column[some] for column in columns)) for some in drawn]
    low, high = np.nanquantile(found, (LEVEL / 2, 1 - LEVEL / 2))
    return interval(Estimate(statistic(*columns), float(low), float(high), len(places)), 2)


def brier(rows: pd.DataFrame, chance: str, truth: str) -> str:
    """Mean squared difference of chance and truth, as a cell."""
    return number(float(((rows[chance] - rows[truth]) ** 2).mean()), 2)


def real_table(found: dict[str, Certainty]) -> str:
    """How well the chances of lesions tell real ones."""
    lines = []
    for name, title in MAPS.items():
        rows = found[name].lesions
        share = rows["real"].mean()
        cells = [over_cases(rows, auc, "chance_real", "real"), brier(rows, "chance_real", "real")]
        lines.append([title, str(len(rows)), f"{100 * share:.0f} %", *cells, number(share * (1 - share), 2)])
    return table(["out of fold", "lesions", "real", "AUC", "Brier", "Brier of the share"], lines)


def dice_table(found: dict[str, Certainty]) -> str:
    """Expected against true Dice: in thirds of the cases, and the rank correlation of the figure behind the former."""
    header = ["out of fold", "cases", "rank correlation with the Dice", "lowest third: said, true", "middle", "highest"]
    lines = []
    for name, title in MAPS.items():
        rows = found[name].cases
        ordered = rows.sort_values("expected_dice", kind="stable")
        thirds = [ordered.iloc[places] for places in np.array_split(np.arange(len(rows)), 3)]
        means = [f"{part['expected_dice'].mean():.2f}, {part['dice'].mean():.2f}" for part in thirds]
        lines.append([title, str(len(rows)), over_cases(rows, rank_correlation, "plug_in", "dice"), *means])
    return table(header, lines)


def chance_words(cases: pd.DataFrame) -> str:
    """How well the chance tells cases with a lesion from those without, twins among them, and from shams, in words."""
    twins, shams = (set(cases[cases["kind"] == kind]["case"]) for kind in (TWIN, SHAM))
    given = cases[cases["kind"] != SHAM]
    alike, touched = given[given["case"].isin(twins)], cases[cases["case"].isin(shams) & (cases["kind"] != TWIN)]
    of_shams = over_cases(touched.assign(sham=touched["kind"] == SHAM), auc, "chance_of_lesion", "sham")
    return (
        f"Out of fold its AUC is {over_cases(given, auc, 'chance_of_lesion', 'ill')} between {given['ill'].sum()} cases with"
        f" a lesion and {(~given['ill']).sum()} brains without; {over_cases(alike, auc, 'chance_of_lesion', 'ill')} between"
        f" the {len(twins)} cases that have a twin and their twins. Brier score: {brier(given, 'chance_of_lesion', 'ill')}."
        " The replacement itself must not give a twin away. So copies of these cases had as much healthy brain replaced and"
        f" kept their lesions: the chance tells them from the untouched cases with an AUC of {of_shams}, where 0.5 tells"
        " nothing."
    )


def levels_table(cases: pd.DataFrame) -> str:
    """How many masks `--empty-below` would leave empty."""
    kinds = {
        "with a lesion": cases[cases["ill"] & (cases["kind"] == CASE)],
        "twins": cases[cases["kind"] == TWIN],
        "without a lesion": cases[~cases["ill"] & (cases["kind"] == CASE)],
    }
    header = ["`--empty-below`", *(f"of {len(rows)} {kind}" for kind, rows in kinds.items())]
    counts = [[str(int((rows["chance_of_lesion"] < level).sum())) for rows in kinds.values()] for level in LEVELS]
    return table(header, [[f"{level:g}", *line] for level, line in zip(LEVELS, counts, strict=True)])


def draw(found: dict[str, Certainty], path: Path) -> None:
    """Share of lesions that are real against their mean chance, in bins of it; every case has the same weight."""
    with styled():
        figure = new_figure(4.2, 4.0)
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color="0.6", linestyle=":", label="perfect calibration")
        for name, title in MAPS.items():
            rows = found[name].lesions.dropna(subset="chance_real")
            bins = np.minimum((rows["chance_real"] * BINS).astype(int), BINS - 1)
            points = [
                [np.average(part[field], weights=part["weight"]) for field in ("chance_real", "real")]
                for _, part in rows.groupby(bins)
            ]
            colour, marker = STYLES[name]
            axes.plot(*np.transpose(points), color=colour, marker=marker, label=title)
        axes.set(xlabel="mean chance of marked lesions", ylabel="share that is real", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")
        save(figure, path)
