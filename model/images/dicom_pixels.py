"""Which compressed pixels of DICOM are decoded, and by what: the same decoders wherever this runs.

pydicom takes any decoder that is installed, in the order of their names. GDCM's and OpenJPEG's Python packages end the
process on some damaged streams, so they are not among them.
"""

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    MRImageStorage,
)

from model.images import jpeg_lossless

PLUGINS = {"pydicom", "pyjpegls", "pillow"}  # RLE, JPEG-LS, JPEG and JPEG 2000
LOSSLESS = (JPEGLossless, JPEGLosslessSV1)
OF_PIXELS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    "PhotometricInterpretation",
)


def _keep_own_decoders() -> None:
    for syntax in AllTransferSyntaxes:
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            continue
        for plugin in set(decoder.available_plugins) - PLUGINS if decoder.is_encapsulated else ():
            decoder.remove_plugin(plugin)


_keep_own_decoders()


def is_decoded(syntax: UID) -> bool:
    """Whether pixels in a transfer syntax can be decoded."""
    if syntax in LOSSLESS or not syntax.is_encapsulated:
        return True
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def decode_lossless(datasets: list[Dataset]) -> None:
    """Decompress the pixels of those in JPEG lossless, in place; each may come several times.

    Raises ValueError when a stream is damaged or not of the size that the header says.
    """
    compressed = {id(dataset): dataset for dataset in datasets if dataset.file_meta.TransferSyntaxUID in LOSSLESS}
    files = [(dataset, _one_frame(dataset, frame)) for dataset in compressed.values() for frame in _frames(dataset)]
    if not files:
        return
    stored = np.frombuffer(jpeg_lossless.decoded([file for _, file in files]), np.uint8)
    lengths = [dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8 for dataset, _ in files]
    if len(stored) != sum(lengths):
        raise ValueError("the JPEG streams are of another size than the header says")
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
