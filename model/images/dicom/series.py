"""Which DICOM files of a case are the series that is wanted: the ADC map among a study's, or the one that is named.

pydicom takes half a second to import, so this module is loaded where there is DICOM alone. Its warnings and messages quote
tags, in which names can lie: none is passed on.
"""

import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.dataset import Dataset

from model.errors import UserError, lacks_memory
from model.images.dicom.complete import require_one_type, whole
from model.images.dicom.files import NoHeader, dicom_files, require_none_lost
from model.images.dicom.frame import PER_FRAME, SHARED, Frame, image_types
from model.images.dicom.mr_words import EXPONENTIAL, OTHER_TYPES, says_adc
from model.images.dicom.persons import PATIENT, counting, require_one_patient, said_series
from model.images.dicom.stack import frames_of
from model.images.dicom.units import PARAMETRIC_MAP, is_map_of_adc
from model.images.dicom.values import frame_count, reading
from model.images.streams import BoundedFile

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom|model\.images\.dicom")
logging.getLogger("pydicom").addHandler(logging.NullHandler())

DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: a DICOMDIR
NO_MAPS = (  # beginnings of SOP classes that hold images without a place in the patient: secondary captures, segmentations
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
)
OF_A_VISIT = ("StudyDate", "AcquisitionDate", "FrameOfReferenceUID")
LISTED = (
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ImageType", "Modality"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "SpecificCharacterSet"),
    *(SHARED, PER_FRAME, *OF_A_VISIT, *PATIENT),
    *("RealWorldValueMappingSequence", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
)
OF_MR = re.compile(r"\bMR\b|Secondary Capture")  # in the names of SOP classes that may be of MR
OTHER_MODALITIES = ("CT", "PT", "NM", "US", "XA", "CR", "DX", "MG", "OT", "SEG")  # messages quote these; others may be names
LONGEST_LIST = 8  # series that a message names
FEWEST_SINGLE = 3  # series of one slice, from which on they look like one series that was taken apart


@dataclass(frozen=True)
class Header:
    """What a file says before its pixels."""

    path: Path
    dataset: Dataset

    @cached_property
    def types(self) -> str:
        """The file's image types and those of its frames, as one text."""
        return " ".join({"\\".join(kind): "" for kind in image_types(self.dataset)})

    @property
    def frames(self) -> int:
        """How many it says that it has. Raises UserError."""
        with reading(self.path):
            return frame_count(self.dataset)

    @cached_property
    def is_adc(self) -> bool:
        """Whether its image type says that it is an ADC map, or the quantity of a parametric map does."""
        return says_adc(self.types) or is_map_of_adc(self.dataset)

    @property
    def other_modality(self) -> str:
        """What it is an image of where that is not MR, by its modality or else by its SOP class.

        Empty for MR, where it does not say, and for a parametric map of ADC, into which programs write OT or another one.
        """
        said = str(self.dataset.get("Modality") or "").strip().upper()
        if is_map_of_adc(self.dataset):
            return ""
        if said not in ("", "MR"):
            return said if said in OTHER_MODALITIES else "another modality"
        kind, is_image, _ = pydicom.uid.UID(_sop_class(self.dataset)).name.partition(" Image Storage")
        return f"{kind} by SOP class" if is_image and not OF_MR.search(kind) else ""


class Wanted(NamedTuple):
    """The files of an image, sorted; how many images their series has, those of other types too; and the others' numbers."""

    files: list[Path]
    images: int
    others: set[int]


@dataclass(frozen=True)
class Series:
    """The files of one series, or of the part of it that its image type tells to be ADC maps."""

    uid: str
    headers: tuple[Header, ...]

    @property
    def other_modality(self) -> str:
        """What its images are of where not all are of MR; empty where all are, or do not say."""
        return " and ".join(sorted({header.other_modality for header in self.headers} - {""}))

    @property
    def rank(self) -> int:
        """2: its image type says ADC, 1: its description does, 0: neither, or it is something else."""
        header = self.headers[0]
        text = str(header.dataset.get("SeriesDescription", ""))
        if is_no_map(header.dataset) or EXPONENTIAL.search(text):
            return 0
        if header.is_adc:
            return 2
        return int(says_adc(text) and not OTHER_TYPES.search(header.types.replace("\\", " ")))

    def is_of_study(self, other: "Series") -> bool:
        """Whether both are surely of one study: of one UID, and of no two dates or frames of reference."""
        pair = [one.headers[0].dataset for one in (self, other)]
        study, *others = ({str(dataset.get(name) or "") for dataset in pair} for name in ("StudyInstanceUID", *OF_A_VISIT))
        return len(study) == 1 and study != {""} and all(len(values - {""}) < 2 for values in others)

    def __str__(self) -> str:
        """For messages: nothing that may name a person is told."""
        said = said_series(self.headers[0].dataset)
        date = f" of {said['study_date']}" if "study_date" in said else ""
        description = f"{said.get('description', 'no description')}, {len(self.headers)} file(s)"
        return f"{said.get('uid', 'no valid UID')} ({description}){date}"


def has_adc_map(path: Path) -> bool:
    """Whether a series that may be an ADC map of MR is in a DICOM file or a folder. Raises UserError, see `wanted`."""
    return bool(_adc_maps([one for one in _by_series(_headers(path)) if not one.other_modality]))


def wanted(path: Path, series: Sequence[str] = (), adc: bool = False) -> Wanted:
    """The files of the series that a path, a DICOM file or a folder, stands for.

    With one of `series`, UIDs, in it, that one; else the one ADC series with `adc`, the one series without. Raises UserError
    where there is none or more than one, where an ADC map is not of MR, where the files are of several patients, and where a
    file cannot be read.
    """
    headers = _headers(path)
    with counting([header.path for header in headers], path):
        return _wanted(headers, path, series, adc)


def _wanted(headers: list[Header], path: Path, series: Sequence[str], adc: bool) -> Wanted:
    with reading(path):
        require_one_patient([header.dataset for header in headers], path)
    found = _by_series(headers)
    named = [one for one in found if one.uid in series]
    candidates = named or found
    if adc:
        modalities = sorted({one.other_modality for one in candidates})
        candidates = [one for one in candidates if not one.other_modality]
        if not candidates:
            raise UserError(f"{path}: expected an ADC map in images of modality MR, found {' and '.join(modalities)}")
        candidates = _adc_maps(candidates) or (candidates if named else [])
    if len(candidates) != 1:
        raise UserError(f"{path}: {_choice(candidates, found, adc)}")
    chosen = candidates[0]
    _require_one_study(chosen, path)
    files = [header.path for header in chosen.headers]
    others = [header for one in found if one.uid == chosen.uid and one is not chosen for header in one.headers]
    if maps := [header for header in others if not is_no_map(header.dataset)]:
        require_one_type(_frames(chosen.headers), _frames(maps), path)
    numbers = {number for header in others if (number := whole(header.dataset.get("InstanceNumber"))) is not None}
    return Wanted(files, sum(header.frames for header in (*chosen.headers, *others)), numbers)


def _frames(headers: Iterable[Header]) -> list[Frame]:
    found = []
    for header in headers:
        with reading(header.path):
            found += frames_of(header.dataset, header.path)
    return found


def frames_in(path: Path) -> int:
    """How many frames a DICOM file holds; 0 where it does not say, or cannot be read."""
    try:
        with reading(path), BoundedFile(path) as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["NumberOfFrames"], force=True)
            return int(dataset.get("NumberOfFrames") or 0)
    except UserError:
        return 0


