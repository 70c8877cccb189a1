"""The words and numbers of docs/accuracy.md on how sure the masks are, from invented rows."""

import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.pages import certainty
from training.scores.rows import CASE, SHAM, TWIN, MarkedCase, MarkedLesion, write_records


def case(number: int, dice: float, chance: float, kind: str = CASE) -> MarkedCase:
    """plug_in runs against the Dice in one of five, expected_dice is 0.1 too high."""
    true_ml = 0.0 if kind == TWIN else 2.0
    return MarkedCase(f"case{number}", kind, number % 5, true_ml, 1.5, 3, dice, dice, dice + 0.1, chance)


@pytest.fixture
def results(tmp_path):
    lesions = [
        MarkedLesion(f"case{n}", n % 5, k, 0.1, share, chance)
        for n in range(6)
        for k, (share, chance) in enumerate([(0.2, 0.9), (0.19, 0.3), (0.0, 0.9)][: 1 + n % 3], 1)
    ]
    cases = [case(n, 0.1 * n, 0.5 + 0.05 * n) for n in range(6)]
    for name in ("crossval", "estimated"):
        write_records(lesions, tmp_path / f"{name}-lesions.csv", MarkedLesion)
        twins = [case(n, 0.0, 0.25 + 0.1 * n, TWIN) for n in range(5)] if name == "crossval" else []
        shams = [dataclasses.replace(one, kind=SHAM) for one in cases[:5]] if twins else []
        write_records([*cases, *twins, *shams], tmp_path / f"{name}-cases.csv", MarkedCase)
    return tmp_path


def cells(table: str, line: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[2 + line].strip("|").split("|")]


def test_lesions_on_paper(results):
    """Cases have 1, 2, 3, 1, 2, 3 lesions: six real at 0.9, four false at 0.3 and two false at 0.9.

    A real one is ahead of four false ones of six, and level with two: AUC (4 + 1) / 6. Brier over all lesions
    (6 * 0.01 + 4 * 0.09 + 2 * 0.81) / 12 = 0.17.
    """
    found = cells(certainty.real_table(certainty.read(results)), 0)
    assert found[:3] == ["given Z map", "12", "50 %"]
    assert found[3].startswith("0.83 [")
    assert found[4:] == ["0.17", "0.25"]


def test_masks_that_would_be_left_empty_are_counted(results):
    """Chances of cases are 0.5 to 0.75, those of twins 0.25, 0.35, 0.45, 0.55 and 0.65; the level itself is kept."""
    table = certainty.levels_table(certainty.read(results)["crossval"].with_others)
    assert cells(table, -2) == ["`--empty-below`", "of 6 with a lesion", "of 5 twins", "of 0 without a lesion"]
    assert [cells(table, line)[1:] for line in range(4)] == [["0", n, "0"] for n in ("0", "1", "2", "3")]


def test_what_is_told_of_shams_is_whether_they_were_touched(results):
    """Shams look exactly like their cases."""
    words = certainty.chance_words(certainty.read(results)["crossval"].with_others)
    assert "between 6 cases with a lesion and 5 brains without" in words
    assert "untouched cases with an AUC of 0.50 [" in words


def test_the_area_under_the_curve_is_scikit_learns():
    values, truth = np.array([0.1, 0.4, 0.4, 0.8, 0.3]), np.array([False, True, False, True, True])
    assert certainty.auc(values, truth) == pytest.approx(roc_auc_score(truth, values))
    assert math.isnan(certainty.auc(values, truth | True))
