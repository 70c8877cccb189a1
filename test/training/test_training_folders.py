"""Training commands whose folders are missing or cannot be written: one line and exit code 2, before any work."""

import importlib
from pathlib import Path

import pytest

from training.common.cli import run

# what each command is given beside; {none} is not there, {file} is a file, {data} a folder
READS = {
    "cases": "--data {none} --out {data}/new",
    "crossval": "--data {none} --results {data}/new",
    "fit": "--data {none} --weights {data}/new",
    "ship": "--data {none} --weights {data}/new --runs {data} --losses dice",
    "learning_curve": "--data {none} --results {data}/new",
    "evaluate": "--data {none} --rule-only --out {data}/new",
    "export": "{none}",
    "resampling": "--data {none}",
    "splits": "--data {none} --out {data}/new",
    "study": "--data {none} --results {data}/new --runs {data}/new",
    "accuracy": "--results {none} --docs {data}/new",
    "tables": "--results {none} --docs {data}/new",
    "train": "--data {none} --run {data}/new --device cpu",
}
WRITES = {
    "accuracy": "--docs {file}",
    "tables": "--docs {file}",
    "cases": "--data {data} --out {file}",
    "crossval": "--data {data} --results {file}",
    "fit": "--data {data} --weights {file}",
    "ship": "--data {data} --weights {file} --runs {data} --losses dice",
    "learning_curve": "--data {data} --results {file}",
    "study": "--data {data} --results {file} --runs {data}/new",
    "train": "--data {data} --run {file} --device cpu",
}


def error_of(command: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> str:
    """The one line of a command that is given these words."""
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    places = {"none": tmp_path / "none", "file": tmp_path / "file", "data": tmp_path / "data"}
    monkeypatch.setattr("sys.argv", [command, *words.format(**places).split()])
    with pytest.raises(SystemExit) as end:
        run(importlib.import_module(f"training.{command}").main)
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert list((tmp_path / "data").iterdir()) == []
    return line


@pytest.mark.parametrize("command", READS)
def test_a_folder_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys, command):
    assert error_of(command, READS[command], tmp_path, monkeypatch, capsys).startswith(f"error: {tmp_path / 'none'}: ")


@pytest.mark.parametrize("command", WRITES)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, command):
    line = error_of(command, WRITES[command], tmp_path, monkeypatch, capsys)
    assert line.startswith(f"error: {tmp_path / 'file'}: output cannot be written there (Not a directory")
