"""Where a command may write: not over files that it did not make, and not among its inputs."""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from model.errors import UserError, listed
from model.files import files_below, files_into, only_run, remove_partial_folders, require_writable, sha256_of

RECORD = ".written-by-hie-lesions.json"  # by name: SHA-256 of what was written there, now and the time before


@contextlib.contextmanager
def own_files_into(folder: Path, names: Iterable[str], inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yields a hidden folder; when the block ends well, its files move to `folder`, all or none.

    names: of all that will be written. A file of such a name that lies there is replaced if it was written in this way and
    not changed since. Raises UserError, before anything is written, when another lies there, and when `folder` is one of the
    `inputs` or in one.
    """
    require_outside(folder, inputs)
    require_own_files(folder, names)
    require_writable(folder)
    with only_run(folder):
        remove_partial_folders(folder)
        with files_into(folder, folder, first=RECORD) as staged:
            yield staged
            written = {name: sha256_of(staged / name) for name in files_below(staged)}
            require_own_files(folder, written)  # again: the block may have taken long
            known = _record(folder)
            record = known | {name: list(dict.fromkeys([now, *known.get(name, [])]))[:2] for name, now in written.items()}
            (staged / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def require_own_files(folder: Path, names: Iterable[str]) -> None:
    """Raise UserError when files lie in a folder that `own_files_into` did not write there, or that were changed since."""
    known = _record(folder)
    foreign = [folder / name for name in names if os.path.lexists(folder / name) and not _is_as_written(folder, name, known)]
    if foreign:
        what = "not of this program, or changed since it was written; it stays, so move it or name another folder"
        raise UserError(f"{listed(map(str, foreign))}: {what}")


def require_own_file(path: Path, is_own: Callable[[Path], bool], what: str) -> None:
    """Raise UserError when something lies at a path that is no earlier output by `is_own`; what: that output in words.

    A link is none, and neither is a file that cannot be read.
    """
    if not os.path.lexists(path):
        return
    try:
        own = path.is_file() and not path.is_symlink() and is_own(path)
    except (OSError, ValueError, RecursionError):
        own = False
    if not own:
        raise UserError(f"{path}: expected a new file, or {what} to replace, found something else; it stays")


def require_outside(output: Path, inputs: Iterable[Path]) -> None:
    """Raise UserError when an output is one of the input folders, or would lie in it."""
    for folder in inputs:
        if output.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{output}: expected an output outside of the input {folder}")


def _record(folder: Path) -> dict[str, list[str]]:
    """Of `own_files_into`; empty without one that can be read."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        return {name: [str(sum_) for sum_ in sums] for name, sums in record.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _is_as_written(folder: Path, name: str, known: dict[str, list[str]]) -> bool:
    path = folder / name
    return name in known and path.is_file() and not path.is_symlink() and sha256_of(path) in known[name]
