"""A case of the input, before its files are opened."""

import collections
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from model.errors import UserError

ESTIMATE_HINT = "--estimate-z does without one"


@dataclass(frozen=True)
class FoundCase:
    """A case and its files, or why it cannot be run.

    A case without a Z map (`zadc` is None) can be run with an estimated one; `no_z` says what was looked for and not found.
    `brain_mask` lies beside the ADC map; `no_mask` says why what lies there cannot be used as one, `other_masks` says which
    masks were left out. Whether any of this counts depends on the options: see `for_options`. converted: other files of an
    ADC map in DICOM. unknown: names of images one of which may be the Z map, where none was found. folder: of its results
    in the output, where not its name. remarks: sentences for the warnings, on what was found beside its files or left out.
    """

    name: str
    adc: Path | None = None
    zadc: Path | None = None
    problem: str = ""
    brain_mask: Path | None = None
    no_z: str = ""
    no_mask: str = ""
    other_masks: str = ""
    converted: tuple[Path, ...] = ()
    unknown: str = ""
    folder: str = ""
    remarks: tuple[str, ...] = ()

    def for_options(self, *, estimate_z: bool, use_mask: bool) -> "FoundCase":
        """The case as it is run with these options: one that needs an option which was not given has a problem.

        Without `use_mask` it has no brain mask.
        """
        problem = self.problem
        if not problem and not self.zadc and not estimate_z:
            problem = f"{self.no_z or f'{self.name}: no Z map'}; {ESTIMATE_HINT}"
        remarks = self.remarks
        if self.unknown and not problem:
            remarks += (f"{self.unknown} was not used: if it is the Z map, put 'zmap' into its name.",)
        if use_mask:
            return replace(self, problem=problem or self.no_mask, remarks=remarks)
        return replace(self, problem=problem, remarks=remarks, brain_mask=None, no_mask="", other_masks="")

    @property
    def adc_map(self) -> Path:
        """The ADC map. Raises UserError where the case cannot be run."""
        if self.problem or not self.adc:
            raise UserError(self.problem)
        return self.adc

    @property
    def place(self) -> str:
        """The folder of its results, as a path from the output folder on."""
        return self.folder or self.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Whatever of the case's files there is."""
        return tuple(path for path in (self.adc, self.zadc, self.brain_mask) if path)


def plain(name: str) -> str:
    """What names have in common that some file systems take for one, such as `baby1` and `BABY1`."""
    return unicodedata.normalize("NFC", name).casefold()


def each_once(cases: list[FoundCase]) -> list[FoundCase]:
    """The cases; of those whose names are one, for any file system, none can be run: each would replace the other."""
    times = collections.Counter(plain(case.name) for case in cases)
    wanted = "expected each case once, and names that differ in more than capitals"
    return [
        FoundCase(case.name, problem=f"found more than one {case.name}, {wanted}; {case.problem}".rstrip("; "))
        if times[plain(case.name)] > 1
        else case
        for case in cases
    ]
