"""The study's results file: what goes in comes out, and whatever goes wrong leaves it as it was."""

import csv
import dataclasses
import json
import multiprocessing
from pathlib import Path

import pandas as pd
import pytest
from study_rows import NAN, row

from model.errors import UserError
from training.scores.methods import RULE
from training.scores.rows import Epoch, Row, add_results, curves_path, read_records, write_records

CONFIGURATION = {
    "data": {"case0": "0f", "case1": "1f"},
    "training": {"protocol": "native", "epochs": 30},
    "model": {"channels": [4, 6]},
}
MISSED = row("case0", nan_reason="no prediction", masd_mm=NAN, lesion_precision=NAN, true_ml=1.25, slice_mm=4.0, epochs=30)
MISSED = dataclasses.replace(MISSED, grid_dice=NAN, grid_masd_mm=NAN, grid_nsd=NAN, machine="a CPU, 2 threads")
FOUND = dataclasses.replace(MISSED, case="case1", dice=0.75, masd_mm=1.5, nan_reason="", machine='an "odd", name\n')


def rows(**changes: object) -> list[Row]:
    return [dataclasses.replace(one, **changes) for one in (MISSED, FOUND)]


def epochs(count: int = 2, **changes: object) -> list[Epoch]:
    return [dataclasses.replace(Epoch("dice", 0, 0, n + 1, 0.5, NAN, NAN), **changes) for n in range(count)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A results file that holds one run."""
    path = tmp_path / "results" / "native.csv"
    add_results(rows(), epochs(), CONFIGURATION, path)
    return path


def test_round_trip(path: Path) -> None:
    assert str(read_records(path, Row)) == str(rows())  # as text, where nan equals nan
    assert str(read_records(curves_path(path), Epoch)) == str(epochs())
    assert json.loads(path.with_suffix(".json").read_text()) == CONFIGURATION


def test_floats_have_six_digits(path: Path) -> None:
    write_records(rows(dice=1 / 3, true_ml=1234567.0), path, Row)
    assert {(row.dice, row.true_ml) for row in read_records(path, Row)} == {(0.333333, 1.23457e6)}


def test_bytes_do_not_depend_on_the_order(path: Path, tmp_path: Path) -> None:
    add_results(rows(method="tversky"), epochs(method="tversky"), CONFIGURATION, path)
    add_results(rows(method=RULE, seed=-1), [], CONFIGURATION, path)
    other = tmp_path / "other" / "native.csv"
    add_results(rows(method=RULE, seed=-1)[::-1], [], CONFIGURATION, other)
    add_results(rows(method="tversky"), epochs(method="tversky")[::-1], CONFIGURATION, other)
    add_results(rows()[::-1], epochs(), CONFIGURATION, other)
    assert files(other.parent) == files(path.parent)


# --- damaged files ---


def rewrite(path: Path, line: int, column: int, text: str) -> None:
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    table[line - 1][column] = text
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)


@pytest.mark.parametrize(
    ("line", "column", "text", "reason"),
    [
        (1, 4, "DICE", "expected the columns case, method, fold, seed, dice,"),
        (2, 2, "1.5", "line 2: .*'1.5'"),
        (2, 4, "", "line 2: .*''"),
        (2, 4, "high", "line 2: .*'high'"),
    ],
)
def test_a_bad_value_is_named_with_its_line(path: Path, line: int, column: int, text: str, reason: str) -> None:
    rewrite(path, line, column, text)
    with pytest.raises(UserError, match=rf"native\.csv: {reason}"):
        read_records(path, Row)


@pytest.mark.parametrize("cut", [lambda line: line.rpartition(",")[0], lambda line: line + ",more"])
def test_a_line_of_another_length_is_refused(path: Path, cut) -> None:
    write_records(rows(machine="cpu"), path, Row)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], cut(lines[-1])]))
    with pytest.raises(UserError, match=r"native\.csv: line 3: expected 24 values"):
        read_records(path, Row)


# --- what is not added ---


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"training": {"protocol": "native", "epochs": 40}}, r"another configuration \(training\.epochs: 40 and 30\)"),
        ({"data": {"case0": "0f", "case1": "2f"}}, r"another configuration \(other data: case1\)"),
        ({"data": {"case0": "0f"}}, r"another configuration \(other data: case1\)"),
        ({"data": None}, r"another configuration \(other data: which data they were is not told\)"),
    ],
)
def test_another_configuration_is_refused_by_what_differs(path: Path, known: dict, reason: str) -> None:
    path.with_suffix(".json").write_text(json.dumps(CONFIGURATION | known))
    before = files(path.parent)
    with pytest.raises(UserError, match=reason):
        add_results(rows(seed=1), epochs(seed=1), CONFIGURATION, path)
    assert files(path.parent) == before


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ("", "not JSON"), ("[]", "expected a JSON object")])
def test_a_damaged_configuration_is_named(path: Path, text: str, reason: str) -> None:
    path.with_suffix(".json").write_text(text)
    with pytest.raises(UserError, match=rf"native\.json: {reason}"):
        add_results(rows(seed=1), epochs(seed=1), CONFIGURATION, path)


def test_rows_without_their_configuration_are_refused(path: Path) -> None:
    path.with_suffix(".json").unlink()
    before = files(path.parent)
    with pytest.raises(UserError, match=r"native\.json is missing"):
        add_results(rows(seed=1), epochs(seed=1), CONFIGURATION, path)
    assert files(path.parent) == before


def test_the_same_run_is_not_added_twice_and_tuples_are_lists(path: Path) -> None:
    before, same = files(path.parent), CONFIGURATION | {"model": {"channels": (4, 6)}}
    with pytest.raises(UserError, match=r"native\.csv: holds \('dice', 0, 0\) already; nothing was added"):
        add_results([*rows(seed=1), *rows()], epochs(seed=1), same, path)
    assert files(path.parent) == before


# --- kills, and others that write ---


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("whole", [0, 1])  # files written before the kill in the middle of the next: curves first, then rows
def test_a_kill_while_writing_keeps_the_rows(path: Path, monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    before, to_csv, written = files(path.parent), pd.DataFrame.to_csv, []

    def killing(frame: pd.DataFrame, *place: object, **options: object) -> None:
        last = len(written) == whole
        to_csv(frame[: len(frame) // 2] if last else frame, *place, **options)
        written.append(frame)
        if last:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_csv", killing)
        with pytest.raises(Killed):
            add_results(rows(seed=1), epochs(seed=1), CONFIGURATION, path)
    assert files(path.parent).keys() == before.keys()  # no half-written file is left
    assert path.read_bytes() == before["native.csv"]
    add_results(rows(seed=1), epochs(seed=1), CONFIGURATION, path)  # curves without rows do not stand in the way
    assert len(read_records(path, Row)) == len(read_records(curves_path(path), Epoch)) == 4


def add_seeds(path: Path, start: int) -> None:
    for seed in range(start, start + 5):
        add_results(rows(seed=seed), epochs(seed=seed), CONFIGURATION, path)


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results" / "native.csv"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=add_seeds, args=(path, start)) for start in (0, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    found = [(row.seed, row.case) for row in read_records(path, Row)]
    assert found == [(seed, case) for seed in range(10) for case in ("case0", "case1")]
    assert len(read_records(curves_path(path), Epoch)) == 20
