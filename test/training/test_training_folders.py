"""Training commands whose folders are missing or cannot be written: one line and exit code 2, before any work."""

import importlib

import pytest

WRITE = {
    "cases": "--data {data} --out {out}",
    "crossval": "--data {data} --results {out}",
    "fit": "--data {data} --weights {out}",
    "ship": "--data {data} --weights {out} --runs {root} --losses dice",
    "learning_curve": "--data {data} --results {out}",
    "study": "--data {data} --results {out} --runs {root}/new",
    "train": "--data {data} --run {out} --device cpu",
}
READ = WRITE | {
    "evaluate": "{data} {root} --out {out}",
    "export": "{data}",
    "splits": "--data {data} --out {out}",
    "accuracy": "--results {data} --docs {out}",
    "tables": "--results {data} --docs {out}",
}


@pytest.mark.parametrize(("command", "there"), [*((name, False) for name in READ), *((name, True) for name in WRITE)])
def test_a_folder_that_is_not_there_or_cannot_be_written_is_one_line(tmp_path, refusal, command, there):
    root, file, none = tmp_path / "root", tmp_path / "file", tmp_path / "none"
    root.mkdir()
    file.touch()
    places = {"root": root, "data": root, "out": file} if there else {"root": root, "data": none, "out": root / "new"}
    line = refusal(importlib.import_module(f"training.{command}").main, *READ[command].format(**places).split())
    assert line.startswith(f"{file}: output cannot be written there (Not a directory" if there else str(none))
    assert list(root.iterdir()) == []
