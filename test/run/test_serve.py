"""The invoke mode: answers to every request, one case at a time, and a server that outlives its cases."""

import contextlib
import functools
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import ADC_FOLDER, MASK, RESULTS, files_below, random_maps, rule, small_maps

from model.run import serve
from model.run.one_case import segment
from model.run.serve import make_server
from process import load_predictor

PATIENCE_S = 20


@contextlib.contextmanager
def serving(job: Callable[[], dict]) -> Iterator[Callable[..., tuple[int, str]]]:
    """A running server on a free port; yields a function that sends it a request: (method, path) -> (status, text)."""
    server = make_server(job, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield functools.partial(ask, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"http://localhost:{port}{path}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


@pytest.fixture
def real_job(tmp_path, rule_weights):
    """Segments what lies in input/ into output/, as process.py sets it up."""
    predictor = functools.partial(load_predictor, "cpu", rule_weights)
    return functools.partial(segment, tmp_path / "input", tmp_path / "output", predictor)


def mask_in(output: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK)))


def test_port_is_the_platforms():
    assert serve.PORT == 4743


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/health", 200), ("GET", "/", 404), ("GET", "/invoke", 404), ("GET", "/healthy", 404)),
        *(("POST", "/health", 404), ("POST", "/", 404), ("PUT", "/invoke", 501), ("DELETE", "/", 501)),
    ],
)
def test_only_two_requests_are_known(method, path, status):
    with serving(lambda: pytest.fail("no case was asked for")) as send:
        assert send(method, path)[0] == status


@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 100_000])
def test_invoke_writes_the_mask(case_tree, tmp_path, real_job, capfd, body):
    case_tree()
    with serving(real_job) as send:
        assert send("POST", "/invoke", body) == (201, "lesion volume 0.009 ml\n")
    np.testing.assert_array_equal(mask_in(tmp_path / "output"), rule(*small_maps()))
    assert files_below(tmp_path / "output") == [MASK, RESULTS]
    assert capfd.readouterr().err == ""


def test_bad_case_says_why_and_the_next_one_is_served(case_tree, tmp_path, real_job, capfd):
    adc = case_tree() / ADC_FOLDER / "0f3c.mha"
    with serving(real_job) as send:
        assert send("POST", "/invoke")[0] == 201
        whole = adc.read_bytes()
        adc.write_bytes(whole[:-100])
        status, text = send("POST", "/invoke")
        assert status == 422
        assert text.startswith(f"{adc}: ")
        assert files_below(tmp_path / "output") == []
        assert capfd.readouterr().err.splitlines()[-1] == f"error: {text.strip()}"
        adc.write_bytes(whole)
        assert send("POST", "/invoke")[0] == 201
        assert files_below(tmp_path / "output") == [MASK, RESULTS]


def test_mistake_of_ours_is_500_and_the_server_lives(capfd):
    results = iter([ZeroDivisionError("oh no"), {"lesion_volume_ml": 1.5}])

    def job() -> dict:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    with serving(job) as send:
        assert send("POST", "/invoke") == (500, "ZeroDivisionError: oh no\n")
        assert capfd.readouterr().err.splitlines()[-1] == "error: ZeroDivisionError: oh no"
        assert send("POST", "/invoke") == (201, "lesion volume 1.5 ml\n")


def test_cases_are_served_one_after_the_other_and_health_meanwhile():
    started, go_on = threading.Semaphore(0), threading.Event()
    inside, most = [], []

    def job() -> dict:
        inside.append(1)
        most.append(len(inside))
        started.release()
        assert go_on.wait(PATIENCE_S)
        inside.pop()
        return {"lesion_volume_ml": 0}

    with serving(job) as send, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(send, "POST", "/invoke") for _ in range(3)]
        assert started.acquire(timeout=PATIENCE_S)
        assert send("GET", "/health") == (200, "ok\n")
        assert not started.acquire(timeout=0.3)  # the others wait
        go_on.set()
        assert [answer.result(PATIENCE_S)[0] for answer in answers] == [201] * 3
    assert most == [1, 1, 1]


def test_input_folder_that_is_replaced_in_between_is_read_anew(case_tree, tmp_path, real_job):
    case_tree(name="first"), case_tree(*random_maps(), name="second")
    link = tmp_path / "input"
    with serving(real_job) as send:
        for name, maps in (("first", small_maps()), ("second", random_maps()), ("first", small_maps())):
            link.unlink(missing_ok=True)
            link.symlink_to(tmp_path / name)
            assert send("POST", "/invoke")[0] == 201
            np.testing.assert_array_equal(mask_in(tmp_path / "output"), rule(*maps))


def test_output_folder_that_is_emptied_in_between_is_made_anew(case_tree, tmp_path, real_job):
    case_tree()
    with serving(real_job) as send:
        for _ in range(2):
            assert send("POST", "/invoke")[0] == 201
            for name in (MASK, RESULTS):
                (tmp_path / "output" / name).unlink()
            (tmp_path / "output" / MASK).parent.rmdir()
