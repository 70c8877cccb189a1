"""Headers that name one file of voxels: whatever one of them says, the voxels may be the other's."""

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

from model.errors import UserError
from model.images.formats.names import is_header, voxel_file
from model.inputs.contents import MOST_LISTED, images_or_none
from model.inputs.found_case import FoundCase

Identity = tuple[str, int]


def without_shared_voxels(cases: list[FoundCase]) -> list[FoundCase]:
    """The cases; one that has a header whose file of voxels another header names too has that as its problem.

    The other is of any case, or lies beside. Headers that cannot be read are passed over here: reading the case says what is
    wrong with them.
    """
    of_cases = [path for case in cases for path in case.files if is_header(path)]
    beside = [other for folder in dict.fromkeys(path.parent for path in of_cases) for other in images_or_none(folder)]
    headers = dict.fromkeys([*of_cases, *(path for path in beside if is_header(path))])
    named: dict[Identity, dict[Identity, Path]] = {}  # headers by the file of their voxels
    shared: dict[Path, Identity] = {}
    for header in headers:
        try:
            shared[header] = _identity(voxel_file(header))
            named.setdefault(shared[header], {}).setdefault(_identity(header), header)
        except (OSError, ValueError, UserError):
            continue
    return [_refused(case, [named[shared[path]] for path in case.files if path in shared]) for case in cases]


def _refused(case: FoundCase, headers: list[dict[Identity, Path]]) -> FoundCase:
    several = [list(same.values()) for same in headers if len(same) > 1]
    if case.problem or not several:
        return case
    names = ", ".join(map(str, several[0][:MOST_LISTED])) + (", ..." if len(several[0]) > MOST_LISTED else "")
    where = os.path.realpath(voxel_file(several[0][0]))
    return replace(case, problem=f"{where} holds the voxels of {len(several[0])} headers, expected one: {names}")


def _identity(path: Path) -> Identity:
    """The same for one file by whatever links, and where the file system knows no case by whatever case. Raises OSError."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold(), path.stat().st_ino
