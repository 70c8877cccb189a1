"""A folder of cases that was run once, copied for each test."""

import shutil
from pathlib import Path

import pytest
from folder_helpers import write_maps
from inference_helpers import arguments

import process


@pytest.fixture(scope="session")
def one_run(tmp_path_factory: pytest.TempPathFactory, rule_weights: Path) -> Path:
    """good/ with the cases a and b, and what --cases --report wrote of them to output/."""
    root = tmp_path_factory.mktemp("run")
    for name in "ab":
        write_maps(root / "good" / name, ".mha")
    assert process.main([*arguments(root / "good", root / "output", rule_weights), "--cases", "--report"]) == 0
    return root


@pytest.fixture
def ran(one_run: Path, tmp_path: Path, output: Path) -> Path:
    """The folder of the cases, for `go`; what was written of them lies in `output`."""
    shutil.copytree(one_run / "output", output)
    table = output / "summary.csv"
    table.write_bytes(table.read_bytes().replace(bytes(one_run), bytes(tmp_path)))
    return shutil.copytree(one_run / "good", tmp_path / "good")
