"""Statistics of the study: means per case, bootstrap intervals, paired comparisons, strata.

Seeds are averaged within a case first. The case is the unit of every interval and test; where a loss was trained with
several seeds, its differences to others are resampled over seeds too. Values that do not exist (nan) are left out, as the
challenge does, and counted.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy.stats import bootstrap, wilcoxon

from training.common.loss_names import LOSS_NAMES
from training.data.strata import LOAD_EDGES, LOADS, SLICES, THICK_SLICE_MM
from training.scores.methods import RULE, STUDY

RESAMPLES, SEED, LEVEL = 10_000, 0, 0.05
ZERO_METHOD = "pratt"  # of the Wilcoxon test: cases without a difference keep their rank, so they count against one

VOLUMES, VOLUME_EDGES_ML = ("empty", "below 1 ml", "1-10 ml", "above 10 ml"), (0.0, 1.0, 10.0)
# The compounds, and the region loss that each adds the Hausdorff term to.
COMPOUNDS = {name: name.removesuffix("-hausdorffdt") for name in LOSS_NAMES if name.endswith("-hausdorffdt")}


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` cases and its 95 % interval; nan where there is nothing to say."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """First minus second on the cases that both have."""

    first: str
    second: str
    difference: Estimate
    better: int  # cases in which the first is ahead
    worse: int
    p: float  # two-sided: Wilcoxon's signed-rank test, or of the bootstrap over cases and seeds
    p_holm: float = math.nan  # corrected over the comparisons of one table

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero and the corrected p is below 0.05."""
        return self.p_holm < LEVEL and (self.difference.low > 0 or self.difference.high < 0)


