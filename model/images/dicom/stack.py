"""Where the slices of DICOM lie: frames to one regular stack, or the reason why they are none.

A slice's place is its ImagePositionPatient. Instance numbers, names and frame numbers say nothing about it.
"""

import re
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from model.errors import UserError
from model.images.dicom.complete import require_one_type
from model.images.dicom.frame import Frame, frame_type, functional_groups, holder, image_types
from model.images.dicom.mr_words import says_adc
from model.images.dicom.values import frame_count, number, numbers, whole_number
from model.images.grid import Grid

MOSAIC = re.compile(r"\bmosaic\b", re.IGNORECASE)
COSINES = 1e-3  # by which orientations of one stack differ at most, and pixel spacings, in mm
SAME_PLACE_MM = 1e-3
REGULAR_MM, REGULAR = 0.02, 0.01  # how far a slice may lie from its place: in mm, or as a share of the gap where more
SIDEWAYS_MM = 0.1  # over the whole stack


def frames_of(dataset: Dataset, path: Path) -> list[Frame]:
    """The frames of a file, each with what the functional groups of an enhanced one say about it."""
    count = frame_count(dataset)
    shared, own = functional_groups(dataset)
    if len(own) != count and (own or count != 1):
        raise UserError(f"{path}: expected the places of {count} frames in the patient, found {len(own)}")
    return [_frame(dataset, path, (*own[n : n + 1], *shared), n + 1) for n in range(count)]


def _frame(dataset: Dataset, path: Path, groups: tuple[Dataset, ...], place: int) -> Frame:
    measures = holder(dataset, groups, "PixelMeasuresSequence", "PixelSpacing")
    between = next(
        (number(measures, name) for name in ("SpacingBetweenSlices", "SliceThickness") if measures.get(name)), 0.0
    )
    content = next((group.FrameContentSequence[0] for group in groups if group.get("FrameContentSequence")), Dataset())
    kinds = [kind for group in groups if (kind := frame_type(group))] or image_types(dataset)
    return Frame(
        path,
        dataset,
        groups,
        place,
        whole_number(dataset, "Rows"),
        whole_number(dataset, "Columns"),
        str(content.get("StackID") or ""),
        "\\".join(kinds[0]),
        numbers(holder(dataset, groups, "PlanePositionSequence", "ImagePositionPatient"), "ImagePositionPatient", 3),
        numbers(
            holder(dataset, groups, "PlaneOrientationSequence", "ImageOrientationPatient"), "ImageOrientationPatient", 6
        ),
        numbers(measures, "PixelSpacing", 2),
        abs(between),
    )


def stacked(frames: list[Frame], path: Path) -> tuple[list[Frame], Grid]:
    """The frames of the one stack in the order of its z axis, which completes a right-handed system, and its grid.

    Where some frames are ADC maps by their type, the others are left out. path: for messages. Raises UserError unless the
    frames are of one size, orientation and stack, each place once, at equal gaps and one behind the other.
    """
    if any(MOSAIC.search(frame.types) for frame in frames):
        raise UserError(
            f"{path}: expected an image for each slice, found all slices in one (MOSAIC); convert it first (dcm2niix)"
        )
    adc = [frame for frame in frames if says_adc(frame.types)]
    if adc:
        require_one_type(adc, [frame for frame in frames if not says_adc(frame.types)], path)
    frames = adc or frames
    if len(stacks := {frame.stack for frame in frames}) > 1:
        raise UserError(f"{path}: expected slices of one stack, found {len(stacks)} stacks (by StackID)")
    if len(sizes := {f"{frame.rows} x {frame.columns}": "" for frame in frames}) > 1:
        shown = ", ".join(list(sizes)[:4]) + (", ..." if len(sizes) > 4 else "")
        raise UserError(f"{path}: expected slices of one size, found {len(sizes)} (rows x columns): {shown}")
    first = frames[0]
    for what, values in (
        ("orientation", [frame.orientation for frame in frames]),
        ("pixel spacing", [frame.spacing for frame in frames]),
    ):
        if np.abs(np.subtract(values, values[0])).max() > COSINES:
            other = int(np.abs(np.subtract(values, values[0])).max(1).argmax())
            raise UserError(
                f"{path}: expected slices of one {what}, found several: {_short(values[0])} in {_named(frames, [0])}"
                f" and {_short(values[other])} in {_named(frames, [other])} by file name"
            )
    right, down = first.orientation[:3], first.orientation[3:]
    normal = np.cross(right, down)
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    order = np.argsort([frame.position @ normal for frame in frames], kind="stable")
    frames = [frames[n] for n in order.tolist()]
    gap_mm = _gap(frames, normal, path)
    direction = tuple(np.stack([right, down, normal], axis=1).ravel().tolist())
    y, x = first.spacing.tolist()
    origin = tuple(frames[0].position.tolist())
    return frames, Grid((len(frames), first.rows, first.columns), (gap_mm, y, x), origin, direction)


