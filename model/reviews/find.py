"""Which file of a folder of reviews is of which case."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from model.errors import UserError, one_line
from model.files import sha256_of
from model.images.dicom.files import DICOM_SUFFIXES
from model.images.formats.names import DETACHED_HEADER, digest, format_of, is_dicom_path, stem_of
from model.inputs.contents import is_of_the_system, visible_in
from model.reviews.review_file import SUFFIX, read_review

REVIEWED = "-reviewed"  # behind the case's name, as its page calls the mask that it saves
VOXELS = (".raw", ".zraw")  # of the file beside a DETACHED_HEADER
EXPECTED = f"NAME{SUFFIX}, or a mask whose name is NAME or NAME{REVIEWED}, where NAME is a case's"
PAGE, MASK = "page", "mask"  # kinds: what a case's page saved, and a mask that was made elsewhere


@dataclass(frozen=True)
class GivenReview:
    """A review of a case. time: when it was saved, of a mask when its file was changed; sha256: of the file, see `digest`.

    problem: why it cannot be taken, where that is known. scan: of a file that was taken before, the `voxel_digest` of the
    scan that it was taken for.
    """

    path: Path
    kind: str
    time: datetime
    sha256: str
    problem: str = ""
    scan: str = ""


def find_reviews(folder: Path, names: Iterable[str]) -> dict[str, GivenReview]:
    """The review of each case that has one; two of a case are a problem of that case. names: of all cases.

    A review that a page saved says itself which case it is of, a mask by its name. Raises UserError for a file that is of
    none of the cases, or is no review: nothing in the folder is passed over but hidden files and a system's own.
    """
    known = set(names)
    found: dict[str, list[GivenReview]] = collections.defaultdict(list)
    for path in _files_in(folder):
        try:
            name, given = _given(path, known)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError as error:  # a header that names no file of its voxels
            raise UserError(f"{path}: cannot be read ({one_line(error)})") from None
        found[name].append(given)
    return {name: _only(reviews) for name, reviews in found.items()}


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"--reviews {folder}: expected a folder of reviews, found {'a file' if folder.exists() else 'none'}")
    try:
        paths = [path for path in visible_in(folder) if not is_of_the_system(path)]
    except OSError as error:
        raise UserError(f"--reviews {folder}: cannot be read ({error.strerror})") from None
    if odd := [path for path in paths if not path.is_file()]:
        raise UserError(f"{odd[0]}: expected {EXPECTED}, found {'a folder' if odd[0].is_dir() else 'no file'}")
    voxels = [path for path in paths if path.suffix.lower() in VOXELS and path.with_suffix(DETACHED_HEADER) in paths]
    paths = [path for path in paths if path not in voxels]
    if not paths:
        raise UserError(f"--reviews {folder}: expected {EXPECTED}, found an empty folder")
    return paths


def _given(path: Path, known: set[str]) -> tuple[str, GivenReview]:
    """A review with the name of its case. Raises OSError and UserError."""
    if path.name.lower().endswith(".json"):
        review = read_review(path)
        if review.case not in known:
            raise UserError(
                f"{path}: found a review of a case that is not in the input, {review.case[:100]!r}; the name"
                " in the file counts, not the file's: to give it to another case, save the mask on its page and call it"
                f" NAME{REVIEWED}.nii.gz"
            )
        return review.case, GivenReview(path, PAGE, review.time, review.sha256)
    name, of_dicom = "", is_dicom_path(path)
    if of_dicom or format_of(path):
        stem = path.stem if path.name.lower().endswith(DICOM_SUFFIXES) else stem_of(path)
        name = stem.removesuffix(REVIEWED)
        if stem != name and {stem, name} <= known:
            raise UserError(f"{path}: there are cases {name} and {stem}, so that this mask could be of either; rename it")
        name = stem if stem in known else name
    if name not in known:
        raise UserError(f"{path}: expected {EXPECTED}, found a file that is of no case of the input")
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return name, GivenReview(path, MASK, changed, sha256_of(path) if of_dicom else digest(path))


def _only(reviews: list[GivenReview]) -> GivenReview:
    first, *others = reviews
    if not others:
        return first
    named = " and ".join(str(given.path) for given in reviews)
    return replace(first, problem=f"expected one review of the case, found {named}")
