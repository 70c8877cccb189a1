"""Whether the slices of DICOM are all of one volume, and of one only, as far as their headers tell.

A cut transfer that lacks slices at an end still gives a regular stack, and so do two runs half a slice apart.
"""

import contextlib
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from model.errors import UserError
from model.images.dicom.frame import Frame, holder
from model.images.dicom.mr_words import are_of_mr

PARALLEL = 1e-3  # by which the cosines of parallel slices differ at most
ONE_PLACE = 0.25  # of the gap, by which slices at one place differ at most
OF_VENDORS = {  # private tags with the number of slices of a volume: group, creator and element
    "NumberOfSlicesMR of Philips": (0x2001, "Philips Imaging DD 001", 0x18),
    "LocationsInAcquisition of GE": (0x0021, "GEMS_RELA_01", 0x4F),
}
IMAGES = ("ImagesInAcquisition", "ImagesInSeries", "NumberOfSeriesRelatedInstances")  # which may count several volumes
MANY_DIGITS = re.compile(r"\d{2}")
MEASURES = "PixelMeasuresSequence"
STEP = 0.05  # by which a gap differs from a multiple of the spacing at most
OVERLAP = 1.5  # times the gap, from which on slices that thick may be of several runs
INCOMPLETE = "the transfer may have stopped early, so send the series again"


# --- image types ---


def require_one_type(chosen: Sequence[Frame], others: Sequence[Frame], path: Path) -> None:
    """Raise UserError where slices that are no ADC maps by their image type continue the stack of those that are.

    Those at the places of the ADC map are another volume of the same brain, as in a diffusion series that ends with its ADC
    map. chosen, others: the slices of one series; path: for messages.
    """
    orientation = chosen[0].orientation
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.sort([frame.position @ normal for frame in chosen])
    gaps = np.diff(places)
    near_mm = ONE_PLACE * float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    added = [
        frame
        for frame in others
        if np.abs(frame.orientation - orientation).max() <= PARALLEL
        and np.abs(places - frame.position @ normal).min() > near_mm
    ]
    if added:
        raise UserError(
            f"{path}: expected slices of one image type in a series, found {_shown(chosen)} and {_shown(added)}, the latter"
            f" in {len(added)} of {len(added) + len(chosen)} slices where the ADC map has none"
        )


def _shown(frames: Iterable[Frame]) -> str:
    """Their image types without words that may be names or numbers of persons."""
    shown = dict.fromkeys(
        re.sub(r"[^\\]+", lambda word: word[0] if are_of_mr(word[0]) and not MANY_DIGITS.search(word[0]) else "...", kind)
        for kind in (frame.types for frame in frames)
    )
    return ", ".join(kind or "none" for kind in itertools.islice(shown, 3)) + (", ..." if len(shown) > 3 else "")


# --- how many ---


def require_complete(frames: Sequence[Frame], gap_mm: float, images: int, others: set[int], path: Path) -> tuple[str, ...]:
    """What is odd about the number of slices of a stack, as sentences. frames: in the order of their places.

    images: how many the series has, with those of other types; others: the InstanceNumbers of these.

    Raises UserError where the headers name more slices than there are, or slices of several acquisitions overlap.
    """
    datasets = list({frame.path: frame.dataset for frame in frames}.values())
    return (*_gaps(frames, gap_mm, path), *_parts(datasets, path), *_counts(frames, datasets, images, others, path))


def _parts(datasets: list[Dataset], path: Path) -> tuple[str, ...]:
    """Raise UserError unless all files of a concatenation, into which an image with many frames is cut, are there."""
    said, found = _most(datasets, "InConcatenationTotalNumber"), len(datasets)
    total = max(
        said, _most(datasets, "InConcatenationNumber"), 2 if _most(datasets, "ConcatenationFrameOffsetNumber") else 1
    )
    if total > found:
        raise UserError(f"{path}: expected {total} files of one concatenation, found {found}: {INCOMPLETE}")
    if any(dataset.get("ConcatenationUID") for dataset in datasets) and not said:
        return ("Its DICOM header says that it is a part of a concatenation, not of how many parts: some may be missing.",)
    return ()


def _counts(frames: Sequence[Frame], datasets: list[Dataset], images: int, others: set[int], path: Path) -> tuple[str, ...]:
    found = len(frames)
    slices = {name: _private(datasets[0], *where) for name, where in OF_VENDORS.items()}
    slices["NumberOfSlices"] = _most(datasets, "NumberOfSlices")
    for name, said in slices.items():
        if said > found:
            raise UserError(f"{path}: expected {said} slices, as its header says ({name}), found {found}: {INCOMPLETE}")
    is_volume = found in slices.values() or "GE" in str(datasets[0].get("Manufacturer") or "").upper().split()
    remarks = []
    for name in IMAGES:
        if (said := _most(datasets, name)) == images:
            continue  # all are there, of whatever type
        if found < said < 2 * found:
            raise UserError(f"{path}: expected {said} images, as its header says ({name}), found {found}: {INCOMPLETE}")
        if said > found and (said % found or not is_volume):
            remarks.append(
                f"Its DICOM header says {said} images ({name}), the ADC map has {found} slices: whole if the former counts"
                " several volumes; else slices are missing."
            )
    return (*remarks, *_numbering(frames, others, path))


