"""Which compressed pixels of DICOM are decoded: RLE by pydicom itself, JPEG of all kinds by model/images/dicom/jpeg.py."""

import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
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
from model.images.dicom.series import reading
from model.images.dicom.stack import Frame

JPEG = (
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    *(JPEG2000Lossless, JPEG2000),
)
OF_PIXELS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    "PhotometricInterpretation",
)


def is_decoded(syntax: UID) -> bool:
    """Whether pixels in a transfer syntax can be decoded."""
    return syntax in (*JPEG, RLELossless) or not syntax.is_encapsulated


def stored_numbers(frames: list[Frame], path: Path) -> list[np.ndarray]:
    """The numbers that the file of each frame stores for it: (rows, columns), whole numbers or, in a parametric map, floats.

    path: for messages. Raises UserError when they cannot be decoded or are not as many as the header says.
    """
    of_jpeg = [frame for frame in frames if frame.dataset.file_meta.TransferSyntaxUID in JPEG]
    decoded = iter(_decoded(of_jpeg, path) if of_jpeg else ())
    found = []
    for frame in frames:
        is_jpeg = frame.dataset.file_meta.TransferSyntaxUID in JPEG
        with reading(frame.path):
            stored = next(decoded) if is_jpeg else pixel_array(frame.dataset, index=frame.number - 1)
        if stored.shape != (frame.rows, frame.columns):
            raise UserError(f"{frame.path}: expected {frame.rows} x {frame.columns} pixels, found {stored.shape}")
        found.append(stored)
    return found


def _decoded(frames: list[Frame], path: Path) -> list[np.ndarray]:
    files, lengths = [], []
    streams: dict[Path, list[bytes]] = {}
    for frame in frames:
        with reading(frame.path):
            if frame.path not in streams:
                count = int(frame.dataset.get("NumberOfFrames") or 1)
                streams[frame.path] = list(generate_frames(frame.dataset.PixelData, number_of_frames=count))
            files.append(_one_frame(frame.dataset, streams[frame.path][frame.number - 1]))
            lengths.append(frame.rows * frame.columns * _kind(frame.dataset).itemsize)
    try:
        data = jpeg.decoded(files)
    except ValueError as error:
        raise UserError(f"{path}: its compressed pixels cannot be decoded ({error})") from None
    if len(data) != sum(lengths):
        raise UserError(f"{path}: its compressed pixels are more or fewer than its header says")
    ends = np.cumsum(lengths)
    return [
        np.frombuffer(data[end - length : end], _kind(frame.dataset)).reshape(frame.rows, frame.columns)
        for frame, length, end in zip(frames, lengths, ends, strict=True)
    ]


def _kind(dataset: Dataset) -> np.dtype:
    """The type of the stored numbers. Raises TypeError for a number of bits that none has."""
    return np.dtype(f"<{'i' if dataset.PixelRepresentation else 'u'}{int(dataset.BitsAllocated) // 8}")


def _one_frame(dataset: Dataset, frame: bytes) -> bytes:
    """A DICOM file of one frame with nothing in it that changes its numbers."""
    made = Dataset()
    for name in OF_PIXELS:
        setattr(made, name, dataset[name].value)
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, dataset.SOPInstanceUID
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
