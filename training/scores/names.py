"""Which case a mask or a label is of, by its name. Any name will do: blanks, dots, letters of any language."""

import re
import unicodedata
from collections.abc import Iterable

LABEL = re.compile("(?P<case>.+)_lesion")  # what a label is called, without the suffix, where not as its case


def case_of_label(stem: str) -> str:
    """The case of a label `<case>_lesion` or `<case>`, given without the suffix."""
    match = LABEL.fullmatch(stem)
    return one_form(match["case"] if match else stem)


def case_of(name: str, cases: Iterable[str]) -> str:
    """The longest case that is the name or stands before a `_` in it; empty where none does."""
    name = one_form(name)
    return max((case for case in cases if f"{name}_".startswith(f"{one_form(case)}_")), key=len, default="")


def one_form(name: str) -> str:
    """A name in one Unicode form: macOS writes an umlaut as two characters, others as one."""
    return unicodedata.normalize("NFC", name)
