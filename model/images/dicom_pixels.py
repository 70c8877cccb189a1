"""Which compressed pixels of DICOM are decoded: RLE by pydicom itself, JPEG of all kinds by model/images/jpeg.py."""

import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
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
from model.images import jpeg

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


def decode_jpeg(datasets: list[Dataset], path: Path) -> None:
    """Decompress the pixels of those in JPEG of any kind, in place; each may come several times.

    path: for messages. Raises UserError when a stream is damaged or not of the size that the header says.
    """
    compressed = {id(dataset): dataset for dataset in datasets if dataset.file_meta.TransferSyntaxUID in JPEG}
    files = [(dataset, _one_frame(dataset, frame)) for dataset in compressed.values() for frame in _frames(dataset)]
    if not files:
        return
    try:
        stored = np.frombuffer(jpeg.decoded([file for _, file in files]), np.uint8)
    except ValueError as error:
        raise UserError(f"{path}: its compressed pixels cannot be decoded ({error})") from None
    lengths = [dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8 for dataset, _ in files]
    if len(stored) != sum(lengths):
        raise UserError(f"{path}: its compressed pixels are more or fewer than its header says")
    parts = dict.fromkeys(compressed, b"")
    for (dataset, _), part in zip(files, np.split(stored, np.cumsum(lengths)[:-1]), strict=True):
        parts[id(dataset)] += part.tobytes()
    for key, dataset in compressed.items():
        dataset.PixelData = parts[key] + bytes(len(parts[key]) % 2)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset["PixelData"].VR = "OW"
        dataset["PixelData"].is_undefined_length = False


def _frames(dataset: Dataset) -> list[bytes]:
    count = int(dataset.get("NumberOfFrames") or 1)
    return list(generate_frames(dataset.PixelData, number_of_frames=count))


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
