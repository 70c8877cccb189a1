"""Writing a file or a folder whole or not at all, and a folder that one run has for itself."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.errors import UserError

PARTIAL = "partial"  # end of the names of folders that are being written
LEFT_BEHIND = re.compile(rf"\..+\.[0-9a-f]{{8}}\.{PARTIAL}")
FOR_THIS_USER = '; make the folder first, and start a container with --user "$(id -u):$(id -g)"'


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it becomes `path` when the block ends well and vanishes when it does not.

    The name keeps everything from its first dot on, by which image writers know the format, and is hidden and marked as
    partial.
    """
    stem, dot, suffixes = path.name.partition(".")
    partial = path.with_name(f".{stem}.{secrets.token_hex(4)}.{PARTIAL}{dot}{suffixes}")
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
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextlib.contextmanager
def writable(root: Path) -> Iterator[None]:
    """Turns an OSError of the block into the UserError that output cannot be written to `root`."""
    try:
        yield
    except OSError as error:
        hint = FOR_THIS_USER if error.errno in (errno.EACCES, errno.EPERM) else ""
        raise UserError(f"{root}: output cannot be written there ({error.strerror}: {error.filename}){hint}") from None


@contextlib.contextmanager
def staged_for(folder: Path, work: Path) -> Iterator[Path]:
    """Yields a new, hidden folder in `work` for what will be in `folder`; it is removed at the end of the block.

    A kill leaves it, and `remove_partial_folders` removes it then. work: a folder on the same file system.

    Raises UserError when files cannot be written; one of the block names them by the places that they were meant for.
    """
    staged = work / f".{folder.name or 'run'}.{secrets.token_hex(4)}.{PARTIAL}"
    try:
        staged.mkdir()
        yield staged
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    except UserError as error:
        raise type(error)(str(error).replace(str(staged), str(folder))) from None
    finally:
        remove(staged)


@contextlib.contextmanager
def files_into(folder: Path, work: Path, *, first: str = "") -> Iterator[Path]:
    """Yields a folder as `staged_for`; when the block ends well, its files move to the same places in `folder`.

    A new `folder` appears with all its files at once. In one that is there each file takes the place of an older one whole,
    `first` before the others, and files of other names stay. When the block fails nothing changes.
    """
    with staged_for(folder, work) as staged:
        yield staged
        if not os.path.lexists(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged, folder)
            return
        for name in sorted(files_below(staged), key=lambda name: (name != first, name)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / name, folder / name)


def files_below(folder: Path) -> list[str]:
    """The files in a folder and the folders in it, as paths from it with slashes, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def json_object(path: Path) -> dict:
    """What a JSON file holds that is an object; empty for another, and for none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_digest(sums: Iterable[str]) -> str:
    """Of one file its SHA-256; of several the SHA-256 of theirs, sorted, a line each: names and order have no say.

    In a shell: `sha256sum FILES | cut -c1-64 | sort | sha256sum`
    """
    lines = sorted(sums)
    return lines[0] if len(lines) == 1 else hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def require_writable(folder: Path) -> None:
    """Raise UserError unless files can be written to a folder, which need not be there yet: before work that takes long."""
    with writable(folder):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"\0")  # a disk that is full has room for a name
        except OSError as error:  # of a file that the user never sees
            raise OSError(error.errno, error.strerror, str(there)) from None


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link but not what it points to; nothing is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_partial_folders(root: Path) -> None:
    """Remove what killed runs left of `staged_for` in `root`."""
    for path in root.iterdir():
        if LEFT_BEHIND.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            remove(path)


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
