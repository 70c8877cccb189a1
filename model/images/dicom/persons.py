"""What may be told of the tags of DICOM files without naming a person, and whether files are all of one patient."""

import contextlib
import datetime
import logging
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from model.errors import UserError
from model.images.dicom.frame import PER_FRAME
from model.images.dicom.mr_words import MR_WORDS, WORD, words_of
from model.images.dicom.values import distinct

PATIENT = ("PatientID", "PatientName", "PatientBirthDate")  # what tells patients apart
OF_A_PERSON = re.compile(
    r".*[^U]IDs?|.*OrderNumber.*|AccessionNumber|Institution.*"
)  # keywords, beside names and group 0010
PATIENT_GROUP = 0x0010
UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")  # with zeros in front of a number, which scanners write, too
LONGEST_TEXT = 64
NUMBER = re.compile(r"[0-9]|10|[1-9]?[0-9]?[05]0")  # that may stand alone in a description: of a series, 10^-6, b-values
MOST_NUMBERS = 2  # three could be a date
DATE = re.compile(r"\d{5}|\d[-./]\d(?! ?mm)")  # or a patient's number; 10-6 mm2/s is none
_QUIET = threading.RLock()  # what it changes is the process's
ONE_CASE = "expected the DICOM files of one case, found"


def said_description(dataset: Dataset) -> str:
    """SeriesDescription where all its words are those of MR and none is of a person; else empty.

    dataset: the file's whole header. Names are misspelt, and dates are written in many ways: only words that are known to be
    harmless are told.
    """
    text = " ".join(str(dataset.get("SeriesDescription") or "").split())
    plain = _plain(text)
    numbers = re.findall(r"(?<![^\W_])\d+(?![^\W_])", plain)
    if len(text) > LONGEST_TEXT or DATE.search(plain) or len(numbers) > MOST_NUMBERS:
        return ""
    if not all(map(NUMBER.fullmatch, numbers)) or not all(map(_is_of_mr, WORD.findall(plain))):
        return ""
    try:
        names = {word for name in _persons(dataset) for way in _folded(name) for word in _words(way) if len(word) > 1}
    except Exception:  # whatever pydicom raises over a damaged tag: nothing can be compared
        return ""
    said = " ".join(_folded(text))
    if (
        any(word in said for word in names if len(word) > 2)
        or names.intersection([*_words(said), *WORD.findall(said)])
        or not text.isprintable()
    ):
        return ""
    return text


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
    said = {tuple(str(dataset.get(tag) or "") for tag in PATIENT) for dataset in distinct(datasets, PATIENT)}
    numbers, names, births = (set(values) for values in zip(*said, strict=True))
    found = {
        "PatientID": {" ".join(number.casefold().split()) for number in numbers},
        "PatientName": _different(names),
        "PatientBirthDate": {_date(birth) for birth in births},
    }
    for tag, values in found.items():
        if (count := len(values - {""})) > 1:
            raise UserError(f"{path}: {ONE_CASE} {count} patients' (by {tag}); give each a folder of its own")
    for tag in ("PatientID", "PatientName"):
        if values := found[tag] - {""}:
            if "" in found[tag]:
                raise UserError(
                    f"{path}: {ONE_CASE} some with a {tag} and some without; give each patient a folder of its own"
                )
            return


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


def _is_of_mr(word: str) -> bool:
    return word.casefold() in MR_WORDS or MR_WORDS.issuperset(words_of(word))


def _persons(dataset: Dataset) -> Iterator[str]:
    """What a header and its sequences say of persons: names, numbers, addresses, comments, institutions."""
    for element in dataset:
        if element.VR == "SQ" and element.keyword != PER_FRAME:  # places and values of up to thousands of frames
            for item in element.value:
                yield from _persons(item)
        elif element.VR == "PN" or element.tag.group == PATIENT_GROUP or OF_A_PERSON.fullmatch(element.keyword):
            yield str(element.value)


def _different(names: set[str]) -> set[str]:
    """One way to write each of the names; the empty one too, where it is among them."""
    found: list[str] = []
    for name in sorted(name if _words(name) else "" for name in names):
        if not any(_is_one_name(name, other) for other in found):
            found.append(name)
    return set(found)


def _is_one_name(first: str, second: str) -> bool:
    """Whether two names are one, in each of the scripts (divided by =) that both are written in."""
    pairs = [pair for pair in zip(first.split("="), second.split("="), strict=False) if all(map(_words, pair))]
    return bool(first) == bool(second) and all(_ways(one) & _ways(other) for one, other in pairs)


def _ways(name: str) -> set[tuple[str, ...]]:
    """The words of a name, sorted, in each way to write umlauts, and read as UTF-8 where the header does not say so."""
    ways = _folded(name)
    with contextlib.suppress(UnicodeError):
        ways += _folded(name.encode("latin-1").decode())
    return {tuple(sorted(_words(way))) for way in ways}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _date(value: object) -> str:
    """A date's eight digits, also as 2026.02.03."""
    return re.sub(r"\D", "", str(value or ""))[:8]


def _folded(text: str) -> list[str]:
    """A text in small letters, once without marks on them, once as a German writes these in ASCII."""
    small = unicodedata.normalize("NFC", text).casefold()
    return [small, _plain(small), small.replace("\u00e4", "ae").replace("\u00f6", "oe").replace("\u00fc", "ue")]


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
