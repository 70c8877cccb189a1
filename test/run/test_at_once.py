"""Several cases at a time: how many, in which order they are told, and what a stop leaves of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary, wait_for_stop, write_maps
from inference_helpers import GRID, files_below, rule, small_maps
from phantom import write_image

from model.images.formats.names import digest
from model.networks.predict import Predictor
from model.networks.windows import in_windows
from model.run import at_once, one_case
from model.run.at_once import AtOnce, Stopped, has_ended

WAIT_S = 60  # for another thread, at most
MAX_PARALLEL = 3  # at a time here, however many cores there are
NO_BRAIN = "no brain, expected voxels with ADC above 0"


def ask_network(answer=lambda batch: batch[:, :1]) -> dict:
    """What every case does between reading and writing."""
    return {"sum": float(in_windows(answer, np.ones((1, 2, 2, 4, 2), np.float32), (2, 4, 2), 0.5).sum())}


@pytest.fixture(autouse=True)
def several(monkeypatch):
    monkeypatch.setattr(at_once, "MAX_PARALLEL", MAX_PARALLEL)


def test_results_come_in_the_order_of_the_jobs():
    """The last one ends first, since each waits for the next."""
    ended = [threading.Event() for _ in range(MAX_PARALLEL)]

    def job(number: int) -> dict:
        assert number == MAX_PARALLEL - 1 or ended[number + 1].wait(WAIT_S)
        ended[number].set()
        return {"number": number}

    jobs = [None, *(lambda number=number: job(number) for number in range(MAX_PARALLEL)), None]
    with AtOnce(jobs) as running:
        assert (running.begun[0], running.begun[-1]) == (None, None)
        assert [begun.result()["number"] for begun in running.begun if begun] == list(range(MAX_PARALLEL))


def test_no_more_than_so_many_at_a_time():
    """As many as that meet, and there is never one more."""
    meet, inside, most = threading.Barrier(MAX_PARALLEL), [], []

    def job() -> dict:
        inside.append(1)
        most.append(len(inside))
        meet.wait(WAIT_S)
        inside.pop()
        return {}

    with AtOnce([job] * 4 * MAX_PARALLEL) as running:
        for begun in running.begun:
            begun.result()
    assert max(most) <= MAX_PARALLEL


@pytest.mark.parametrize(("allowed", "cores", "cases"), [("2", 8, 1), ("3", 8, 3), ("", 8, 3), ("8", 2, 1), ("8", 3, 3)])
def test_so_many_at_a_time_as_threads_are_allowed_and_cores_are_there(allowed, cores, cases):
    code = (
        f"import os; os.sched_getaffinity = lambda process: set(range({cores}))\n"
        "from model.run.at_once import MAX_PARALLEL; print(MAX_PARALLEL)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": allowed}
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == cases


def test_stopped_in_the_middle():
    """Of four cases one is done, one failed, one is written and one computed when a stop comes; others have not begun."""
    computed, written, stopped = threading.Event(), threading.Event(), threading.Event()
    begun_late = []

    def fails() -> dict:
        raise ZeroDivisionError

    def computes() -> dict:
        computed.set()
        assert stopped.wait(WAIT_S)
        return ask_network()

    def writes() -> dict:
        results = ask_network()
        written.set()
        assert stopped.wait(WAIT_S)
        return results

    def late() -> dict:
        begun_late.append(1)
        assert stopped.wait(WAIT_S)
        return ask_network()

    with AtOnce([dict, fails, computes, writes, *[late] * 9, None]) as running:
        assert computed.wait(WAIT_S)
        assert written.wait(WAIT_S)
        running._stop.set()  # as at the end of the block, which then waits
        stopped.set()
    assert [has_ended(job) for job in running.begun] == [True, True, False, True] + [False] * 10
    assert running.begun[3].result() == {"sum": 16.0}
    with pytest.raises(Stopped):
        running.begun[2].result()
    assert len(begun_late) <= 1  # in the third thread


def test_a_failed_case_holds_no_arrays():
    """Its error may be told much later, when the cases before it are done."""
    arrays = []

    def reads() -> None:
        array = np.zeros(3)
        arrays.append(weakref.ref(array))
        raise ValueError(array.shape)

    def job() -> dict:
        try:
            reads()
        except ValueError as error:
            raise RuntimeError("cannot be read") from error
        return {}

    with AtOnce([job]) as running, pytest.raises(RuntimeError, match="cannot be read"):
        running.begun[0].result()
    assert arrays[0]() is None
    assert has_ended(running.begun[0])


@pytest.fixture
def three(good):
    """Cases a, b and c."""
    write_maps(good / "c", ".mha")
    return good


@pytest.fixture
def when_first_is_computed(monkeypatch):
    """Lets something happen when case a is to be computed and all others are written."""

    def set_up(act, others: int = 2) -> None:
        written, thread = threading.Semaphore(0), []
        read, segment, write = one_case.read_found, Predictor.segment, one_case.write_case

        def reading(found, *args):
            if found.name == "a":
                thread.append(threading.current_thread())
            return read(found, *args)

        def computing(*args):
            if thread == [threading.current_thread()]:
                thread.clear()
                for _ in range(others):
                    assert written.acquire(timeout=WAIT_S)
                act()
            return segment(*args)

        def writing(*args):
            results = write(*args)
            written.release()
            return results

        for where, name, work in (
            (one_case, "read_found", reading),
            (Predictor, "segment", computing),
            (one_case, "write_case", writing),
        ):
            monkeypatch.setattr(where, name, work)

    return set_up


def test_folder_is_told_in_its_order_and_has_the_same_files_as_one_by_one(
    go, three, output, monkeypatch, when_first_is_computed
):
    when_first_is_computed(lambda: None)
    code, out, _ = go(three, "--report")
    assert code == 0
    assert [line[:8] for line in out.splitlines() if ": done:" in line] == ["a: done:", "b: done:", "c: done:"]
    assert list(summary(output)) == ["a", "b", "c"]
    before = {name: (output / name).read_bytes() for name in files_below(output) if name.endswith(".mha")}
    monkeypatch.undo()
    monkeypatch.setattr(at_once, "MAX_PARALLEL", 1)
    for name in "abc":
        shutil.rmtree(output / name)
    assert go(three, "--report")[0] == 0
    assert {name: (output / name).read_bytes() for name in files_below(output) if name.endswith(".mha")} == before


def test_each_case_gets_what_is_its_own(go, tmp_path, output, when_first_is_computed):
    """Four cases whose lesions differ in size. The first ends last, the second cannot be used."""
    masks = {}
    for number, name in enumerate("abcd"):
        adc, zadc = small_maps()
        zadc[1, 4 : 5 + number, 6] = -3
        masks[name] = rule(adc, zadc)
        for what, voxels in (("adc", adc * (name != "b")), ("zadc", zadc)):
            (tmp_path / "scans" / name).mkdir(parents=True, exist_ok=True)
            write_image(voxels, GRID, tmp_path / "scans" / name / f"{what}.mha")
    when_first_is_computed(lambda: None)
    code, out, error = go(tmp_path / "scans", "--report")
    assert (code, error) == (2, f"error: 1 of 4 cases failed: b: {tmp_path / 'scans' / 'b' / 'adc.mha'}: {NO_BRAIN}")
    rows = summary(output)
    assert [row["status"] for row in rows.values()] == ["done", "failed", "done", "done"]
    for name in "acd":
        results = json.loads((output / name / "results.json").read_text())
        volume_ml = round(np.count_nonzero(masks[name]) * GRID.voxel_mm3 / 1000, 4)
        assert results["lesion_volume_ml"] == float(rows[name]["lesion_volume_ml"]) == volume_ml
        assert f"{name}: done: {volume_ml} ml" in out
        assert results["inputs"]["adc"]["sha256"] == digest(tmp_path / "scans" / name / "adc.mha")
        mask = sitk.GetArrayFromImage(sitk.ReadImage(output / name / "lesions.mha"))
        np.testing.assert_array_equal(mask, masks[name])
        assert f"<h1>{name}</h1>" in (output / name / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_of_a_folder_keeps_what_is_done_and_leaves_nothing_half_written(
    go, three, output, when_first_is_computed, capfd, number
):
    def stop() -> None:
        os.kill(os.getpid(), number)
        wait_for_stop()

    when_first_is_computed(stop)
    with pytest.raises(SystemExit) as stopped:
        go(three)
    assert stopped.value.code == 128 + number
    out, err = capfd.readouterr()
    assert err.splitlines() == [f"error: stopped by {number.name}{' (Ctrl-C)' if number == signal.SIGINT else ''}"]
    assert [line[:8] for line in out.splitlines() if ": done:" in line] == ["b: done:", "c: done:"]
    rows = summary(output)
    assert {name: row["status"] for name, row in rows.items()} == {"a": "failed", "b": "done", "c": "done"}
    assert rows["a"]["reason"] == "the run was stopped before this case"
    assert files_below(output) == [
        *(f"{name}/{file}" for name in "bc" for file in ("lesions.mha", "results.json")),
        "summary.csv",
    ]


def test_libraries_named_in_the_results_do_not_depend_on_the_order(go, good, output, monkeypatch):
    """nibabel, which the last case alone needs, is named in all."""
    write_maps(good / "c", ".nii.gz")
    monkeypatch.delitem(sys.modules, "nibabel", raising=False)
    monkeypatch.setattr(at_once, "MAX_PARALLEL", 1)
    assert go(good)[0] == 0
    named = [json.loads((output / name / "results.json").read_text())["software"] for name in "abc"]
    assert all("nibabel" in software for software in named)
    assert named[0] == named[1] == named[2]
