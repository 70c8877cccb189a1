"""How the Dice of the trees alone grows with the cases that they are fitted to: in words, and as a figure."""

from pathlib import Path

import pandas as pd

from training.pages.cells import interval
from training.pages.plots import BLUE, new_figure, save, styled
from training.scores.metrics import METRICS
from training.scores.statistics import compare, estimate, per_case

HOW = """Rows: training/results/learning_curve.csv, from `python -m training.learning_curve --data data/packed`. Trees and
calibration are fitted to some of the cases that a fold does not hold out, drawn without regard to their lesions, and scored
on the fold's own cases that have a lesion. The calibration of N cases looks at answers of trees that were fitted to other
draws of N cases, so more than N had a say in it. Draws are averaged within a case first; bars are 95 % intervals over
cases."""


def by_size(points: pd.DataFrame) -> dict[int, pd.Series]:
    """Dice by case, the mean over the draws, for each number of cases that trees were fitted to."""
    return {size: per_case(points[points["size"] == size], "dice") for size in sorted(set(points["size"]))}


def curve_words(points: pd.DataFrame) -> str:
    """Mean Dice by the number of cases, how far the largest is ahead of the others, and whether the last step counts."""
    *smaller, (largest, best) = by_size(points).items()
    digits = METRICS["dice"].digits
    found = {size: compare("all", "fewer", best, dice).difference for size, dice in smaller}
    means = ", ".join(f"{estimate(dice).mean:.{digits}f} from {size}" for size, dice in (*smaller, (largest, best)))
    ahead = ", ".join(f"of {size} by {interval(one, digits, '+')}" for size, one in found.items())
    last, step = list(found.items())[-1]
    flat = step.low <= 0 <= step.high
    verdict = (
        f"From {last} cases on there is no measurable difference, so some more cases of this kind are not expected to help."
        " What many more would do, the curve cannot tell."
        if flat
        else f"It still changes from {last} cases on, so more cases of this kind may help."
    )
    return (
        f"Mean Dice on {len(best)} cases: {means} cases, over {points['draw'].nunique()} draws. {largest} cases change Dice"
        f" instead {ahead}. {verdict}"
    )


def draw_curve(points: pd.DataFrame, path: Path) -> None:
    """Mean Dice against the number of cases, with the intervals over cases."""
    means = {size: estimate(dice) for size, dice in by_size(points).items()}
    below, above = ([abs(getattr(mean, side) - mean.mean) for mean in means.values()] for side in ("low", "high"))
    with styled():
        figure = new_figure(5.2, 3.4)
        axes = figure.subplots()
        axes.errorbar(list(means), [m.mean for m in means.values()], (below, above), color=BLUE, marker="o", capsize=3)
        axes.set(xlabel="cases that the trees are fitted to", ylabel="Dice, held-out cases with a lesion")
        axes.set(xlim=(0, max(means) + 5), ylim=(0.4, 0.8), xticks=list(means))
        save(figure, path)
