"""What may be told of the tags of DICOM files without naming a person, and whether files are all of one patient."""

import contextlib
import datetime
import logging
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from model.errors import UserError
from model.images.dicom.mr_words import are_of_mr

PATIENT = ("PatientID", "PatientName", "PatientBirthDate")  # what tells patients apart
UMLAUTS = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue"})
UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")  # with zeros in front of a number, which scanners write, too
LONGEST_TEXT = 64
NUMBER = re.compile(r"[0-9]|10|[1-9]?[0-9]?[05]0")  # that may stand alone in a description: of a series, 10^-6, b-values
MOST_NUMBERS = 2  # three could be a date
DATE = re.compile(r"\d{5}|\d[-./]\d(?! ?mm)")  # or a patient's number; 10-6 mm2/s is none
_QUIET = threading.RLock()  # what it changes is the process's
ONE_CASE = "expected the DICOM files of one case, found"


def said_description(dataset: Dataset) -> str:
    """SeriesDescription where all its words and numbers are common in MR; else empty.

    Names are misspelt, and dates are written in many ways: only words that are known to be harmless are told.
    """
    text = " ".join(str(dataset.get("SeriesDescription") or "").split())
    plain = _plain(text)
    numbers = re.findall(r"(?<![^\W_])\d+(?![^\W_])", plain)
    is_harmless = (
        text.isprintable()
        and len(text) <= LONGEST_TEXT
        and not DATE.search(plain)
        and len(numbers) <= MOST_NUMBERS
        and all(map(NUMBER.fullmatch, numbers))
        and are_of_mr(plain)
    )
    return text if is_harmless else ""


def said_date(dataset: Dataset) -> str:
    """StudyDate as 2026-02-03; empty where it is no date, or the patient's birth date."""
    date, birth = (_date(dataset.get(name)) for name in ("StudyDate", "PatientBirthDate"))
    try:
        return "" if date == birth else datetime.datetime.strptime(date, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def said_series(dataset: Dataset) -> dict[str, str]:
    """What may be told of a file's series: "uid", "study_date", "description"; without those that may name a person."""
    uid = str(dataset.get("SeriesInstanceUID") or "")
    found = {"uid": uid if UID.fullmatch(uid) else "", "study_date": said_date(dataset)}
    found["description"] = said_description(dataset)
    return {name: text for name, text in found.items() if text}


def require_one_patient(datasets: Sequence[Dataset], path: Path) -> None:
    """Raise UserError where files are of several patients.

    Every file has the one PatientID or, where none has an ID, the one name. Other names and birth dates may be missing, but
    no two may differ. Capitals, blanks, carets, the order of a name's parts and ways to write umlauts mean nothing.
    """
    said = {tuple(str(dataset.get(tag) or "") for tag in PATIENT) for dataset in datasets}
    numbers, names, births = zip(*said, strict=True)
    found = {
        "PatientID": {" ".join(number.casefold().split()) for number in numbers},
        "PatientName": _different(names),
        "PatientBirthDate": set(map(_date, births)),
    }
    for tag, values in found.items():
        if (count := len(values - {""})) > 1:
            raise UserError(f"{path}: {ONE_CASE} {count} patients' (by {tag}); give each a folder of its own")
    tag = "PatientID" if any(found["PatientID"]) else "PatientName"
    if len(found[tag]) > 1:
        raise UserError(f"{path}: {ONE_CASE} some with a {tag} and some without; give each patient a folder of its own")


@contextlib.contextmanager
def counting(files: Sequence[Path], path: Path) -> Iterator[None]:
    """Errors number the files of a folder, `path`, in place of their names, which may be the patient's. Raises UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(_counted(str(error), files, path)) from None
    except OSError as error:
        if not error.filename:
            raise
        raise UserError(_counted(f"{error.filename}: cannot be read ({error.strerror})", files, path)) from None


def _counted(text: str, files: Sequence[Path], path: Path) -> str:
    numbers = {str(file): n for n, file in enumerate(sorted(files), 1) if file != path}
    names = "|".join(re.escape(name) for name in sorted(numbers, key=len, reverse=True)) or r"(?!)"
    return re.sub(names, lambda found: f"{path}: file {numbers[found[0]]} of {len(files)} by name", text)


def _different(names: Iterable[str]) -> set[str]:
    """One way to write each of the names; the empty one too, where it is among them."""
    found: dict[str, set[str]] = {}
    for name in sorted(set(names)):
        ways = _ways(name)
        if not any(ways & others for others in found.values()):
            found[name if any(ways) else ""] = ways
    return set(found)


def _ways(name: str) -> set[str]:
    """The sorted words of a name in the first script that it is written in, without marks and as a German writes in ASCII.

    Also read as UTF-8, which the header may not say.
    """
    texts = [name]
    with contextlib.suppress(UnicodeError):
        texts.append(name.encode("latin-1").decode())
    ways = set()
    for text in texts:
        small = unicodedata.normalize("NFC", text).casefold()
        for way in (_plain(small), _plain(small.translate(UMLAUTS))):
            scripts = (re.findall(r"[^\W_]+", part) for part in way.split("="))
            ways.add(" ".join(sorted(next(filter(None, scripts), []))))
    return ways


def _date(value: object) -> str:
    """A date's eight digits, also as 2026.02.03."""
    return re.sub(r"\D", "", str(value or ""))[:8]


def _plain(text: str) -> str:
    """A text without marks on its letters, and with plain digits for raised ones."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the words of pydicom and highdicom on odd values, which can be the patient's. For one thread at a time."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    with _QUIET, warnings.catch_warnings():
        before = [logger.level for logger in loggers]
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)  # for the loggers below it too
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
