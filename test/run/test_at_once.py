"""Several cases at a time: how many, in which order they are told, and what a stop leaves of them."""

import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary, wait_for_stop, write_maps
from inference_helpers import GRID, files_below, results_of, rule, small_maps
from phantom import write_image

from model.command import exit_code
from model.images.formats.names import digest
from model.networks.windows import in_windows
from model.run.at_once import AtOnce, Stopped, cases_at_once, has_ended
from model.run.folder import FolderOptions, segment_folder
from model.segmenter import Segmenter

WAIT_S = 60  # for another thread, at most
SEVERAL = 3  # at a time here, however many cores there are
NO_BRAIN = "no brain, expected voxels with ADC above 0"


def ask_network(answer=lambda batch: batch[:, :1]) -> dict:
    """What every case does between reading and writing."""
    return {"sum": float(in_windows(answer, np.ones((1, 2, 2, 4, 2), np.float32), (2, 4, 2), 0.5).sum())}


@pytest.mark.parametrize(("threads", "cores", "cases"), [(1, 8, 1), (2, 8, 2), (8, 2, 2), (4, 5, 3)])
def test_so_many_at_a_time_as_threads_are_allowed_and_cores_are_there(threads, cores, cases):
    assert cases_at_once(threads, cores) == cases


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

    with AtOnce([dict, fails, computes, writes, *[late] * 9, None], SEVERAL) as running:
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

    with AtOnce([job], 1) as running, pytest.raises(RuntimeError, match="cannot be read"):
        running.begun[0].result()
    assert arrays[0]() is None
    assert has_ended(running.begun[0])


@pytest.fixture
def segment(rule_weights, output):
    """Segments a folder, several cases at a time; case a ends last, after something happened when it is to be computed."""

    class LastFirst(Segmenter):
        def segment_case(self, case, empty_below=0.0):
            if case.adc.path.parent.name == "a":
                for name in self.others:
                    while not (output / name / "results.json").exists():
                        assert time.monotonic() < self.end
                        time.sleep(0.005)
                self.act()
            return super().segment_case(case, empty_below)

    def run(folder: Path, others: str, act: Callable[[], None] = lambda: None) -> None:
        segmenter = LastFirst(rule_weights, "cpu", at_once=SEVERAL)
        segmenter.others, segmenter.act, segmenter.end = others, act, time.monotonic() + WAIT_S
        segment_folder(folder, output, segmenter, FolderOptions(report=True))

    return run


def test_each_case_gets_what_is_its_own_in_the_order_of_the_folder(segment, tmp_path, output, capfd):
    """Four cases whose lesions differ in size. The first ends last, the second cannot be used."""
    masks = {}
    for number, name in enumerate("abcd"):
        adc, zadc = small_maps()
        adc[adc > 0] += number
        zadc[1, 4 : 5 + number, 6] = -3
        masks[name] = rule(adc, zadc)
        for what, voxels in (("adc", adc * (name != "b")), ("zadc", zadc)):
            (tmp_path / "scans" / name).mkdir(parents=True, exist_ok=True)
            write_image(voxels, GRID, tmp_path / "scans" / name / f"{what}.mha")
    segment(tmp_path / "scans", "cd")
    out, rows = capfd.readouterr().out, summary(output)
    assert [line[:2] for line in out.splitlines() if ": done:" in line or ": failed:" in line] == ["a:", "b:", "c:", "d:"]
    assert [row["status"] for row in rows.values()] == ["done", "failed", "done", "done"]
    assert rows["b"]["reason"] == f"{tmp_path / 'scans' / 'b' / 'adc.mha'}: {NO_BRAIN}"
    for name in "acd":
        results = results_of(output / name)
        volume_ml = round(np.count_nonzero(masks[name]) * GRID.voxel_mm3 / 1000, 4)
        assert results["lesion_volume_ml"] == float(rows[name]["lesion_volume_ml"]) == volume_ml
        assert f"{name}: done: {volume_ml} ml" in out
        assert results["inputs"]["adc"]["sha256"] == digest(tmp_path / "scans" / name / "adc.mha")
        mask = sitk.GetArrayFromImage(sitk.ReadImage(output / name / "lesions.mha"))
        np.testing.assert_array_equal(mask, masks[name])
        assert f"<h1>{name}</h1>" in (output / name / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_of_a_folder_keeps_what_is_done_and_leaves_nothing_half_written(segment, good, output, capfd, number):
    def stop() -> None:
        os.kill(os.getpid(), number)
        wait_for_stop()

    write_maps(good / "c", ".mha")
    with pytest.raises(SystemExit) as stopped:
        exit_code(lambda: segment(good, "bc", stop))
    assert stopped.value.code == 128 + number
    out, err = capfd.readouterr()
    assert err.splitlines() == [f"error: stopped by {number.name}{' (Ctrl-C)' if number == signal.SIGINT else ''}"]
    assert [line[:8] for line in out.splitlines() if ": done:" in line] == ["b: done:", "c: done:"]
    rows = summary(output)
    assert {name: row["status"] for name, row in rows.items()} == {"a": "failed", "b": "done", "c": "done"}
    assert rows["a"]["reason"] == "the run was stopped before this case"
    of_cases = [f"{name}/{file}" for name in "bc" for file in ("lesions.mha", "report.html", "results.json")]
    assert files_below(output) == [*of_cases, "index.html", "summary.csv"]


def test_libraries_named_in_the_results_do_not_depend_on_the_order(go, good, output, monkeypatch):
    """nibabel, which the last case alone needs, is named in all."""
    write_maps(good / "c", ".nii.gz")
    monkeypatch.delitem(sys.modules, "nibabel", raising=False)
    assert go(good)[0] == 0
    named = [results_of(output / name)["software"] for name in "abc"]
    assert all("nibabel" in software for software in named)
    assert named[0] == named[1] == named[2]
