"""Writing a file whole or not at all, and a folder that one run has for itself."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from model.errors import UserError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it becomes `path` when the block ends well and vanishes when it does not.

    The name keeps the suffix, which image writers need, and is hidden and marked as partial.
    """
    partial = path.with_name(_partial_name(path, secrets.token_hex(4)))
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(path: Path) -> None:
    """Remove what killed runs left of `path`. Another run that is writing it now would lose its file too."""
    for partial in path.parent.glob(_partial_name(path, "*")):
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Hold the output folder for one run at a time, with a lock on the folder itself that ends with the process.

    Raises UserError when the folder cannot be made or another run holds it. A file system without locks is not guarded.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{root}: output cannot be written there ({error.strerror}: {error.filename})") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    return f".{path.stem}.{mark}.partial{path.suffix}"
