"""A slice of DICOM, as its header describes it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset


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
