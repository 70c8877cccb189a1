"""Fixtures of the tests of folders of cases."""

import shutil
from pathlib import Path

import pytest
from folder_helpers import GOOD, REASONS, write_maps
from inference_helpers import arguments

from model.networks.predict import Predictor


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Eight good cases of five formats and two bad ones."""
    for name, suffix in GOOD.items():
        write_maps(tmp_path / "scans" / name, suffix)
    broken, twice = (write_maps(tmp_path / "scans" / name, ".mha") for name in REASONS)
    (broken / "zadc.mha").write_bytes((broken / "zadc.mha").read_bytes()[:-20])
    shutil.copy(twice / "adc.mha", twice / "adc.nrrd")
    return tmp_path / "scans"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Two good cases."""
    for name in ("a", "b"):
        write_maps(tmp_path / "good" / name, ".mha")
    return tmp_path / "good"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def go(main, output, rule_weights, capfd):
    """Runs process.py --cases on a folder; returns exit code, stdout and the last line of stderr."""

    def run(folder: Path, *words: str) -> tuple[int, str, str]:
        main_words = arguments(folder, output, rule_weights)
        code = main([*main_words, "--cases", *words])
        out, err = capfd.readouterr()
        return code, out, (err.splitlines() or [""])[-1]

    return run


@pytest.fixture
def count(monkeypatch) -> list:
    """Grows by one for every case that is really segmented."""
    calls, segment = [], Predictor.segment
    monkeypatch.setattr(Predictor, "segment", lambda *args: calls.append(1) or segment(*args))
    return calls