def is_no_map(dataset: Dataset) -> bool:
    """Whether a file cannot be a map: a secondary capture, a segmentation, or in colour."""
    palette = str(dataset.get("PhotometricInterpretation")) == "PALETTE COLOR"
    in_colour = (dataset.get("SamplesPerPixel") or 1) != 1 or palette
    return in_colour or str(dataset.get("SOPClassUID", "")).startswith(NO_MAPS)


def _headers(path: Path) -> list[Header]:
    """The images of a DICOM file or of a folder. Raises UserError where there is none, or what may be one is not read."""
    files, lost = dicom_files(path)
    count, found = len(files) + lost.total(), []
    for file in files:
        try:
            found.append(_header(file))
        except NoHeader as error:
            lost[str(error)] += 1
        except UserError as error:
            if path.is_file() or lacks_memory(error.__context__ or error):
                raise
            lost["damaged"] += 1
    require_none_lost(lost, count, path)
    if headers := [header for header in found if header]:
        return headers
    raise UserError(f"{path}: expected DICOM {'images' if files else 'files'}, found none")


def _header(path: Path) -> Header | None:
    """None for a file that holds no image: a directory, a report, a presentation state. Raises UserError."""
    with reading(path), BoundedFile(path) as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(LISTED), force=True)
        sop_class = _sop_class(dataset)
        if sop_class == DIRECTORY:
            return None
        if not dataset.get("SeriesInstanceUID"):
            raise NoHeader("cut off or damaged (without SeriesInstanceUID)")
        if not dataset.get("Rows"):
            if not sop_class or sop_class.startswith(PARAMETRIC_MAP) or " Image" in pydicom.uid.UID(sop_class).name:
                raise NoHeader("cut off or damaged (without Rows)")
            return None
        header = Header(path, dataset)
        _ = header.is_adc, header.dataset.get("SeriesDescription")  # damaged ones show here
    return header


