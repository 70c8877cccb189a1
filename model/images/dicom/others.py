"""What lies beside slices and is none, by its first bytes: text, documents, pictures, programs, other formats."""

import codecs
import re
import zipfile
import zlib
from pathlib import Path

from model.images.not_fetched import pointer
from model.images.streams import GZIP

MARK, MARK_AT = b"DICM", 128
HEAD_BYTES = 1024  # of a file, by which it is known
GROUPS = (2, 8)  # with which a file without preamble and mark begins
LONGEST_FIRST = 1024  # bytes, of its first element
EMPTY, ZEROS, TEXT, POINTER = "empty", "of zeros alone", "of text", "not fetched (git-lfs, git-annex)"
ARCHIVE, PROGRAM, KNOWN, UNKNOWN = "packed", "a program", "of another kind", "of unknown content"
PROGRAMS = (b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xca\xfe\xd0\x0d", b"\xca\xfe\xda\xda", b"!<arch>")
MACH_O = tuple(bytes.fromhex(mark) for mark in ("feedface", "feedfacf", "cefaedfe", "cffaedfe"))
ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
MARKS_OF_TEXT = (
    b"%PDF",
    b"{\\rtf",
    b"%!PS",
    b"NRRD",
    b"ObjectType",
    b"NDims",
)  # of files that may have no binary byte at first
MARKS = (  # with which other files begin
    *(b"\xd0\xcf\x11\xe0", b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF"),
    *(b"\0\0\1\0", b"\0\0\2\0", b"\0\5\x16\7", b"\0\0\0\1Bud1", b"L\0\0\0\1\x14\2\0", b"ITSF", b"MSCF", b"SQLite format 3"),
    *(b"\0\1\0\0\0", b"OTTO", b"wOFF", b"wOF2", b"true", b"ttcf", b"ID3", b"OggS", b"FWS", b"CWS", b"\x1aE\xdf\xa3"),
    *(b"\x5c\1\0\0", b"\0\0\1\x5c", b"\x1c\2\0\0", b"\0\0\2\x1c", b"\x93NUMPY", b"\x89HDF"),
    *(b"\0\0\0\1\0\0", b"MATLAB 5", b"CDF\1", b"CDF\2", b"\x3f\x5f\3\0"),
)
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
TEXT_NAMES = re.compile(  # of texts
    r".*\.(txt|text|md|rst|html?|xml|xsl|xsd|dtd|json|ya?ml|toml|csv|tsv|inf|ini|cfg|conf|log|css|js|svg|rtf|bat|cmd|sh|py|m|r"
    r"|bvals?|bvecs?|md5|sha1|sha256|sum|url|desktop|properties|lst|list|par|mhd|nhdr|hdr|lang|policy|security|manifest|tex|bib|nfo|dump|tags|header"
    r"|prot|protocol|grad|scheme|vbs|ps1|plist|strings|jnlp|asc|pem|crt)"
    r"|bvals?|bvecs?|notes?|info|readme|liesmich|lisezmoi|leeme|licen[cs]e|notice|changes|changelog|authors|copying|copyright|version|install|manifest|(md5|sha\d+)sums?",
    re.IGNORECASE,
)


def is_marked(head: bytes) -> bool:
    """Whether a file that begins so has DICOM's mark behind its preamble."""
    return head[MARK_AT : MARK_AT + len(MARK)] == MARK


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
    """Whether a file that begins so is DICOM."""
    return is_marked(head) or is_bare(head)


def kind_of(path: Path, head: bytes) -> str:
    """What a file that is no DICOM is, by its first bytes. Raises OSError."""
    if not head.strip(b"\0"):
        return ZEROS if head else EMPTY
    if head.startswith(b"\x1f\x8b"):
        return _kind_of_gzip(path, head)
    if head.startswith(b"PK\3\4"):
        return _kind_of_zip(path)
    if head.startswith(ARCHIVES) or head[257:262] == b"ustar":
        return ARCHIVE
    if head.startswith((*PROGRAMS, *MACH_O)):
        return PROGRAM
    if pointer(head):
        return POINTER
    if head.startswith(MARKS_OF_TEXT):
        return KNOWN
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or not CONTROL.search(head):
        return TEXT
    return KNOWN if head.startswith(MARKS) or head[4:8] == b"ftyp" else UNKNOWN


def _kind_of_gzip(path: Path, head: bytes) -> str:
    try:
        inside = zlib.decompressobj(GZIP).decompress(head, HEAD_BYTES)
    except zlib.error:
        return UNKNOWN
    return ARCHIVE if is_dicom_head(inside) or kind_of(path, inside) not in (TEXT, KNOWN, PROGRAM) else KNOWN


def _kind_of_zip(path: Path) -> str:
    """A program or a document, which zip files are too, or an archive where DICOM lies in it or it is cut off."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist()[:50]:
                with archive.open(entry) as file:
                    if is_dicom_head(file.read(HEAD_BYTES)):
                        return ARCHIVE
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return ARCHIVE
    return PROGRAM if path.suffix.casefold() == ".jar" else KNOWN
