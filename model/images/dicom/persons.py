"""What may be told of a person in the tags of DICOM files, and whether files are all of one patient."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from model.errors import UserError

OF_A_PERSON = (
    *("PatientID", "PatientName", "PatientBirthName", "OtherPatientNames", "OtherPatientIDs", "PatientBirthDate"),
    *("AccessionNumber", "ReferringPhysicianName"),
    *("PatientComments", "OperatorsName", "PerformingPhysicianName", "InstitutionName"),
)
NUMBER = re.compile(r"\d{5}|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")  # which may be a patient's, or a date


def said_description(dataset: Dataset) -> str:
    """SeriesDescription; empty where a part of a person's name or number may be in it, or a date."""
    text = " ".join(str(dataset.get("SeriesDescription", "")).split())[:64]
    persons = " ".join(str(dataset.get(name, "")) for name in OF_A_PERSON)
    words = {word for way in _folded(persons) for word in re.findall(r"[^\W_]+", way)}
    said = " ".join(_folded(text))
    names = any(word in said for word in words if len(word) > 2) or words & set(re.findall(r"[^\W_]+", said))
    return text if text.isprintable() and not names and not NUMBER.search(text) else ""


def require_one_patient(datasets: Sequence[Dataset], path: Path) -> None:
    """Raise UserError where files are of several patients: by number; where no file has one, by name."""
    for tag in ("PatientID", "PatientName"):
        patients = {str(dataset.get(tag, "")) for dataset in datasets} - {"", "None"}
        if len(patients) > 1:
            raise UserError(
                f"{path}: expected the DICOM files of one case, found {len(patients)} patients' (by {tag});"
                " give each a folder of its own"
            )
        if patients:
            return


def _folded(text: str) -> list[str]:
    """A text in small letters, once without marks on them, once as a German writes these in ASCII."""
    small = unicodedata.normalize("NFC", text).casefold()
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", small) if not unicodedata.combining(sign))
    return [small, plain, small.replace("\u00e4", "ae").replace("\u00f6", "oe").replace("\u00fc", "ue")]
