"""Files in the place of data that were not fetched, as git-annex (DataLad) and Git LFS leave them."""

import os
import re
import stat
from pathlib import Path

LONGEST = 1 << 15  # bytes, of git-annex's pointers; those of Git LFS have less
LFS = re.compile(rb"version https?://(git-lfs|hawser)\.github\.com/spec/")
# an unlocked file, or a link that was written as text, as Windows has them
ANNEX = re.compile(rb"""[./\\][^\0\r\n"',;]*annex[/\\]objects[/\\]""")
OF_ANNEX = f"{os.sep}annex{os.sep}objects{os.sep}"  # in the path to which a link leads
FETCH_ANNEX = "the data were not fetched (git annex get)"


def not_fetched(path: Path) -> str:
    """What a file is that stands for data that were not fetched, and what to do; empty for any other file.

    That is a pointer, of git-annex or Git LFS, or a link of git-annex to what is not there.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST:  # opening a pipe might never end
            return ""
        with path.open("rb") as file:
            return pointer(file.read(LONGEST))
    except FileNotFoundError:
        away = f"{FETCH_ANNEX}, or lie outside of the mounted folder"
        return f"a link of git-annex to what is not there: {away}" if is_link_of_annex(path) else ""
    except (OSError, ValueError):
        return ""


def pointer(data: bytes) -> str:
    """As `not_fetched`, of what was read of a file."""
    if len(data) > LONGEST:
        return ""
    if LFS.match(data):
        return "a pointer of Git LFS: the data were not fetched (git lfs pull)"
    return f"a pointer of git-annex: {FETCH_ANNEX}" if ANNEX.match(data) else ""


def is_link_of_annex(path: Path) -> bool:
    """Whether a path leads to where git-annex keeps data, which need not be there."""
    return OF_ANNEX in os.path.realpath(path)
