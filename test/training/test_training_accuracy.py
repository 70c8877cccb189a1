"""The accuracy page and the README's table, from invented rows."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
import study_rows

from training import accuracy
from training.lesions.reader_names import AFTER, ALL, READERS
from training.pages import adc_alone
from training.pages.agreement import agreement
from training.pages.learning_curve import by_size, curve_words
from training.pages.reader import readme_line, section
from training.scores.configuration import write_configuration
from training.scores.methods import CROSSVAL, RULE
from training.scores.methods import ESTIMATED as OF_ESTIMATES
from training.scores.rows import (
    CASE,
    SHAM,
    TWIN,
    Bin,
    CurvePoint,
    MarkedCase,
    MarkedLesion,
    ReaderRow,
    Row,
    ZError,
    as_frame,
    write_records,
)
from training.scores.statistics import case_means

DICE = {
    "decision": 0.75,
    "no-atlas": 0.6,
    "atlas-alone": 0.5,
    "trees": 0.7,
    "trees-on-networks": 0.6,
    "networks": 0.5,
    RULE: 0.25,
    "adc": 0.125,
}


def row(case: int, method: str, **changes: float | str) -> Row:
    """Case 0 is empty, 1 to 3 have 0.5 % lesion, 4 and 5 more; odd ones have thick slices."""
    load = (0.0, 0.005, 0.005, 0.005, 0.03, 0.2)[case]
    values = {"dice": DICE[method] + case / 100, "masd_mm": 2.0 + case, "nsd": 0.5, "lesion_load": load}
    values |= {"predicted_ml": 10.0 * load + case, "true_ml": 10.0 * load, "slice_mm": 6.0 if case % 2 else 2.0}
    return study_rows.row(
        f"case{case}", method, **values | {"true_lesions": int(load > 0), "predicted_lesions": 1} | changes
    )


ROWS = [row(case, method) for method in CROSSVAL for case in range(6)]
ESTIMATED = [row(case, method, dice=DICE[method] / 2) for method in OF_ESTIMATES for case in range(6)]
ERRORS = [
    ZError(f"case{case}", method, 0, factor * case, 1.0, 0.5, *((0.75, case / 4) if case else (math.nan, math.nan)), 0.5)
    for method, factor in (("decision", 0.25), ("no-atlas", 0.5), ("atlas-alone", 1.0))
    for case in range(6)
]
CURVE = [
    CurvePoint(f"case{case}", size, draw, 0.4 + size / 100 + draw / 10 + case / 50)
    for size in (10, 20, 35)
    for draw in range(2)
    for case in range(1, 6)
]
LESIONS = [MarkedLesion(f"case{case}", case, n, 0.5, n / 2, 0.3 + n / 5) for case in range(5) for n in range(2)]
CASES = [
    MarkedCase(f"case{case}", kind, case, 2.0 * (kind != TWIN), 1.0, 2, 0.5 + case / 10, 0.5 + case / 9, 0.5, chance)
    for case in range(5)
    for kind, chance in ((CASE, 0.6), (TWIN, 0.4), (SHAM, 0.6))
]
READINGS = [  # the draft of case n has a Dice of n / 10; each action adds 0.02, a tenth of wrong decisions costs 0.01
    ReaderRow(f"case{case}", 0, z_map, kind, wrong, after, case / 10 + 0.02 * clicks - wrong / 10, 0.5, clicks)
    for case, z_map, kind, wrong in itertools.product(range(6), ("given", "estimated"), READERS, (0.0, 0.1))
    for after, clicks in [*((str(n), n) for n in AFTER), (ALL, 12.5)]
]
BINS = [Bin(method, number, 0.05 + number / 10, 0.04, 9) for method in ("networks", "decision") for number in range(3)]


def table(rows: Iterable[Row]) -> pd.DataFrame:
    return as_frame(rows, Row)


def averaged(rows: Iterable[Row]) -> pd.DataFrame:
    """As the command hands them to its page."""
    return case_means(table(rows))


def test_bland_altman_by_hand() -> None:
    bias, low, high = agreement(table(row(case, "decision") for case in (1, 2, 3)))  # differences 1, 2 and 3, spread 1
    assert (bias.mean, low, high) == pytest.approx((2, 2 - 1.96, 2 + 1.96))


def test_the_table_has_every_method_and_its_mean() -> None:
    text = accuracy.scores_table(averaged(ROWS))
    for method, name in CROSSVAL.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {DICE[method] + 0.025:.3f} [" in line
        assert "| 4.50 [" in line
    assert "published: [SPARSeg](https://papers.miccai.org/miccai-2025/0850-Paper4455.html) | 0.606 | 2.65 | 0.748" in text


def test_strata_count_the_cases() -> None:
    counts = {}
    for line in accuracy.strata_table(averaged(ROWS)).splitlines()[2:]:
        stratum, count = line.strip("| ").split(" | ")[:2]
        counts[stratum] = int(count)
    assert list(counts)[:2] == ["empty", "below 1 %"]
    assert list(counts.values()) == [1, 3, 1, 1, 3, 3]


def test_paired_differences_name_the_winner() -> None:
    (line,) = [x for x in accuracy.differences_table(averaged(ROWS)).splitlines() if x.startswith("| rule Z < -2 | Dice")]
    assert "+0.500 [+0.500, +0.500] | 6 | 0 |" in line


def test_a_smaller_distance_is_better() -> None:
    nearer = [dataclasses.replace(r, masd_mm=r.masd_mm - 1) if r.method == "decision" else r for r in ROWS]
    (line,) = [
        x for x in accuracy.differences_table(averaged(nearer)).splitlines() if x.startswith("| rule Z < -2 | MASD mm")
    ]
    assert "-1.00 [-1.00, -1.00] | 6 | 0 |" in line


def test_a_missing_distance_is_counted_not_averaged() -> None:
    rows = [row(0, "decision", masd_mm=math.nan, nan_reason="no lesion"), row(1, "decision"), row(2, "decision")]
    assert accuracy.score_cells(averaged(rows))[1].startswith("3.50 ")
    assert accuracy.score_cells(averaged(rows))[3] == "1 (0 missed, 1 false)"


def test_the_empty_cases_that_stay_empty_are_counted() -> None:
    text = accuracy.readme_block(averaged(ROWS), averaged(ESTIMATED)).replace("\n", " ")
    assert "All 1 lesion-free cases get a false mark." in text
    rows = [dataclasses.replace(r, predicted_lesions=0) if r.method == "decision" else r for r in ROWS]
    text = accuracy.readme_block(averaged(rows), averaged(ESTIMATED)).replace("\n", " ")
    assert "0 of 1 lesion-free cases get a false mark." in text


def test_the_empty_cases_are_left_out_of_the_second_table() -> None:
    """Cases 1 to 5 have a mean of 0.03 more than a method's first."""
    text = accuracy.methods_table(accuracy.with_lesion(averaged(ROWS)), "cases that have a lesion")
    assert text.startswith("| 5 cases that have a lesion | Dice |")
    assert f"| {CROSSVAL['trees']} | 0.730 [" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([0.01, 0.02, 0.03, 0.01, 0.03], "changes Dice by +0.020 [+0.012, +0.028]."),
        ([-0.02] * 5, "changes Dice by -0.020 [-0.020, -0.020]."),
        ([-0.02, 0.02, -0.02, 0.02, 0.0], ": no measurable difference."),
    ],
)
def test_what_the_networks_add_is_said_with_its_interval(changes: list[float], words: str) -> None:
    """The empty case, whose masks differ most, has no say."""
    shipped = [row(case, "decision", dice=0.5 + change) for case, change in enumerate([-0.4, *changes])]
    rows = averaged([*shipped, *(row(case, "trees", dice=0.5) for case in range(6))])
    assert accuracy.network_words(rows).replace("\n", " ").endswith(words)
    assert "On the 5 cases with a lesion" in accuracy.network_words(rows)


