"""Turns the out-of-fold rows of `training.crossval` and `training.zmap` into docs/accuracy.md and the README's table.

Example:

    python -m training.accuracy
"""

import argparse
import re
from pathlib import Path

import pandas as pd

from model.errors import UserError
from model.files import require_writable
from training.common.cli import run
from training.data.same import differing
from training.pages import adc_alone
from training.pages.agreement import agreement_words, draw_agreement
from training.pages.cells import SCORE_HEADER, first_word, interval, number, p_value, score_cells
from training.pages.learning_curve import HOW as HOW_CURVE
from training.pages.learning_curve import curve_words, draw_curve
from training.pages.markdown import replace_block, require_own_pages, table, wrapped, write_text
from training.pages.plots import is_figure, new_figure, save, styled
from training.scores.methods import CROSSVAL, RULE
from training.scores.metrics import METRICS
from training.scores.rows import LEARNING_CURVE, RESULTS, Bin, CurvePoint, Row, ZError, read_configuration, read_frame
from training.scores.statistics import case_means, compare, load_strata, per_case, strata, with_holm

ROOT = Path(__file__).parents[1]
MARKERS = ("<!-- accuracy:begin -->", "<!-- accuracy:end -->")
FIGURES, RELIABILITY, VOLUME, CURVE = "figures", "accuracy-reliability.png", "accuracy-volume.png", "learning-curve.png"
LEGEND = {"networks": ("networks alone", "#0072B2", "o"), "decision": ("shipped", "#D55E00", "s")}
CHALLENGE = "https://bonbid-hie2023.grand-challenge.org/"
SPARSEG, STUDY = "https://papers.miccai.org/miccai-2025/0850-Paper4455.html", "https://arxiv.org/abs/2502.09148"
PUBLISHED = (
    (
        "[SPARSeg](https://papers.miccai.org/miccai-2025/0850-Paper4455.html)",
        "0.606",
        "2.65",
        "0.748",
        "probably the 44 test cases",
    ),
    (f"six U-Nets, 4th of the [challenge 2023]({CHALLENGE})", "0.580", "-", "-", "44 test cases"),
    (f"4 x SwinUNETR, 3rd of the [challenge 2023]({CHALLENGE})", "0.574", "2.67", "0.734", "44 test cases"),
    (
        "[3D U-Net, Tversky-HausdorffDT](https://arxiv.org/abs/2502.09148)",
        "0.500",
        "1.63",
        "0.533",
        "4 validation cases, resampled",
    ),
)

HOW = """Made by `python -m training.accuracy` from training/results/crossval.csv and reliability.csv, which
`python -m training.crossval --data data/packed` writes. Every case is segmented by trees and networks that did not see it,
with a calibration that was fitted to the other four folds. Trees see the Z map and the ADC alone; in one row they see the
networks' probabilities instead of the Z map's. Except for the rule and the networks alone, the mask is the one with the
highest expected Dice. Scores are the challenge's, on the patient's own grid: means over cases with 95 % intervals. MASD
leaves out cases where exactly one mask is empty, as the challenge does; their number is given. The fits are deterministic.
Two things make the scores optimistic: networks, features and settings were chosen while looking at these cases; and the
calibration is fitted to predictions, on the other four folds, of trees and networks that had the scored fold in training."""
EMPTY = """Every lesion-free case gets a false mark: three such cases are too few to learn when a mask should stay empty.
They score 0 in the means over all cases; the table without them shows how well lesions are found."""
BINNED = """Candidate voxels in bins of the probability that they were given, every case with the same weight; trees and
calibration were fitted to the other folds."""


