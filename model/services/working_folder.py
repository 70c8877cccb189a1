"""A temporary folder for a patient's images that is gone however a command ends, and a program that works in it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from model.command import LAST_STEPS, undisturbed
from model.errors import UserError, is_users, reason_of

CLEAN_UP_S = 10.0  # that a program has to clear up when the command is stopped


@contextlib.contextmanager
def working_folder(names: dict[str, str]) -> Iterator[Path]:
    """A folder that this user alone can open, removed at the end of the block; removed on signals, too.

    What fails in the block is told without the folder's path; names: what is said for paths in it, see `without_paths`.
    Raises UserError where no such folder can be made.
    """
    work = None
    try:
        with undisturbed():
            work = Path(tempfile.mkdtemp(prefix="hie-lesions-")).resolve()
            remove = functools.partial(shutil.rmtree, work, ignore_errors=True)
            LAST_STEPS.append(remove)
            atexit.register(remove)
        yield work
    except (UserError, OSError) as error:
        if work is None:
            raise UserError("TMPDIR: expected a folder that this user can write temporary files to, found none") from None
        if not is_users(error):
            raise
        raise UserError(without_paths(reason_of(error), work, names)) from None
    finally:
        if work is not None:
            with undisturbed():
                remove()
                LAST_STEPS.remove(remove)
                atexit.unregister(remove)


def without_paths(text: str, work: Path, names: dict[str, str]) -> str:
    """A text without paths of a folder that is gone when it is read. names: by path, what stands for it."""
    for relative, name in names.items():
        text = text.replace(str(work / relative), name)
    return text.replace(str(work), "a temporary folder")


def run_command(command: list[str], shown: Callable[[str], str], *, clears_up: bool) -> tuple[int, list[str]]:
    """Run a program and print what it prints, each line as `shown` makes it; returns its exit code and its lines on stderr.

    When this process is stopped the program is, too: at once, or, where it clears up, with time for that.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    LAST_STEPS.insert(0, process.kill)  # before its folder is removed
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    try:
        reader.start()
        for line in process.stdout or ():
            print(shown(line), end="", flush=True)
        reader.join()
        return process.wait(), errors
    except BaseException:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if clears_up:
                process.terminate()
                process.wait(CLEAN_UP_S)
        process.kill()
        process.wait()
        raise
    finally:
        LAST_STEPS.remove(process.kill)