def _gap(frames: list[Frame], normal: np.ndarray, path: Path) -> float:
    """The gap between slices in mm. frames: sorted along the normal. Raises UserError where they are not regular."""
    if len(frames) == 1:
        if not frames[0].thickness:
            raise UserError(f"{path}: expected the thickness of its only slice, found no SliceThickness")
        return frames[0].thickness
    places = np.array([frame.position for frame in frames])
    gaps = np.diff(places @ normal)
    doubled = np.flatnonzero(gaps < SAME_PLACE_MM)
    if len(doubled):
        count, n = len(frames) - len(doubled), int(doubled[0])
        raise UserError(
            f"{path}: expected each slice once, found {len(frames)} at {count} places"
            f" ({_named(frames, [n, n + 1])} lie at one): doubled slices, or several volumes in one series"
        )
    _require_regular(frames, gaps, path)
    step = (places[-1] - places[0]) / (len(frames) - 1)
    off = np.abs(places - (places[0] + np.arange(len(frames))[:, None] * step)).max()
    sideways = float(np.linalg.norm(places[-1] - places[0] - ((places[-1] - places[0]) @ normal) * normal))
    if off > 2 * _allowed(gaps) or sideways > SIDEWAYS_MM:
        raise UserError(f"{path}: expected slices one behind the other, found them up to {max(off, sideways):.2g} mm aside")
    return float(step @ normal)


def _allowed(gaps: np.ndarray) -> float:
    """By how many mm a gap may differ from the usual one."""
    return max(REGULAR_MM, REGULAR * float(np.median(gaps)))


def _require_regular(frames: list[Frame], gaps: np.ndarray, path: Path) -> None:
    """Raise UserError unless the gaps are equal; it says how many slices are missing where they are multiples of one."""
    allowed, smallest = _allowed(gaps), float(gaps.min())
    times = np.rint(gaps / smallest)
    are_multiples = bool((np.abs(gaps - times * smallest) <= allowed * times).all())
    usual = smallest if are_multiples else float(np.median(gaps))
    wide = np.flatnonzero(np.abs(gaps - usual) > allowed)
    if not len(wide):
        return
    n = int(wide[0])
    found = f"{gaps[n]:.4g} mm between {_named(frames, [n, n + 1])}, {usual:.4g} mm elsewhere"
    missing = f": {int((times - 1).sum())} slice(s) are missing" if are_multiples else ""
    raise UserError(f"{path}: expected equal gaps between slices, found {found}{missing}")


def _named(frames: list[Frame], places: list[int]) -> str:
    """Slices, by their places in the list, for messages: the frames of one file by its numbers, others counted."""
    in_one = "NumberOfFrames" in frames[0].dataset
    numbers = " and ".join(str(frames[place].number if in_one else place + 1) for place in places)
    what = ("frame" if in_one else "slice") + ("s" if len(places) > 1 else "")
    return f"{what} {numbers}" + ("" if in_one else f" of {len(frames)}")


def _short(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
