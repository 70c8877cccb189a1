"""Training commands whose folders are missing or cannot be written: one line and exit code 2, before any work."""

import importlib

import pytest

# what each command is given beside; {none} is not there, {file} is a file, {data} a folder
READS = {
    "cases": "--data {none} --out {data}/new",
    "crossval": "--data {none} --results {data}/new",
    "fit": "--data {none} --weights {data}/new",
    "ship": "--data {none} --weights {data}/new --runs {data} --losses dice",
    "learning_curve": "--data {none} --results {data}/new",
    "evaluate": "{none} {data} --out {data}/new",
    "export": "{none}",
    "splits": "--data {none} --out {data}/new",
    "study": "--data {none} --results {data}/new --runs {data}/new",
    "accuracy": "--results {none} --docs {data}/new",
    "tables": "--results {none} --docs {data}/new",
    "train": "--data {none} --run {data}/new --device cpu",
}
WRITES = {
    "cases": "--data {data} --out {file}",
    "crossval": "--data {data} --results {file}",
    "fit": "--data {data} --weights {file}",
    "ship": "--data {data} --weights {file} --runs {data} --losses dice",
    "learning_curve": "--data {data} --results {file}",
    "study": "--data {data} --results {file} --runs {data}/new",
    "train": "--data {data} --run {file} --device cpu",
}


PLACES = [*((command, words, "none") for command, words in READS.items())]
PLACES += [(command, words, "file") for command, words in WRITES.items()]
REASONS = {"none": "", "file": ": output cannot be written there (Not a directory"}


@pytest.mark.parametrize(("command", "words", "place"), PLACES)
def test_a_folder_that_is_not_there_or_cannot_be_written_is_one_line(tmp_path, refusal, command, words, place):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    places = {name: tmp_path / name for name in ("none", "file", "data")}
    line = refusal(importlib.import_module(f"training.{command}").main, *words.format(**places).split())
    assert line.startswith(f"{places[place]}{REASONS[place]}")
    assert list((tmp_path / "data").iterdir()) == []
