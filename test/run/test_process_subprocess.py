"""process.py as the platform starts it: a process of its own, whose stderr and exit code are what the platform sees."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from http_helpers import ask
from inference_helpers import (
    ADC_FOLDER,
    MASK,
    RESULTS,
    arguments,
    files_below,
    random_maps,
    random_network,
    rule,
    save_ensemble,
    small_maps,
)

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


def test_two_runs_write_the_same_bytes_and_nothing_on_stderr(start, case_tree, tmp_path, random_weights):
    case = case_tree(*random_maps())
    for device, note in (("auto", "CUDA cannot be used"), ("cpu", "weights: ")):
        words = arguments(case, tmp_path / device, random_weights, device)
        code, out, err = finish(start(PROCESS, *words))
        assert (code, err) == (0, "")
        assert out.startswith(note)
        assert files_below(tmp_path / device) == [MASK, RESULTS]
    assert (tmp_path / "auto" / MASK).read_bytes() == (tmp_path / "cpu" / MASK).read_bytes()


def test_damaged_file_ends_with_exit_code_2_and_its_name(start, case_tree, tmp_path, random_weights):
    adc = case_tree() / ADC_FOLDER / "0f3c.mha"
    adc.write_bytes(adc.read_bytes()[:-100])
    code, out, err = finish(start(PROCESS, *arguments(tmp_path / "input", tmp_path / "out", random_weights)))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: {adc}: ")
    assert files_below(tmp_path / "out") == []


def test_stop_during_a_run_is_exit_code_143_without_a_mask(start, case_tree, tmp_path):
    weights = save_ensemble(tmp_path / "weights", random_network(1))
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


def test_server_serves_what_the_input_folder_holds_and_stops_on_demand(start, case_tree, tmp_path, rule_weights):
    """As the platform does, /input is a link that is replaced between the cases."""
    cases = {"first": small_maps(), "second": random_maps()}
    for name, maps in cases.items():
        case_tree(*maps, name=name)
    (tmp_path / "input").symlink_to(tmp_path / "first")
    words = arguments(tmp_path / "input", tmp_path / "out", rule_weights)
    process = start("-c", ON_A_FREE_PORT, *words, "--serve")
    try:
        assert first_line(process).startswith("weights: ")
        line = first_line(process)
        assert line.startswith("ready on port ")
        port = int(line.split()[-1])
        assert ask(port, "GET", "/health")[0] == 200
        for name, maps in cases.items():
            (tmp_path / "input").unlink()
            (tmp_path / "input").symlink_to(tmp_path / name)
            assert ask(port, "POST", "/invoke")[0] == 201
            mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / MASK)))
            np.testing.assert_array_equal(mask, rule(*maps))
        client = socket.create_connection(("localhost", port))  # which stays, and says no more than this
        client.sendall(b"POST /invoke HT")
        assert ask(port, "GET", "/health")[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        code, _, err = finish(process)
    assert time.monotonic() - started < 5
    client.close()
    assert code == 143
    assert err == "error: stopped by SIGTERM\n"
