"""What docs/accuracy.md and the README's table say of invented rows; what they say of ours is in test_committed_pages.py."""

import dataclasses
import itertools
import json
import math
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
import study_rows

from training import accuracy
from training.pages.agreement import agreement
from training.pages.learning_curve import curve_words
from training.scores.methods import CROSSVAL, RULE
from training.scores.rows import RESULTS, CurvePoint, Row, as_frame
from training.scores.statistics import case_means

DICE = {"decision": 0.75, "trees": 0.7, "trees-on-networks": 0.6, "networks": 0.5, RULE: 0.25}


def row(case: int, method: str, **changes: float | str) -> Row:
    """Case 0 is empty, 1 to 3 have 0.5 % lesion, 4 and 5 more; predicted minus true is as many ml as the case's number."""
    load = (0.0, 0.005, 0.005, 0.005, 0.03, 0.2)[case]
    values = {"dice": DICE[method] + case / 100, "masd_mm": 2.0 + case, "lesion_load": load, "true_lesions": int(load > 0)}
    values |= {"predicted_ml": 10.0 * load + case, "true_ml": 10.0 * load, "predicted_lesions": 1}
    return study_rows.row(f"case{case}", method, **values | changes)


ROWS = [row(case, method) for method in CROSSVAL for case in range(6)]


def averaged(rows: Iterable[Row]) -> pd.DataFrame:
    """As the command hands them to its page."""
    return case_means(as_frame(rows, Row))


def test_bland_altman_by_hand() -> None:
    bias, low, high = agreement(as_frame([row(case, "decision") for case in (1, 2, 3)], Row))  # 1, 2 and 3, spread 1
    assert (bias.mean, low, high) == pytest.approx((2, 2 - 1.96, 2 + 1.96))


def test_paired_differences_name_the_winner() -> None:
    """A smaller distance is better."""
    nearer = [dataclasses.replace(r, masd_mm=r.masd_mm - 1) if r.method == "decision" else r for r in ROWS]
    text = accuracy.differences_table(averaged(nearer))
    assert "| rule Z < -2 | Dice | +0.500 [+0.500, +0.500] | 6 | 0 |" in text
    assert "| rule Z < -2 | MASD mm | -1.00 [-1.00, -1.00] | 6 | 0 |" in text


def test_the_empty_cases_that_stay_empty_are_counted() -> None:
    rows = [dataclasses.replace(r, predicted_lesions=0) if r.method == "decision" else r for r in ROWS]
    for some, words in ((ROWS, "All 1"), (rows, "0 of 1")):
        text = accuracy.readme_block(averaged(some), averaged(ROWS)).replace("\n", " ")
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


def test_the_learning_curve_averages_draws_within_the_case_first() -> None:
    """Dice is 0.4 + size / 100 + draw / 10 + case / 50: 0.61, 0.71 and 0.86 over two draws of cases 1 to 5."""
    keys = itertools.product((10, 20, 35), (0, 1), range(1, 6))
    points = [CurvePoint(f"case{n}", size, draw, 0.4 + size / 100 + draw / 10 + n / 50) for size, draw, n in keys]
    words = curve_words(as_frame(points, CurvePoint))
    assert "Mean Dice on 5 cases: 0.610 from 10, 0.710 from 20, 0.860 from 35 cases, over 2 draws." in words
    assert "35 cases change Dice instead of 10 by +0.250 [+0.250, +0.250], of 20 by +0.150 [+0.150, +0.150]." in words
    assert words.endswith("It still changes from 20 cases on, so more cases of this kind may help.")


def test_several_seeds_are_one_case() -> None:
    """The second seed scores 0.1 more, predicts 2 ml more, misses case 1; the unit of every number is the case."""
    second = [
        dataclasses.replace(r, seed=1, dice=r.dice + 0.1, predicted_ml=r.predicted_ml + 2)
        if r.case != "case1"
        else dataclasses.replace(r, seed=1, dice=r.dice + 0.1, masd_mm=math.nan, nan_reason="no prediction")
        for r in ROWS
    ]
    rows = averaged([*ROWS, *second])
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
    assert accuracy.seed_words(averaged(ROWS)) == "The networks are of one training seed."


def test_rows_that_are_missing_or_of_other_data_are_named(tmp_path: Path, refusal) -> None:
    results = shutil.copytree(RESULTS, tmp_path / "results")
    words = ["--results", results, "--docs", tmp_path / "docs", "--readme", tmp_path / "README.md"]
    makers = {"crossval": "crossval", "estimated": "zmap", "zmap": "zmap", "learning_curve": "learning_curve"}
    makers |= {"reader": "reader", "crossval-lesions": "crossval", "estimated-cases": "zmap"}
    for name, maker in makers.items():
        path = (results / f"{name}.csv").rename(tmp_path / "elsewhere")
        line = f"{results / name}.csv: no rows, made by python -m training.{maker}"
        assert refusal(accuracy.main, *words) == line
        path.rename(results / f"{name}.csv")
    configuration = json.loads((results / "estimated.json").read_text())
    configuration["data"]["MGHNICU_014-VISIT_01"] = "1f"
    (results / "estimated.json").write_text(json.dumps(configuration))
    assert "are of different data (MGHNICU_014-VISIT_01)" in refusal(accuracy.main, *words)
    assert not (tmp_path / "docs").exists()
