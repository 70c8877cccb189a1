"""Damage to DICOM files: of their elements, which pydicom finds, and of their bytes."""

import io
import random
import warnings

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

NUMBERS = (
    *("0", "-1", "1", "2", "3", "0.5", "1e-9", "1e30", "nan", "inf", "65535", "65536", "4294967296", "abc", "", "1\\2"),
    *("9" * 20,),
)
WHOLE = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 64, 255, 4095, 65535)
WORDS = (
    *("", "ADC", "EADC", "TRACE", "MIXED", "mm2/s", "um2/s", "1.2.840.10008.1.2", "\u00e9", "a\\b", "x" * 70),
    *("Mustermann^Erika",),
)
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"),
    *("1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.201", "9.9"),  # those of JPEG start a process for each input
)
KEYWORDS = (
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing"),
    *("SamplesPerPixel", "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope"),
    *("RescaleIntercept", "RescaleType", "ImageType", "FrameType", "SOPClassUID", "SeriesInstanceUID", "StackID"),
    *("PixelPaddingValue", "PlanarConfiguration", "RealWorldValueSlope", "SliceThickness", "SpacingBetweenSlices"),
)


def one_element(data: bytes, rng: random.Random) -> bytes:
    """One element, also within a sequence, has another value, is empty or is missing; or one more is there."""

    def change(dataset: Dataset) -> None:
        holder = _some_level(dataset, rng)
        named = [tag for keyword in KEYWORDS if (tag := Tag(keyword)) in holder]
        tags = named if named and rng.random() < 0.7 else list(holder.keys())
        if not tags or rng.random() < 0.05:
            setattr(holder, rng.choice(KEYWORDS), rng.choice((*NUMBERS, *WORDS, *WHOLE)))
            return
        tag = rng.choice(tags)
        if rng.random() < 0.2:
            del holder[tag]
            return
        element = holder[tag]
        values = {"US": WHOLE, "SS": WHOLE, "UL": WHOLE, "OW": (b"", b"\1\2"), "OB": (b"", b"\1\2"), "SQ": ([], [Dataset()])}
        texts = NUMBERS if element.VR in ("DS", "IS", "FD", "FL") and rng.random() < 0.9 else WORDS
        chosen = rng.choice(values.get(element.VR, texts))
        several = element.VM > 1 and rng.random() < 0.7 and element.VR not in ("SQ", "OW", "OB")
        if several:
            parts = list(element.value)
            parts[rng.randrange(len(parts))] = chosen
            chosen = parts
        element.value = chosen

    return _changed(data, change)


def one_syntax(data: bytes, rng: random.Random) -> bytes:
    """Another transfer syntax than the one that the pixels are in."""
    return _changed(data, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", rng.choice(SYNTAXES)))


def pixels(data: bytes, rng: random.Random) -> bytes:
    """A few bytes of the pixels differ, or some are missing: of a compressed stream, or of its fragments' lengths."""

    def change(dataset: Dataset) -> None:
        values = bytearray(dataset.PixelData)
        if not values:
            return
        for _ in range(rng.randrange(1, 6)):
            values[rng.randrange(len(values))] = rng.randrange(256)
        if rng.random() < 0.3:
            del values[rng.randrange(len(values)) :]
        dataset["PixelData"].value = bytes(values)

    return _changed(data, change)


def _some_level(dataset: Dataset, rng: random.Random) -> Dataset:
    """The file's data set or, half of the time, an item of a sequence in it."""
    while rng.random() < 0.6:
        items = [item for element in dataset if element.VR == "SQ" for item in element.value or ()]
        if not items:
            break
        dataset = rng.choice(items)
    return dataset


def _changed(data: bytes, change: object) -> bytes:
    """The file with a change; the data themselves where they are too damaged for one, or cannot be written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
            change(dataset)
            stream = io.BytesIO()
            dataset.save_as(stream, enforce_file_format=False)
            return stream.getvalue()
        except Exception:
            return data[: len(data) // 2 * 2]
