"""Which files are DICOM, by their mark; nothing is loaded for that."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from model.errors import UserError
from model.images.not_fetched import not_fetched

MARK, MARK_AT = b"DICM", 128
NAMED = (".dcm", ".dicom", ".ima")  # ends of names; many files have none, such as IM0001
DEEPEST = 8  # folders below a case's
MOST_FILES = 50_000  # of a case: several long studies
MOST_ASKED = 2000


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark. One that cannot be read has none."""
    try:
        return path.is_file() and _has_mark(path)  # opening a pipe might never end
    except OSError:
        return False


def _has_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(MARK_AT + len(MARK))[MARK_AT:] == MARK


def is_named_dicom(path: Path) -> bool:
    """Whether a name ends as DICOM files' names do."""
    return path.name.casefold().endswith(NAMED)


def holds_dicom(folder: Path) -> bool:
    """Whether a DICOM file, or one named so, is among the first MOST_ASKED files in a folder and below it."""
    files = itertools.islice(_files_below(folder), MOST_ASKED)
    return any(is_named_dicom(path) or is_dicom(path) for path in files)


def dicom_files(path: Path) -> list[Path]:
    """The DICOM file that a path is, or those in the folder and below it, sorted.

    Other files are passed over. Raises UserError for a file that is named as DICOM and is none, and for one without suffix
    that is empty, cannot be opened or is a link to nothing: it may be a slice. So it does where there is none or more than
    MOST_FILES. Raises OSError where a folder cannot be read.
    """
    files: list[Path] = []
    for file in [path] if path.is_file() else _files_below(path, strict=True):
        may_be_slice = is_named_dicom(file) or not file.suffix
        try:
            has_mark = _has_mark(file)
        except OSError as error:
            _require_fetched(file, path)
            if may_be_slice:
                what = "a link to nothing" if error.errno == errno.ENOENT else f"one that cannot be read ({error.strerror})"
                raise UserError(f"{file}: expected a DICOM file, found {what}") from None
            continue
        if has_mark:
            files.append(file)
            if len(files) > MOST_FILES:
                raise UserError(f"{path}: expected the DICOM files of one case, found more than {MOST_FILES}")
            continue
        _require_fetched(file, path)
        if is_named_dicom(file) or (may_be_slice and _is_empty(file)):
            raise UserError(f"{file}: expected a DICOM file, found one without the mark {MARK.decode()}: is it whole?")
    if not files:
        raise UserError(f"{path}: expected DICOM files, found none")
    return sorted(files)


def _require_fetched(file: Path, path: Path) -> None:
    """Raise UserError for a file that stands for data that were not fetched and could be a slice; its name is not said."""
    could_be_slice = is_named_dicom(file) or not file.suffix[1:].isalpha()  # `1.2.840.7` has a suffix too
    if could_be_slice and (reason := not_fetched(file)):
        raise UserError(f"{path}: {reason if file == path else f'a file in it is {reason}'}")


def _files_below(folder: Path, *, strict: bool = False) -> Iterator[Path]:
    """Regular files that are not hidden, those of linked folders too; folders of systems and what lies too deep left out.

    A folder that links lead to several times counts once. Links to nothing count where they are named as DICOM. strict: all
    of them, and OSError where a folder cannot be read.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise if strict else None):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] not in ".@" and name != "__MACOSX")
        if len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            if path.is_file() or ((strict or is_named_dicom(path)) and path.is_symlink() and not path.exists()):
                yield path


def _raise(error: OSError) -> None:
    raise error


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False