def _numbering(frames: Sequence[Frame], others: set[int], path: Path) -> tuple[str, ...]:
    """Whether the numbers of the slices begin as those of a whole volume do, and follow each other.

    Whole volumes may come before it, all at once or slice by slice, and a new kind of image may begin at a round number.
    Numbers of other images of the series are not missing.
    """
    numbers = sorted({number for frame in frames if (number := _instance(frame)) is not None})
    found = len(frames)
    if len(numbers) < max(found, 2):
        return ()  # one slice, no numbers, or one for several slices
    if others and not set(range(1, numbers[-1])) - others - set(numbers):
        return ()  # with the other images of the series none is missing
    steps = set(np.diff(numbers).tolist())
    step = steps.pop() if len(steps) == 1 else 1
    before = max(numbers[0] - 1, 0) // step
    between = (numbers[-1] - numbers[0]) // step + 1 - found
    if between >= found or (between == 0 and (before % found == 0 or before % 100 == 0)):
        return ()
    numbered = f"numbered {numbers[0]} to {numbers[-1]} (InstanceNumber)"
    if before < found:
        raise UserError(f"{path}: expected {found + before + between} slices, found {found}, {numbered}: {INCOMPLETE}")
    return (f"The ADC map's {found} slices are {numbered}, so some may be missing.",)


def _instance(frame: Frame) -> int | None:
    """The number of a slice: of its file, or in a file with many frames in its stack."""
    if "NumberOfFrames" not in frame.dataset:
        return whole(frame.dataset.get("InstanceNumber"))
    item = holder(frame.dataset, frame.groups, "FrameContentSequence", "InStackPositionNumber")
    return whole(item.get("InStackPositionNumber"))


def _most(datasets: list[Dataset], name: str) -> int:
    """The largest number that a tag has in files; 0 where none has it."""
    return max(whole(dataset.get(name)) or 0 for dataset in datasets)


def _private(dataset: Dataset, group: int, creator: str, element: int) -> int:
    """The number in a private tag; 0 where there is none."""
    try:
        return whole(dataset.private_block(group, creator)[element].value) or 0
    except KeyError:
        return 0


def whole(value: object) -> int | None:
    """A whole number, also one that a file without types holds as bytes; None for anything else."""
    if isinstance(value, bytes):
        return int.from_bytes(value, "little") if len(value) in (2, 4) else None
    try:
        return int(str(value))
    except ValueError:
        return None


# --- how far apart ---


def _gaps(frames: Sequence[Frame], gap_mm: float, path: Path) -> tuple[str, ...]:
    """Whether the slices lie as far apart as the header says, where there are several.

    Slices that two packages acquired in turn are as thick as the gap or less. Those of two whole runs are as thick as the
    gap within a run, which is a multiple of the gap. Raises UserError where acquisition numbers tell such runs.
    """
    spacing, thickness = (_longest(frames, name) for name in ("SpacingBetweenSlices", "SliceThickness"))
    steps = gap_mm / spacing if spacing >= thickness > 0 else 1.0  # less than the thickness may be the room between slices
    if len(frames) == 1:
        return ()
    said_mm = max(spacing, thickness)
    if round(steps) > 1 and abs(steps - round(steps)) < STEP:
        why = "slices between them may be missing"
    elif said_mm <= OVERLAP * gap_mm:
        return ()
    elif 1 < len(_acquisitions(frames)) < len(frames):
        raise UserError(
            f"{path}: expected one acquisition, found several in one series (AcquisitionNumber): slices of {said_mm:.3g} mm"
            f" lie {gap_mm:.3g} mm apart, those of one between those of another"
        )
    else:
        why = "they may be of two runs"
    return (f"Its DICOM header says {said_mm:.3g} mm between slices, they lie {gap_mm:.3g} mm apart: {why}.",)


def _acquisitions(frames: Sequence[Frame]) -> set[str]:
    """The acquisition numbers of slices: of files, or of the frames of one."""
    items = (holder(frame.dataset, frame.groups, "FrameContentSequence", "FrameAcquisitionNumber") for frame in frames)
    return {str(item.get("FrameAcquisitionNumber") or item.get("AcquisitionNumber") or "") for item in items}


def _longest(frames: Sequence[Frame], name: str) -> float:
    """In mm; 0 where no frame has a number there."""
    items = {id(item): item for frame in frames for item in [holder(frame.dataset, frame.groups, MEASURES, name)]}.values()
    found = [0.0]
    for item in items:
        with contextlib.suppress(TypeError, ValueError):
            found.append(abs(float(item.get(name))))
    return max(found)
