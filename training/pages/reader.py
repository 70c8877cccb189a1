"""The section of docs/accuracy.md on a simulated reader: what corrections of the out-of-fold drafts are worth."""

import itertools
from pathlib import Path

import pandas as pd

from training.pages.cells import interval, number
from training.pages.markdown import table, wrapped
from training.pages.plots import BLUE, GREEN, VERMILION, new_figure, save, styled
from training.scores.metrics import METRICS
from training.scores.rows import AFTER, ALL, READERS
from training.scores.statistics import compare, per_case

HOW = """Rows: training/results/reader.csv, from `python -m training.reader --data data/packed`. A simulated reader finishes
the out-of-fold drafts of the trees alone in the order of the page, the lesion that is least likely to be real first. Each
decision is an action. A lesion is false if less than a fifth of it is labelled. Then the reader clicks once on each labelled
lesion that no real one of the draft touches, at its most probable voxel; a click after which less than a fifth of the new
region would be right is not made. Last each lesion that is left gets the size with the best Dice. **The reader knows the
label, so this is an upper bound.** Some decisions are wrong by chance, whatever the lesion's size: a real
lesion is rejected or a false one kept, a missed one overlooked, a size set at random. Ten draws are averaged within a case.
Among the cases are three without a lesion, which score 1 when all is rejected."""
DOES = {"strikes": "rejects", "adds": "rejects, adds", "resizes": "rejects, adds, resizes"}
COLOURS = dict(zip(READERS, (BLUE, GREEN, VERMILION), strict=True))
Z_MAPS = {"given": "Given Z map", "estimated": "Estimated Z map"}


def section(rows: pd.DataFrame, figure: str) -> str:
    """The words, the table and the figure, which is given in Markdown."""
    return "\n\n".join([wrapped(HOW), reader_table(rows), figure])


def part(rows: pd.DataFrame, z_map: str, reader: str, wrong: float, after: str = ALL) -> pd.DataFrame:
    """The rows of one reader after some actions."""
    wanted = {"z_map": z_map, "reader": reader, "wrong": wrong, "after": after}
    return rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]


def reader_table(rows: pd.DataFrame) -> str:
    """Dice as the draft comes, what the corrections change, and what all of them take."""
    header = ["Z map", "the reader", "wrong", "Dice, draft", "Dice, all done", "change in Dice"]
    header += [METRICS["nsd"].title, "actions"]
    lines = []
    for z_map, does, wrong in itertools.product(Z_MAPS, READERS, sorted(set(rows["wrong"]))):
        draft, done = (part(rows, z_map, does, wrong, after) for after in ("0", ALL))
        change = compare("all", "none", per_case(done, "dice"), per_case(draft, "dice")).difference
        cells = [number(draft["dice"].mean(), 3), number(done["dice"].mean(), 3), interval(change, 3, "+")]
        cells += [number(done["nsd"].mean(), 3), number(done["clicks"].mean(), 1)]
        lines.append([z_map, DOES[does], f"{wrong:.0%}", *cells])
    return table(header, lines)


def readme_line(rows: pd.DataFrame) -> str:
    """For the README: the mean Dice as the draft comes and after each kind of correction without errors, given Z map."""
    draft = part(rows, "given", "strikes", 0.0, "0")["dice"].mean()
    rejected, added, resized = (part(rows, "given", reader, 0.0)["dice"].mean() for reader in READERS)
    return (
        f"A simulated reader who knows the label raises the mean Dice of {rows['case'].nunique()} drafts of the trees alone"
        f" from {draft:.2f} to {rejected:.2f} by rejecting false lesions, to {added:.2f} with a click for each missed"
        f" one, and to {resized:.2f} by setting sizes too. That is an upper bound."
    )


def draw_reader(rows: pd.DataFrame, path: Path) -> None:
    """Mean Dice against the actions, a panel for each kind of Z map; dashed and dotted: with wrong decisions."""
    shares = sorted(set(rows["wrong"]))
    with styled():
        figure = new_figure(7.2, 3.4)
        for axes, (z_map, title) in zip(figure.subplots(1, 2, sharey=True), Z_MAPS.items(), strict=True):
            for reader, colour in COLOURS.items():
                for wrong, style in zip(shares, ("-", "--", ":"), strict=False):
                    stages = [part(rows, z_map, reader, wrong, after) for after in (*map(str, AFTER), ALL)]
                    points = [(stage["clicks"].mean(), stage["dice"].mean()) for stage in stages]
                    label = f"{DOES[reader]}, {wrong:.0%} wrong"
                    axes.plot(*zip(*points, strict=True), style, color=colour, marker=".", label=label)
            axes.set(title=title, xlabel="actions, mean over cases")
        figure.axes[0].set(ylabel="Dice")
        figure.axes[1].legend(fontsize="xx-small", loc="upper left")
        save(figure, path)
