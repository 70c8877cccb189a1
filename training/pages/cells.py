"""How numbers stand in tables: digits, intervals, p values, the challenge's three scores."""

import math

import pandas as pd

from training.scores.metrics import METRICS
from training.scores.statistics import Estimate, case_means, estimate, per_case

SCORE_HEADER = [*(metric.title for metric in METRICS.values()), "without MASD"]  # of `score_cells`


def number(value: float, digits: int, sign: str = "") -> str:
    """A fixed number of digits; - for nan."""
    rounded = round(value, digits) + 0.0  # so that there is no -0.000
    return "-" if math.isnan(value) else f"{rounded:{sign}.{digits}f}"


def interval(value: Estimate, digits: int, sign: str = "") -> str:
    """Mean [low, high]; no interval where there is none."""
    mean = number(value.mean, digits, sign)
    return (
        mean if math.isnan(value.low) else f"{mean} [{number(value.low, digits, sign)}, {number(value.high, digits, sign)}]"
    )


def p_value(p: float) -> str:
    """Three digits; - for nan."""
    return "<0.001" if p < 0.001 else number(p, 3)


def score_cells(rows: pd.DataFrame) -> list[str]:
    """Dice, MASD and NSD with intervals, and how many have no MASD."""
    cells = [interval(estimate(per_case(rows, field)), metric.digits) for field, metric in METRICS.items()]
    return [*cells, without_masd(rows)]


def without_masd(rows: pd.DataFrame) -> str:
    """How many cases have no MASD, in the mean over seeds, and why: all lesions missed, or a false mark on an empty case.

    rows: of the cases, or their `case_means`.
    """
    cases = rows if "missed" in rows else case_means(rows)
    missed, false = float(cases["missed"].sum()), float(cases["false"].sum())
    return f"{_count(missed + false)} ({_count(missed)} missed, {_count(false)} false)" if missed + false else "0"


def _count(value: float) -> str:
    """A mean count: whole, or with one digit."""
    return f"{value:.1f}".removesuffix(".0")


def first_word(cell: str) -> str:
    return cell.split(" ")[0]
