"""The DICOM images that a case came from, reduced to what objects made from them need: geometry, references and identity.

Whoever makes an object from a `Source` cannot copy more: of the headers' text, only IDENTITY is read. Comments,
descriptions, names of institutions and staff, and private attributes stay behind.
"""

import datetime
import hashlib
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from model.errors import UserError, one_line
from model.images.dicom.frame import PER_FRAME, SHARED, functional_groups, holder
from model.images.dicom.persons import UID
from model.images.grid import DicomSource, Grid

# What an archive files an object by; taken over as it is. Every other attribute of patient and study stays behind.
IDENTITY = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC"),
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)
REFERENCE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
ALSO = (
    *("Modality", "Rows", "Columns", "ImagePositionPatient"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)
GROUPS = {  # attributes of a frame's geometry by the functional group that holds them in a multi-frame image
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
}
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
INSTEAD = "could refer; as NIfTI the series gets a mask without these objects"
TIME = re.compile(r"([01]\d|2[0-3])[0-5]\d[0-5]\d(\.\d{1,6})?")
EMPTY = (  # attributes that every object has, with or without a value
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)


@dataclass(frozen=True, eq=False)
class Source:
    """The images of a series, without pixels, and where the slices of a case lie, in the order of its arrays' z."""

    images: tuple[Dataset, ...]
    positions_mm: tuple[tuple[float, ...], ...]  # of each slice's first pixel, (x, y, z)
    identity: Dataset

    @property
    def content(self) -> tuple[str, str]:
        """Date and time of the study; 1 January 1900 at midnight where it has none that is valid."""
        date, time = (str(self.identity.get(name) or "") for name in ("StudyDate", "StudyTime"))
        if not _is_date(date):
            return "19000101", "000000"
        return date, time if TIME.fullmatch(time) else "000000"

    def put_identity(self, made: Dataset) -> None:
        """Give an object the patient and the study as the source has them, valid or not."""
        for element in self.identity:
            made[element.tag] = element


def read_source(dicom: DicomSource, grid: Grid) -> Source:
    """The source of a case on `grid` from its DICOM files.

    Raises UserError when no object can refer to them, ValueError when their slices are not those of the grid.
    """
    tags = [*REFERENCE, *IDENTITY, *ALSO, *GROUPS, SHARED, PER_FRAME]
    try:
        read = [dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True) for path in dicom.files]
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise UserError(f"{dicom.files[0].parent}: its DICOM files cannot be read again ({reason})") from None
    if len(read) > 1 and any(PER_FRAME in dataset for dataset in read):
        raise UserError(f"{dicom.files[0]}: one of several enhanced files, to which no DICOM segmentation {INSTEAD}")
    _require_references(dicom.files, read)
    pairs = [(read[0], number) for number in dicom.frames] if dicom.frames else [(dataset, 1) for dataset in read]
    slices = [_slice(*pair) for pair in pairs]
    if missing := [name for name in GEOMETRY if not all(found.get(name) for found in slices)]:
        raise UserError(
            f"{dicom.files[0]}: expected {' and '.join(missing)} of each slice, to which DICOM objects {INSTEAD}"
        )
    positions_mm = tuple(tuple(float(mm) for mm in found.get("ImagePositionPatient", ())) for found in slices)
    require_on_grid(positions_mm, grid)
    first = slices[0]
    if not first.get("SliceThickness"):
        first.SliceThickness = f"{grid.spacing_mm[0]:.6g}"
    return Source(tuple(_reduced(dataset, first) for dataset in read), positions_mm, _picked(read[0], IDENTITY))


def _require_references(files: Sequence[Path], read: Sequence[Dataset]) -> None:
    """Raise UserError unless every file of a series has UIDs to refer to, and all are of one scanner's space.

    What is no UID is not told: it may be a name. Nor is a new one made: objects with it would be of no study of the archive.
    """
    numbers: dict[str, Path] = {}
    for path, dataset in zip(files, read, strict=True):
        if wrong := [name for name in REFERENCE if not UID.fullmatch(str(dataset.get(name) or ""))]:
            names = f"{' and '.join(wrong)} of digits and dots, at most 64"
            raise UserError(f"{path}: expected {names}, to which DICOM objects of the lesions {INSTEAD}")
        if numbers.setdefault(str(dataset.SOPInstanceUID), path) != path:
            raise UserError(f"{path}: has the SOPInstanceUID of another file, so no DICOM objects of the lesions {INSTEAD}")
    if (count := len({str(dataset.FrameOfReferenceUID) for dataset in read})) > 1:
        folder = os.path.commonpath([path.parent for path in files])
        found = f"expected one FrameOfReferenceUID in the files of a series, found {count}"
        raise UserError(f"{folder}: {found}, so no DICOM objects of the lesions {INSTEAD}")


def require_on_grid(positions_mm: Sequence[tuple[float, ...]], grid: Grid) -> None:
    """Raise ValueError unless there is a slice for each z of the grid, near its place: no mask goes onto other slices."""
    expected = [grid.to_mm(np.array([z, 0, 0])) for z in range(grid.size[0])]
    if np.shape(positions_mm) != np.shape(expected):
        raise ValueError("the DICOM files have no position for each slice of the case")
    if np.linalg.norm(np.subtract(positions_mm, expected), axis=1).max() > grid.spacing_mm[0] / 2:
        raise ValueError("the DICOM files are not the slices of the case, in its order")


def uid_of(*words: str | bytes) -> str:
    """A UID that the words alone decide: the same for the same words, on every machine."""
    digest = hashlib.sha256()
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()).int}"


def _is_date(text: str) -> bool:
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d") == text
    except ValueError:
        return False


def _picked(read: Dataset, names: Sequence[str]) -> Dataset:
    """A data set of those of the attributes that there are, as they are."""
    picked = Dataset()
    for name in names:
        if name in read:
            picked[name] = read[name]
    return picked


def _reduced(read: Dataset, first: Dataset) -> Dataset:
    """The references and the geometry of an image, and an empty patient.

    Orientation, spacing and thickness are those of the case's first slice: highdicom takes no two that differ, be it by
    rounding.
    """
    image = _picked(read, (*REFERENCE, *ALSO))
    for name in EMPTY:
        setattr(image, name, "")
    shared = Dataset()
    for name, sequence in GROUPS.items():
        if name != "ImagePositionPatient":
            item = shared[sequence][0] if sequence in shared else Dataset()
            item[name] = image[name] = first[name]
            setattr(shared, sequence, [item])
    groups, own = functional_groups(read)
    if groups or own:
        own = own or [Dataset()]  # of one frame, whose place is in the shared group
        image.NumberOfFrames = len(own)
        image.SharedFunctionalGroupsSequence = [shared]
        image.PerFrameFunctionalGroupsSequence = [_place(read, [group, *groups]) for group in own]
    return image


def _place(read: Dataset, groups: list[Dataset]) -> Dataset:
    """A group of a frame with its position alone."""
    name, place = "ImagePositionPatient", Dataset()
    setattr(place, GROUPS[name], [_picked(holder(read, groups, GROUPS[name], name), [name])])
    return place


def _slice(image: Dataset, number: int) -> Dataset:
    """The geometry of an image or of one of its frames, from 1."""
    shared, own = functional_groups(image)
    found = Dataset()
    for name, sequence in GROUPS.items():
        found.update(_picked(holder(image, [*own[number - 1 : number], *shared], sequence, name), [name]))
    return found
