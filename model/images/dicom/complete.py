"""Whether the slices of DICOM are all of one volume, and of one only, as far as their headers tell.

A cut transfer that lacks slices at an end still gives a regular stack, and so do two runs half a slice apart.
"""

import itertools
import re
from collections import Counter
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
OF_A_VOLUME = ("TemporalPositionIdentifier", "TemporalPositionIndex", "EchoNumbers", "EffectiveEchoTime", "EchoTime")
OF_A_RUN = ("AcquisitionNumber", "FrameAcquisitionNumber", "AcquisitionUID")
IN_TURN = (  # which grow from run to run
    *("AcquisitionDateTime", "FrameAcquisitionDateTime", "AcquisitionTime", "TriggerTime", "SeriesTime", "ContentTime"),
    *("InstanceCreationTime", "InstanceNumber"),
)
IN_GROUPS = {  # tags of a frame and the functional group that holds them
    **dict.fromkeys(("SpacingBetweenSlices", "SliceThickness"), "PixelMeasuresSequence"),
    **dict.fromkeys(("TemporalPositionIndex", "FrameAcquisitionNumber"), "FrameContentSequence"),
    **dict.fromkeys(("FrameAcquisitionDateTime", "InStackPositionNumber"), "FrameContentSequence"),
    "EffectiveEchoTime": "MREchoSequence",
}
STEP = 0.05  # by which a gap differs from a multiple of the spacing at most
OVERLAP = 1.5  # times the gap, from which on slices that thick are of several runs
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

    Raises UserError where the headers name more slices than there are, or where the slices are of several runs.
    """
    datasets = list({frame.path: frame.dataset for frame in frames}.values())
    return (*_runs(frames, gap_mm, path), *_parts(datasets, path), *_counts(frames, datasets, images, others, path))


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
    _require_whole_acquisitions(datasets, path)
    return (*remarks, *_numbering(frames, others, path))


def _require_whole_acquisitions(datasets: list[Dataset], path: Path) -> None:
    """Raise UserError where one of several acquisitions has as many images as each should, and another has fewer."""
    counts = Counter(str(dataset.get("AcquisitionNumber")) for dataset in datasets)
    said, least = _most(datasets, "ImagesInAcquisition"), min(counts.values())
    if said in counts.values() and least < said:
        what = f"{said} images of each acquisition, as its header says (ImagesInAcquisition)"
        raise UserError(f"{path}: expected {what}, found {least} of one: {INCOMPLETE}")


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
    name = "InStackPositionNumber" if "NumberOfFrames" in frame.dataset else "InstanceNumber"
    return whole(_value(frame, name))


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


# --- how many runs ---


def _runs(frames: Sequence[Frame], gap_mm: float, path: Path) -> tuple[str, ...]:
    """Raise UserError where the slices of several runs lie between each other; else whether the gap is what is said.

    Slices that two packages acquired in turn are as thick as the gap or less. Those of two whole runs are as thick as the
    gap within a run, which is a multiple of the gap.
    """
    spacing, thickness = (_longest(frames, name) for name in ("SpacingBetweenSlices", "SliceThickness"))
    said_mm = max(spacing, thickness)
    overlap = said_mm > OVERLAP * gap_mm
    names = [*OF_A_VOLUME, *(OF_A_RUN if overlap or not said_mm else ())]
    tag = next((name for name in names if _interleave(_values(frames, name))), "")
    if overlap and not tag:
        times = max(round(said_mm / gap_mm), 2)
        tag = next((name for name in (*OF_A_RUN, *IN_TURN) if _in_turn(_values(frames, name), times)), "")
    if tag:
        slices = f"slices of {said_mm:.3g} mm" if overlap else "its slices"
        raise UserError(
            f"{path}: expected one acquisition, found several in one series ({tag}): {slices} lie {gap_mm:.3g} mm apart,"
            " those of one between those of another"
        )
    steps = gap_mm / spacing if spacing >= thickness > 0 else 1.0  # less than the thickness may be the room between slices
    are_missing = round(steps) > 1 and abs(steps - round(steps)) < STEP
    if len(frames) == 1 or not (are_missing or overlap):
        return ()
    why = "slices between them may be missing" if are_missing else "they may be of two runs"
    return (f"Its DICOM header says {said_mm:.3g} mm between slices, they lie {gap_mm:.3g} mm apart: {why}.",)


def _longest(frames: Sequence[Frame], name: str) -> float:
    """In mm; 0 where no frame has a number there."""
    return max((abs(value) for value in _values(frames, name) if isinstance(value, float)), default=0.0)


def _values(frames: Sequence[Frame], name: str) -> list[float | str]:
    """A tag of each frame, as numbers where they are; empty texts where it has none."""
    return [_plain(_value(frame, name)) for frame in frames]


def _value(frame: Frame, name: str) -> object:
    """A tag of a frame: in its functional groups, or of its file."""
    sequence = IN_GROUPS.get(name)
    return (holder(frame.dataset, frame.groups, sequence, name) if sequence else frame.dataset).get(name)


def _plain(value: object) -> float | str:
    """Numbers to four digits: echo times differ by rounding."""
    text = "" if value is None else str(value)
    try:
        return float(f"{float(text):.4g}") if "." in text else float(text)
    except ValueError:
        return text


def _interleave(values: list[float | str]) -> bool:
    """Whether of groups of at least two slices with one value each, one lies between the slices of another."""
    ends: dict[float | str, list[int]] = {}
    for n, value in enumerate(values):
        ends.setdefault(value, []).append(n)
    groups = sorted((places[0], places[-1]) for places in ends.values() if len(places) > 1)
    return any(first < last for (_, last), (first, _) in itertools.pairwise(groups))


def _in_turn(values: list[float | str], times: int) -> bool:
    """Whether every `times`-th slice is of one run: all its values lie before all those of the next."""
    if len({type(value) for value in values}) != 1 or "" in values or len(values) < 2 * times:
        return False
    parts = sorted((min(part), max(part)) for part in (values[n::times] for n in range(times)))  # type: ignore[type-var]
    return all(last < first for (_, last), (first, _) in itertools.pairwise(parts))  # type: ignore[operator]