def _sop_class(dataset: Dataset) -> str:
    """As the file or else its meta information says; empty where neither does."""
    meta = getattr(dataset, "file_meta", None)
    return str(dataset.get("SOPClassUID", "") or (meta.get("MediaStorageSOPClassUID", "") if meta else "")).strip()


def _by_series(headers: list[Header]) -> list[Series]:
    groups: dict[tuple[str, bool], list[Header]] = {}
    for header in headers:
        groups.setdefault((str(header.dataset.SeriesInstanceUID), header.is_adc), []).append(header)
    return [Series(uid, tuple(members)) for (uid, _), members in sorted(groups.items())]


def _adc_maps(candidates: list[Series]) -> list[Series]:
    """Those that may be the ADC map. An image type counts before a description of the same study, not of another one."""
    ranks = [(one, one.rank) for one in candidates]
    return [
        one for one, rank in ranks if rank and not any(better > rank and one.is_of_study(other) for other, better in ranks)
    ]


def _require_one_study(series: Series, path: Path) -> None:
    for tag in ("StudyInstanceUID", "StudyDate"):
        values = {str(header.dataset.get(tag) or "") for header in series.headers} - {""}
        if len(values) > 1:
            raise UserError(f"{path}: expected a series of one study, found {len(values)} (by {tag})")


def _choice(candidates: list[Series], found: list[Series], adc: bool) -> str:
    """Why no series could be chosen, with those that `--series` can name."""
    kind = "ADC series, by image type or description" if adc else "series"
    possible = [one for one in found if not (adc and one.other_modality)]
    shown = candidates or possible
    single = [one for one in shown if [header.frames for header in one.headers] == [1]]  # one file with one frame
    single = single if len(single) >= FEWEST_SINGLE else []
    shown = [one for one in shown if one not in single]
    listed = [*map(str, shown[:LONGEST_LIST]), *(["..."] if len(shown) > LONGEST_LIST else [])]
    listed += [f"{len(single)} of one slice each (slices of one series need one SeriesInstanceUID)"] if single else []
    text = "; ".join(listed)
    if not candidates and len(possible) < len(found):
        text += f", left out: {len(found) - len(possible)} of other modalities than MR"
    count = f"{len(candidates)}" if candidates else f"none among {len(found)}"
    advice = "; --series UID names the one to take" if shown else ""
    return f"expected one {kind}, found {count}: {text}{advice}"
