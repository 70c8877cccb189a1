"""Nothing is deleted or overwritten: what lies where a run writes moves aside, to `previous/<time of the run>/`.

The same path below that folder names it. Only what differs from the new stays there.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from model.errors import UserError
from model.files import json_object, rename, writable
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
        self._one_at_a_time = threading.RLock()  # the folder of a subject may be a case's and hold another's

    @contextlib.contextmanager
    def replacing(self, *paths: Path, own: Collection[str] | None = None) -> Iterator[None]:
        """Moves what lies at these paths aside; the block writes anew. When it fails nothing comes back.

        own: names of what may stay aside, as paths from each of the paths on; files of other names go back where their place
        is free. By default all may. Raises UserError.
        """
        with self._one_at_a_time:
            with writable(self.output):
                moved = [(old, path) for path in map(self._in_the_way, paths) if (old := self._move(path))]
            try:
                yield
            finally:
                with writable(self.output):
                    for old, path in moved:
                        _settle(old, path, own)
                    self._remove_empty_folders()

    def put(self, new: Path, path: Path, own: Collection[str] | None = None) -> None:
        """Give a new file or folder its place; see `replacing`. Raises OSError or UserError."""
        with self.replacing(path, own=own):
            path.parent.mkdir(parents=True, exist_ok=True)
            rename(new, path)

    def moved(self, path: Path) -> Path | None:
        """Where this run moved what lay at a path; None where nothing is."""
        target = self.folder / path.relative_to(self.output)
        return target if os.path.lexists(target) else None

    def _in_the_way(self, path: Path) -> Path:
        return obstacle(path, self.output) or path

    def _remove_empty_folders(self) -> None:
        places = [Path(place) for place, _, _ in os.walk(self.folder, topdown=False)]
        for place in (*places, self.folder.parent):
            with contextlib.suppress(OSError):
                place.rmdir()

    def _move(self, path: Path) -> Path | None:
        if not os.path.lexists(path):
            return None
        target = _free(self.folder / path.relative_to(self.output))
        target.parent.mkdir(parents=True, exist_ok=True)
        rename(path, target)
        return target


def obstacle(path: Path, output: Path) -> Path | None:
    """The first part of a path, from the output folder on, that is there and no folder; a link is none."""
    parts = path.relative_to(output).parts
    places = [output.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    return next((place for place in places if os.path.lexists(place) and (place.is_symlink() or not place.is_dir())), None)


def _settle(old: Path, path: Path, own: Collection[str] | None) -> None:
    """Drop from what moved aside what the new has as well, and give others' files their places back."""
    for file in list(_files_of(old)):
        name = file.relative_to(old)
        there = path / name
        if _is_same(file, there):
            file.unlink()
        elif own is not None and name.as_posix() not in own and not os.path.lexists(there):
            with contextlib.suppress(OSError):  # it stays aside
                there.parent.mkdir(parents=True, exist_ok=True)
                rename(file, there)


def _files_of(path: Path) -> Iterator[Path]:
    """A file or link itself; of a folder all that is none in it and below it, links to folders too."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for entry in path.iterdir():
        yield from _files_of(entry)


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
