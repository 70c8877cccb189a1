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
from training.pages import adc_alone
from training.pages.agreement import agreement
from training.pages.learning_curve import curve_words
from training.pages.reader import readme_line, section
from training.scores.configuration import write_configuration
from training.scores.methods import CROSSVAL, RULE
from training.scores.methods import ESTIMATED as OF_ESTIMATES
from training.scores.rows import (
    AFTER,
    ALL,
    CASE,
    READERS,
    SHAM,
    TWIN,
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


def table(rows: Iterable[Row]) -> pd.DataFrame:
    return as_frame(rows, Row)


def averaged(rows: Iterable[Row]) -> pd.DataFrame:
    """As the command hands them to its page."""
    return case_means(table(rows))


def test_bland_altman_by_hand() -> None:
    bias, low, high = agreement(table(row(case, "decision") for case in (1, 2, 3)))  # differences 1, 2 and 3, spread 1
    assert (bias.mean, low, high) == pytest.approx((2, 2 - 1.96, 2 + 1.96))


def cells_of(text: str, *start: str) -> list[str]:
    """The other cells of the one line of a table that begins with these."""
    head = f"| {' | '.join(start)} | "
    (line,) = [line for line in text.splitlines() if line.startswith(head)]
    return line.removeprefix(head).removesuffix(" |").split(" | ")


def test_the_table_has_every_method_and_its_mean() -> None:
    text = accuracy.scores_table(averaged(ROWS))
    for method, name in CROSSVAL.items():
        dice, masd, *_ = cells_of(text, name)
        assert (dice.split()[0], masd.split()[0]) == (f"{DICE[method] + 0.025:.3f}", "4.50")
    sparseg = "published: [SPARSeg](https://papers.miccai.org/miccai-2025/0850-Paper4455.html)"
    assert cells_of(text, sparseg)[:3] == ["0.606", "2.65", "0.748"]


def test_strata_of_the_shipped_method_stand_beside_the_rule() -> None:
    """A case has its number in percent more Dice: 1 to 5 have a lesion, 1 to 3 little, 0, 2 and 4 thin slices."""
    text = accuracy.strata_table(averaged(ROWS))
    lines = [[cells[0], cells[1], cells[2].split()[0], cells[-1].split()[0]] for cells in cells_of_all(text)]
    assert lines == [
        ["with a lesion", "5", "0.780", "0.280"],
        ["empty", "1", "0.750", "0.250"],
        ["below 1 %", "3", "0.770", "0.270"],
        ["1-5 %", "1", "0.790", "0.290"],
        ["above 5 %", "1", "0.800", "0.300"],
        ["slices <= 3 mm", "3", "0.770", "0.270"],
        ["slices > 3 mm", "3", "0.780", "0.280"],
    ]


def cells_of_all(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]


def test_paired_differences_name_the_winner() -> None:
    """A smaller distance is better."""
    nearer = [dataclasses.replace(r, masd_mm=r.masd_mm - 1) if r.method == "decision" else r for r in ROWS]
    text = accuracy.differences_table(averaged(nearer))
    assert cells_of(text, "rule Z < -2", "Dice")[:3] == ["+0.500 [+0.500, +0.500]", "6", "0"]
    assert cells_of(text, "rule Z < -2", "MASD mm")[:3] == ["-1.00 [-1.00, -1.00]", "6", "0"]


def test_the_empty_cases_that_stay_empty_are_counted() -> None:
    rows = [dataclasses.replace(r, predicted_lesions=0) if r.method == "decision" else r for r in ROWS]
    for some, words in ((ROWS, "All 1"), (rows, "0 of 1")):
        text = accuracy.readme_block(averaged(some), averaged(ESTIMATED)).replace("\n", " ")
        assert f"{words} lesion-free cases get a false mark." in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([0.01, 0.02, 0.03, 0.01, 0.03], "changes Dice by +0.020 [+0.012, +0.028]."),
        ([-0.02, 0.02, -0.02, 0.02, 0.0], ": no measurable difference."),
    ],
)
def test_what_the_networks_add_is_said_with_its_interval(changes: list[float], words: str) -> None:
    """The empty case, whose masks differ most, has no say."""
    shipped = [row(case, "decision", dice=0.5 + change) for case, change in enumerate([-0.4, *changes])]
    found = accuracy.network_words(averaged([*shipped, *(row(case, "trees", dice=0.5) for case in range(6))]))
    assert found.startswith("On the 5 cases with a lesion")
    assert found.endswith(words)


