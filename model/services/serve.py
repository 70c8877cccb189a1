"""The platform's invoke mode: an HTTP server that segments whatever lies in the input folder when it is asked to."""

import contextlib
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
REQUEST_S = 60  # that a client may take for a whole request
CHUNK = 1 << 16
METHODS = {"/health": "GET, HEAD", "/invoke": "POST"}


def serve(segment: Callable[[], dict], port: int = PORT) -> None:
    """Answer requests until the process is told to stop; a case under way is finished first. Raises UserError on no port."""
    with make_server(segment, port) as server:
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

    def setup(self) -> None:
        super().setup()
        self.late = threading.Timer(REQUEST_S, self._hang_up)
        self.late.daemon = True
        self.late.start()

    raw_requestline: bytes  # set by the base class

    def finish(self) -> None:
        self.late.cancel()
        super().finish()

    def do_GET(self) -> None:
        if self._known():
            self._answer(200, "ok")

    do_HEAD = do_GET

    def parse_request(self) -> bool:
        """A line without a version (HTTP/0.9) has no header whose end could be waited for: it is refused at once."""
        words = self.raw_requestline.split()
        if len(words) != 2:
            return super().parse_request()
        self.requestline = self.raw_requestline.decode("latin-1").rstrip()
        self.command, self.request_version, self.close_connection = "", "HTTP/1.0", True
        self._answer(400, "expected a request with its version, HTTP/1.0 or HTTP/1.1")
        return False

    def do_POST(self) -> None:
        whole = self._drain()
        self.late.cancel()
        if not whole:
            self._answer(400, "expected a whole body, of the length that the request names or in chunks")
        elif self._known():
            with self.server.one_at_a_time:
                self._answer(*((503, "the server is stopping") if self.server.closing else invoke(self.server.segment)))

    def do_PUT(self) -> None:
        self._drain()
        self._known()

    do_DELETE = do_PATCH = do_OPTIONS = do_PUT

    def _known(self) -> bool:
        """Whether the path has this method; else the answer is 404, or 405 and what the path has (RFC 9110, 15.5.6)."""
        allowed = METHODS.get(urlsplit(self.path).path)
        if allowed is None:
            self._answer(404, "expected GET /health or POST /invoke")
        elif self.command not in allowed.split(", "):
            self._answer(405, f"expected {allowed}", Allow=allowed)
        else:
            return True
        return False

    def _drain(self) -> bool:
        """Read the body, so that the connection ends in order, and keep nothing of it. Whether it was whole."""
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._drain_chunks()
            size = self.headers.get("Content-Length", "0")
            return size.isascii() and size.isdecimal() and self._skip(int(size))
        except (ValueError, OSError):  # no number, or a client that falls silent
            return False

    def _drain_chunks(self) -> bool:
        while size := _hexadecimal(self.rfile.readline(CHUNK).partition(b";")[0].strip()):
            if not self._skip(size) or self.rfile.readline(CHUNK) != b"\r\n":
                return False
        while (line := self.rfile.readline(CHUNK)) not in (b"\r\n", b""):  # trailers, which have no meaning here
            if b":" not in line:
                return False
        return line == b"\r\n"

    def _skip(self, size: int) -> bool:
        """Whether as many bytes came."""
        while size > 0 and (read := len(self.rfile.read1(min(size, CHUNK)))):
            size -= read
        return size == 0

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, text: str, **headers: str) -> None:
        body = f"{text}\n".encode(errors="backslashreplace")
        self.send_response(status)
        headers |= {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the default writes to stderr
        print(format % args, flush=True)


def _hexadecimal(digits: bytes) -> int:
    """Raises ValueError on signs, blanks and the like, which Python's own numbers may have."""
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError(f"{digits[:20]!r} is no chunk's length")
    return int(digits, 16)


def make_server(segment: Callable[[], dict], port: int = PORT) -> CaseServer:
    """A server on all interfaces; `segment` writes the case that lies in the input folder and returns its results."""
    return CaseServer(segment, port)


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
