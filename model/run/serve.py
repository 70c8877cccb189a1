"""The platform's invoke mode: an HTTP server that segments whatever lies in the input folder when it is asked to."""

import contextlib
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from model.errors import UserError

PORT = 4743


def serve(segment: Callable[[], dict], port: int = PORT) -> None:
    """Answer requests until the process is told to stop; a case under way is finished first."""
    with make_server(segment, port) as server:
        print(f"ready on port {server.server_port}", flush=True)
        server.serve_forever()


def make_server(segment: Callable[[], dict], port: int = PORT) -> ThreadingHTTPServer:
    """A server on all interfaces that answers `GET /health` with 200 and `POST /invoke` by calling `segment`.

    201: the case has been written; 422: the case is not usable; 500: anything else. The reason is the answer's body and
    the last line on stderr. Cases are served one after the other; health is answered meanwhile.
    """
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a silent client may hold its connection

        def do_GET(self) -> None:
            self._answer(*((200, "ok") if self.path == "/health" else (404, "expected /health or POST /invoke")))

        def do_POST(self) -> None:
            self._drain()
            if self.path != "/invoke":
                self._answer(404, "expected /invoke")
                return
            with one_at_a_time:
                status, reason = invoke(segment)
            self._answer(status, reason)

        def _drain(self) -> None:
            """Read the body, which has no meaning, so that the connection ends in order."""
            with contextlib.suppress(ValueError, OSError):  # no number, or a client that sends less than it announced
                self.rfile.read(min(max(int(self.headers.get("Content-Length", "0")), 0), 1 << 20))

        def _answer(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # the default writes to stderr
            print(format % args, flush=True)

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = False  # closing waits for the case under way
    return server


def invoke(segment: Callable[[], dict]) -> tuple[int, str]:
    """Status and text for one case; a failure is also printed on stderr."""
    try:
        return 201, f"lesion volume {segment()['lesion_volume_ml']} ml"
    except UserError as error:
        status, reason = 422, " ".join(str(error).split())
    except Exception as error:  # the server must outlive whatever one case does
        status, reason = 500, f"{type(error).__name__}: {' '.join(str(error).split())}"
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return status, reason