def test_adc_alone_stands_beside_the_given_z_map() -> None:
    """Dice halved: 0.75 + 0.025 on average with the Z map, 0.375 without; cases 1 to 3 are below 1 %."""
    text = adc_alone.section(averaged(ROWS), averaged(ESTIMATED), as_frame(ERRORS, ZError))
    (given,) = [line for line in text.splitlines() if line.startswith("| given Z map: shipped |")]
    (alone,) = [line for line in text.splitlines() if line.startswith("| Z estimated from the ADC, with an atlas")]
    assert given.split(" | ")[1:4] == ["0.775 [0.762, 0.788]", "0.780 [0.768, 0.792]", "0.770 [0.760, 0.780]"]
    assert alone.split(" | ")[1:4] == ["0.375 [0.375, 0.375]"] * 3
    assert "Estimated minus given: -0.400 [" in text
    assert "| in the brain: median absolute error | 0.62 | 1.25 | 1.25 | 2.50 |" in text
    assert "| in lesions: median absolute error | 0.75 | 0.75 |" in text
    biases = "on average +0.50 (below 1 %), +1.00 (1-5 %), +1.25 (above 5 %)."  # cases 1 to 3, 4, 5: a quarter of the number
    assert biases in text.replace("\n", " ")
    lines = accuracy.readme_block(averaged(ROWS), averaged(ESTIMATED)).splitlines()
    assert lines[0].endswith(" | NSD at 2 mm | MASD mm |")
    ours = [x for x in lines if x.startswith(("| **ADC alone**", *(f"| {name} |" for name in CROSSVAL.values())))]
    assert len(ours) == len(CROSSVAL) + 1
    assert {tuple(x.strip(" |").split(" | ")[-2:]) for x in ours} == {("0.500", "4.50")}
    (line,) = [x for x in lines if "ADC alone" in x]
    assert line.startswith("| **ADC alone**, Z estimated (`--estimate-z`) | 0.375 [")


