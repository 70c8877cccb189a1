"""Which stored numbers of DICOM are padding: pixels of which nothing was measured."""

import numpy as np
from pydicom.dataset import Dataset

from model.images.dicom.frame import Frame
from model.images.dicom.values import REMEDY, TagError, number, whole_number

# Where an enhanced file that was made of single slices keeps tags that it has no other place for
UNASSIGNED = "UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence"


def is_padding(frame: Frame, stored: np.ndarray) -> np.ndarray:
    """Boolean (rows, columns): where a frame's stored numbers are its PixelPaddingValue, or from it to its limit.

    In floating-point numbers the tags for those count, too. Raises TagError for a limit without a value.
    """
    items = [part for group in frame.groups for part in (group, *(group[name][0] for name in UNASSIGNED if group.get(name)))]
    found = np.zeros(stored.shape, bool)
    for kind in ("", "Float", "DoubleFloat") if stored.dtype.kind == "f" else ("",):
        names = f"{kind}PixelPaddingValue", f"{kind}PixelPaddingRangeLimit"
        ends = [end for name in names if (end := _said([*items, frame.dataset], name)) is not None]
        if ends and _said([*items, frame.dataset], names[0]) is None:
            raise TagError(f"its {names[1]} is there without {names[0]}; {REMEDY}")
        if ends and stored.dtype.kind != "f":
            ends = _as_stored(ends, frame.dataset)
        if ends:
            found |= (stored >= min(ends)) & (stored <= max(ends))
    return found


def _said(items: list[Dataset], name: str) -> float | None:
    """The tag's value in the first item that has one; NaN and infinity are values of padding, too."""
    item = next((item for item in items if item.get(name) not in (None, "")), None)
    if item is None:
        return None
    return item[name].value if isinstance(item[name].value, float) else number(item, name)


def _as_stored(ends: list[float], dataset: Dataset) -> list[float]:
    """Whole numbers as the pixels have them: programs write US for SS, or all bits of a number of which fewer are stored."""
    allocated, stored = whole_number(dataset, "BitsAllocated"), whole_number(dataset, "BitsStored")
    signed = bool(dataset.get("PixelRepresentation"))
    found = [_wrapped(int(end), allocated, signed) for end in ends]
    few = [_wrapped(end, stored, signed) for end in found]
    return [*(found if any(a == b for a, b in zip(found, few, strict=True)) else few)]


def _wrapped(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
