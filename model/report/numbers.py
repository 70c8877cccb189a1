"""Numbers as a reader of images writes them: 4.8 ml, 0.9 %, a chance of 80 %. `results.json` has them in full."""

from collections.abc import Callable, Sequence

from model.report.page import text

DIRECTIONS = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))  # for mm above and below 0
UNKNOWN = "not known"


def volume(ml: float) -> str:
    """A volume in ml without its unit: 342, 4.8, 0.3; below 0.1 with two decimals: 0.07."""
    if 0 < ml < 0.005:
        return "<0.01"
    return f"{ml:.0f}" if ml >= 99.95 or ml == 0 else f"{ml:.{1 if ml >= 0.095 else 2}f}"


def percent(share: float) -> str:
    """A share of 0..1 in percent without its sign: 23.4, 0.9."""
    if 0 < share < 0.0005:
        return "<0.1"
    return f"{100 * share:.1f}" if share else "0"


def whole_percent(chance: float) -> str:
    """A chance in whole percent without its sign; what is neither 0 nor 1 is not rounded to it."""
    if 0 < chance < 0.005:
        return "<1"
    return ">99" if 0.995 <= chance < 1 else f"{100 * chance:.0f}"


def deviations(value: float) -> str:
    """A Z value with one decimal."""
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def place(from_centre_mm: Sequence[float] | None) -> str:
    """Whole mm from the brain's centre, given to the left, the back and the top: "25 right, 3 anterior, 12 superior"."""
    if from_centre_mm is None:
        return UNKNOWN
    whole = [(round(mm), names) for mm, names in zip(from_centre_mm, DIRECTIONS, strict=True)]
    return ", ".join(f"{abs(mm)} {names[mm < 0]}" for mm, names in whole if mm) or "at the centre"


def shown(form: Callable[[float], str], value: object) -> str:
    """A number in one of these forms, as HTML; empty where there is none. What is no number stays text."""
    if value is None:
        return ""
    return text(form(value) if isinstance(value, int | float) else value)
