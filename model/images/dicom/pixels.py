"""The stored numbers of DICOM: uncompressed by pydicom, RLE here, JPEG of all kinds by model/images/dicom/jpeg.py."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
)

from model.errors import UserError
from model.images.dicom import jpeg
from model.images.dicom.codestreams import UNDECODED, StreamHeader, rle_decoded, stream_header
from model.images.dicom.frame import Frame
from model.images.dicom.values import REMEDY, TagError, frame_count, reading, whole_number

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
JPEG = (
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    *(JPEG2000Lossless, JPEG2000),
)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
ALLOCATED = (1, 8, 16, 32, 64)  # bits
ROWS_THAT_FILL = 1  # of bytes behind uncompressed pixels; more are another image's size


@dataclass(frozen=True)
class Bits:
    """How a file stores a whole number."""

    allocated: int
    stored: int
    signed: bool

    @property
    def dtype(self) -> np.dtype:
        """Little-endian, of all bits. Raises TypeError for a number of bits that none has."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.allocated // 8}")

    def of(self, data: bytes, frame: Frame) -> np.ndarray:
        """Decoded bytes as the frame's numbers, (rows, columns), without the bits above those that are stored."""
        numbers = np.frombuffer(data, self.dtype).reshape(frame.rows, frame.columns)
        above = self.allocated - self.stored
        return numbers << above >> above if above else numbers


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

    path: for messages. Raises UserError when they cannot be decoded, are not as many as the header says, or when a
    compressed stream is of another size, or of fewer bits, than its file's header says.
    """
    bits: dict[Path, Bits] = {}
    streams: dict[Path, list[bytes]] = {}
    for file, dataset in {frame.path: frame.dataset for frame in frames}.items():
        with reading(file):
            bits[file] = _bits(dataset)
            if dataset.file_meta.TransferSyntaxUID in NATIVE:
                _require_length(dataset)
        if dataset.file_meta.TransferSyntaxUID not in NATIVE:
            with reading(file, "pixel data"):
                streams[file] = _streams(dataset)
    jpegs = [frame for frame in frames if frame.dataset.file_meta.TransferSyntaxUID in JPEG]
    decoded = _decoded(jpegs, streams, bits, path) if jpegs else iter(())
    found = []
    for frame in frames:
        syntax, of_file = frame.dataset.file_meta.TransferSyntaxUID, bits[frame.path]
        with reading(frame.path, "pixel data"):
            if syntax in NATIVE:
                found.append(pixel_array(frame.dataset, index=frame.number - 1))
            elif syntax in JPEG:
                found.append(of_file.of(next(decoded), frame))
            else:
                stream = streams[frame.path][frame.number - 1]
                found.append(of_file.of(rle_decoded(stream, frame.rows, frame.columns, of_file.allocated // 8), frame))
    return found


def _bits(dataset: Dataset) -> Bits:
    """Raises TagError, or AttributeError where a tag is missing, unless the tags of the pixels are ones that are read."""
    allocated = whole_number(dataset, "BitsAllocated")
    for name, found, allowed in (
        ("SamplesPerPixel", whole_number(dataset, "SamplesPerPixel"), (1,)),
        ("BitsAllocated", allocated, ALLOCATED),
    ):
        if found not in allowed:
            raise TagError(f"its {name} is {found}, expected {' or '.join(map(str, allowed))}; {REMEDY}")
    if dataset.PhotometricInterpretation not in GREY:
        raise TagError(f"its PhotometricInterpretation is neither {' nor '.join(GREY)}; {REMEDY}")
    if "PixelData" not in dataset:
        return Bits(allocated, allocated, True)
    stored, signed = whole_number(dataset, "BitsStored"), whole_number(dataset, "PixelRepresentation")
    if not 1 <= stored <= allocated:
        raise TagError(f"its BitsStored is {stored} with a BitsAllocated of {allocated}; {REMEDY}")
    if signed not in (0, 1):
        raise TagError(f"its PixelRepresentation is {signed}, expected 0 or 1; {REMEDY}")
    if "HighBit" in dataset and (high := whole_number(dataset, "HighBit")) != stored - 1:
        raise TagError(f"its HighBit is {high} with a BitsStored of {stored}, expected {stored - 1}; {REMEDY}")
    return Bits(allocated, stored, bool(signed))


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


def _decoded(frames: list[Frame], streams: dict[Path, list[bytes]], bits: dict[Path, Bits], path: Path) -> Iterator[bytes]:
    """Of each frame in turn the bytes of its numbers, decoded from JPEG."""
    files, lengths = [], []
    for frame in frames:
        stream = streams[frame.path][frame.number - 1]
        with reading(frame.path, "pixel data"):
            header = _header(stream, frame, bits[frame.path])
            files.append(_one_frame(frame.dataset, stream, header))
            lengths.append(frame.rows * frame.columns * bits[frame.path].dtype.itemsize)
    try:
        data = jpeg.decoded(files)
    except ValueError as error:
        raise UserError(f"{path}: {UNDECODED} ({error})") from None
    if len(data) != sum(lengths):
        raise UserError(f"{path}: its compressed pixels are more or fewer than its header says")
    ends = np.cumsum(lengths).tolist()
    return (data[end - length : end] for length, end in zip(lengths, ends, strict=True))


def _header(stream: bytes, frame: Frame, bits: Bits) -> StreamHeader:
    """A stream's header. Raises TagError unless it is that of the frame; a stream may have more bits than are stored."""
    found = stream_header(stream)
    for names, said, says in (
        ("Rows x Columns", f"{found.rows} x {found.columns}", f"{frame.rows} x {frame.columns}"),
        ("SamplesPerPixel", str(found.samples), "1"),
    ):
        if said != says:
            raise TagError(f"its compressed pixels are of {names} {said}, its header says {says}; export the images again")
    if not bits.stored <= found.bits <= bits.allocated:
        raise TagError(
            f"its compressed pixels have {found.bits} bits, its header says BitsStored {bits.stored} and BitsAllocated"
            f" {bits.allocated}; export the images again"
        )
    return found


def _one_frame(dataset: Dataset, stream: bytes, header: StreamHeader) -> bytes:
    """A DICOM file of one frame with nothing in it that changes its numbers, of which all bits of the stream count."""
    made = Dataset()
    for name in ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation"):
        setattr(made, name, dataset[name].value)
    made.BitsStored, made.HighBit = header.bits, header.bits - 1
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
