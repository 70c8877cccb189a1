"""What the pages say of a Z map, the challenge's or estimated from the ADC map, and of how sure a mask is."""

import datetime

from model.images.checks import ESTIMATED_WARNING
from model.report import results as of_a_case
from model.report.numbers import shown, whole_percent

PROBABLY_NONE = 0.5  # chance of a lesion, below which the pages say that there is probably none
ESTIMATED = "Z map estimated from the ADC: the mask is much less reliable than with the challenge's Z map"


def is_estimated(results: dict) -> bool:
    """Whether the Z map was estimated; results that do not say it had a given one."""
    return bool(results.get("z_map") == of_a_case.ESTIMATED)


def other_warnings(results: dict) -> list[str]:
    """The warnings about the input without the one on an estimated Z map, which the pages say in another way."""
    return [warning for warning in results.get("warnings", []) if warning != ESTIMATED_WARNING]


def z_map_name(results: dict, what: str = "Z map") -> str:
    """What the Z map, or something of it, is called where it is shown."""
    return f"{what}, estimated" if is_estimated(results) else what


def verdict(results: dict) -> str:
    """What follows from the chance that the brain has a lesion; empty where nothing does, or it is not known."""
    chance = results.get(of_a_case.CHANCE)
    if chance is None or chance >= max(PROBABLY_NONE, results.get("empty_below", 0)):
        return ""
    emptied = f", mask left empty as below {100 * results['empty_below']:g} %"
    return f"probably no lesion{emptied if chance < results.get('empty_below', 0) else ''}"


def reviewed_words(results: dict) -> str:
    """When the mask was reviewed, to the minute, by whom if it is known, and how many lesions were not decided.

    Empty where it was not reviewed. Text from outside.
    """
    review = results.get(of_a_case.REVIEW)
    if not review:
        return ""
    time = datetime.datetime.fromisoformat(review["time"]).isoformat(" ", "minutes")
    left = f"({len(review['undecided'])} undecided)" if review["undecided"] else ""
    return " ".join(filter(None, [time, review["by"], left]))


def is_reviewed(results: dict) -> bool:
    """Whether a reader decided on every lesion of the draft."""
    review = results.get(of_a_case.REVIEW)
    return review is not None and not review["undecided"]


def certainty_facts(results: dict) -> list[tuple[str, str, str]]:
    """How sure the mask is, as far as the weights say it: name, value as HTML, key."""
    chance, dice, what = results.get(of_a_case.CHANCE), results.get("expected_dice"), verdict(results)
    facts = []
    if chance is not None:
        percents = f"{shown(whole_percent, chance)} %{f': {what}' if what else ''}"
        facts.append(("Chance of a lesion", percents, "chance_of_lesion"))
    if dice is not None:
        facts.append(("Expected Dice of the draft", f"{dice:.2f}", "expected_dice"))
    return facts