def group(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of one method."""
    return rows[rows["method"] == method]


def methods_table(rows: pd.DataFrame, cases: str) -> str:
    """Every method on some cases: what the cases are stands in the head after their number."""
    header = [f"{group(rows, RULE)['case'].nunique()} {cases}", *SCORE_HEADER]
    return table(header, [[name, *score_cells(group(rows, method))] for method, name in CROSSVAL.items()])


def with_lesion(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the cases that are not empty."""
    return rows[load_strata(rows) != "empty"]


def seed_words(rows: pd.DataFrame) -> str:
    """Of how many training seeds the networks are, as a sentence."""
    seeds = rows["seeds"].max()
    if seeds == 1:
        return "The networks are of one training seed."
    return f"Each case's numbers are first averaged over {seeds} training seeds of the networks; a case is counted once."


def network_words(rows: pd.DataFrame) -> str:
    """What the networks add to the trees, in words."""
    some = with_lesion(rows)
    found = compare("decision", "trees", *(scores_of(some, method, "dice") for method in ("decision", "trees"))).difference
    verdict = ": no measurable difference" if found.low <= 0 <= found.high else ""
    change = f"changes Dice by {interval(found, 3, '+')}{verdict}"
    return f"On the {found.n} cases with a lesion, adding the networks to the trees {change}."


def empty_words(cases: int, left: int) -> str:
    """How many lesion-free cases get a false mark, as a sentence."""
    marked = "all" if not left else f"{cases - left} of"
    return f"{marked[0].upper()}{marked[1:]} {cases} lesion-free cases get a false mark."


def scores_table(rows: pd.DataFrame) -> str:
    """Every method over all cases, and the published ones."""
    header = [f"{group(rows, RULE)['case'].nunique()} cases, out of fold", *SCORE_HEADER]
    lines = [[name, *score_cells(group(rows, method))] for method, name in CROSSVAL.items()]
    published = [
        [f"published: {name}", dice, masd, nsd, f"other cases: {cases}"] for name, dice, masd, nsd, cases in PUBLISHED
    ]
    return table(header, lines + published)


def strata_table(rows: pd.DataFrame) -> str:
    """Dice, MASD and NSD by lesion load and by slice thickness."""
    header = ["cases", "n", "method", *SCORE_HEADER]
    lines = []
    for name, inside in ((name, inside) for name, inside in strata(rows).items() if len(inside)):
        for method, title in CROSSVAL.items():
            part = group(inside, method)
            lines.append([name, str(part["case"].nunique()), re.split("[,:]", title)[0], *score_cells(part)])
    return table(header, lines)


def differences_table(rows: pd.DataFrame) -> str:
    """What is shipped minus each other method, case by case."""
    header = ["shipped minus", "metric", "mean difference", "better", "worse", "p (Wilcoxon, Holm)"]
    pairs = [(other, field) for other in list(CROSSVAL)[1:] for field in METRICS]
    found = with_holm(
        [compare("decision", other, *(scores_of(rows, m, field) for m in ("decision", other))) for other, field in pairs]
    )
    lines = []
    for (other, field), one in zip(pairs, found, strict=True):
        better, worse = (one.worse, one.better) if METRICS[field].less_is_better else (one.better, one.worse)
        cells = [interval(one.difference, METRICS[field].digits, "+"), str(better), str(worse), p_value(one.p_holm)]
        lines.append([CROSSVAL[other], METRICS[field].title, *cells])
    return table(header, lines)


def scores_of(rows: pd.DataFrame, method: str, field: str) -> pd.Series:
    """One number per case of one method."""
    return per_case(group(rows, method), field)


def volume_text(rows: pd.DataFrame) -> str:
    """Volume agreement of the shipped method, over all cases and over those with little lesion."""
    sentences = []
    shipped = group(rows, "decision")
    for name, part in (("all cases", shipped), ("cases below 1 %", shipped[load_strata(shipped) == "below 1 %"])):
        sentences.append(f"{name[0].upper()}{name[1:]} ({len(part)}), shipped method: {agreement_words(part)}.")
    return wrapped(" ".join(sentences))


def worst_text(rows: pd.DataFrame, count: int = 6) -> str:
    """The cases that the shipped method does worst on, in words."""
    shipped = group(rows, "decision").sort_values(["dice", "case"]).head(count)
    header = ["case", "Dice", "true ml", "predicted ml", "true lesions", "found", "slice mm"]
    lines = [
        [
            row.case,
            number(row.dice, 2),
            number(row.true_ml, 2),
            number(row.predicted_ml, 2),
            number(row.true_lesions, 0),
            number(row.lesion_recall * row.true_lesions, 1),
            number(row.slice_mm, 1),
        ]
        for row in shipped.itertuples()
    ]
    return table(header, lines)


def draw_reliability(bins: pd.DataFrame, path: Path) -> None:
    """Share of lesion against mean probability, before and after calibration."""
    with styled():
        figure = new_figure(4.2, 4.0)
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color="0.6", linestyle=":", label="as promised")
        for method, (name, colour, marker) in LEGEND.items():
            points = group(bins, method)
            axes.plot(points["probability"], points["lesion_share"], color=colour, marker=marker, label=name)
        axes.set(xlabel="mean probability of candidate voxels", ylabel="share that is lesion", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")
        save(figure, path)


def page(rows: pd.DataFrame, estimated: pd.DataFrame, errors: pd.DataFrame, curve: pd.DataFrame) -> str:
    """docs/accuracy.md."""
    parts = [
        "# Accuracy",
        wrapped(f"{HOW} {seed_words(rows)}"),
        "## All cases",
        scores_table(rows),
        wrapped(
            "The published figures are by others, on different cases; they show the order of magnitude. The shipped average "
            "was never scored: it combines all five folds' networks with trees and a calibration fitted to all 44 cases."
        ),
        "## Cases that have a lesion",
        wrapped(EMPTY),
        methods_table(with_lesion(rows), "cases that have a lesion"),
        wrapped(network_words(rows)),
        "## From the ADC map alone",
        adc_alone.section(rows, estimated, errors),
        "## Would more cases help?",
        wrapped(f"{HOW_CURVE} {curve_words(curve)}"),
        f"![Dice of the trees alone by the number of cases that they are fitted to]({FIGURES}/{CURVE})",
        "## Case by case against the others",
        differences_table(rows),
        "## By lesion load and slice thickness",
        strata_table(rows),
        "## Volume",
        volume_text(rows),
        f"![Bland-Altman plot of the lesion volumes]({FIGURES}/{VOLUME})",
        "## Calibration",
        wrapped(BINNED),
        f"![Reliability before and after the decision's calibration]({FIGURES}/{RELIABILITY})",
        "## The cases it does worst on",
        worst_text(rows),
    ]
    return "\n\n".join(parts) + "\n"


def readme_block(rows: pd.DataFrame, estimated: pd.DataFrame) -> str:
    """The README's accuracy table: all cases, those that have a lesion, and those where it is hardest."""
    parts = {"": rows, " with a lesion": with_lesion(rows), " below 1 % lesion": rows[load_strata(rows) == "below 1 %"]}
    header = ["out of fold", *(f"Dice, {group(part, RULE)['case'].nunique()} cases{name}" for name, part in parts.items())]
    lines = []
    for method, title in CROSSVAL.items():
        cells = [score_cells(group(part, method)) for part in parts.values()]
        lines.append([title, *(dice for dice, *_ in cells), cells[0][2], cells[0][1]])
    lines.append(adc_alone.readme_cells(estimated))
    lines = [[*some[:2], *map(first_word, some[2:])] for some in lines]  # intervals: docs/accuracy.md
    lines += [
        [f"published: {name}", dice, "-", "-", nsd, masd] for name, dice, masd, nsd, _ in (PUBLISHED[0], PUBLISHED[-1])
    ]
    empty = group(rows[load_strata(rows) == "empty"], "decision")
    left = (empty["predicted_lesions"] == 0).sum()
    note = (
        "NSD and MASD are over all cases. The published figures are by others, on different cases. "
        f"{empty_words(len(empty), left)} {network_words(rows)}"
    )
    return "\n\n".join([table([*header, METRICS["nsd"].title, METRICS["masd_mm"].title], lines), wrapped(note)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="default: %(default)s")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="default: %(default)s")
    args = parser.parse_args()
    rows = case_means(read_frame(args.results / "crossval.csv", Row))
    bins = read_frame(args.results / "reliability.csv", Bin)
    if rows.empty or bins.empty:
        raise UserError(f"{args.results}: no crossval.csv or reliability.csv, made by python -m training.crossval")
    estimated = case_means(read_frame(args.results / "estimated.csv", Row))
    errors = read_frame(args.results / "zmap.csv", ZError)
    if estimated.empty or errors.empty:
        raise UserError(f"{args.results}: no estimated.csv or zmap.csv, made by python -m training.zmap")
    curve = read_frame(args.results / LEARNING_CURVE, CurvePoint)
    if curve.empty:
        raise UserError(f"{args.results}: no {LEARNING_CURVE}, made by python -m training.learning_curve")
    known = read_configuration(args.results / "crossval.csv").get("data")
    for name in ("estimated.csv", LEARNING_CURVE):
        if cases := differing(known, read_configuration(args.results / name).get("data", {})):
            raise UserError(f"{args.results}: crossval.csv and {name} are of different data ({cases})")
    readme = args.readme.read_text(encoding="utf-8")
    replaced = replace_block(readme, readme_block(rows, estimated), args.readme, MARKERS)
    require_writable(args.docs)
    of_bins, of_volumes, of_curve = (args.docs / FIGURES / name for name in (RELIABILITY, VOLUME, CURVE))
    require_own_pages(args.docs / "accuracy.md", "accuracy", (of_bins, of_volumes, of_curve), is_figure)
    of_bins.parent.mkdir(parents=True, exist_ok=True)
    draw_reliability(bins, of_bins)
    draw_agreement(group(rows, "decision"), of_volumes)
    draw_curve(curve, of_curve)
    write_text(args.docs / "accuracy.md", page(rows, estimated, errors, curve))
    if replaced != readme:
        write_text(args.readme, replaced)
    print(args.docs / "accuracy.md")


if __name__ == "__main__":
    run(main)
