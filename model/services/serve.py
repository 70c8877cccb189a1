"""The platform's invoke mode: an HTTP server that segments whatever lies in the input folder when it is asked to."""

import errno
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from model.errors import UserError, reason_of
from model.names.platform_paths import PORT

SILENT_S = 10  # that a client may take between two of its bytes
CHUNK = 1 << 16


def serve(segment: Callable[[], dict], port: int = PORT) -> None:
    """Answer requests until the process is told to stop; a case under way is finished first. Raises UserError on no port.

    segment: writes the case that lies in the input folder and returns its results.
    """
    with CaseServer(segment, port) as server:
        print(f"ready on port {server.server_port}", flush=True)
        server.serve_forever()


class CaseServer(ThreadingHTTPServer):
    """Segments one case at a time. Closing it waits for the case under way and its answer, and for no client."""

    daemon_threads = True

    def __init__(self, segment: Callable[[], dict], port: int) -> None:
        self.segment, self.one_at_a_time, self.closing = segment, threading.Lock(), False
        try:
            super().__init__(("", port), Handler)
        except OSError as error:
            taken = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
            raise UserError(f"port {port}: cannot be listened on ({taken})") from None

    def server_close(self) -> None:
        """Waiting requests are not begun any more."""
        self.closing = True
        with self.one_at_a_time:
            super().server_close()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple) -> None:
        """A client that leaves before its answer is no error; the case is written."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            print(f"{client_address[0]}: left before its answer ({error.strerror or error})", flush=True)
        else:
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers `GET /health` with 200 and `POST /invoke` by a case: 201 it has been written, 422 it is not usable, 500 else.

    A body that is not whole is answered with 400. The reason is the answer's body and the last line on stderr. Health is
    answered while a case is under way. What a request says in its body has no meaning.
    """

    timeout = SILENT_S
    server: CaseServer

    def do_GET(self) -> None:
        if self._known("/health"):
            self._answer(200, "ok")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if not self._drain():
            self._answer(400, "expected a whole body, of the length that the request names or in chunks")
        elif self._known("/invoke"):
            with self.server.one_at_a_time:
                self._answer(*((503, "the server is stopping") if self.server.closing else invoke(self.server.segment)))

    def _known(self, path: str) -> bool:
        if urlsplit(self.path).path != path:
            self._answer(404, "expected GET /health or POST /invoke")
            return False
        return True

    def _drain(self) -> bool:
        """Read the body, so that the connection ends in order, and keep nothing of it. Whether it was whole."""
        try:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self._skip(int(self.headers.get("Content-Length", 0)))
            while size := int(self.rfile.readline(CHUNK).partition(b";")[0], 16):
                if not self._skip(size + len("\r\n")):
                    return False
            while self.rfile.readline(CHUNK).strip():
                pass  # trailers, which have no meaning here
        except (ValueError, OSError):  # no number, or a client that falls silent
            return False
        return True

    def _skip(self, size: int) -> bool:
        """Whether as many bytes came."""
        while size > 0 and (read := len(self.rfile.read1(min(size, CHUNK)))):
            size -= read
        return size == 0

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode(errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the default writes to stderr
        print(format % args, flush=True)


def invoke(segment: Callable[[], dict]) -> tuple[int, str]:
    """Status and text for one case; a failure is also printed on stderr."""
    try:
        return 201, f"lesion volume {segment()['lesion_volume_ml']} ml"
    except UserError as error:
        status, reason = 422, reason_of(error)
    except Exception as error:  # the server must outlive whatever one case does
        status, reason = 500, reason_of(error)
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return status, reason
