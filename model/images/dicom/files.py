"""Which files of a case are DICOM, by their content; nothing is loaded for that.

Another file may be a slice that was lost on the way where it is called as slices are, or packed: it is counted.
"""

import errno
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from model.errors import UserError
from model.images.dicom.others import ARCHIVE, EMPTY, HEAD_BYTES, ZEROS, is_dicom_head, kind_of
from model.images.not_fetched import not_fetched

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")  # ends of names; many files have none, such as IM0001
UNFINISHED = (  # what programs add to a name on the way, or for good; a browser stores an error page as html
    *(".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".temp"),
    *(".gz", ".zip", ".bz2", ".xz", ".zst", ".z", ".html", ".htm"),
    *(".bak", ".enc", ".gpg", ".quarantined", ".nextcloud", ".owncloud", ".icloud"),
)
DIRECTORY = "dicomdir"
SYSTEM_FOLDERS = ("@", "__macosx", "$recycle", "system volume", ".trash", ".git", ".snapshot", ".apple", ".spotlight", ".fs")
SEGMENTATION = b"1.2.840.10008.5.1.4.1.1.66.4"  # SOP class
DEEPEST = 8  # folders below a case's in which DICOM is looked for, to tell whether it is one
MOST_FILES = 50_000  # of a case: several long studies
MOST_FILES_EXAMINED = 2000
LINK_TO_NOTHING = "linked to nothing"


class NoHeader(UserError):
    """A DICOM file whose header cannot be read; says in what state it is, for a count of such files."""


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark, or begins as DICOM does. One that cannot be read does not."""
    try:
        return path.is_file() and is_dicom_head(_head(path))  # opening a pipe might never end
    except OSError:
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def is_named_dicom(path: Path) -> bool:
    """Whether a name ends as DICOM files' names do."""
    return path.name.casefold().endswith(DICOM_SUFFIXES)


def holds_dicom(folder: Path) -> bool:
    """Whether a DICOM file, or one named so, is among the first MOST_FILES_EXAMINED files in a folder and below it."""
    files = itertools.islice(files_in(folder), MOST_FILES_EXAMINED)
    return any(is_named_dicom(path) or is_dicom(path) for path in files)


def segmentations(path: Path) -> int:
    """How many of the `dicom_files` of a path say in their first bytes that they are segmentations. Raises as that does."""
    return sum(SEGMENTATION in _head(file) for file in dicom_files(path)[0])


def dicom_files(path: Path) -> tuple[list[Path], Counter[str]]:
    """The DICOM file that a path is, or those in the folder and below it, sorted; and what else may be a slice, counted.

    That is what is not DICOM and is called as slices are, by kind: see `_lost`. Raises UserError for more than
    MOST_FILES, OSError where a folder cannot be read.
    """
    files: list[Path] = []
    doubtful: list[tuple[Path, str]] = []
    for file in [path] if path.is_file() else files_in(path, strict=True):
        if file.name.casefold() == DIRECTORY:
            continue
        try:
            head = _head(file)
            if is_dicom_head(head):
                files.append(file)
                if len(files) > MOST_FILES:
                    raise UserError(f"{path}: expected the DICOM files of one case, found more than {MOST_FILES}")
                continue
            kind = kind_of(file, head)
        except OSError as error:
            kind = LINK_TO_NOTHING if error.errno == errno.ENOENT else f"not to be opened ({error.strerror})"
        _require_fetched(file, path)
        doubtful.append((file, kind))
    lost = doubtful if path.is_file() else _lost(doubtful, files)
    return sorted(files), Counter(kind for _, kind in lost)


def require_none_lost(lost: Counter[str], count: int, path: Path) -> None:
    """Raise UserError where some of `count` files may be slices and cannot be read. path: of a folder or the one file."""
    if not lost:
        return
    if path.is_file():
        raise UserError(f"{path}: expected a DICOM image, found a file that is {next(iter(lost))}: is it whole?")
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(lost.items()))
    raise UserError(
        f"{path}: {lost.total()} of {count} files cannot be read as DICOM ({kinds}): they may be slices,"
        " so fetch them again, or take them out of the folder"
    )


def _lost(doubtful: list[tuple[Path, str]], slices: list[Path]) -> list[tuple[Path, str]]:
    """Of files that are no DICOM, each with its kind, those that are called as slices are, and archives.

    So is a file with the suffix of slices beside it; without one, where its name has a number or nothing is in it. A README
    is none.
    """
    shapes = {_shape(file.name) for file in slices}
    folders = {file.parent for file in slices}
    ends = {(file.parent, file.suffix.casefold()) for file in slices}
    there = {(file.parent, file.name.casefold()) for file in slices}
    found = []
    for file, kind in doubtful:
        name = file.name.casefold()
        stem = name.removesuffix(next((end for end in UNFINISHED if name.endswith(end)), ""))
        if name.startswith((".", "~$")):
            is_lost = stem.endswith(DICOM_SUFFIXES) and not name.startswith("._")
        else:
            is_lost = (
                kind == ARCHIVE
                or stem.endswith(DICOM_SUFFIXES)
                or _shape(stem) in shapes
                or ((file.parent, file.suffix.casefold()) in ends and (file.suffix != "" or kind in (EMPTY, ZEROS)))
                or (file.parent in folders and not file.suffix[1:].isalpha() and any(map(str.isdigit, name)))
            )
        if is_lost or any(_shape(inner) in shapes and (file.parent, inner) not in there for inner in _inner_names(name)):
            found.append((file, kind))
    return found


def _inner_names(name: str) -> list[str]:
    """The names to which a program may have added something: `.IM0025.icloud`, `.IM0025.dcm.Xa93kd`, `IM0025.dcm.cloud`.

    Of what is not hidden only those that end as DICOM files' do: `IM0025.jpg` is a picture.
    """
    if name.startswith("._"):  # which macOS writes beside any file
        return []
    parts = name.removeprefix(".").removeprefix("syncthing.").split(".")
    inner = [".".join(parts[:length]) for length in range(max(1, len(parts) - 2), len(parts) + 1)]
    return [one for one in inner if name.startswith(".") or one.endswith(DICOM_SUFFIXES)]


def _shape(name: str) -> str:
    """A name without what differs between the files of a series: IM0001 and IM0002 have one."""
    return re.sub(r"[0-9a-f]{16,}|\d+", "0", name.casefold())


def _require_fetched(file: Path, path: Path) -> None:
    """Raise UserError for a file that stands for data that were not fetched and could be a slice; its name is not said."""
    could_be_slice = is_named_dicom(file) or not file.suffix[1:].isalpha()  # `1.2.840.7` has a suffix too
    if could_be_slice and (reason := not_fetched(file)):
        raise UserError(f"{path}: {reason if file == path else f'a file in it is {reason}'}")


def files_in(folder: Path, *, strict: bool = False) -> Iterator[Path]:
    """Regular files, those of linked folders too; folders of systems left out.

    A folder that links lead to several times counts once. strict: all of them, links to nothing too, and OSError where a
    folder cannot be read; else without what is hidden or lies too deep.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise if strict else None):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.casefold().startswith(SYSTEM_FOLDERS))
        if not strict:
            deep = len(Path(place).relative_to(folder).parts) >= DEEPEST
            folders[:] = [] if deep else [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in sorted(names) if strict or not name.startswith(".")):
            if path.is_file() or ((strict or is_named_dicom(path)) and path.is_symlink() and not path.exists()):
                yield path


def _raise(error: OSError) -> None:
    raise error