def test_adc_alone_stands_beside_the_given_z_map() -> None:
    """Dice halved: 0.75 + 0.025 on average with the Z map, 0.375 without; cases 1 to 3 are below 1 %."""
    text = adc_alone.section(averaged(ROWS), averaged(ESTIMATED), as_frame(ERRORS, ZError))
    given = ["0.775 [0.762, 0.788]", "0.780 [0.768, 0.792]", "0.770 [0.760, 0.780]"]
    assert cells_of(text, "given Z map: shipped")[:3] == given
    assert cells_of(text, OF_ESTIMATES["decision"])[:3] == ["0.375 [0.375, 0.375]"] * 3
    assert "Estimated minus given: -0.400 [" in text
    assert "Z is on average 0.62 in the brain and 0.75 in lesions." in text.replace("\n", " ")
    biases = "on average +0.50 (below 1 %), +1.00 (1-5 %), +1.25 (above 5 %)."  # cases 1 to 3, 4, 5: a quarter of the number
    assert biases in text.replace("\n", " ")
    block = accuracy.readme_block(averaged(ROWS), averaged(ESTIMATED))
    assert block.splitlines()[0].endswith(" | NSD at 2 mm | MASD mm |")
    assert cells_of(block, CROSSVAL["trees"])[1:] == ["0.730", "0.720", "0.500", "4.50"]
    alone = ["0.375 [0.375, 0.375]", "0.375", "0.375", "0.500", "4.50"]
    assert cells_of(block, "**ADC alone**, Z estimated (`--estimate-z`)") == alone


def test_the_learning_curve_averages_draws_within_the_case_first() -> None:
    """Dice is 0.4 + size / 100 + draw / 10 + case / 50: 0.61, 0.71 and 0.86 over two draws of cases 1 to 5."""
    words = curve_words(as_frame(CURVE, CurvePoint))
    assert "Mean Dice on 5 cases: 0.610 from 10, 0.710 from 20, 0.860 from 35 cases, over 2 draws." in words
    assert "35 cases change Dice instead of 10 by +0.250 [+0.250, +0.250], of 20 by +0.150 [+0.150, +0.150]." in words
    assert words.endswith("It still changes from 20 cases on, so more cases of this kind may help.")
    uneven = [dataclasses.replace(p, dice=p.dice + (0.3 if p.case == "case1" else -0.3) * (p.size == 20)) for p in CURVE]
    two = as_frame([p for p in uneven if p.case in ("case1", "case2")], CurvePoint)
    assert "no measurable difference" in curve_words(two)


def test_the_reader_section_has_the_means_of_each_reader() -> None:
    """0.25 as the draft comes, 0.5 after all; with a tenth wrong 0.01 less, in the draft too."""
    rows = as_frame(READINGS, ReaderRow)
    lines = [cells_of(section(rows, "figures/reader.png"), "given", "rejects, adds", wrong) for wrong in ("0%", "10%")]
    change = "+0.250 [+0.250, +0.250]"
    assert lines == [["0.250", "0.500", change, "0.500", "12.5"], ["0.240", "0.490", change, "0.500", "12.5"]]
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
    bias, low, high = agreement(accuracy.group(rows, "decision"))
    assert (bias.n, bias.mean, high - low) == (6, *map(pytest.approx, (20 / 6, 2 * 1.96 * statistics.stdev(differences))))
    worst = [line.split(" | ")[0] for line in accuracy.worst_table(rows).splitlines()[2:]]
    assert worst == [f"| case{case}" for case in range(6)]
    assert "over 2 training seeds" in accuracy.seed_words(rows)
    assert "of one training seed" in accuracy.seed_words(averaged(ROWS))


def test_the_command_writes_the_page_and_the_readme(tmp_path: Path, command, refusal) -> None:
    begin, end = (f"<!-- accuracy:{side} -->" for side in ("begin", "end"))
    (tmp_path / "README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    words = ["--results", tmp_path, "--docs", tmp_path / "docs", "--readme", tmp_path / "README.md"]
    tables = {
        "crossval": (ROWS, Row),
        "estimated": (ESTIMATED, Row),
        "zmap": (ERRORS, ZError),
        "learning_curve": (CURVE, CurvePoint),
        "reader": (READINGS, ReaderRow),
    }
    tables |= {f"{name}-lesions": (LESIONS, MarkedLesion) for name in ("crossval", "estimated")}
    tables |= {f"{name}-cases": (CASES, MarkedCase) for name in ("crossval", "estimated")}
    for name, (records, kind) in tables.items():
        assert "made by python -m training." in refusal(accuracy.main, *words)
        write_records(records, tmp_path / f"{name}.csv", kind)
    names = [f"case{case}" for case in range(6)]
    one = {"folds": [names], "data": dict.fromkeys(names, "0f")}
    for name in ("crossval", "learning_curve", "reader"):
        write_configuration(one, tmp_path / f"{name}.csv")
    write_configuration(one | {"data": one["data"] | {"case0": "1f"}}, tmp_path / "estimated.csv")
    assert "are of different data (case0)" in refusal(accuracy.main, *words)
    write_configuration(one, tmp_path / "estimated.csv")
    command(accuracy.main, *words)
    pages = sorted(path.name for path in (tmp_path / "docs").rglob("*.*") if path.is_file())
    assert pages == ["accuracy-lesions.png", "accuracy.md", "learning-curve.png", "reader.png"]
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith(f"before\n{begin}\n| out of fold | Dice, 6 cases | Dice, 5 cases with a lesion |")
    assert readme.endswith(f"{end}\nafter\n")
    assert "\nold\n" not in readme
