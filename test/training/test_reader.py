"""The simulated reader on a row of voxels, where every mask can be written down."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from training_helpers import invented_case, write_study

from training import reader
from training.lesions.simulated_reader import Draft, moved, read
from training.scores.rows import READERS, ReaderRow, read_records

#          0    1    2    3    4    5    6    7    8    9   10   11   12   13   14
ODDS = [0.0, 0.3, 0.6, 0.8, 0.0, 0.7, 0.7, 0.0, 0.0, 0.2, 0.4, 0.3, 0.1, 0.0, 0.6]  # probabilities
LESION = [0, 0, 1, 1, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 3]  # of the draft, from 0.6 on
LABEL = [0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1]
CHANCES = (0.9, 0.5, 0.2)


def row(values: list) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1)


@pytest.fixture
def draft() -> Draft:
    return Draft(row(ODDS).astype(np.float32), row(LESION), np.array(CHANCES), row(LABEL).astype(bool))


def masks(draft: Draft, what: str, wrong: list[bool] | None = None) -> list[str]:
    """Each mask of a reading as the places of its voxels; wrong: the decisions, none where not given."""
    answers = iter(wrong or [])
    found = read(draft, what, lambda: next(answers, False), np.random.default_rng(0))
    return [" ".join(map(str, np.flatnonzero(mask))) for mask in found]


def test_false_lesions_go_the_least_likely_first(draft: Draft) -> None:
    """Lesion 3, of chance 0.2, is looked at first and is real; lesion 2 is not."""
    assert draft.order == [3, 2, 1]
    assert masks(draft, "strikes") == ["2 3 5 6 14", "2 3 5 6 14", "2 3 14", "2 3 14"]


def test_a_wrong_decision_is_the_other_one(draft: Draft) -> None:
    assert masks(draft, "strikes", [True, False, True]) == ["2 3 5 6 14", "2 3 5 6", "2 3", ""]
    assert masks(draft, "strikes", [False, True, False])[-1] == "2 3 5 6 14"


def test_a_click_adds_what_is_half_as_probable_as_the_peak(draft: Draft) -> None:
    """Of the missed lesion 9 to 11 with its peak of 0.4: from 0.2 on."""
    assert draft.missed == [10]
    assert masks(draft, "adds")[3:] == ["2 3 14", "2 3 9 10 11 14"]
    assert masks(draft, "adds", [False, False, False, True])[3:] == ["2 3 14"]


def test_a_size_moves_the_border_in_log_odds(draft: Draft) -> None:
    """By 0.35 a step: 0.6 becomes 0.514 with one, 0.209 with five; the lesion at 2 and 3 then takes 1, but not 5."""
    assert moved(0.6, 1) == pytest.approx(1 / (1 + np.exp(-(np.log(1.5) - 0.35))))
    assert draft.resized(1, 3).tolist() == [2, 3]
    assert draft.resized(1, 4).tolist() == [1, 2, 3]  # 0.27
    assert draft.resized(1, 10).tolist() == [1, 2, 3]
    assert draft.resized(1, -3).tolist() == [3]  # 0.81: never less than the most probable voxel
    assert draft.added(10, 3).tolist() == [9, 10, 11, 12]  # 0.08
    assert masks(draft, "resizes")[-1] == "1 2 3 9 10 11 14"


def test_a_place_without_probability_adds_nothing(draft: Draft) -> None:
    label = draft.label.copy()
    label[0, 0, 7:9] = True
    other = dataclasses.replace(draft, label=label)
    assert other.added(7, 0).size == 0
    assert masks(other, "adds")[-1] == "2 3 9 10 11 14"


def test_in_a_brain_without_lesion_all_goes(draft: Draft) -> None:
    empty = dataclasses.replace(draft, label=draft.label & False)
    assert [masks(empty, what)[-1] for what in READERS] == ["", "", ""]


def test_the_command_writes_a_row_for_each_stage(tmp_path: Path, few_trees, command) -> None:
    """Without errors the strikes leave what is at least a fifth real."""
    cases = {case.name: case for case in map(invented_case, range(4))}
    folds = [["case0", "case1"], ["case2", "case3"]]
    write_study(tmp_path, cases, folds)
    command(reader.main, "--data", tmp_path)
    rows = read_records(tmp_path / "results" / "reader.csv", ReaderRow)
    assert len(rows) == 4 * 2 * 3 * 3 * 7
    assert json.loads((tmp_path / "results" / "reader.json").read_text())["folds"] == folds
    by_key = {(r.case, r.z_map, r.reader, r.wrong, r.after): r for r in rows}
    for name in cases:
        first, last = (by_key[name, "given", "strikes", 0.0, after] for after in ("0", "all"))
        assert first.clicks == 0 < last.clicks
        assert last.dice >= first.dice
        for what in READERS:
            assert by_key[name, "given", what, 0.2, "0"].dice == first.dice
        assert by_key[name, "given", "resizes", 0.0, "all"].dice >= by_key[name, "given", "adds", 0.0, "all"].dice
