"""The section of docs/accuracy.md on cases without a Z map: how good the estimate is, and what is found on it."""

import pandas as pd

from training.data.strata import LOADS
from training.pages.cells import interval, number, score_cells
from training.pages.markdown import table, wrapped
from training.scores.methods import ESTIMATED
from training.scores.metrics import METRICS
from training.scores.statistics import compare, load_strata, per_case

HOW = """Made from training/results/estimated.csv and zmap.csv, which `python -m training.zmap --data data/packed` writes.
A case's Z map is estimated by trees fitted to maps and labels of the other four folds, and by an atlas, mean and standard
deviation of normal ADC, that is made of their maps; the case is registered to it. The lesion decision is fitted to such
estimates of the other four folds; its calibration is nested. No network is used. The threshold on the ADC is the best one on
the other four folds. Three things may make the scores optimistic: the features, the atlas's settings and the weights were
chosen while looking at these cases; a fold's decision and calibration are fitted to estimates from trees that saw it
(stacking); and the other folds' cases lie in the atlas where a registration to an atlas of all cases put them."""
PULLED = """The estimate is biased towards normal in lesions: what looks like a lesion can be another tissue, and the trees
cannot tell them apart."""


def section(given: pd.DataFrame, estimated: pd.DataFrame, errors: pd.DataFrame) -> str:
    """given: the rows of crossval.csv; estimated: those of estimated.csv; errors: of zmap.csv."""
    return "\n\n".join([wrapped(HOW), scores_table(given, estimated), wrapped(words(given, estimated, errors))])


def scores_table(given: pd.DataFrame, estimated: pd.DataFrame) -> str:
    """Over all cases, and the Dice of those that have a lesion and of those below 1 %."""
    lines = [["given Z map: shipped", *_cells(given[given["method"] == "decision"])]]
    lines += [[name, *_cells(estimated[estimated["method"] == method])] for method, name in ESTIMATED.items()]
    return table(["out of fold", *HEADER], lines)


HEADER = ("Dice, all cases", "Dice, with a lesion", "Dice, below 1 %", METRICS["masd_mm"].title, METRICS["nsd"].title)


def _cells(rows: pd.DataFrame) -> list[str]:
    dice, masd, nsd, _ = score_cells(rows)
    loads = load_strata(rows)
    return [dice, score_cells(rows[loads != "empty"])[0], score_cells(rows[loads == "below 1 %"])[0], masd, nsd]


def readme_cells(estimated: pd.DataFrame) -> list[str]:
    """The README's row: Dice of all cases, with a lesion, below 1 %, then NSD and MASD."""
    *dice, masd, nsd = _cells(estimated[estimated["method"] == "decision"])
    return ["**ADC alone**, Z estimated (`--estimate-z`)", *dice, nsd, masd]


def words(given: pd.DataFrame, estimated: pd.DataFrame, errors: pd.DataFrame) -> str:
    """What is lost without a Z map, in words, and how far the estimate is off in lesions by their load."""
    scores = [per_case(rows[rows["method"] == "decision"], "dice") for rows in (estimated, given)]
    lost = compare("estimated", "given", *scores).difference
    return f"Estimated minus given: {interval(lost, 3, '+')} in Dice. {PULLED} {bias_words(estimated, errors)}"


def bias_words(estimated: pd.DataFrame, errors: pd.DataFrame) -> str:
    """How far the estimate is off: in the brain, in lesions, and the mean bias of the cases of each lesion load."""
    loads = load_strata(estimated).groupby(estimated["case"]).first()
    shipped = errors[errors["method"] == "decision"].set_index("case")
    means = shipped["lesion_bias"].groupby(loads).mean().dropna()
    biases = [f"{number(means[load], 2, '+')} ({load})" for load in LOADS if load in means]
    brain, lesion = (number(shipped[field].mean(), 2) for field in ("brain_median", "lesion_median"))
    return (
        f"The median absolute error of Z is on average {brain} in the brain and {lesion} in lesions. By lesion load, the"
        f" median of estimated minus given Z in lesions is on average {', '.join(biases)}."
    )
