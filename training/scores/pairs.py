"""Pairs a folder of masks with a folder of labels, and with one of ADC maps where there is one, by case.

A label is called `<case>_lesion.<ext>` or `<case>.<ext>`, an ADC map `<case>-ADC_ss.<ext>` or `<case>.<ext>`. A mask is a
file `<case>.<ext>` or `<case>_<anything>.<ext>`, or `lesions.<ext>` in a folder with such a name, as process.py writes it:
of such a folder those cases alone are scored whose masks still hold (`training.scores.current`). The labels say which cases
there are; hidden files and other formats are left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import UserError, listed
from model.images.formats.names import READ, stem_of
from model.inputs.cases import images_by_case
from model.inputs.contents import named_as_images, visible_in
from model.inputs.published_layout import ADC_STEM
from model.names.output_names import MASK_STEM
from training.scores.current import read_run
from training.scores.names import LABEL, case_of, one_form

Paths = dict[str, list[Path]]  # by case


@dataclass(frozen=True)
class Pair:
    """One case's files."""

    case: str
    mask: Path
    label: Path
    adc: Path | None = None


@dataclass(frozen=True)
class Pairs:
    """The cases that can be scored, sorted by name, and by case why others are left out."""

    scored: list[Pair]
    left_out: dict[str, str]


def find_pairs(masks: Path, labels: Path, adc: Path | None = None) -> Pairs:
    """The cases of a folder of labels; ADC maps of other cases do not matter.

    A case whose mask is of a run and does not hold any more, or which failed in it, is left out. Raises
    UserError that names the files when a folder cannot be used, or a case does not have exactly one of each file, or a mask
    has no label.
    """
    for folder in filter(None, (masks, labels, adc)):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, or not open to this user")
    if masks.samefile(labels):
        raise UserError(f"{masks}: expected masks and labels in two folders, found one")
    try:
        truths = _in_one_form(images_by_case(labels, LABEL))
        found = _masks_by_case(masks, truths)
        maps = _in_one_form(images_by_case(adc, ADC_STEM)) if adc else None
        run = read_run(masks, list(truths), [path for paths in found.values() for path in paths])
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    for folder, paths, names in ((labels, truths, "<case>_lesion or <case>"), (masks, found, "<case> or <case>_<anything>")):
        if not paths:
            raise UserError(f"{folder}: no image found, expected files {names} with one of {', '.join(READ)}")
    first_maps = {case: paths[0] for case, paths in (maps or {}).items()}
    reasons = {case: run.reason(case, found.get(case, []), first_maps.get(case)) for case in sorted(truths)}
    left_out = {case: reason for case, reason in reasons.items() if reason}
    truths, found = ({case: paths for case, paths in kind.items() if case not in left_out} for kind in (truths, found))
    problems = _problems(truths, found, maps)
    if problems:
        raise UserError("; ".join(problems))
    if not truths:
        raise UserError(f"{masks}: no mask is current: {left_out_words(left_out)}")
    pairs = [Pair(case, found[case][0], truths[case][0], first_maps.get(case)) for case in sorted(truths)]
    return Pairs(pairs, left_out)


def left_out_words(left_out: dict[str, str]) -> str:
    """The cases that are left out and why, for a message."""
    return ", ".join(f"{case} ({reason})" for case, reason in left_out.items())


def _in_one_form(paths: Paths) -> Paths:
    joined: Paths = {}
    for case, some in paths.items():
        joined.setdefault(one_form(case), []).extend(some)
    return joined


def _masks_by_case(folder: Path, cases: Iterable[str]) -> Paths:
    """The masks of every case, those that belong to none under the empty name."""
    names = {path: stem_of(path) for path in named_as_images(folder)}
    for below in filter(Path.is_dir, visible_in(folder)):
        names |= {path: below.name for path in named_as_images(below) if stem_of(path) == MASK_STEM}
    paths: Paths = {}
    for path, name in names.items():
        paths.setdefault(case_of(name, cases), []).append(path)
    return paths


def _problems(truths: Paths, found: Paths, maps: Paths | None) -> list[str]:
    """What keeps the cases from having one file of each kind."""
    double = [paths for kind in (truths, found, maps or {}) for case, paths in kind.items() if case in truths]
    kinds = {
        "expected one file per case, found": [path for paths in double if len(paths) > 1 for path in paths],
        "no mask for": [paths[0] for case, paths in truths.items() if case not in found],
        "no label for": found.get("", []),
        "no ADC map for": [] if maps is None else [paths[0] for case, paths in truths.items() if case not in maps],
    }
    return [f"{what} {listed(paths)}" for what, paths in kinds.items() if paths]
