"""How predicted and true lesion volumes agree: in words, and as a Bland-Altman plot."""

from pathlib import Path

import pandas as pd

from training.pages.cells import interval, number
from training.pages.plots import new_figure, save, styled
from training.scores.statistics import Estimate, estimate


def agreement(rows: pd.DataFrame) -> tuple[Estimate, float, float]:
    """Bland-Altman (Lancet 1986): predicted minus true volume in ml, mean with interval and limits of agreement.

    One case has no limits: they are nan.
    """
    differences = rows["predicted_ml"] - rows["true_ml"]
    spread = 1.96 * differences.std()
    return estimate(differences), differences.mean() - spread, differences.mean() + spread


def agreement_words(rows: pd.DataFrame) -> str:
    bias, low, high = agreement(rows)
    return (
        f"predicted minus true volume {interval(bias, 2, '+')} ml,"
        f" limits of agreement {number(low, 2, '+')} to {number(high, 2, '+')} ml"
    )


def draw_agreement(rows: pd.DataFrame, path: Path) -> None:
    """Bland-Altman plot of one method's rows on a logarithmic scale of volume."""
    bias, low, high = agreement(rows)
    with styled():
        figure = new_figure(5.6, 3.4)
        axes = figure.subplots()
        axes.set(xscale="log", xlabel="mean of predicted and true volume, ml", ylabel="predicted minus true, ml")
        axes.set_yscale("symlog", linthresh=1)  # scales first: the margins are those of the scale that is set
        means = ((rows["predicted_ml"] + rows["true_ml"]) / 2).clip(lower=0.01)
        axes.scatter(means, rows["predicted_ml"] - rows["true_ml"], s=18, color="#0072B2", alpha=0.8)
        for value, style, name in ((bias.mean, "-", "mean"), (low, "--", "limits of agreement"), (high, "--", None)):
            axes.axhline(value, color="0.4", linestyle=style, linewidth=1, label=name)
        figure.legend(loc="outside upper center", ncols=2)
        save(figure, path)
