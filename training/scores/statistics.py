"""Statistics of the study: means per case, bootstrap intervals, paired comparisons, strata.

Seeds are averaged within a case before anything else, so that the case is the unit of every interval and test. Values that
do not exist (nan) are left out, as the challenge does, and counted.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import wilcoxon

from training.common.loss_names import LOSS_NAMES
from training.data.strata import LOADS, SLICES, is_thick, load_class
from training.scores.rows import RULE, CaseScore, Row, Scored

METHODS = (*LOSS_NAMES, RULE)
RESAMPLES, SEED, LEVEL = 10_000, 0, 0.05
ZERO_METHOD = "pratt"  # of the Wilcoxon test: cases without a difference keep their rank, so they count against one

VOLUMES, VOLUME_EDGES_ML = ("empty", "below 1 ml", "1-10 ml", "above 10 ml"), (0.0, 1.0, 10.0)
# The compounds, and the region loss that each adds the Hausdorff term to.
COMPOUNDS = {name: name.removesuffix("-hausdorffdt") for name in LOSS_NAMES if name.endswith("-hausdorffdt")}

Scores = dict[str, float]  # by case


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
    p: float  # two-sided Wilcoxon signed-rank test
    p_holm: float = math.nan  # corrected over the comparisons of one table

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero and the corrected p is below 0.05."""
        return self.p_holm < LEVEL and (self.difference.low > 0 or self.difference.high < 0)


def by_method(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of every method that has any, in the order of METHODS."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.method].append(row)
    return {method: groups[method] for method in METHODS if method in groups}


def per_case(rows: Iterable[Scored], field: str) -> Scores:
    """One number of every case, the mean over its seeds; a seed without it is left out, a case without any is nan."""
    values = defaultdict(list)
    for row in rows:
        values[row.case].append(getattr(row, field))
    return {case: nan_mean(values[case]) for case in sorted(values)}


def nan_mean(values: Iterable[float]) -> float:
    """The mean of the values that are not nan; nan without any."""
    finite = [value for value in values if not math.isnan(value)]
    return float(np.mean(finite)) if finite else math.nan


def estimate(values: Iterable[float]) -> Estimate:
    """The mean of the values that are not nan, with its bootstrap interval."""
    finite = np.array([value for value in values if not math.isnan(value)])
    return Estimate(nan_mean(finite), *bootstrap_interval(finite), len(finite))


def bootstrap_interval(values: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """Percentile interval at 95 % of the mean of values (n,), resampled with replacement; nan below two values."""
    if len(values) < 2:
        return math.nan, math.nan
    chosen = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), (LEVEL / 2, 1 - LEVEL / 2))
    return float(low), float(high)


def compare(first: str, second: str, a: Scores, b: Scores) -> Comparison:
    """Paired differences a - b over the cases for which both have a number."""
    differences = shared_differences(a, b)
    better, worse = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return Comparison(first, second, estimate(differences), better, worse, signed_rank_p(differences))


def shared_differences(a: Scores, b: Scores) -> np.ndarray:
    """a - b, float (n,), in the order of the cases' names; rounding noise below 1e-9 is no difference."""
    differences = np.array([a[case] - b[case] for case in sorted(a.keys() & b.keys())])
    return np.round(differences[~np.isnan(differences)], 9)


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs, nan without any case."""
    if not len(differences):
        return math.nan
    return float(wilcoxon(differences, zero_method=ZERO_METHOD).pvalue) if differences.any() else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979), in the order given; nan stays nan and is not counted."""
    corrected = [math.nan] * len(p_values)
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min((len(order) - rank) * p, 1.0))
        corrected[i] = largest
    return corrected


def with_holm(comparisons: list[Comparison]) -> list[Comparison]:
    """The same comparisons, corrected as one family."""
    corrected = holm([c.p for c in comparisons])
    return [replace(c, p_holm=p) for c, p in zip(comparisons, corrected, strict=True)]


def best_loss(rows: Iterable[Row], field: str = "dice") -> str | None:
    """The loss with the largest mean, among those with the most cases; None where no loss has a row.

    Two losses are compared on the cases that both have: the winner is ahead of the most others.
    """
    scores = {method: per_case(group, field) for method, group in by_method(rows).items() if method != RULE}
    most = max(map(len, scores.values()), default=0)
    scores = {method: values for method, values in scores.items() if len(values) == most}

    def rank(method: str) -> tuple[int, float]:
        ahead = [nan_mean(shared_differences(scores[method], other)) > 0 for other in scores.values()]
        return sum(ahead), nan_mean(scores[method].values())

    return max(scores, key=rank, default=None)


def against_best(rows: list[Row], field: str) -> list[Comparison]:
    """The best loss by Dice minus every other loss, and minus the rule; corrected as one family."""
    best, groups = best_loss(rows), by_method(rows)
    others = [method for method in groups if method != best] if best else []
    return with_holm([_compare(groups, best, other, field) for other in others])


def boundary_effect(rows: list[Row], field: str) -> dict[str, list[Comparison]]:
    """Every compound minus its region loss, over all cases ("all") and in every stratum, where both have cases.

    Corrected as two families: the comparisons over all cases, and all those in strata.
    """
    return _boundary_family({"all": rows}, field) | _boundary_family(strata(rows), field)


def _boundary_family(cells: dict[str, list[Row]], field: str) -> dict[str, list[Comparison]]:
    named = [
        (name, _compare(groups, compound, region, field))
        for name, groups in ((name, by_method(part)) for name, part in cells.items())
        for compound, region in COMPOUNDS.items()
        if compound in groups and region in groups
    ]
    family = defaultdict(list)
    for (name, _), comparison in zip(named, with_holm([c for _, c in named]), strict=True):
        family[name].append(comparison)
    return dict(family)


def _compare(groups: dict[str, list[Row]], first: str, second: str, field: str) -> Comparison:
    return compare(first, second, per_case(groups[first], field), per_case(groups[second], field))


def load_stratum(row: Scored) -> str:
    """Which of LOADS a case belongs to."""
    return LOADS[load_class(row.lesion_load, row.true_lesions > 0)]


def volume_stratum(row: Scored) -> str:
    """Which of VOLUMES a case belongs to; a volume on an edge belongs to the class below it."""
    return VOLUMES[int(np.searchsorted(VOLUME_EDGES_ML, row.true_ml))]


def size_strata(rows: list[CaseScore]) -> dict[str, list[CaseScore]]:
    """The rows of every one of LOADS, or of VOLUMES where a lesion load is not known."""
    known = not any(math.isnan(row.lesion_load) for row in rows)
    names, stratum = (LOADS, load_stratum) if known else (VOLUMES, volume_stratum)
    return {name: [row for row in rows if stratum(row) == name] for name in names}


def slice_stratum(row: Row) -> str:
    """Which of SLICES a case belongs to."""
    return SLICES[is_thick(row.slice_mm)]


def strata(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of every stratum, by its name: lesion load first, then slice thickness. Every row is in one of each."""
    parts: dict[str, list[Row]] = {name: [] for name in (*LOADS, *SLICES)}
    classes: tuple[Callable[[Row], str], ...] = (load_stratum, slice_stratum)
    for row in rows:
        for stratum in classes:
            parts[stratum(row)].append(row)
    return parts
