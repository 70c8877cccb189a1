"""The stored numbers of DICOM: uncompressed and RLE by pydicom, JPEG of all kinds by model/images/dicom/jpeg.py."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    MRImageStorage,
    RLELossless,
    UncompressedTransferSyntaxes,
)

from model.errors import UserError
from model.images.dicom import jpeg
from model.images.dicom.codestreams import UNDECODED, require_rle_length, stream_header
from model.images.dicom.frame import Frame
from model.images.dicom.values import REMEDY, TagError, frame_count, reading, whole_number

NATIVE = UncompressedTransferSyntaxes
JPEG = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, JPEG2000Lossless, JPEG2000)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
ALLOCATED = (1, 8, 16, 32, 64)  # bits
ROWS_THAT_FILL = 1  # of bytes behind uncompressed pixels; more are another image's size


class Bits(NamedTuple):
    """Of a whole number: as many as a file has room for, and as many as it stores."""

    allocated: int
    stored: int


def require_decoder(syntax: UID) -> None:
    """Raise TagError unless pixels in a transfer syntax can be decoded."""
    if syntax in (*NATIVE, *JPEG, RLELossless):
        return
    if syntax.is_transfer_syntax and syntax.is_encapsulated:
        raise TagError(f"its pixels are compressed as {syntax.name}, which is not read; decompress it first")
    known = syntax if syntax.is_valid else "not a valid UID"
    raise TagError(f"its transfer syntax is {known}, which is not read; convert it to Explicit VR Little Endian first")


def stored_numbers(frames: list[Frame], path: Path) -> list[np.ndarray]:
    """The numbers that the file of each frame stores for it: (rows, columns), whole numbers or, in a parametric map, floats.

    path: for messages. Raises UserError when they cannot be decoded, are not as many as the header says, or when a JPEG
    stream is of another size, or of fewer bits, than its file's header says, or a frame of RLE has more rows.
    """
    bits: dict[Path, Bits] = {}
    streams: dict[Path, list[bytes]] = {}
    for file, dataset in {frame.path: frame.dataset for frame in frames}.items():
        syntax = dataset.file_meta.TransferSyntaxUID
        with reading(file):
            bits[file] = _bits(dataset)
            if syntax in NATIVE:
                _require_length(dataset)
        if syntax in JPEG:
            with reading(file, "pixel data"):
                streams[file] = _streams(dataset)
        elif syntax == RLELossless:
            with reading(file, "pixel data"):
                for stream in _streams(dataset):
                    require_rle_length(stream, dataset.Rows, dataset.Columns)
    decoded = _decoded([frame for frame in frames if frame.path in streams], streams, bits, path)
    found = []
    for frame in frames:
        with reading(frame.path, "pixel data"):
            if frame.path in streams:
                found.append(next(decoded))
            else:
                found.append(pixel_array(frame.dataset, index=frame.number - 1, decoding_plugin="pydicom"))
    return found


def _bits(dataset: Dataset) -> Bits:
    """Raises TagError, or AttributeError where a tag is missing, unless the tags of the pixels are ones that are read."""
    allocated = whole_number(dataset, "BitsAllocated")
    allowed: dict[str, Sequence[int]] = {"SamplesPerPixel": (1,), "BitsAllocated": ALLOCATED}
    if "PixelData" in dataset:
        allowed |= {"BitsStored": range(1, allocated + 1), "PixelRepresentation": (0, 1)}
        if "HighBit" in dataset:
            allowed["HighBit"] = (whole_number(dataset, "BitsStored") - 1,)
    for name, values in allowed.items():
        if (found := whole_number(dataset, name)) not in values:
            ends = f"{values[0]} to {values[-1]}" if isinstance(values, range) else " or ".join(map(str, values))
            raise TagError(f"its {name} is {found}, expected {ends}; {REMEDY}")
    if dataset.PhotometricInterpretation not in GREY:
        raise TagError(f"its PhotometricInterpretation is neither {' nor '.join(GREY)}; {REMEDY}")
    if "PixelData" not in dataset:
        return Bits(allocated, allocated)
    return Bits(allocated, whole_number(dataset, "BitsStored"))


def _require_length(dataset: Dataset) -> None:
    """Raise TagError where uncompressed pixels are not as many bytes as the header says."""
    name = next(name for name in PIXELS if name in dataset)
    found, bits = len(dataset[name].value), dataset.Columns * dataset.BitsAllocated
    expected = -(-bits * dataset.Rows * frame_count(dataset) // 8)
    if not expected <= found <= expected + 1 + ROWS_THAT_FILL * bits // 8:
        raise TagError(
            f"its {name} has {found} bytes, expected {expected} by Rows, Columns, BitsAllocated and NumberOfFrames:"
            f" {'is it whole' if found < expected else 'are the tags right'}?"
        )


def _streams(dataset: Dataset) -> list[bytes]:
    """The compressed stream of each frame. Raises TagError where they are not as many as frames."""
    count = frame_count(dataset)
    found = list(generate_frames(dataset.PixelData, number_of_frames=count))
    if len(found) != count:
        raise TagError(f"its PixelData has {len(found)} compressed frames, expected {count} by NumberOfFrames: is it whole?")
    return found


def _decoded(
    frames: list[Frame], streams: dict[Path, list[bytes]], bits: dict[Path, Bits], path: Path
) -> Iterator[np.ndarray]:
    """Of each frame in turn its numbers, decoded from JPEG, without the bits above those that are stored."""
    files = []
    for frame in frames:
        with reading(frame.path, "pixel data"):
            files.append(_one_frame(frame, streams[frame.path][frame.number - 1], bits[frame.path]))
    try:
        found = jpeg.decoded(files)
    except ValueError as error:
        raise UserError(f"{path}: {UNDECODED} ({error})") from None
    for frame, numbers in zip(frames, found, strict=True):
        above = bits[frame.path].allocated - bits[frame.path].stored
        yield numbers.reshape(frame.rows, frame.columns) << above >> above


def _one_frame(frame: Frame, stream: bytes, bits: Bits) -> bytes:
    """A DICOM file of one frame with nothing in it that changes its numbers, of which all bits of the stream count.

    Raises TagError unless the stream is as its file's header says; it may have more bits than are stored.
    """
    rows, columns, samples, depth = stream_header(stream)
    if (rows, columns, samples) != (frame.rows, frame.columns, 1) or not bits.stored <= depth <= bits.allocated:
        raise TagError(
            f"its compressed pixels are {rows} x {columns} with {samples} sample(s) of {depth} bits, its header says"
            f" {frame.rows} x {frame.columns}, 1 and {bits.stored} to {bits.allocated}; export the images again"
        )
    dataset, made = frame.dataset, Dataset()
    for name in ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation"):
        setattr(made, name, dataset[name].value)
    made.BitsStored, made.HighBit = depth, depth - 1
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, dataset.SOPInstanceUID
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    written = io.BytesIO()
    made.save_as(written, enforce_file_format=True)
    return written.getvalue()