def by_method(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of every method that has any, in the order of STUDY."""
    groups = dict(list(rows.groupby("method")))
    return {method: groups[method] for method in STUDY if method in groups}


def per_case(rows: pd.DataFrame, field: str) -> pd.Series:
    """One number of every case, the mean over its seeds; a seed without it is left out, a case without any is nan."""
    return rows.groupby("case")[field].mean()


def case_means(rows: pd.DataFrame) -> pd.DataFrame:
    """One row of every case, or of every case and method: means over the training seeds, whose number is `seeds`.

    A number is the mean over the seeds that have it. `missed` and `false` are the shares of seeds without MASD, in place of
    `nan_reason`: all lesions missed, or a false mark on a lesion-free case.
    """
    keys = [name for name in ("method", "case") if name in rows]
    reasons = rows["nan_reason"]
    rows = rows.assign(missed=(reasons == "no prediction") * 1.0, false=(reasons == "no lesion") * 1.0)
    groups = rows.drop(columns=["seed", "nan_reason"], errors="ignore").groupby(keys, sort=False)
    means = groups.agg(
        {name: "mean" if is_numeric_dtype(rows[name]) else "first" for name in groups.obj if name not in keys}
    )
    means["seeds"] = groups.size()
    return means.reset_index()


def seed_means(rows: pd.DataFrame, field: str) -> list[float]:
    """The mean over the cases for every seed that all cases have, in the order of the seeds."""
    whole = rows.groupby("seed").filter(lambda part: part["case"].nunique() == rows["case"].nunique())
    return whole.groupby("seed")[field].mean().tolist()


def estimate(values: pd.Series) -> Estimate:
    """The mean of the values that are not nan, with its bootstrap interval."""
    finite = values.dropna()
    return Estimate(float(finite.mean()), *bootstrap_interval(finite.to_numpy()), len(finite))


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """Percentile interval at 95 % of the mean of values (n,), resampled with replacement; nan below two values."""
    if len(values) < 2:
        return math.nan, math.nan
    found = bootstrap((values,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - LEVEL, method="percentile", rng=SEED)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def compare(first: str, second: str, a: pd.Series, b: pd.Series) -> Comparison:
    """Paired differences a - b over the cases for which both have a number; both by case."""
    differences = (a - b).dropna().round(9)  # rounding noise is no difference
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Comparison(first, second, estimate(differences), better, worse, signed_rank_p(differences.to_numpy()))


def compare_runs(groups: dict[str, pd.DataFrame], first: str, second: str, field: str) -> Comparison:
    """`compare` for two methods of `by_method`; where one has several seeds, interval and p know of them too."""
    found = compare(first, second, per_case(groups[first], field), per_case(groups[second], field))
    if max(groups[name]["seed"].nunique() for name in (first, second)) == 1:
        return found
    low, high, p = case_and_seed_bootstrap(groups[first], groups[second], field)
    return replace(found, difference=replace(found.difference, low=low, high=high), p=p)


def case_and_seed_bootstrap(a: pd.DataFrame, b: pd.DataFrame, field: str) -> tuple[float, float, float]:
    """(low, high, p) of the mean difference a - b on shared cases: 95 % percentile interval, two-sided p.

    Cases are drawn with replacement, the same for both methods; and for each method and fold, whose cases share their
    networks, seeds are drawn. p is twice the smaller share of resamples on one side of zero. Every row must have the field.
    """
    cases = sorted(set(a["case"]) & set(b["case"]))
    if len(cases) < 2:
        return math.nan, math.nan, math.nan
    random = np.random.default_rng(SEED)
    differences = _seeds_resampled(a, cases, field, random) - _seeds_resampled(b, cases, field, random)
    chosen = random.integers(len(cases), size=differences.shape)
    means = np.round(np.take_along_axis(differences, chosen, axis=1).mean(axis=1), 9)
    low, high = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2))
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return float(low), float(high), min(2 * (1 + int(beyond)) / (RESAMPLES + 1), 1.0)


def _seeds_resampled(rows: pd.DataFrame, cases: list[str], field: str, random: np.random.Generator) -> np.ndarray:
    """Means over drawn seeds, float (resamples, cases)."""
    means = np.empty((RESAMPLES, len(cases)))
    for _, part in rows[rows["case"].isin(cases)].groupby("fold"):
        table = part.pivot(index="case", columns="seed", values=field)
        seeds = table.shape[1]
        weights = random.multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES) / seeds
        means[:, np.searchsorted(cases, table.index)] = weights @ table.to_numpy().T
    return means


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs, nan without any case."""
    if not len(differences):
        return math.nan
    return float(wilcoxon(differences, zero_method=ZERO_METHOD).pvalue) if differences.any() else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979), in the order given; nan stays nan and is not counted."""
    p = pd.Series(p_values, dtype=float).dropna().sort_values()
    return (p * np.arange(len(p), 0, -1)).clip(upper=1).cummax().reindex(range(len(p_values))).tolist()


def with_holm(comparisons: list[Comparison]) -> list[Comparison]:
    """The same comparisons, corrected as one family."""
    corrected = holm([c.p for c in comparisons])
    return [replace(c, p_holm=p) for c, p in zip(comparisons, corrected, strict=True)]


def best_loss(rows: pd.DataFrame) -> str | None:
    """The loss with the largest mean Dice, among those with the most cases; None where no loss has a row."""
    scores = {method: per_case(group, "dice") for method, group in by_method(rows).items() if method != RULE}
    return max(scores, key=lambda method: (len(scores[method]), scores[method].mean()), default=None)


def against_best(rows: pd.DataFrame, field: str) -> list[Comparison]:
    """The best loss by Dice minus every other loss, and minus the rule; corrected as one family."""
    best, groups = best_loss(rows), by_method(rows)
    return with_holm([compare_runs(groups, best, other, field) for other in groups if best and other != best])


def boundary_effect(rows: pd.DataFrame, field: str) -> dict[str, list[Comparison]]:
    """Every compound minus its region loss, over all cases ("all") and by lesion load, where both have cases.

    Corrected as two families: the comparisons over all cases, and all those by lesion load.
    """
    return _boundary_family({"all": rows}, field) | _boundary_family(size_strata(rows), field)


def _boundary_family(cells: dict[str, pd.DataFrame], field: str) -> dict[str, list[Comparison]]:
    named = [
        (name, compare_runs(groups, compound, region, field))
        for name, groups in ((name, by_method(part)) for name, part in cells.items())
        for compound, region in COMPOUNDS.items()
        if compound in groups and region in groups
    ]
    family = defaultdict(list)
    for (name, _), comparison in zip(named, with_holm([c for _, c in named]), strict=True):
        family[name].append(comparison)
    return dict(family)


def load_strata(rows: pd.DataFrame) -> pd.Series:
    """Which of LOADS each row's case belongs to."""
    return _classes(rows["lesion_load"], LOAD_EDGES, LOADS)


def _classes(values: pd.Series, edges: Sequence[float], names: Sequence[str]) -> pd.Series:
    """Names by value; an edge belongs to the class below it."""
    return pd.cut(values, [-math.inf, *edges, math.inf], labels=list(names)).astype(str)


def size_strata(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of every one of LOADS, or of VOLUMES where a lesion load is not known."""
    if rows["lesion_load"].isna().any():
        names, found = VOLUMES, _classes(rows["true_ml"], VOLUME_EDGES_ML, VOLUMES)
    else:
        names, found = LOADS, load_strata(rows)
    return {name: rows[found == name] for name in names}


def strata(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of every stratum, by its name: lesion load first, then slice thickness. Every row is in one of each."""
    kinds = ((LOADS, load_strata(rows)), (SLICES, _classes(rows["slice_mm"], [THICK_SLICE_MM], SLICES)))
    return {name: rows[found == name] for names, found in kinds for name in names}
