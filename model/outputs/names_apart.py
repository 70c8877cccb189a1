"""Folders of cases that the output's file system takes for one: many know no capitals, or one form of an umlaut alone."""

import itertools
import unicodedata
from pathlib import Path

from model.errors import UserError
from model.files import are_one, writable
from model.inputs.found_case import FoundCase


def plain(name: str) -> str:
    """What names have in common that some file system takes for one; not all of these do."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold()).rstrip(". ")


def require_names_apart(cases: list[FoundCase], output: Path) -> None:
    """Raise UserError when two cases, or their subjects, would get one folder."""
    places = [Path(case.place) for case in cases if not case.problem]
    alike: dict[tuple[Path, str], list[str]] = {}
    for path in sorted({path for place in places for path in (place, *place.parents) if path.name}):
        alike.setdefault((path.parent, plain(path.name)), []).append(path.name)
    for name, other in itertools.chain(*(itertools.combinations(names, 2) for names in alike.values())):
        with writable(output):
            if not are_one(output, name, other):
                continue
        looks_same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
        first, second = (ascii(text) if looks_same else text for text in (name, other))
        raise UserError(
            f"{output}: expected a file system that tells the cases {first} and {second} apart, found one that takes both"
            " names for one; rename one of them, or name an output folder elsewhere"
        )


def is_one_of(place: str, known: dict[str, str], output: Path) -> bool:
    """Whether a folder in the output is that of a known case, whose name may be spelt otherwise by now.

    known: the cases' places by `plain`.
    """
    other = known.get(plain(place))
    return other is not None and (output / other).exists() and (output / place).samefile(output / other)
