"""Finds the cases of a BIDS data set: a subject or a session with its ADC map and what belongs to it.

`derivatives/`, `sourcedata/`, `code/` and images of other kinds are left alone. Images elsewhere are listed with the reason.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from model.errors import UserError
from model.inputs.beside import with_word_of_estimates, with_word_of_masks, with_word_of_masks_elsewhere
from model.inputs.case_table import TABLE
from model.inputs.contents import (
    dangling,
    describe_unread,
    holds_scan,
    is_dangling,
    is_no_image,
    is_scan,
    named_as_images,
    visible_in,
)
from model.inputs.found_case import FoundCase
from model.inputs.map_names import Z_WORD, estimated_z_maps
from model.names.bids_names import CASE, DATATYPES, BidsName, bids_name

DESCRIPTION, DERIVATIVES = "dataset_description.json", "derivatives"
LEFT_ALONE = ("sourcedata", DERIVATIVES, "code", "stimuli", "phenotype")
OTHER_DATATYPES = ("beh", "eeg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet")
IMAGES_IN = f"sub-<label>[/ses-<label>]/{DATATYPES[0]}"
ADC = "adc"  # its suffix, in lower case
LAYOUT = f"*_ADC.nii.gz in each {IMAGES_IN} of a BIDS data set ({DESCRIPTION})"
CHOOSE = f"list the one to use in a {TABLE} (--cases {TABLE})"
Named = list[tuple[Path, BidsName]]


def is_bids(root: Path) -> bool:
    """Whether a folder is a BIDS data set, by the file that describes it."""
    return os.path.lexists(root / DESCRIPTION)


def bids_cases(root: Path) -> list[FoundCase]:
    """A case for each session, or each subject without sessions; what cannot be run has its reason.

    Raises UserError when there are no subjects, OSError when the folder cannot be read.
    """
    subjects = [path for path in visible_in(root) if path.name.casefold().startswith("sub-")]
    if not subjects:
        there = ", ".join(path.name for path in visible_in(root))
        raise UserError(f"{root}: no subject found in this BIDS data set, expected folders sub-<label>, found {there}")
    cases = [case for path in subjects for case in _cases_of(path)]
    cases += _misplaced(root, root, [*LEFT_ALONE, *(path.name for path in filter(_is_folder, subjects))])
    return cases


def _cases_of(path: Path) -> Iterator[FoundCase]:
    """The cases of what is called like a subject's folder."""
    if is_dangling(path):
        yield FoundCase(path.name, problem=dangling([path]))
    elif os.path.isdir(path):
        try:
            yield from _sessions_of(path)
        except OSError as error:
            yield FoundCase(path.name, problem=f"{error.filename}: cannot be read ({error.strerror})")


def _sessions_of(subject: Path) -> list[FoundCase]:
    sessions = [path for path in visible_in(subject) if path.name.casefold().startswith("ses-") and _is_folder(path)]
    cases = [_case_of(path, f"{subject.name}_{path.name}", f"{subject.name}/{path.name}") for path in sessions]
    if not sessions or _adc_maps(_images(subject)):
        cases.append(_case_of(subject, subject.name, subject.name))
    looked_at = (*DATATYPES, *OTHER_DATATYPES, *(path.name for path in sessions))
    lost = [case for path in (subject, *sessions) for case in _misplaced(subject.parent, path, looked_at)]
    return cases + lost


def _misplaced(root: Path, folder: Path, looked_at: Iterable[str]) -> list[FoundCase]:
    """A case with a problem for what is, or holds, an image in a folder where BIDS has no place for it.

    looked_at: names in it that are left out.
    """
    found = []
    for path in sorted(folder.iterdir()) if os.access(folder, os.R_OK) else []:
        is_folder, is_lost = os.path.isdir(path), is_dangling(path) and not path.suffix and not is_no_image(path)
        if path.name in looked_at or not (holds_scan(path) if is_folder else is_lost or is_scan(path)):
            continue
        outside = (
            f"{path}: lies outside of {IMAGES_IN}, where images are expected; {' and '.join(LEFT_ALONE[:2])} are left alone"
        )
        found.append(FoundCase(path.relative_to(root).as_posix(), problem=dangling([path]) or outside))
    return found


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) or is_dangling(path)


def _case_of(folder: Path, name: str, place: str) -> FoundCase:
    """The case of a subject's or a session's folder; `place` is its folder from the data set on."""
    try:
        if not CASE.fullmatch(name):
            raise UserError(f"{folder}: expected a name of letters and digits behind sub- and ses-, as BIDS wants it")
        if problem := dangling([folder]):
            raise UserError(problem)
        return replace(_with_its_files(folder, name), folder=place)
    except UserError as error:
        return FoundCase(name, problem=str(error), folder=place if CASE.fullmatch(name) else "")
    except OSError as error:
        return FoundCase(name, problem=f"{error.filename}: cannot be read ({error.strerror})", folder=place)