def test_the_learning_curve_averages_draws_within_the_case_first() -> None:
    """Dice is 0.4 + size / 100 + draw / 10 + case / 50: 0.61, 0.71 and 0.86 over two draws of cases 1 to 5."""
    words = curve_words(as_frame(CURVE, CurvePoint))
    assert "Mean Dice on 5 cases: 0.610 from 10, 0.710 from 20, 0.860 from 35 cases, over 2 draws." in words
    assert "35 cases change Dice instead of 10 by +0.250 [+0.250, +0.250], of 20 by +0.150 [+0.150, +0.150]." in words
    assert words.endswith("It still changes from 20 cases on, so more cases of this kind may help.")
    ((_, dice),) = by_size(as_frame(CURVE[:10], CurvePoint)).items()
    assert dice.tolist() == pytest.approx([0.57, 0.59, 0.61, 0.63, 0.65])
    uneven = [dataclasses.replace(p, dice=p.dice + (0.3 if p.case == "case1" else -0.3) * (p.size == 20)) for p in CURVE]
    assert "no measurable difference" in curve_words(
        as_frame([p for p in uneven if p.case in ("case1", "case2")], CurvePoint)
    )


def test_the_reader_section_has_the_means_of_each_stage() -> None:
    """0.25 as the draft comes, 0.27 after one action, 0.5 after all; with a tenth wrong 0.01 less."""
    rows = as_frame(READINGS, ReaderRow)
    text = section(rows, "figures/reader.png")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| given | rejects, adds |")]
    assert [line[3:9] for line in lines] == [
        ["0.250", "0.270", "0.290", "0.310", "0.350", "0.450"],
        ["0.240", "0.260", "0.280", "0.300", "0.340", "0.440"],
    ]
    assert [(line[9].split()[0], *line[10:]) for line in lines] == [("0.500", "0.500", "12.5"), ("0.490", "0.500", "12.5")]
    assert "Given Z map: rejecting alone changes Dice by +0.250 [+0.250, +0.250] with 0% wrong" in text.replace("\n", " ")
    assert "from 0.25 to 0.50 by rejecting" in readme_line(rows)


