"""Values of DICOM tags as numbers, and what is said where a file or a tag cannot be read.

Messages name a tag. They never show its value, in which a name may stand.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from model.errors import UserError, lacks_memory
from model.images.grid import number_of

WITH_COMMA = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)
REMEDY = "correct the tag or export the images again"


class TagError(ValueError):
    """What is wrong with a tag, as it is put behind its file's name."""


def number(item: Dataset, name: str) -> float:
    """The finite number that a tag holds. Raises AttributeError where the tag is missing, TagError for another value."""
    return _numbers(item, name, 1)[0]


def whole_number(item: Dataset, name: str) -> int:
    """The same for a whole number."""
    value = number(item, name)
    if value != int(value):
        raise TagError(f"its {name} is not a whole number; {REMEDY}")
    return int(value)


def frame_count(dataset: Dataset) -> int:
    """How many frames a file says that it has; 1 where it says nothing."""
    return whole_number(dataset, "NumberOfFrames") if dataset.get("NumberOfFrames") else 1


def numbers(item: Dataset, name: str, count: int) -> np.ndarray:
    """So many finite numbers, float64 (count,), that a tag holds. Raises as `number` does."""
    return np.array(_numbers(item, name, count))


def _numbers(item: Dataset, name: str, count: int) -> list[float]:
    try:
        value = getattr(item, name)
    except AttributeError:
        raise
    except Exception:  # pydicom has many types for a value that its VR does not allow
        value = b""
    parts = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    try:
        found = [number_of(str(part)) for part in parts]
    except (TypeError, ValueError, OverflowError):
        found = []
    if len(found) == count and all(map(math.isfinite, found)):
        return found
    expected = "a number" if count == 1 else f"{count} numbers"
    if all(part is None or part == "" for part in parts):
        raise TagError(f"its {name} is empty, expected {expected}; {REMEDY}")
    if any(isinstance(part, str) and WITH_COMMA.fullmatch(part) for part in parts):
        raise TagError(f"its {name} has a decimal comma, expected {expected} with a decimal point; {REMEDY}")
    raise TagError(f"its {name} is not {expected}; {REMEDY}")


@contextlib.contextmanager
def reading(path: Path, what: str = "header") -> Iterator[None]:
    """Turns whatever a library raises over a file's content into a UserError that names the file and no tag's value.

    what: the part of the file that is read, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except TagError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if lacks_memory(error):
            raise UserError(f"{path}: not enough memory to read it") from None
        lacking = (getattr(error, "name", None) or "") if isinstance(error, AttributeError) else ""
        reason = f"it lacks {lacking}" if lacking and tag_for_keyword(lacking) else f"its {what} is damaged or cut off"
        raise UserError(f"{path}: cannot be read as a DICOM image ({reason}): is it whole?") from None
