"""Transfer syntaxes: deflated files that become longer than a file may be, and files that name no syntax."""

import os
import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from model.errors import UserError
from model.images.dicom.others import MARK, MARK_AT
from model.images.streams import MOST_BYTES, BoundedFile

DEFLATED, DEFLATED_IN = b"1.2.840.10008.1.2.1.99", 2048  # a transfer syntax, and the bytes in which a file names its own
GROUP_LENGTH = 8  # bytes before the value of the first element, which is the meta information's length
CHUNK_BYTES = 1 << 20


def is_inflatable(file: BoundedFile) -> bool:
    """Whether a file is not deflated or becomes no longer than MOST_BYTES; asked before pydicom makes all of it."""
    head = file.peek(DEFLATED_IN)[:DEFLATED_IN]
    if DEFLATED not in head:
        return True
    file.seek((MARK_AT + len(MARK) if head[MARK_AT:].startswith(MARK) else 0) + GROUP_LENGTH)
    file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)  # over the file's meta information
    left = MOST_BYTES
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    data = file.read(CHUNK_BYTES)
    while data and left > 0 and not stream.eof:
        left -= len(stream.decompress(data, CHUNK_BYTES))
        data = stream.unconsumed_tail or file.read(CHUNK_BYTES)
    file.seek(0)
    return left > 0


def name_syntax(dataset: Dataset, path: Path) -> None:
    """Give a data set of a file without meta information the transfer syntax in which it was read.

    path: for messages. Raises UserError where its pixels are compressed: only the meta information could say how.
    """
    if dataset.file_meta.get("TransferSyntaxUID"):
        return
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise UserError(f"{path}: its pixels are compressed, and it does not say how (no TransferSyntaxUID)")
    is_implicit, is_little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
