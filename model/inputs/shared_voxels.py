"""Headers that name one file of voxels: whatever one of them says, the voxels may be the other's."""

import collections
import contextlib
import os
from dataclasses import replace
from pathlib import Path

from model.errors import UserError
from model.images.formats.names import is_header, voxel_file
from model.inputs.contents import MOST_LISTED, images_or_none
from model.inputs.found_case import FoundCase


def without_shared_voxels(cases: list[FoundCase]) -> list[FoundCase]:
    """The cases; one that has a header whose file of voxels another header names too has that as its problem.

    The other is of any case, or lies beside. Headers that cannot be read are passed over here: reading the case says what is
    wrong with them.
    """
    of_cases = [path for case in cases for path in case.files if is_header(path)]
    beside = [other for folder in dict.fromkeys(path.parent for path in of_cases) for other in images_or_none(folder)]
    headers = dict.fromkeys([*of_cases, *(path for path in beside if is_header(path))])
    voxels: dict[Path, str] = {}  # whatever links lead there
    named: dict[str, dict[str, Path]] = collections.defaultdict(dict)  # headers by the file of their voxels
    for header in headers:
        with contextlib.suppress(OSError, ValueError, UserError):
            voxels[header] = os.path.realpath(voxel_file(header))
            named[voxels[header]].setdefault(os.path.realpath(header), header)
    return [_refused(case, [(voxels[path], named[voxels[path]]) for path in case.files if path in voxels]) for case in cases]


def _refused(case: FoundCase, of_files: list[tuple[str, dict[str, Path]]]) -> FoundCase:
    several = [(voxels, list(headers.values())) for voxels, headers in of_files if len(headers) > 1]
    if case.problem or not several:
        return case
    voxels, headers = several[0]
    names = ", ".join(map(str, headers[:MOST_LISTED])) + (", ..." if len(headers) > MOST_LISTED else "")
    return replace(case, problem=f"{voxels} holds the voxels of {len(headers)} headers, expected one: {names}")
