"""The mark in the header of a mask that this program wrote as `.mha`: its name, its version, and a SHA-256 sum.

The sum is of the whole file with zeros in the sum's place, so a mask that anyone changed, or saved anew, is not taken for
one of this program's.
"""

import hashlib
import re
from pathlib import Path

import model

SUFFIX = ".mha"
BLANK = b"0" * 64
FIELD = "Comment"  # that MetaImage has for any text; ITK and its readers pass over it
UNSIGNED = f"hie-lesions {model.__version__} {BLANK.decode()}"
HEADER_BYTES = 4096
MARK = re.compile(rb"\nComment = hie-lesions \S+ ([0-9a-f]{64})\n")


def sign(path: Path) -> None:
    """Put the sum in its place in a file whose header has the field with `UNSIGNED`. Raises OSError."""
    data = path.read_bytes()
    found = MARK.search(data[:HEADER_BYTES])
    if found is None:
        raise OSError("the mark of this program is not in the header")
    with path.open("r+b") as file:
        file.seek(found.start(1))
        file.write(hashlib.sha256(data).hexdigest().encode())


def is_signed(path: Path) -> bool:
    """Whether a file is a mask as this program wrote it, by its mark; a link is not."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        data = path.read_bytes()
    except OSError:
        return False
    found = MARK.search(data[:HEADER_BYTES])
    if found is None:
        return False
    unsigned = data[: found.start(1)] + BLANK + data[found.end(1) :]
    return hashlib.sha256(unsigned).hexdigest().encode() == found[1]
