"""Figures of the study: scores per case and learning curves. Drawn with Agg, the same bytes for the same rows.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), made for colour-blind readers; markers differ too.
"""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from model.files import whole_file
from training.common.loss_names import LOSS_NAMES
from training.scores.methods import STUDY
from training.scores.statistics import LOADS, by_method, estimate, load_strata, per_case

BLUE, GREEN, VERMILION, GREY = "#0072b2", "#009e73", "#d55e00", "#8a8a8a"
SIZE_STYLES = ((GREY, "X"), (VERMILION, "o"), (BLUE, "s"), (GREEN, "^"))  # from empty cases to the largest lesions
DPI = 100
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}
Styles = dict[str, tuple[str, str]]  # colour and marker by what they mean


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, which belongs to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whole or not at all, without a version or date in it."""
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})


def is_figure(path: Path) -> bool:
    """Whether a file is a figure as `save` writes it: of 100 dpi, with no words in it. Raises OSError."""
    with Image.open(path) as image:
        return image.format == "PNG" and image.info.keys() == {"dpi"} and round(image.info["dpi"][0]) == DPI


def styled() -> AbstractContextManager[None]:
    """Context in which figures look the same whatever the machine's own settings."""
    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}
    return matplotlib.rc_context(style)


def draw_dice(rows: pd.DataFrame, path: Path) -> None:
    """Every case's Dice by method, coloured by lesion load, with the mean and its interval."""
    strips = {STUDY[method]: per_case(some, "dice") for method, some in by_method(rows).items()}
    sizes = dict(zip(rows["case"], load_strata(rows), strict=True))
    _draw_strips(strips, sizes, LOADS, "lesion load", path)


def draw_dice_by_size(strata: dict[str, pd.DataFrame], title: str, path: Path) -> None:
    """Every case's Dice, over all of them and by stratum, with the mean and its interval; `title` is above the legend."""
    sizes = {case: name for name, rows in strata.items() for case in rows["case"]}
    parts = {"all": pd.concat(strata.values())} | strata
    strips = {f"{name} ({len(rows)})": per_case(rows, "dice") for name, rows in parts.items() if len(rows)}
    _draw_strips(strips, sizes, tuple(strata), title, path)


def _draw_strips(
    strips: dict[str, pd.Series], sizes: dict[str, str], names: tuple[str, ...], title: str, path: Path
) -> None:
    """A strip of Dice by its label, coloured by which of `names` a case's size is; `title` is above the legend."""
    styles = dict(zip(names, SIZE_STYLES, strict=True))
    with styled():
        figure = new_figure(8.5, 0.62 * len(strips) + 1.2)
        axes = figure.subplots()
        for place, scores in enumerate(strips.values()):
            _strip(axes, place, scores, sizes, styles)
        axes.set(xlim=(-0.03, 1.03), ylim=(len(strips) - 0.5, -0.5), xlabel="Dice", axisbelow=True)
        axes.set_yticks(range(len(strips)), list(strips))
        axes.grid(visible=False, axis="y")
        handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m) in styles.items()]
        handles.append(Line2D([], [], color="black", marker="d", markersize=6, label="mean, 95 % interval"))
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), title=title)
        save(figure, path)


def _strip(axes: Axes, place: float, scores: pd.Series, sizes: dict[str, str], styles: Styles) -> None:
    """One method or stratum: its cases, side by side where their scores are alike, above their mean."""
    values = scores.to_numpy()
    heights = place - 0.1 + _beeswarm(values, width=0.017, step=0.085)
    for name, (colour, marker) in styles.items():
        mine = [sizes[case] == name for case in scores.index]
        size = 34 if marker == "X" else 24
        axes.scatter(values[mine], heights[mine], s=size, c=colour, marker=marker, alpha=0.85, linewidths=0, zorder=2)
    mean, below = estimate(scores), place + 0.34
    if not math.isnan(mean.low):
        axes.plot([mean.low, mean.high], [below, below], color="black", linewidth=1.6, zorder=3)
    axes.plot(mean.mean, below, color="black", marker="d", markersize=6, zorder=3)


def _beeswarm(values: np.ndarray, width: float, step: float) -> np.ndarray:
    """Offsets for values (n,): points within `width` of each other are `step` apart, around 0, at most four steps away."""
    offsets = np.zeros(len(values))
    choices = [0, *(sign * n * step for n in (1, 2, 3, 4) for sign in (-1, 1))]
    done: list[int] = []
    for i in np.argsort(values, kind="stable"):
        taken = {round(offsets[j] / step) for j in done if abs(values[j] - values[i]) < width}
        offsets[i] = next((c for c in choices if round(c / step) not in taken), choices[len(done) % len(choices)])
        done.append(i)
    return offsets


def draw_curves(epochs: pd.DataFrame, path: Path) -> None:
    """Training loss above (scales differ), held-out Dice below: a column per loss, a thin line per run, their mean thick."""
    with styled():
        figure = new_figure(2 * len(LOSS_NAMES), 4.6)
        panels = figure.subplots(2, len(LOSS_NAMES), sharex=True)
        for (above, below), loss in zip(panels.T, LOSS_NAMES, strict=True):
            above.set_title(STUDY[loss].replace("-hausdorffdt", "\n-hausdorffdt"))
            points = epochs[epochs["method"] == loss]
            _curves(above, points, "loss")
            _curves(below, points, "dice")
            below.set(ylim=(0, 1), yticks=np.linspace(0, 1, 6))
        for axes in panels[1, 1:]:
            axes.tick_params(labelleft=False)
        panels[0, 0].set_ylabel("training loss")
        panels[1, 0].set_ylabel("held-out Dice")
        figure.supxlabel("epoch", fontsize=9)
        lines = ((BLUE, 0.9, "one run (fold and seed)"), (VERMILION, 1.8, "mean, where all runs have the epoch"))
        handles = [Line2D([], [], color=colour, linewidth=width, label=name) for colour, width, name in lines]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
        save(figure, path)


def _curves(axes: Axes, points: pd.DataFrame, field: str) -> None:
    """One line per run. The mean of an epoch is drawn only where all runs have it: others would pull it about."""
    runs = points.pivot(index="epoch", columns=["fold", "seed"], values=field)
    for _, values in runs.items():
        known = values.dropna()
        axes.plot(known.index, known, color=BLUE, alpha=0.4, linewidth=0.9)
    shared = runs.dropna().mean(axis="columns")
    axes.plot(shared.index, shared, color=VERMILION, linewidth=1.8)
