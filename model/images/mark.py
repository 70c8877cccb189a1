"""The marks in the headers of images that this program wrote: its name, its version, and what the image is.

Whatever its name, such an image is none of the inputs. A mask as `.mha` has a SHA-256 sum in its mark. The sum is of the
whole file with zeros in the sum's place, so anyone can tell whether a mask is as it was written.
"""

import gzip
import hashlib
import re
import zlib
from pathlib import Path

import model
from model.errors import UserError
from model.files import json_object
from model.images.streams import GZIP_MAGIC

PROGRAM = "hie-lesions"
MASK, PROBABILITIES, ESTIMATED_Z = "mask of lesions", "probability map", "estimated Z map"
SUFFIX = ".mha"
BLANK = b"0" * 64
FIELD = "Comment"  # that MetaImage has for any text; ITK and its readers pass over it
UNSIGNED = f"{PROGRAM} {model.__version__} {BLANK.decode()}"
HEADER_BYTES = 4096
MARK = re.compile(rb"\nComment = hie-lesions \S+ ([0-9a-f]{64})\n")
WRITTEN_AS = re.compile(rf"{PROGRAM} \S+ ({MASK}|{PROBABILITIES}|{ESTIMATED_Z}|[0-9a-f]{{64}})".encode())


def text_of(what: str) -> str:
    """The mark of an image that is `what`."""
    return f"{PROGRAM} {model.__version__} {what}"


def require_not_ours(adc: Path, zadc: Path | None, brain_mask: Path | None) -> None:
    """Raise UserError for an input that this program wrote, by its mark or by the JSON of a BIDS derivative beside it."""
    for path, expected in ((adc, "an ADC map"), (zadc, "a given Z map"), (brain_mask, "a brain mask")):
        if path and (what := _written_as(path)):
            what = f"{'an' if what == ESTIMATED_Z else 'a'} {what}"
            raise UserError(f"{path}: expected {expected}, found {what} that {PROGRAM} wrote")


def _written_as(path: Path) -> str:
    """What an image is that this program wrote; empty for any other, and for one that cannot be read."""
    if found := WRITTEN_AS.search(head_of(path)):
        what = found[1].decode()
        return what if what in (MASK, PROBABILITIES, ESTIMATED_Z) else MASK
    sidecar = path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE) + ".json")
    pipeline = json_object(sidecar).get("Pipeline")
    return "result" if isinstance(pipeline, dict) and pipeline.get("Name") == PROGRAM else ""


def head_of(path: Path) -> bytes:
    """The first bytes of a file, decompressed; none of what is no file or cannot be read."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if not head.startswith(GZIP_MAGIC):
            return head
        with gzip.open(path) as stream:
            return stream.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def sign(path: Path) -> None:
    """Put the sum in its place in a file whose header has the field with `UNSIGNED`. Raises OSError."""
    data = path.read_bytes()
    found = MARK.search(data[:HEADER_BYTES])
    if found is None:
        raise OSError("the mark of this program is not in the header")
    with path.open("r+b") as file:
        file.seek(found.start(1))
        file.write(hashlib.sha256(data).hexdigest().encode())
