"""The folds of the labelled cases, as `python -m training.splits` dealt them; identifiers only.

A folder of cases that holds a `splits.json` has folds of its own. For all others the committed ones hold, SPLITS.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import UserError

SPLITS = Path(__file__).with_name("splits.json")
FOLDS = 5  # that are dealt
VISIT = re.compile(r"[-_](visit|ses)[-_].*", re.IGNORECASE)  # what follows the patient in a case's name


def patient_of(name: str) -> str:
    """Whose scan a case is, by its name: PATIENT-VISIT_n and PATIENT_ses-n are one patient's."""
    return VISIT.sub("", name)


@dataclass(frozen=True)
class Folds:
    """Which cases each fold holds out. path: the file that says so. held_out: names, by fold."""

    path: Path
    held_out: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.held_out)

    @property
    def fold_of(self) -> dict[str, int]:
        """The fold that holds out each case, by the case's name, fold by fold."""
        return {name: fold for fold, names in enumerate(self.held_out) for name in names}

    def of(self, fold: int) -> tuple[list[str], list[str]]:
        """Case names of one fold: (training, validation). Raises UserError for a fold that does not exist."""
        if not 0 <= fold < len(self):
            raise UserError(f"{self.path}: expected a fold from 0 to {len(self) - 1}, found {fold}")
        return sorted(name for name, other in self.fold_of.items() if other != fold), list(self.held_out[fold])


def read_folds(path: Path) -> Folds:
    """Raises UserError for a file that is no split: at least two folds, each with a case, each patient in one."""
    try:
        folds = json.loads(path.read_bytes())["folds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        folds = None
    whole = isinstance(folds, list) and len(folds) > 1 and all(isinstance(names, list) and names for names in folds)
    if not whole or not all(isinstance(name, str) for names in folds for name in names):
        raise UserError(f"{path}: expected folds as python -m training.splits writes them, found something else")
    names = [name for fold in folds for name in fold]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: {twice[0]} is there twice, expected every case in one fold")
    first: dict[str, tuple[int, str]] = {}
    for number, fold in enumerate(folds):
        for name in fold:
            known, other = first.setdefault(patient_of(name), (number, name))
            if known != number:
                raise UserError(f"{path}: {other} and {name} are of one patient, expected them in one fold")
    return Folds(path, tuple(map(tuple, folds)))


def folds_of(data: Path) -> Folds:
    """The folds of a folder's own splits.json where there is one, else the committed ones. Raises UserError."""
    own = data / SPLITS.name
    return read_folds(own if own.exists() or own.is_symlink() else SPLITS)


def fold_number(case: Any) -> int:
    """The fold that holds a case, or what was made of one, out. Raises ValueError when it was read without it."""
    if case.fold is None:
        raise ValueError(f"{case.name}: no fold, read it with load_folds")
    return case.fold


def numbers_of_folds(cases: Iterable[Any]) -> list[int]:
    """The folds of some cases, sorted; see `fold_number`."""
    return sorted(set(map(fold_number, cases)))


def folds_by_number(cases: Iterable[Any]) -> list[list[str]]:
    """The names of the cases that each fold holds out: as results and sidecars hold them."""
    some = list(cases)
    return [[case.name for case in some if case.fold == fold] for fold in numbers_of_folds(some)]


def is_committed(folds: Sequence[Sequence[str]]) -> bool:
    """Whether these are the committed folds, wherever they were read."""
    return [sorted(names) for names in folds] == [sorted(names) for names in read_folds(SPLITS).held_out]


def fold_words(folds: Sequence[Sequence[str]]) -> str:
    """Which folds these are, and how many cases they hold, for sidecars and pages."""
    name = "training/data/splits.json" if is_committed(folds) else "splits.json of the data"
    return f"{sum(map(len, folds))} cases in the {len(folds)} folds of {name}"
