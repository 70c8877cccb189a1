"""process.py as the platform starts it: a process of its own, whose stderr and exit code are what the platform sees."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from http_helpers import ask
from inference_helpers import MASK, RESULTS, arguments, files_below, lesion_mask, voxels_of

ROOT = Path(__file__).resolve().parents[2]
PROCESS = ROOT / "process.py"
PATIENCE_S = 60
# what `process.py --serve` does, but beside any other server of this machine
ON_A_FREE_PORT = "import functools, process; process.serve = functools.partial(process.serve, port=0); process.main()"


def environment() -> dict[str, str]:
    """Without CUDA, whatever this machine has."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts Python with the words given, in another folder than the code's; nothing outlives the test."""
    started = []

    def start(*words: object) -> subprocess.Popen:
        words = [sys.executable, *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, cwd="/", env=environment(), **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def test_a_run_notes_that_there_is_no_cuda_and_writes_nothing_on_stderr(start, case_tree, tmp_path, rule_weights):
    code, out, err = finish(start(PROCESS, *arguments(case_tree(), tmp_path / "out", rule_weights, "auto")))
    assert (code, err) == (0, "")
    assert out.startswith("CUDA cannot be used")
    assert files_below(tmp_path / "out") == [MASK, RESULTS]


def test_stop_during_a_run_is_exit_code_143_without_a_mask(start, case_tree, tmp_path, rule_weights):
    weights = shutil.copytree(rule_weights, tmp_path / "weights")
    (weights / "net0.json").unlink()
    os.mkfifo(weights / "net0.json")  # reading it lasts until someone writes
    process = start(PROCESS, *arguments(case_tree(), tmp_path / "out", weights))
    with (weights / "net0.json").open("wb"):  # opens when the process has come to read it
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
    assert code == 143
    assert err.splitlines()[-1] == "error: stopped by SIGTERM"
    assert files_below(tmp_path / "out") == []


def first_line(process: subprocess.Popen) -> str:
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    return lines.get(timeout=PATIENCE_S)


def test_server_answers_once_the_weights_are_loaded_and_stops_on_demand(start, case_tree, tmp_path, rule_weights):
    process = start("-c", ON_A_FREE_PORT, *arguments(case_tree(), tmp_path / "out", rule_weights), "--serve")
    assert first_line(process).startswith("weights: ")
    line = first_line(process)
    assert line.startswith("ready on port ")
    assert ask(int(line.split()[-1]), "POST", "/invoke")[0] == 201
    np.testing.assert_array_equal(voxels_of(tmp_path / "out" / MASK), lesion_mask())
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, err) == (143, "error: stopped by SIGTERM\n")
