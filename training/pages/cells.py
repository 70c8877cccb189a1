"""How numbers stand in tables: digits, intervals, p values, the challenge's three scores."""

import math

import pandas as pd

from training.scores.statistics import Estimate, estimate, per_case

DIGITS = {"dice": 3, "masd_mm": 2, "nsd": 3}
NAMES = {"dice": "Dice", "masd_mm": "MASD mm", "nsd": "NSD"}


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
    cells = [interval(estimate(per_case(rows, field)), DIGITS[field]) for field in DIGITS]
    return [*cells, without_masd(rows)]


def without_masd(rows: pd.DataFrame) -> str:
    """How many masks have no MASD, and why: the case's lesions all missed, or a false mark on an empty case."""
    reasons = rows.loc[rows["masd_mm"].isna(), "nan_reason"]
    missed = (reasons == "no prediction").sum()
    return f"{len(reasons)} ({missed} missed, {len(reasons) - missed} false)" if len(reasons) else "0"
