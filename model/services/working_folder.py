"""A temporary folder for a patient's images that is gone however a command ends, or when the next one begins."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from model.command import LAST_STEPS, undisturbed
from model.errors import UserError, is_users, reason_of

PREFIX = "hie-lesions-"
LOCKED_AFTER_S = 60.0  # in which a new folder has its lock


@contextlib.contextmanager
def working_folder(names: dict[str, str]) -> Iterator[Path]:
    """A folder that this user alone can open, removed at the end of the block; removed on signals, too.

    What is printed in the block, and what fails in it, is told without the folder's path; names: what is said for paths in
    it, see `without_paths`. First removes what killed commands left. Raises UserError where no such folder can be made.
    """
    with undisturbed():
        try:
            remove_left_folders()
            folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            lock = _locked(Path(folder.name))
        except OSError:
            raise UserError("TMPDIR: expected a folder that this user can write temporary files to, found none") from None
        work = Path(folder.name).resolve()
        LAST_STEPS.append(folder.cleanup)
    try:
        with (
            contextlib.redirect_stdout(WithoutPaths(sys.stdout, work, names)),
            contextlib.redirect_stderr(WithoutPaths(sys.stderr, work, names)),
        ):
            yield work
    except (UserError, OSError) as error:
        if not is_users(error):
            raise
        raise UserError(without_paths(reason_of(error), work, names)) from None
    finally:
        with undisturbed():
            folder.cleanup()
            LAST_STEPS.remove(folder.cleanup)
            os.close(lock)


def remove_left_folders() -> None:
    """Of this user's commands that were killed: no lock is held on their folders any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < LOCKED_AFTER_S:
                continue
            lock = _locked(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int:
    """A lock on a folder, which lasts until it is closed or the process ends. Raises OSError where another has it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


class WithoutPaths(io.TextIOBase):
    """A stream whose texts go to another without the paths of a folder that is gone when they are read."""

    def __init__(self, stream: TextIO, work: Path, names: dict[str, str]) -> None:
        self.stream, self.work, self.names = stream, work, names

    def write(self, text: str) -> int:
        self.stream.write(without_paths(text, self.work, self.names))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def without_paths(text: str, work: Path, names: dict[str, str]) -> str:
    """A text without paths of a folder that is gone when it is read. names: by path, what stands for it."""
    for relative, name in names.items():
        text = text.replace(str(work / relative), name)
    return text.replace(str(work), "a temporary folder")
