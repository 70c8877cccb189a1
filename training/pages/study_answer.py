"""The answer in plain words, made from the figures; it claims no more than they carry, whatever they turn out to be."""

from training.common.loss_names import LOSS_NAMES
from training.data.splits import FOLDS
from training.pages.cells import DIGITS, NAMES, interval, number
from training.pages.study_tables import Study
from training.scores.rows import RULE
from training.scores.statistics import (
    LOADS,
    Comparison,
    against_best,
    best_loss,
    boundary_effect,
    by_method,
    estimate,
    per_case,
    strata,
)


def answer(study: Study) -> str:
    """One paragraph on one protocol."""
    best = best_loss(study.rows)
    if best is None:
        return f"**{study.title}.** No loss has been run."
    sentences = [_lead(study, best), *_against_losses(study), _against_rule(study), _by_load(study, best), _boundary(study)]
    return f"**{study.title}.** " + " ".join(sentence for sentence in [*sentences, _limits(study)] if sentence)


def short_answer(study: Study) -> str:
    """The first sentences of the same."""
    best = best_loss(study.rows)
    if best is None:
        return "No loss has been run."
    return " ".join([_lead(study, best), *_against_losses(study)[:1], _against_rule(study), _limits(study)]).strip()


def _lead(study: Study, best: str) -> str:
    rows = by_method(study.rows)[best]
    dice = estimate(per_case(rows, "dice"))
    return f"By mean Dice the best loss is **{best}**: {interval(dice, 3)} over {dice.n} cases."


def _against_losses(study: Study) -> list[str]:
    """By Dice, then by NSD; in the first the comparison is named."""
    sentences = []
    for field in ("dice", "nsd"):
        others = [c for c in against_best(study.rows, field) if c.second != RULE]
        if not others:
            return ["No other loss has been run, so nothing can be said about which is best."]
        sentences.append(_verdict(others, field))
    return sentences


def _verdict(others: list[Comparison], field: str) -> str:
    groups = {
        "significantly ahead of": [c for c in others if c.clear and c.difference.mean > 0],
        "significantly behind": [c for c in others if c.clear and c.difference.mean < 0],
        "not told apart from": [c for c in others if not c.clear],
    }
    metric = NAMES[field]
    if not groups["significantly ahead of"] and not groups["significantly behind"]:
        words = (
            "its difference to the one other loss"
            if len(others) == 1
            else f"none of its differences to {len(others)} other losses"
        )
        verb = "is not" if len(others) == 1 else "is"
        return f"By {metric} {words} {verb} significant: these cases do not tell which loss is best."
    parts = [f"{words} {_listed(found, DIGITS[field])}" for words, found in groups.items() if found]
    return f"By {metric} it is {'; '.join(parts)}."


def _listed(comparisons: list[Comparison], digits: int) -> str:
    return ", ".join(f"{c.second} ({number(c.difference.mean, digits, '+')})" for c in comparisons)


def _against_rule(study: Study) -> str:
    parts = []
    for field in ("dice", "nsd"):
        for c in against_best(study.rows, field):
            if c.second == RULE:
                verdict = "significant" if c.clear else "not significant"
                parts.append(f"{interval(c.difference, DIGITS[field], '+')} in {NAMES[field]} ({verdict})")
    return f"Its difference to the rule Z < -2 is {' and '.join(parts)}." if parts else ""


def _by_load(study: Study, best: str) -> str:
    """Means of the best loss by lesion load: description, not a test."""
    parts = []
    for name, rows in strata(by_method(study.rows)[best]).items():
        values = per_case(rows, "dice")
        if name in LOADS and len(values):
            parts.append(f"{name} {number(estimate(values).mean, 2)} (n {len(values)})")
    return f"Its mean Dice by lesion load: {', '.join(parts)}."


def _boundary(study: Study) -> str:
    """What the Hausdorff term changes, over all cases and where."""
    effects = {field: boundary_effect(study.rows, field) for field in ("dice", "nsd")}
    overall = [f"{interval(c.difference, 3, '+')} beside {c.second}" for c in effects["dice"].get("all", [])]
    if not overall:
        return ""
    clear = [
        f"{NAMES[field]} {number(c.difference.mean, 3, '+')} beside {c.second} in {_cases(name)} (n {c.difference.n})"
        for field, effect in effects.items()
        for name, comparisons in effect.items()
        for c in comparisons
        if c.clear
    ]
    found = (
        f"significant are {'; '.join(clear)}" if clear else "no such change is significant, over all cases or in any stratum"
    )
    return f"Adding the Hausdorff term changes Dice by {' and '.join(overall)}; {found}."


def _cases(stratum: str) -> str:
    if stratum == "all":
        return "all cases"
    return f"the stratum '{stratum}'"


def _limits(study: Study) -> str:
    """What is missing, and what the intervals leave out."""
    groups = {method: rows for method, rows in by_method(study.rows).items() if method != RULE}
    runs = sum(rows["fold"].nunique() for rows in groups.values())
    seeds = max(rows["seed"].nunique() for rows in groups.values())
    planned = len(LOSS_NAMES) * FOLDS
    missing = (
        f"{runs} of {planned} combinations of loss and fold have been run; the rest may change this."
        if runs < planned
        else ""
    )
    alone = (
        "Every network was trained once: how much chance in training moves these figures is not known." if seeds == 1 else ""
    )
    return f"{missing} {alone}".strip()
