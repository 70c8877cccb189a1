"""The one exception that a user is meant to read, and how any error is told in one line."""

import errno
import re
from collections.abc import Iterable
from pathlib import Path

# as ITK, OpenVINO, ONNX Runtime, PyTorch, CUDA, the dynamic linker and threads that cannot start say it
NO_MEMORY = re.compile(
    "bad_alloc|out of memory|not enough memory|allocate (\\d+ bytes of )?memory|failed to map segment"
    "|can't alloc\\b|can't start new thread|resource temporarily unavailable",
    re.IGNORECASE,
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


CONTROL_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
OURS = ("model", "training", "evaluation", "benchmarks")


class UserError(Exception):
    """Something the user gave is not usable. The message is one line: the thing, what was expected, what came."""


def one_line(error: BaseException | str) -> str:
    r"""An error's message, or a text, without line breaks and runs of blanks; signs that steer a terminal as \x1b."""
    return " ".join(str(error).split()).translate(CONTROL_ESCAPES)


def listed(names: Iterable[str] | Iterable[Path], most: int = 5) -> str:
    """The first of some names, sorted, and how many more there are, for a message; empty where there is none."""
    ordered = list(map(str, sorted(names)))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; libraries have types of their own for it."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return not isinstance(error, UserError | OSError | ValueError) and bool(NO_MEMORY.search(str(error)))


def missing_package(error: BaseException) -> str:
    """The package, not one of ours, that an error says is not installed; else empty."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return "" if name in OURS else name


def is_users(error: BaseException) -> bool:
    """Whether it lies with what the user gave: a UserError, a file that cannot be read or written, a disk that is full.

    So does a package that is not installed.
    """
    full = isinstance(error, OSError) and (error.filename is not None or error.errno in NO_ROOM)
    return isinstance(error, UserError) or bool(missing_package(error)) or (full and not lacks_memory(error))


def reason_of(error: BaseException) -> str:
    """One line on what went wrong: a UserError's own words, a lack of memory, or an unexpected error's type and words."""
    if isinstance(error, UserError):
        return one_line(error)
    if package := missing_package(error):
        return (
            f"the Python package {package} is not installed; ./setup.sh dev installs all that the project uses,"
            " ./setup.sh training what training and scoring need, ./setup.sh what process.py needs"
        )
    if isinstance(error, OSError) and is_users(error):
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}cannot be used ({error.strerror})"
    if lacks_memory(error):
        return f"not enough memory ({said})" if (said := one_line(error)) else "not enough memory"
    return f"unexpected {type(error).__name__}: {one_line(error)}"