def test_several_seeds_are_one_case() -> None:
    """The second seed scores 0.1 more, predicts 2 ml more, misses case 1; the unit of every number is the case."""
    second = [
        dataclasses.replace(r, seed=1, dice=r.dice + 0.1, predicted_ml=r.predicted_ml + 2)
        if r.case != "case1"
        else dataclasses.replace(r, seed=1, dice=r.dice + 0.1, masd_mm=math.nan, nan_reason="no prediction")
        for r in ROWS
    ]
    rows = case_means(table([*ROWS, *second]))
    text = accuracy.scores_table(rows)
    assert text.startswith("| 6 cases, out of fold |")
    assert "| 0.825 [" in text  # 0.775 and 0.875
    assert text.splitlines()[2].endswith("| 0.5 (0.5 missed, 0 false) |")
    differences = [1.0, 1.0, 3.0, 4.0, 5.0, 6.0]  # predicted minus true: the case's number, and 1 ml but for case 1
    words = accuracy.volume_text(rows)
    assert f"All cases (6), shipped method: predicted minus true volume +{sum(differences) / 6:.2f} [" in words
    assert "Cases below 1 % (3)" in words
    bias, low, high = agreement(accuracy.group(rows, "decision"))
    assert (bias.n, high - low) == (6, pytest.approx(2 * 1.96 * statistics.stdev(differences)))
    worst = [line.split(" | ")[0] for line in accuracy.worst_text(rows).splitlines()[2:]]
    assert worst == [f"| case{case}" for case in range(6)]
    assert "over 2 training seeds" in accuracy.seed_words(rows)
    assert "of one training seed" in accuracy.seed_words(averaged(ROWS))


def test_the_command_writes_the_page_and_the_readme(tmp_path: Path, command, refusal) -> None:
    begin, end = accuracy.MARKERS
    (tmp_path / "README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    words = ["--results", tmp_path, "--docs", tmp_path / "docs", "--readme", tmp_path / "README.md"]
    for records, kind, name in (
        (ROWS, Row, "crossval"),
        (ESTIMATED, Row, "estimated"),
        (ERRORS, ZError, "zmap"),
        (CURVE, CurvePoint, "learning_curve"),
        (READINGS, ReaderRow, "reader"),
    ):
        assert f"{name}.csv" in refusal(accuracy.main, *words)
        write_records(records, tmp_path / f"{name}.csv", kind)
        write_records(BINS, tmp_path / "reliability.csv", Bin)
    for name in ("crossval", "estimated"):
        write_records(LESIONS, tmp_path / f"{name}-lesions.csv", MarkedLesion)
        write_records(CASES, tmp_path / f"{name}-cases.csv", MarkedCase)
    names = [f"case{case}" for case in range(6)]
    one = {"folds": [names], "data": dict.fromkeys(names, "0f")}
    for name in ("crossval", "learning_curve", "reader"):
        write_configuration(one, tmp_path / f"{name}.csv")
    for change, reason in (
        ({"data": one["data"] | {"case0": "1f"}}, "are of different data (case0)"),
        ({"folds": [names[:3], names[3:]]}, "are of different folds"),
    ):
        write_configuration(one | change, tmp_path / "estimated.csv")
        assert reason in refusal(accuracy.main, *words)
    write_configuration(one, tmp_path / "estimated.csv")
    pages = []
    for _ in range(2):
        command(accuracy.main, *words)
        pages.append({path.name: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*") if path.is_file()})
    figures = [f"accuracy-{name}.png" for name in ("lesions", "reliability", "volume")]
    assert sorted(pages[0]) == [*figures, "accuracy.md", "learning-curve.png", "reader.png"]
    assert pages[0] == pages[1]
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith(f"before\n{begin}\n| out of fold | Dice, 6 cases | Dice, 5 cases with a lesion |")
    assert readme.endswith(f"{end}\nafter\n")
    assert "\nold\n" not in readme
