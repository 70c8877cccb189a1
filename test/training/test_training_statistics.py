"""The study's statistics against numbers from paper and from scipy."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_rows import NAN, row, table

from training.pages import cells, study_tables
from training.scores import statistics
from training.scores.methods import RULE


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, and never falling
        ([0.03, 0.01, 0.04, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.6, NAN, 0.9], [1.0, NAN, 1.0]),  # what has no p does not count, and one is the most
    ],
)
def test_holm_by_hand(p, expected):
    assert statistics.holm(p) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25] * 7, (0.25, 0.25)),
        ([0.0, 1.0], (0.0, 1.0)),  # a resample's mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4
        ([0.5], (NAN, NAN)),
        ([], (NAN, NAN)),
        # the sum of 400 draws has a standard deviation of 10: 1.96 of them are 0.049 of the mean
        ([0.0] * 200 + [1.0] * 200, (pytest.approx(0.451, abs=0.003), pytest.approx(0.549, abs=0.003))),
    ],
)
def test_intervals_by_hand(values, expected):
    found = statistics.bootstrap_interval(np.array(values))
    assert all(a == b or (np.isnan(a) and np.isnan(b)) for a, b in zip(found, expected, strict=True))


def test_seeds_are_averaged_within_a_case_first_and_nan_is_left_out():
    rows = [row("a", seed=0, masd_mm=NAN), row("a", seed=1, masd_mm=3.0), row("b", masd_mm=NAN)]
    rows += [row("c", seed=0, masd_mm=4.0), row("c", seed=1, masd_mm=6.0)]
    scores = statistics.per_case(table(*rows), "masd_mm")
    assert scores.to_dict() == pytest.approx({"a": 3.0, "b": NAN, "c": 5.0}, nan_ok=True)
    found = statistics.estimate(scores)
    assert (found.mean, found.n) == (4.0, 2)


def test_pairs_use_shared_cases_only():
    first = {"a": 0.5, "b": 0.9, "c": NAN, "d": 0.4, "f": 0.1 + 0.2}  # f differs from 0.3 by rounding alone
    second = {"a": 0.4, "c": 0.1, "d": 0.2, "e": 0.0, "f": 0.3}
    found = statistics.compare("x", "y", pd.Series(first), pd.Series(second))
    assert found.difference.mean == pytest.approx(0.1)  # a: 0.1, d: 0.2, f: 0
    assert (found.difference.n, found.better, found.worse) == (3, 2, 0)


def by_seed(method: str, *dice: float) -> pd.DataFrame:
    """Nine cases that have one Dice, but another one with each seed."""
    return table(*(row(f"case{n}", method, seed=seed, dice=d) for n in range(9) for seed, d in enumerate(dice)))


@pytest.mark.parametrize(("dice", "p"), [((0.3, 0.1), 2 / 10_001), ((0.3, -0.1), 2 / 4)])
def test_chance_in_training_by_hand(dice, p):
    """Of two drawn seeds both are the first in a quarter of the draws, and both the second in another quarter."""
    groups = {"dice": by_seed("dice", *dice), "tversky": by_seed("tversky", 0.0)}
    found = statistics.compare_runs(groups, "dice", "tversky", "dice")
    assert (found.difference.low, found.difference.high) == (pytest.approx(min(dice)), pytest.approx(max(dice)))
    assert found.p == pytest.approx(p, rel=0.05 if p > 0.1 else 1e-6)


def test_one_seed_is_compared_by_wilcoxon():
    groups = {"dice": by_seed("dice", 0.3), "tversky": by_seed("tversky", 0.0)}
    assert statistics.compare_runs(groups, "dice", "tversky", "dice").p == pytest.approx(2 / 2**9)


def test_chance_in_the_cases_is_that_of_the_bootstrap_over_cases():
    values = np.random.default_rng(5).normal(0.1, 0.2, 30)
    rows = [row(f"case{n:02}", "dice", dice=d, seed=s, fold=n % 3) for n, d in enumerate(values) for s in range(3)]
    zero = table(*(row(f"case{n:02}", "tversky", fold=n % 3) for n in range(30)))
    low, high, _ = statistics.case_and_seed_bootstrap(table(*rows), zero, "dice")
    assert (low, high) == pytest.approx(statistics.bootstrap_interval(values), abs=0.005)
    assert np.isnan(statistics.case_and_seed_bootstrap(table(*rows[:3]), zero, "dice")).all()  # of one case nothing is told


def test_the_spread_over_seeds_is_of_seeds_that_all_cases_have():
    rows = [row(c, seed=s, dice=d) for c in "ab" for s, d in ((0, 0.5), (1, 0.7))]
    assert study_tables.seed_range(table(*rows, row("a", seed=2, dice=0.9))) == "0.500 to 0.700"
    assert study_tables.seed_range(table(*rows[::2])) == "-"


WITH_ZERO = np.array([0.0, 0.1, 0.2, -0.05, 0.3, 0.4])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        (np.arange(1.0, 7.0), 2 / 2**6),
        (np.zeros(4), 1),
        (np.zeros(0), NAN),
        (WITH_ZERO, stats.wilcoxon(WITH_ZERO, zero_method="pratt").pvalue),  # a case without a difference keeps its rank
    ],
)
def test_p_by_hand(differences, p):
    assert statistics.signed_rank_p(differences) == pytest.approx(p, nan_ok=True)


def test_strata_by_hand():
    """An edge belongs to the class below it."""
    rows = table(*(row(str(n), lesion_load=load) for n, load in enumerate((0.0, 1e-5, 0.01, 0.0101, 0.05, 0.0501))))
    found = {name: "".join(part["case"]) for name, part in statistics.strata(rows).items()}
    assert list(found.items())[:4] == [("empty", "0"), ("below 1 %", "12"), ("1-5 %", "34"), ("above 5 %", "5")]
    thick = statistics.strata(table(*(row(str(mm), slice_mm=mm) for mm in (2.9, 3.0, 3.01))))
    assert list(thick["slices <= 3 mm"]["case"]) == ["2.9", "3.0"]
    assert list(thick["slices > 3 mm"]["case"]) == ["3.01"]
    sizes = (0.0, 0.001, 1.0, 1.001, 10.0, 10.001)
    rows = table(*(row(str(n), true_ml=ml, lesion_load=NAN) for n, ml in enumerate(sizes)))
    found = {name: "".join(part["case"]) for name, part in statistics.size_strata(rows).items()}
    assert found == {"empty": "0", "below 1 ml": "12", "1-10 ml": "34", "above 10 ml": "5"}


def test_the_best_loss_is_one_of_those_with_the_most_cases():
    rows = [row(c, m, dice=d) for m, d in (("tversky", 0.4), ("dice", 0.5)) for c in "ab"]
    rows += [row("a", "dice-focal", dice=1.0), *(row(c, RULE, dice=1.0) for c in "abc")]  # one easy case, and no loss
    assert statistics.best_loss(table(*rows)) == "dice"
    assert statistics.best_loss(table(row(method=RULE))) is None


def test_the_family_of_the_correction_is_every_comparison_of_the_table():
    cases = [f"case{i}" for i in range(8)]
    rows = [row(c, m, dice=0.1 * j + 0.01 * i) for j, m in enumerate((RULE, "tversky", "dice")) for i, c in enumerate(cases)]
    found = {c.second: c for c in statistics.against_best(table(*rows), "dice")}
    assert set(found) == {RULE, "tversky"}
    assert all(c.p == pytest.approx(2 / 2**8) and c.p_holm == pytest.approx(4 / 2**8) and c.clear for c in found.values())


@pytest.mark.parametrize(
    ("low", "p", "clear"), [(0.01, 0.049, True), (-0.01, 0.049, False), (0.01, 0.05, False), (0.01, NAN, False)]
)
def test_clear_needs_both_the_test_and_the_interval(low, p, clear):
    estimate = statistics.Estimate(0.1, low, 0.3, 9)
    assert statistics.Comparison("x", "y", estimate, 8, 1, p, p).clear == clear


def test_the_hausdorff_term_is_compared_by_lesion_load_and_corrected_apart_from_all_cases():
    loads = {f"case{i}": 0.005 if i < 4 else 0.2 for i in range(8)}
    rows = [row(c, "tversky", dice=0.1 + 0.01 * i, lesion_load=load) for i, (c, load) in enumerate(loads.items())]
    rows += [
        dataclasses.replace(r, method="tversky-hausdorffdt", dice=r.dice + (0.2 if r.lesion_load < 0.1 else -0.1))
        for r in rows
    ]
    rows += [dataclasses.replace(r, method=r.method.replace("tversky", "dice-focal"), dice=0.3) for r in rows]
    effect = statistics.boundary_effect(table(*rows), "dice")
    means = {name: comparisons[1].difference.mean for name, comparisons in effect.items()}
    assert means == pytest.approx({"all": 0.05, "below 1 %": 0.2, "above 5 %": -0.1})
    for name, pairs in (("all", 2), ("below 1 %", 4), ("above 5 %", 4)):  # of two losses, of two loads
        assert effect[name][1].p_holm == pytest.approx(min(pairs * effect[name][1].p, 1))


def test_numbers_are_rounded_without_a_negative_zero():
    assert [cells.number(v, 3, "+") for v in (-0.0004, 0.0, -0.0006, NAN)] == ["+0.000", "+0.000", "-0.001", "-"]
    assert cells.interval(statistics.Estimate(0.5, 0.4321, 0.6, 9), 2) == "0.50 [0.43, 0.60]"
    assert cells.interval(statistics.Estimate(0.5, NAN, NAN, 1), 2) == "0.50"
