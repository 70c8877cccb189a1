"""The invoke mode: answers to every request, one case at a time, and a server that outlives its cases."""

import contextlib
import functools
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from http_helpers import PATIENCE_S, ask
from inference_helpers import ADC_FOLDER, MASK, RESULTS, arguments, files_below, random_maps, rule, small_maps

from model.run.one_case import segment
from model.segmenter import Segmenter
from model.services import serve
from model.services.serve import make_server


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


def connected(send: functools.partial) -> socket.socket:
    return socket.create_connection(("localhost", send.args[0]), timeout=PATIENCE_S)


def raw(send: functools.partial, *parts: bytes) -> bytes:
    """The answer to a request of these bytes, to its end."""
    with connected(send) as client:
        for part in parts:
            client.sendall(part)
        with client.makefile("rb") as answer:
            return answer.read()


@pytest.fixture
def real_job(tmp_path, rule_weights):
    """Segments what lies in input/ into output/, as process.py sets it up."""
    return functools.partial(segment, tmp_path / "input", tmp_path / "output", Segmenter(rule_weights, "cpu"))


def mask_in(output: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK)))


def test_port_is_the_platforms():
    assert serve.PORT == 4743


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/health", 200), ("GET", "/", 404), ("GET", "/invoke", 405), ("GET", "/healthy", 404)),
        *(("HEAD", "/health", 200), ("HEAD", "/invoke", 405), ("HEAD", "/", 404), ("GET", "/health?from=me", 200)),
        *(("POST", "/health", 405), ("POST", "/", 404), ("PUT", "/invoke", 405), ("PUT", "/health", 405)),
        *(("DELETE", "/", 404), ("OPTIONS", "/invoke", 405), ("BREW", "/health", 501)),
    ],
)
def test_only_two_requests_are_known(method, path, status):
    with serving(lambda: pytest.fail("no case was asked for")) as send:
        assert send(method, path)[0] == status


def test_what_a_path_has_is_said():
    """RFC 9110, 15.5.6: an answer 405 must name in Allow the methods that the path has; 9.3.2: one to HEAD has no body."""
    with serving(lambda: pytest.fail("no case was asked for")) as send:
        for request, allowed in ((b"PUT /health", b"GET, HEAD"), (b"GET /invoke", b"POST")):
            answer = raw(send, request + b" HTTP/1.0\r\n\r\n")
            assert answer.startswith(b"HTTP/1.0 405 ")
            assert b"\r\nAllow: " + allowed + b"\r\n" in answer
        head, _, body = raw(send, b"HEAD /health HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 ")
        assert (b"\r\nContent-Length: 3" in head, body) == (True, b"")


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
        assert send("POST", "/invoke") == (500, "unexpected ZeroDivisionError: oh no\n")
        assert capfd.readouterr().err.splitlines()[-1] == "error: unexpected ZeroDivisionError: oh no"
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


# --- clients ---

DONE = {"lesion_volume_ml": 2}
CHUNKED = b"POST /invoke HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_body_of_200_mb_is_read_without_memory():
    """The most that Python holds meanwhile is less than a hundredth of it."""
    part, parts = bytes(1 << 20), 200
    with serving(lambda: DONE) as send:
        tracemalloc.start()
        answer = raw(send, b"POST /invoke HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (len(part) * parts), *[part] * parts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.0 201 ")
    assert answer.endswith(b"lesion volume 2 ml\n")
    assert most < len(part) * parts / 100


def test_a_body_in_chunks_is_read_to_its_end():
    with serving(lambda: DONE) as send:
        assert raw(send, CHUNKED, b"5;x=y\r\nabcde\r\n10\r\n", b"0" * 16 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.0 201 ")
        assert raw(send, CHUNKED, b"0\r\nTrailer: x\r\n\r\n").startswith(b"HTTP/1.0 201 ")


LENGTH = b"POST /invoke HTTP/1.1\r\nContent-Length: "


@pytest.mark.parametrize(
    "request_bytes",
    [
        *(LENGTH + size + b"\r\n\r\n" for size in (b"-1", b"+1", b"1_0", b"abc", b"")),
        LENGTH + b"9\r\n\r\nabcd",  # and no more comes
        *(CHUNKED + chunks for chunks in (b"no number\r\n", b"-5\r\n", b"\r\n", b"5\r\nabc", b"5\r\nabcdefg\r\n0\r\n\r\n")),
        CHUNKED + b"0\r\n",
    ],
)
def test_a_body_that_is_not_whole_is_400_and_nothing_is_computed(request_bytes):
    calls = []
    with serving(lambda: calls.append(1) or DONE) as send:
        with connected(send) as client:
            client.sendall(request_bytes)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.0 400 ")
        assert not calls
        assert send("POST", "/invoke")[0] == 201


@pytest.mark.parametrize("line", [b"GET /health\r\n", b"POST /invoke\r\n"])
def test_a_request_without_a_version_is_answered_at_once(line):
    started = time.monotonic()
    with serving(lambda: DONE) as send:
        assert raw(send, line).startswith(b"HTTP/1.0 400 ")  # the client keeps its side open
    assert time.monotonic() - started < 5


def test_a_client_that_leaves_gets_its_case_done_and_the_next_is_served(capfd):
    begun, go_on = threading.Event(), threading.Event()

    def job() -> dict:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return DONE

    with serving(job) as send:
        with connected(send) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves with a reset
            client.sendall(b"POST /invoke HTTP/1.0\r\n\r\n")
            assert begun.wait(PATIENCE_S)
        go_on.set()
        assert send("POST", "/invoke") == (201, "lesion volume 2 ml\n")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("start", [b"", b"POST /invoke HT", b"POST /invoke HTTP/1.0\r\nContent-Length: 9\r\n\r\nab"])
def test_closing_waits_for_no_client_that_trickles(start):
    with serving(lambda: DONE) as send:
        client = connected(send)
        client.sendall(start)
        assert send("GET", "/health")[0] == 200  # which came after the client
        started = time.monotonic()
    assert time.monotonic() - started < 2
    client.close()


def test_a_client_that_trickles_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(serve, "REQUEST_S", 0.2)
    with serving(lambda: DONE) as send, connected(send) as client:
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < PATIENCE_S:  # a byte of a header at a time
                client.sendall(b"x")
                time.sleep(0.01)
        assert time.monotonic() - started < PATIENCE_S / 2
        assert send("POST", "/invoke")[0] == 201


def test_closing_waits_for_the_case_under_way_and_begins_no_other():
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def job() -> dict:
        calls.append(1)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return DONE

    with ThreadPoolExecutor(3) as pool:
        server = make_server(job, 0)
        loop = pool.submit(server.serve_forever, 0.01)
        first = pool.submit(ask, server.server_port, "POST", "/invoke")
        assert begun.wait(PATIENCE_S)
        server.shutdown()
        loop.result(PATIENCE_S)
        closing = pool.submit(server.server_close)
        with pytest.raises(TimeoutError):
            closing.result(0.2)
        go_on.set()
        closing.result(PATIENCE_S)
        assert first.result(PATIENCE_S) == (201, "lesion volume 2 ml\n")
    assert calls == [1]


def test_a_port_that_is_taken_is_one_line(main, rule_weights, tmp_path, monkeypatch, capfd):
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr("process.serve", functools.partial(serve.serve, port=port))
        words = arguments(tmp_path, tmp_path / "out", rule_weights)
        assert main([*words, "--serve"]) == 2
    assert capfd.readouterr().err == f"error: port {port}: cannot be listened on (another program has it)\n"
