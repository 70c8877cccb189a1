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
MARKER = "written-by-hie-lesions"  # in such a folder, beside the one of the files: it is no one else's
WHOLE = "whole"  # in such a folder, when all is written: the place of its files, as a path from the folder around it on
LEFT_BEHIND = re.compile(rf"\..+\.[0-9a-f]{{8}}\.{PARTIAL}")
LARGEST_JSON = 1 << 20  # bytes
FOR_THIS_USER = '; make the folder first, and start a container with --user "$(id -u):$(id -g)"'
# what shares of some kinds answer to a rename: SMB, FUSE and object stores that look like a folder
NO_RENAME = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it becomes `path` when the block ends well and vanishes when it does not.

    The name keeps everything from its first dot on, by which image writers know the format, and is hidden and marked as
    partial.
    """
    partial = path.with_name(_partial_name(path, secrets.token_hex(4)))
    try:
        yield partial
        rename(partial, path)
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
    partial = work / f".{folder.name or 'run'}.{secrets.token_hex(4)}.{PARTIAL}"
    staged = partial / "files"
    try:
        partial.mkdir()
        (partial / MARKER).touch()
        staged.mkdir()
        yield staged
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    except UserError as error:
        raise type(error)(str(error).replace(str(staged), str(folder))) from None
    finally:
        _remove_partial_folder(partial)


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
            rename(staged, folder)
            return
        for name in sorted(files_below(staged), key=lambda name: (name != first, name)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            rename(staged / name, folder / name)


def files_below(folder: Path) -> list[str]:
    """The files in a folder and the folders in it, as paths from it with slashes, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def json_object(path: Path) -> dict:
    """What a JSON file holds that is an object; empty for another, and for none. Longer files than any sidecar are none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig")) if path.stat().st_size <= LARGEST_JSON else {}
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


def is_circular(path: Path) -> bool:
    """Whether a path is a link that leads to itself."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def rename(source: Path, target: Path) -> None:
    """As `os.replace`, with an error that names the cause where a file system does not do that at all."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in NO_RENAME:
            raise
        reason = f"{error.strerror}: the share or file system of {target.parent} does not let files be renamed; use another"
        raise OSError(error.errno, reason, str(target)) from None


def require_writable(folder: Path) -> None:
    """Raise UserError unless files can be written to a folder, which need not be there yet: before work that takes long."""
    with writable(folder):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"\0")  # a disk that is full has room for a name
        except OSError as error:  # of a file that the user never sees
            raise OSError(error.errno, error.strerror, str(there)) from None


def are_one(folder: Path, name: str, other: str) -> bool:
    """Whether the file system of a folder takes two names for one, as those do that know no capitals or one form of Unicode.

    Tried out in a hidden folder, which is removed. Raises OSError.
    """
    partial = folder / f".names.{secrets.token_hex(4)}.{PARTIAL}"
    try:
        partial.mkdir()
        (partial / MARKER).touch()
        (partial / name).mkdir()
        (partial / other).mkdir()
    except FileExistsError:
        return True
    finally:
        _remove_partial_folder(partial)
    return False


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link but not what it points to; nothing is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def mark_whole(staged: Path, folder: Path, work: Path) -> None:
    """Say of a folder of `staged_for` that its files are whole and are about to become `folder`.

    A run that is killed between the old and the new leaves neither there; `remove_partial_folders` ends what it began.
    """
    (staged.parent / WHOLE).write_text(folder.relative_to(work).as_posix(), encoding="utf-8")


def remove_partial_folders(root: Path) -> None:
    """Remove what killed runs left of `files_into` in `root`. What only has such a name, and no marker in it, stays.

    Files that were whole take their place where nothing lies.
    """
    for path in root.iterdir():
        if LEFT_BEHIND.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            if (path / MARKER).is_file():
                _put_whole_files(path, root)
                _remove_partial_folder(path)
            elif not any(path.iterdir()):  # killed before the marker was there
                path.rmdir()


def _put_whole_files(partial: Path, root: Path) -> None:
    if not (partial / WHOLE).is_file() or not (partial / "files").is_dir():
        return
    place = Path((partial / WHOLE).read_text(encoding="utf-8", errors="replace"))
    if place.parts and not place.is_absolute() and ".." not in place.parts and not os.path.lexists(root / place):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        rename(partial / "files", root / place)


def _remove_partial_folder(path: Path) -> None:
    """The marker last, so that a kill leaves what the next run removes; first what says that the files are whole."""
    (path / WHOLE).unlink(missing_ok=True)
    for below in path.iterdir() if path.is_dir() else ():
        if below.name != MARKER:
            remove(below)
    remove(path)


def remove_partials(path: Path) -> None:
    """Remove what killed runs left of `path`. Another run that is writing it now would lose its file too."""
    named = re.compile(re.escape(_partial_name(path, "MARK")).replace("MARK", "[0-9a-f]{8}"))
    for partial in path.parent.iterdir() if path.parent.is_dir() else ():
        if named.fullmatch(partial.name) and partial.is_file() and not partial.is_symlink():
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def only_run(root: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the output folder for one run at a time, with a lock on the folder itself that ends with the process.

    Another run is waited for with `wait`, else refused. Raises UserError then, and when the folder cannot be made. A file
    system without locks is not guarded.
    """
    if root.is_symlink() and not os.path.exists(root):
        what = "a circular link" if is_circular(root) else f"a link to {os.readlink(root)}, which is not there"
        raise UserError(f"{root}: expected an output folder, found {what}")
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
