"""What a file is by its first bytes: DICOM, or what may have come in the place of a slice."""

import codecs
import re
import zipfile
import zlib
from pathlib import Path

from model.images.streams import GZIP

MARK, MARK_AT = b"DICM", 128
HEAD_BYTES = 1024  # of a file, by which it is known
GROUPS = (2, 8)  # with which a file without preamble and mark begins
LONGEST_FIRST = 1024  # bytes, of its first element
EMPTY, ZEROS, TEXT, ARCHIVE, UNKNOWN = "empty", "of zeros alone", "of text", "packed", "of unknown content"
ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def is_bare(head: bytes) -> bool:
    """Whether a file begins as DICOM does without preamble and mark: with an element of a group that comes first."""
    for order in ("little", "big"):
        group, element = (int.from_bytes(head[at : at + 2], order) for at in (0, 2))  # type: ignore[arg-type]
        if group in GROUPS and element <= 0xFF and len(head) >= 8:
            explicit = head[4:6].isalpha() and head[4:6].isupper()
            return explicit or (order == "little" and _goes_on(head, group))
    return False


def _goes_on(head: bytes, group: int) -> bool:
    """Whether behind the first element, whose kind is not said, another one of the first groups begins, or the head ends."""
    length = int.from_bytes(head[4:8], "little")
    following = head[8 + length : 10 + length]
    return length <= LONGEST_FIRST and (not following or group <= int.from_bytes(following, "little") <= GROUPS[-1])


def is_dicom_head(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: by the mark behind its preamble, or without both."""
    return head[MARK_AT : MARK_AT + len(MARK)] == MARK or is_bare(head)


def kind_of(path: Path, head: bytes) -> str:
    """What a file that is no DICOM is, by its first bytes; ARCHIVE for one that may hold slices. Raises OSError."""
    if not head.strip(b"\0"):
        return ZEROS if head else EMPTY
    if head.startswith(b"\x1f\x8b"):
        return _kind_of_gzip(head)
    if head.startswith(b"PK\3\4"):
        return _kind_of_zip(path)
    if head.startswith(ARCHIVES) or _is_tar(head):
        return ARCHIVE
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or not CONTROL.search(head):
        return TEXT
    return UNKNOWN


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _kind_of_gzip(head: bytes) -> str:
    try:
        inside = zlib.decompressobj(GZIP).decompress(head, HEAD_BYTES)
    except zlib.error:
        return UNKNOWN
    return ARCHIVE if is_dicom_head(inside) or _is_tar(inside) else UNKNOWN


def _kind_of_zip(path: Path) -> str:
    """An archive where DICOM lies in it or it is cut off; programs and documents are zip files, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist()[:50]:
                with archive.open(entry) as file:
                    if is_dicom_head(file.read(HEAD_BYTES)):
                        return ARCHIVE
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return ARCHIVE
    return UNKNOWN
