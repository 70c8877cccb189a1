"""The rows of the learning curve: which cases trees and calibration saw, and what is written."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from inference_helpers import stump
from training_helpers import invented_case, write_packed

from model.lesions.decision import Calibration, most_dice
from model.lesions.trees import Trees
from training import learning_curve
from training.data import splits
from training.lesions.fit_trees import CandidateTable
from training.lesions.held_out import HeldOut
from training.scores.metrics import dice_of
from training.scores.rows import CurvePoint, read_records

CASES = {f"case{number}": invented_case(number) for number in range(11)}  # the last fold has three
CASES["case3"] = dataclasses.replace(CASES["case3"], label=CASES["case3"].label & False)
FOLD_OF = {name: min(int(name[4:]) // 2, 4) for name in CASES}
WITH_LESION = {name for name, case in CASES.items() if case.label.any()}


@pytest.fixture(autouse=True)
def folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [[name for name, fold in FOLD_OF.items() if fold == number] for number in range(5)]
    (tmp_path / "splits.json").write_text(json.dumps({"folds": names}))
    monkeypatch.setattr(splits, "SPLITS", tmp_path / "splits.json")


def test_a_draw_is_of_the_other_folds_and_holds_the_smaller_one() -> None:
    for fold in range(5):
        others = {name for name in CASES if FOLD_OF[name] != fold}
        for draw in range(3):
            few, some, most = (set(learning_curve.drawn(fold, draw, size)) for size in (3, 6, 99))
            assert few < some < most == others
            assert (len(few), len(some)) == (3, 6)
    assert len({tuple(learning_curve.drawn(0, draw, 3)) for draw in range(6)}) > 1


def test_trees_and_calibration_see_the_drawn_cases_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for a fit of trees answers log odds that tell the fit; nothing is fitted twice."""
    fits: list[frozenset[str]] = []
    calibrations: list[set[str]] = []

    def trees_of(some: Sequence[CandidateTable]) -> Trees:
        fits.append(frozenset(table.name for table in some))
        return stump("z", 0, *(1 / (1 + np.exp(-len(fits) / 100)),) * 2).trees

    def calibration_of(parts: Sequence[HeldOut], *, trees_alone: bool) -> Calibration:
        assert trees_alone
        calibrations.append({part.case.name for part in parts})
        for part in parts:  # by trees that did not see the case
            assert part.case.name not in fits[round(float(part.first_stage.max()) * 100) - 1]
        return Calibration(networks=0.0, first_stage=1.0)

    monkeypatch.setattr(learning_curve, "fit_trees", trees_of)
    monkeypatch.setattr(learning_curve, "fit_calibration", calibration_of)
    monkeypatch.setattr(learning_curve, "SIZES", (3, 99))
    monkeypatch.setattr(learning_curve, "DRAWS", 2)
    for case in CASES.values():
        write_packed(case, tmp_path)
    monkeypatch.setattr("sys.argv", ["command", f"--data={tmp_path}", f"--results={tmp_path / 'results'}"])
    learning_curve.main()
    expected = [set(learning_curve.drawn(fold, draw, size)) for size in (3, 99) for draw in range(2) for fold in range(5)]
    assert calibrations == expected
    assert len(fits) == len(set(fits)) == len({frozenset(names) for names in expected})
    points = read_records(tmp_path / "results" / "learning_curve.csv", CurvePoint)
    keys = {(point.case, point.size, point.draw) for point in points}
    assert keys == {(name, size, draw) for name in WITH_LESION for size in (3, 99) for draw in range(2)}
    configuration = json.loads((tmp_path / "results" / "learning_curve.json").read_text())
    assert configuration == {"data": {name: case.digest for name, case in CASES.items()}}
    for point in points:  # every candidate has the same probability: the best mask is all of them
        case = CASES[point.case]
        everything = most_dice(np.where((case.adc > 0) & (case.zadc < -0.53), 0.5, 0))
        assert point.dice == pytest.approx(dice_of(everything, case.label), rel=1e-5)
