"""Fixtures of the tests of inference: small networks on disk, the platform's input tree, real cases where there are any."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import exit_code
from folder_helpers import GOOD, REASONS, write_maps
from inference_helpers import (
    ADC_FOLDER,
    ADC_SLUG,
    GRID,
    TINY,
    ZADC_FOLDER,
    ZADC_SLUG,
    arguments,
    random_network,
    save_ensemble,
    save_zmap,
    small_maps,
)
from phantom import write_image

import process
from model.command import STOPS
from model.images.volume import Grid
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from training.data.published import CaseFiles, published_cases
from training.learning.onnx_graph import export

ROOT = Path(__file__).resolve().parents[1]
REAL = ("MGHNICU_028", "MGHNICU_309", "MGHNICU_331")  # unequal in plane; origins differ; directions differ


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The volumes are too small to share out, and sums in one order are the same everywhere."""
    torch.set_num_threads(1)


def exported(folder: Path) -> Path:
    """The folder, with what the default engine on the CPU needs."""
    export(folder)
    return folder


@pytest.fixture(scope="session")
def rule_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one untrained network: its mask can be derived on paper."""
    return exported(save_ensemble(tmp_path_factory.mktemp("rule"), LesionNet(TINY)))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two networks whose convolutions have a say."""
    return exported(save_ensemble(tmp_path_factory.mktemp("random"), random_network(1), random_network(2)))


@pytest.fixture(scope="session")
def estimating_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rule network and, in zmap/, a tree that estimates Z, with trees alone to decide on its maps."""
    return exported(save_zmap(save_ensemble(tmp_path_factory.mktemp("estimating"), LesionNet(TINY))))


CaseTree = Callable[..., Path]


@pytest.fixture
def case_tree(tmp_path: Path) -> CaseTree:
    """Writes the platform's input tree; returns its root. Without arguments the small case, on an oblique grid."""

    def write(
        adc: np.ndarray | None = None,
        zadc: np.ndarray | None = None,
        grid: Grid = GRID,
        zadc_grid: Grid | None = None,
        name: str = "input",
        manifest: bool = True,
    ) -> Path:
        root = tmp_path / name
        for voxels, other, where, on in (
            (adc, small_maps()[0], ADC_FOLDER, grid),
            (zadc, small_maps()[1], ZADC_FOLDER, zadc_grid or grid),
        ):
            (root / where).mkdir(parents=True)
            write_image(other if voxels is None else voxels, on, root / where / "0f3c.mha")
        if manifest:
            sockets = {ZADC_SLUG: ZADC_FOLDER, ADC_SLUG: ADC_FOLDER}
            entries = [{"socket": {"slug": slug, "relative_path": where}} for slug, where in sockets.items()]
            (root / "inputs.json").write_text(json.dumps(entries))
        return root

    return write


@pytest.fixture
def main() -> Iterator[Callable[[list[str]], int]]:
    """process.main as a fresh process would call it; signals mean afterwards what they meant before."""
    before = {number: signal.getsignal(number) for number in STOPS}
    yield process.main
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def command(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Runs a command of training or evaluation, which has to succeed; returns what it prints."""

    def call(main: Callable[[], None], *words: object) -> str:
        assert exit_code(main, *words) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Runs a command that has to refuse; returns the one line that says why, without its `error: `."""

    def call(main: Callable[[], None], *words: object) -> str:
        assert exit_code(main, *words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return call


@pytest.fixture(scope="session")
def real_cases() -> list[CaseFiles]:
    """Three published cases, from the folder that BONBID_DATA names or from data/; with REAL_CASES=all all it holds."""
    place = Path(os.environ.get("BONBID_DATA", ROOT / "data" / "BONBID2023_Train"))
    if not place.is_dir() and "BONBID_DATA" not in os.environ:
        pytest.skip(f"no real cases: BONBID_DATA is not set, and {place} is not there")
    everything = os.environ.get("REAL_CASES") == "all"
    return [case for case in published_cases(place) if everything or case.name.startswith(REAL)]


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
