"""Writing a file or a folder whole or not at all, and a folder that one run has for itself."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from model.errors import UserError

PARTIAL, OLD = "partial", "replaced"  # ends of the names of folders that are being written, and of those they replace
LEFT_BEHIND = re.compile(rf"\..+\.[0-9a-f]{{8}}\.({PARTIAL}|{OLD})")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it becomes `path` when the block ends well and vanishes when it does not.

    The name keeps everything from its first dot on, by which image writers know the format, and is hidden and marked as
    partial.
    """
    partial = path.with_name(_partial_name(path, secrets.token_hex(4)))
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises UserError when it cannot be written."""
    try:
        with whole_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


@contextlib.contextmanager
def writable(root: Path) -> Iterator[None]:
    """Turns an OSError of the block into the UserError that output cannot be written to `root`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{root}: output cannot be written there ({error.strerror}: {error.filename})") from None


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a new, hidden folder beside `path`; it takes the place of `path` when the block ends well, else it vanishes."""
    partial, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}.{mark}") for mark in (PARTIAL, OLD))
    partial.mkdir()
    try:
        yield partial
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, old)
        os.rename(partial, path)
    finally:
        remove(partial)
        remove(old)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link but not what it points to; nothing is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_partial_folders(root: Path) -> None:
    """Remove what killed runs left of `whole_folder` below `root`."""
    for path in root.iterdir():
        if LEFT_BEHIND.fullmatch(path.name):
            remove(path)


def remove_partials(path: Path) -> None:
    """Remove what killed runs left of `path`. Another run that is writing it now would lose its file too."""
    for partial in path.parent.glob(_partial_name(path, "*")):
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def only_run(root: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the output folder for one run at a time, with a lock on the folder itself that ends with the process.

    Another run is waited for with `wait`, else refused. Raises UserError then, and when the folder cannot be made. A file
    system without locks is not guarded.
    """
    with writable(root):
        root.mkdir(parents=True, exist_ok=True)
        folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(folder)
        raise UserError(f"{root}: another run is writing there; give each run its own output folder") from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(folder)


def _partial_name(path: Path, mark: str) -> str:
    stem, dot, suffixes = path.name.partition(".")
    return f".{stem}.{mark}.partial{dot}{suffixes}"
