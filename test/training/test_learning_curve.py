"""The rows of the learning curve: which cases trees and calibration saw, and what is written."""

import dataclasses
import json
from pathlib import Path

import pytest
from training_helpers import invented_case, write_study

from model.lesions.decision import most_dice
from training import learning_curve
from training.lesions import fit_trees, held_out
from training.scores.metrics import dice_of
from training.scores.rows import CurvePoint, read_records

CASES = {f"case{number}": invented_case(number) for number in range(11)}  # the last fold has three
CASES["case3"] = dataclasses.replace(CASES["case3"], label=CASES["case3"].label & False)
FOLD_OF = {name: min(int(name[4:]) // 2, 4) for name in CASES}
CASES = {name: dataclasses.replace(case, fold=FOLD_OF[name]) for name, case in CASES.items()}
FOLDS = [[name for name, fold in FOLD_OF.items() if fold == number] for number in range(5)]
WITH_LESION = {name for name, case in CASES.items() if case.label.any()}


pytestmark = pytest.mark.usefixtures("few_trees")


def test_a_draw_is_of_the_other_folds_and_holds_the_smaller_one() -> None:
    for fold in range(5):
        others = {name for name in CASES if FOLD_OF[name] != fold}
        for draw in range(3):
            few, some, most = (set(learning_curve.drawn(FOLDS, fold, draw, size)) for size in (3, 6, 99))
            assert few < some < most == others
            assert (len(few), len(some)) == (3, 6)
    assert len({tuple(learning_curve.drawn(FOLDS, 0, draw, 3)) for draw in range(6)}) > 1


TABLES = {name: fit_trees.candidate_table(case) for name, case in CASES.items()}


def expected(folds: dict[int, list[str]]) -> dict[str, float]:
    """Dice of every case that has a lesion, with trees and calibration of its fold that are fitted to these cases."""
    trees = {fold: fit_trees.fit_trees([TABLES[name] for name in names]) for fold, names in folds.items()}
    parts = {part.case.name: part for part in held_out.answers_of_trees(CASES, TABLES, trees)}
    dice = {}
    for name in WITH_LESION:
        calibration = held_out.fit_calibration([parts[other] for other in folds[FOLD_OF[name]]], trees_alone=True)
        (answer,) = held_out.calibrated([parts[name]], trees, {FOLD_OF[name]: calibration}).values()
        dice[name] = pytest.approx(dice_of(most_dice(answer), CASES[name].label), rel=1e-5)
    return dice


def test_trees_and_calibration_are_fitted_to_the_drawn_cases_alone_and_once() -> None:
    folds, fitted = {fold: learning_curve.drawn(FOLDS, fold, 0, 3) for fold in range(5)}, {}
    assert learning_curve.curve_points(CASES, TABLES, folds, fitted) == expected(folds)
    assert fitted.keys() == {tuple(names) for names in folds.values()}
    other = dict.fromkeys(fitted, fitted[tuple(folds[0])])
    assert learning_curve.curve_points(CASES, TABLES, folds, other) != expected(folds)


def test_the_command_writes_a_point_for_every_case_with_a_lesion(tmp_path: Path, command) -> None:
    """The folds leave eight or nine cases, fewer than ten: eight are drawn of each, and no other number."""
    write_study(tmp_path, CASES, FOLDS)
    command(learning_curve.main, "--data", tmp_path)
    points = read_records(tmp_path / "results" / "learning_curve.csv", CurvePoint)
    dice = expected({fold: learning_curve.drawn(FOLDS, fold, 1, 8) for fold in range(5)})
    assert {point.case: point.dice for point in points if point.draw == 1} == dice
    assert {(point.size, point.draw) for point in points} == {(8, draw) for draw in range(learning_curve.DRAWS)}
    configuration = json.loads((tmp_path / "results" / "learning_curve.json").read_text())
    assert configuration == {"folds": FOLDS, "data": {name: case.digest for name, case in CASES.items()}}
