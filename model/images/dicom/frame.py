"""A slice of DICOM, as its header describes it, and where a header has what it says of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: a file, or one of its frames. Lengths in mm, `position` and `orientation` (x, y, z) as DICOM has them."""

    path: Path
    dataset: Dataset  # of the file
    groups: tuple[Dataset, ...]  # where its attributes are looked for, in turn
    number: int  # of the frame, from 1
    rows: int
    columns: int
    stack: str
    types: str
    position: np.ndarray
    orientation: np.ndarray
    spacing: np.ndarray  # between rows, between columns
    thickness: float  # of a slice, or the gap to the next; 0 where it does not say


def functional_groups(dataset: Dataset) -> tuple[list[Dataset], list[Dataset]]:
    """The groups of an enhanced file that hold for all of its frames, and those of each frame; none in other files."""
    return list(dataset.get(SHARED) or ()), list(dataset.get(PER_FRAME) or ())


def holder(dataset: Dataset, groups: Sequence[Dataset], sequence: str, name: str) -> Dataset:
    """The item that has an attribute of a frame: of a functional group, in turn, else the file itself."""
    items = [group[sequence][0] for group in groups if group.get(sequence)]
    return next((item for item in items if name in item), dataset)


def image_types(dataset: Dataset) -> list[list[str]]:
    """ImageType of a file, and the frame types of an enhanced one; its own says MIXED where those differ."""
    shared, own = functional_groups(dataset)
    kinds = [frame_type(group) for group in (*shared, *own)]
    return [_texts(dataset.get("ImageType")), *(kind for kind in kinds if kind)]


def frame_type(group: Dataset) -> list[str]:
    """Frame type of a functional group of an MR image or of any other; empty where it says none."""
    for name in ("MRImageFrameTypeSequence", "ParametricMapFrameTypeSequence"):
        if items := group.get(name):
            return _texts(items[0].get("FrameType"))
    return []


def _texts(value: object) -> list[str]:
    """A tag of one or several texts as a list."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else [str(part) for part in value]  # type: ignore[attr-defined]
