"""Nothing is deleted or overwritten: what lies where a run writes moves aside, to `previous/<time of the run>/`.

The same path below that folder names it. Only what differs from the new stays there.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from model.errors import UserError
from model.files import json_object, writable
from model.names.output_names import PREVIOUS, SUMMARY, TIME
from model.names.platform_paths import RESULTS_PATH
from model.outputs.record import OWN_SUM
from model.outputs.summary import DONE, DONE_BEFORE

PASSING = ("seconds", OWN_SUM)  # of results.json: what a run that finds the same may have otherwise


class Previous:
    """Where one run in an output folder moves what is in its way. Raises UserError where that cannot be a folder."""

    def __init__(self, output: Path) -> None:
        place = output / PREVIOUS
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            raise UserError(f"{place}: expected a folder for what moves aside, found a link or a file; move it")
        self.output = output
        self.folder = _free(place / time.strftime(TIME))
        self._one_at_a_time = threading.RLock()  # a folder that one case leaves empty may be another's

    @contextlib.contextmanager
    def replacing(self, *paths: Path, kept: Path | None = None) -> Iterator[None]:
        """Moves what lies at these paths aside; the block writes anew. What is the same then does not stay aside.

        kept: of a file that the block replaces, which is copied aside. When the block fails nothing comes back. Raises
        UserError.
        """
        with self._one_at_a_time:
            with writable(self.output):
                moved = [pair for path in paths if (pair := self._move(path))]
                moved += [pair] if kept and (pair := self._move(kept, copy=True)) else []
            try:
                yield
            finally:
                with writable(self.output):
                    for old, path in moved:
                        _drop_what_is_the_same(old, path)
                        _remove_empty_folders(path.parent, self.output)
                    for place, _, _ in os.walk(self.folder, topdown=False):
                        _remove_empty_folders(Path(place), self.output)

    def put(self, staged: Path, folder: Path, names: Sequence[str], older: Iterable[str] = ()) -> None:
        """Give the files `names` of `staged` the same places in `folder`, in this order; what lies there moves aside.

        So do the files `older` in `folder`; others stay. After a kill the last of the names may be missing. The first, where
        it was, is there at any time: what it says of a review outlives a kill. When one cannot be written none of the new
        stays. Raises OSError or UserError.
        """
        first, *rest = names
        aside = (folder / name for name in dict.fromkeys([*older, *reversed(rest)]) if name != first)
        with self.replacing(*aside, kept=folder / first):
            there = [folder / first]
            try:
                for name in names:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staged / name, folder / name)
                    there.append(folder / name)
            except OSError:
                for path in there:
                    path.unlink(missing_ok=True)
                raise

    def moved(self, path: Path) -> Path | None:
        """Where this run moved what lay at a path; None where nothing is."""
        target = self.folder / path.relative_to(self.output)
        return target if os.path.lexists(target) else None

    def _move(self, path: Path, *, copy: bool = False) -> tuple[Path, Path] | None:
        """Where what was in the way of a path lies now, and where it lay; None where nothing did."""
        path = obstacle(path, self.output) or path
        if not os.path.lexists(path):
            return None
        target = _free(self.folder / path.relative_to(self.output))
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy and path.is_file() and not path.is_symlink():
            shutil.copy2(path, target)
        else:
            os.replace(path, target)
        return target, path


def obstacle(path: Path, output: Path) -> Path | None:
    """The first part of a path, from the output folder on, that is there and no folder; a link is none."""
    parts = path.relative_to(output).parts
    places = [output.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    return next((place for place in places if os.path.lexists(place) and (place.is_symlink() or not place.is_dir())), None)


def _remove_empty_folders(folder: Path, top: Path) -> None:
    """Remove a folder and those around it, up to but not `top`, as far as they are empty."""
    with contextlib.suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def _drop_what_is_the_same(old: Path, path: Path) -> None:
    """Remove from what moved aside what the new has as well."""
    for file in [old] if old.is_symlink() or not old.is_dir() else list(old.rglob("*")):
        if _is_same(file, path / file.relative_to(old)):
            file.unlink()


def _is_same(old: Path, new: Path) -> bool:
    if old.is_symlink() or new.is_symlink() or not (old.is_file() and new.is_file()):
        return False
    if filecmp.cmp(old, new, shallow=False):
        return True
    if new.name == SUMMARY:  # of a run that had nothing to do
        return _as_done(old) == _as_done(new)
    first, second = ({key: value for key, value in json_object(path).items() if key not in PASSING} for path in (old, new))
    return new.name == RESULTS_PATH and bool(first) and first == second


def _as_done(summary: Path) -> bytes:
    return summary.read_bytes().replace(f'"{DONE_BEFORE}"'.encode(), f'"{DONE}"'.encode())


def _free(path: Path) -> Path:
    """The path, or the first of `path.2`, `path.3`, ... at which nothing lies."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
