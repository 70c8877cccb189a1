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

import numpy as np
import pytest
import SimpleITK as sitk
from http_helpers import PATIENCE_S, ask
from inference_helpers import ADC_FOLDER, MASK, RESULTS, files_below, random_maps, rule, small_maps

from model.errors import UserError
from model.run.one_case import segment
from model.segmenter import Segmenter
from model.services.serve import PORT, SILENT_S, CaseServer

DONE = {"lesion_volume_ml": 2}


@contextlib.contextmanager
def serving(job: Callable[[], dict]) -> Iterator[Callable[..., tuple[int, str]]]:
    """A running server on a free port; yields a function that sends it a request: (method, path) -> (status, text)."""
    server = CaseServer(job, 0)
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
    """The answer to a request of these bytes and no more, to its end."""
    with connected(send) as client:
        for part in parts:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            return answer.read()


def test_only_two_requests_are_known():
    with serving(lambda: DONE) as send:
        for method, path, status in (
            *(("GET", "/health", 200), ("GET", "/health?from=me", 200), ("GET", "/healthy", 404), ("GET", "/invoke", 404)),
            *(("POST", "/invoke", 201), ("POST", "/health", 404), ("HEAD", "/health", 200), ("PUT", "/invoke", 501)),
        ):
            assert send(method, path)[0] == status, (method, path)
        head, _, body = raw(send, b"HEAD /health HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
        assert (b"\r\nContent-Length: 3" in head, body) == (True, b"")  # RFC 9110, 9.3.2


def test_the_cases_that_come_one_after_the_other_are_read_and_written_anew(case_tree, tmp_path, rule_weights, capfd):
    """Another case in the same place, one that is not usable, and an output folder that was emptied."""
    case_tree(name="first"), case_tree(*random_maps(), name="second")
    broken = case_tree(name="broken") / ADC_FOLDER / "0f3c.mha"
    broken.write_bytes(broken.read_bytes()[:-100])
    link, output = tmp_path / "input", tmp_path / "output"
    job = functools.partial(segment, link, output, Segmenter(rule_weights, "cpu"))
    with serving(job) as send:
        for name, maps in (("first", small_maps()), ("broken", None), ("second", random_maps()), ("first", small_maps())):
            link.unlink(missing_ok=True)
            link.symlink_to(tmp_path / name)
            status, text = send("POST", "/invoke", b"{}")
            error = capfd.readouterr().err
            if maps is None:
                assert (status, files_below(output)) == (422, [])
                assert text.startswith(f"{link / ADC_FOLDER / broken.name}: ")
                assert error.splitlines()[-1] == f"error: {text.strip()}"
                continue
            assert (status, error, files_below(output)) == (201, "", [MASK, RESULTS])
            volume_ml = rule(*maps).sum() * 0.003  # voxels of 3 x 1.25 x 0.8 mm
            assert text == f"lesion volume {volume_ml:.4g} ml\n"
            np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK))), rule(*maps))
            for path in (output / MASK, output / RESULTS):
                path.unlink()
            (output / MASK).parent.rmdir()


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


def test_a_long_body_is_read_without_memory():
    """The most that Python holds meanwhile is less than a hundredth of its 200 MB."""
    part, parts = bytes(1 << 20), 200
    with serving(lambda: DONE) as send:
        tracemalloc.start()
        answer = raw(send, b"POST /invoke HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (len(part) * parts), *[part] * parts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.0 201 ")
    assert answer.endswith(b"lesion volume 2 ml\n")
    assert most < len(part) * parts / 100


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BODIES = {
    b"Content-Length: 4\r\n\r\nabcd": 201,
    b"Content-Length: 9\r\n\r\nabcd": 400,  # and no more comes
    b"Content-Length: -1\r\n\r\n": 400,
    b"Content-Length: abc\r\n\r\n": 400,
    CHUNKED + b"5;x=y\r\nabcde\r\n10\r\n" + b"0" * 16 + b"\r\n0\r\n\r\n": 201,
    CHUNKED + b"0\r\nTrailer: x\r\n\r\n": 201,
    CHUNKED + b"5\r\nabc": 400,
    CHUNKED + b"no number\r\n": 400,
}


def test_a_body_that_is_not_whole_is_400_and_nothing_is_computed():
    calls = []
    with serving(lambda: calls.append(1) or DONE) as send:
        for body, status in BODIES.items():
            calls.clear()
            assert raw(send, b"POST /invoke HTTP/1.1\r\n" + body).startswith(b"HTTP/1.0 %d " % status), body
            assert len(calls) == (status == 201), body


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


@pytest.mark.parametrize("start", [b"", b"POST /invoke HTTP/1.0\r\nContent-Length: 9\r\n\r\nab"])
def test_closing_waits_for_no_client_that_trickles(start):
    with serving(lambda: DONE) as send:
        client = connected(send)
        client.sendall(start)
        assert send("GET", "/health")[0] == 200  # which came after the client
        started = time.monotonic()
    assert time.monotonic() - started < SILENT_S / 2
    client.close()


def test_closing_waits_for_the_case_under_way_and_begins_no_other():
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def job() -> dict:
        calls.append(1)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return DONE

    with ThreadPoolExecutor(4) as pool:
        server = CaseServer(job, 0)
        loop = pool.submit(server.serve_forever, 0.01)
        first = pool.submit(ask, server.server_port, "POST", "/invoke")
        assert begun.wait(PATIENCE_S)
        second = pool.submit(ask, server.server_port, "POST", "/invoke")
        assert ask(server.server_port, "GET", "/health")[0] == 200
        time.sleep(0.2)  # the second waits for the first now
        server.shutdown()
        loop.result(PATIENCE_S)
        closing = pool.submit(server.server_close)
        with pytest.raises(TimeoutError):
            closing.result(0.2)
        go_on.set()
        closing.result(PATIENCE_S)
        assert first.result(PATIENCE_S) == (201, "lesion volume 2 ml\n")
        assert second.result(PATIENCE_S) == (503, "the server is stopping\n")
    assert calls == [1]


def test_the_port_is_the_platforms_and_one_that_is_taken_is_one_line():
    assert PORT == 4743
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"^port {port}: cannot be listened on \(another program has it\)$"):
            CaseServer(lambda: DONE, port)
