"""What every command does around its work: streams, signals, and any error as one line and an exit code.

Needs the standard library alone: `prepare` runs before imports that take seconds.
"""

import contextlib
import getpass
import io
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from model.errors import is_users, lacks_memory, reason_of

# What asks a process to end; a closed terminal and Ctrl-\ do not where the caller has them ignored, as nohup has.
IGNORABLE = (signal.SIGHUP, signal.SIGQUIT)
STOPS = (signal.SIGINT, signal.SIGTERM, *(n for n in IGNORABLE if signal.getsignal(n) is not signal.SIG_IGN))
LAST_STEPS: list[Callable[[], None]] = []  # what is done even where a process is ended at once; they raise nothing
SECOND_SIGNAL_AFTER_S = 2.0  # a second signal after this time ends the process at once


def prepare() -> None:
    """What comes first in a process of its own."""
    open_closed_streams()
    _name_user()
    # numpy's matrix products are small here: with more threads they take longer, since the threads wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.stdout, sys.stderr = tolerant(sys.stdout), tolerant(sys.stderr)
    for number in STOPS:
        signal.signal(number, _stop_at_once)
    sys.excepthook = lambda kind, error, trace: sys.exit(_tell(error))  # of imports, too


def exit_code(work: Callable[[], None]) -> int:
    """Do the work. 0: done; 2: something given is not usable; 1: anything else. The last line on stderr says why.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT raise SystemExit with 128 and the signal's number, so that nothing
    half-written stays behind.
    """
    with stopping() as stopped:
        try:
            work()
        except Exception as error:  # after a signal: what a library made of the SystemExit that it raised
            return 128 + stopped[0] if stopped else _tell(error)
    return 128 + stopped[0] if stopped else 0


def _tell(error: BaseException) -> int:
    if not is_users(error) and not lacks_memory(error):
        traceback.print_exception(error)
    print(f"error: {reason_of(error)}", file=sys.stderr, flush=True)
    return 2 if is_users(error) else 1


# --- signals ---


def _stop_at_once(number: int, frame: object) -> None:
    """While modules are imported: no file is half-written, and an exception might be taken for an import that failed."""
    _say_stopped(number)
    _end_at_once(number)


def _end_at_once(number: int) -> None:
    for step in LAST_STEPS:
        step()
    os._exit(128 + number)


def _stopper(stopped: list[int]) -> Callable[[int, object], None]:
    """Ends the process like an exception would; only a signal seconds later, of someone who insists, does not wait."""

    def stop(number: int, frame: object) -> None:
        insists = time.monotonic() + SECOND_SIGNAL_AFTER_S
        stopped.append(number)

        def again(number: int, frame: object) -> None:
            if time.monotonic() > insists:
                _end_at_once(number)

        for each in STOPS:
            signal.signal(each, again)
        _say_stopped(number)
        sys.exit(128 + number)

    return stop


def _say_stopped(number: int) -> None:
    """Not through sys.stderr, which may be in the middle of writing."""
    key = " (Ctrl-C)" if number == signal.SIGINT else ""
    with contextlib.suppress(OSError):
        os.write(2, f"error: stopped by {signal.Signals(number).name}{key}\n".encode())


@contextlib.contextmanager
def stopping() -> Iterator[list[int]]:
    """STOPS raise SystemExit in the block; after it they mean what they meant before, unless one came.

    Yields a list that holds the signal's number from then on.
    """
    stopped: list[int] = []
    before = {number: signal.signal(number, _stopper(stopped)) for number in STOPS}
    yield stopped
    if not stopped:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A stop that comes in the block counts after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- streams ---


class _Tolerant(io.FileIO):
    """A stream whose reader may leave, as in `| head -1`: what is written then goes nowhere, and the work goes on."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError) and self.fileno() == 1:  # a full disk, say
                print(f"warning: standard output cannot be written ({error.strerror})", file=sys.stderr, flush=True)
            return len(data)


def tolerant(stream: Any) -> io.TextIOWrapper:
    """The same stream, without errors: its reader may leave, and a character that its encoding lacks is written escaped."""
    by_line = stream.line_buffering or stream.write_through
    buffer = io.BufferedWriter(_Tolerant(stream.fileno(), "w", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=by_line)


def _name_user() -> None:
    """Give a user id without a name one, and a home: torch and Triton ask for them and fail where there is none."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
        if "HOME" not in os.environ:
            os.environ["HOME"] = tempfile.gettempdir()  # fails where nothing can be written


def open_closed_streams() -> None:
    """Point descriptors 0 to 2 nowhere where they are closed: else the next file to be opened would get what is printed."""
    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 (open to the end)