def _with_its_files(folder: Path, name: str) -> FoundCase:
    """The ADC map, and the Z map and the brain mask beside it. Raises UserError where they cannot be told, and OSError."""
    images = _images(folder)
    adc = _only(folder, name, "ADC map", _adc_maps(images))
    if adc is None:
        raise UserError(f"{folder}: expected one ADC map ({DATATYPES[0]}/{name}_ADC.nii.gz), {_instead(folder)}")
    path, named = adc
    _require_own(path, named, name)
    beside = [(other, its) for other, its in images if other.parent == path.parent and its.belongs_to(named)]
    zadc = _only(folder, name, "Z map", [found for found in beside if _is_z(found[1])])
    no_z = "" if zadc else f"{folder}: expected one Z map of {path.name} (desc-zscore_ADC), {_instead(folder, path)}"
    if no_z and any(_is_z(its) for _, its in images):  # of another image by its name: nothing to pass over
        raise UserError(no_z)
    if problem := dangling([path, *(zadc or ())[:1]]):
        raise UserError(problem)
    masks = [found for found in beside if _is_brain_mask(found[1])]
    no_mask = dangling(mask for mask, _ in masks)
    try:
        mask = _only(folder, name, "brain mask", masks)
    except UserError as error:
        mask, no_mask = None, str(error)
    z_path, mask_path = (found[0] if found else None for found in (zadc, mask))
    case = FoundCase(name, path, z_path, brain_mask=mask_path, no_z=no_z, no_mask=no_mask)
    case = with_word_of_masks(case, folder, [other for other in visible_in(path.parent) if _may_be_mask(other, named)])
    others = [other for other, its in images if _is_brain_mask(its) and (other, its) not in beside]
    return with_word_of_estimates(with_word_of_masks_elsewhere(case, folder, others), [other for other, _ in images])


def _images(folder: Path) -> Named:
    """The images whose names are BIDS', of the data types that can hold an ADC map."""
    folders = [folder / name for name in DATATYPES if os.path.isdir(folder / name)]
    named = [(path, bids_name(path)) for place in folders for path in named_as_images(place)]
    return [(path, name) for path, name in named if name]


def _adc_maps(images: Named) -> Named:
    others = [path for path, named in images if _is_z(named)] + estimated_z_maps([path for path, _ in images])
    return [(path, named) for path, named in images if named.suffix.casefold() == ADC and path not in others]


def _is_z(named: BidsName) -> bool:
    """By `desc-zscore`, `desc-zmap`, `desc-z` or the like of an ADC map, or by a suffix `zmap` or `zscore`."""
    suffix, description = named.suffix.casefold(), named.entities.get("desc", "").casefold()
    return bool(Z_WORD.fullmatch(suffix) or (suffix == ADC and Z_WORD.fullmatch(description)))


def _is_brain_mask(named: BidsName) -> bool:
    """By `desc-brain` or `label-brain`, and nothing else that says of what the mask is."""
    said = {named.entities[key].casefold() for key in ("desc", "label") if key in named.entities}
    return named.suffix.casefold() == "mask" and "brain" in said and said <= {"brain", "manual"}


def _may_be_mask(path: Path, adc: BidsName) -> bool:
    """Whether a file beside an ADC map is a mask of it by its name in BIDS, or has a name that is not BIDS'."""
    named = bids_name(path)
    return not named or (named.suffix.casefold() == "mask" and named.belongs_to(adc))


def _only(folder: Path, name: str, what: str, found: Named) -> tuple[Path, BidsName] | None:
    """The one that was found, None for nothing. Raises UserError for more."""
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path, _ in found)
        raise UserError(f"{folder}: expected one {what} of {name}, {len(found)} could be it: {names}; {CHOOSE}")
    return found[0] if found else None


def _require_own(path: Path, named: BidsName, name: str) -> None:
    said = "_".join(f"{key}-{named.entities[key]}" for key in ("sub", "ses") if key in named.entities)
    if said != name:
        raise UserError(f"{path}: its name says {said}, its folder {name}; expected one subject and session")


def _instead(folder: Path, adc: Path | None = None) -> str:
    """What lies in the folder instead, beside the ADC map where there is one."""
    places = (folder, *(folder / name for name in DATATYPES))
    images = [path for place in places if os.path.isdir(place) for path in named_as_images(place) if path != adc]
    names = [path.relative_to(folder).as_posix() for path in images]
    more = ", ..." if len(names) > 3 else ""
    if names:
        return f"found {', '.join(names[:3])}{more}; {CHOOSE}"
    unread = "" if adc else describe_unread(folder)
    return f"found {unread}" if unread else f"no {'other ' if adc else ''}image lies in {' or '.join(DATATYPES)}"
