"""Finds the cases of a folder: the data set's layout, BIDS', a folder for each case, or a CSV that lists them.

What looks like a case and cannot be run is found too, with the reason.
"""

import collections
import os
import re
from dataclasses import replace
from pathlib import Path

from model.errors import UserError, one_line
from model.images.dicom.files import SYSTEM_FOLDERS, holds_dicom, is_dicom, is_named_dicom
from model.images.formats.names import READ, stem_of, suffix_of
from model.inputs.beside import (
    may_hold_adc_map,
    split_converted,
    with_word_of_dicom,
    with_word_of_estimates,
    with_word_of_images,
    with_word_of_masks,
    with_word_of_masks_elsewhere,
)
from model.inputs.bids import LAYOUT, bids_cases, is_bids
from model.inputs.case_table import BRAIN_MASK, COLUMNS, TABLE, listed_cases, table_in
from model.inputs.contents import (
    dangling,
    describe_unread,
    holds_scan,
    images_below,
    images_or_none,
    is_dangling,
    is_index_of_cd,
    is_no_image,
    is_of_the_system,
    is_scan,
    named_as_images,
    unread_kind,
    visible_in,
    where_dicom_is_read,
)
from model.inputs.found_case import FoundCase, each_once
from model.inputs.map_names import ADC_HINT, Z_HINT, brain_masks, case_words, is_brain_mask, is_z_map, tell_apart
from model.inputs.mask_names import says_mask
from model.inputs.platform import EMPTY_INPUT
from model.inputs.published_layout import ADC_FOLDER, ADC_STEM, LABEL_FOLDER, ZADC_FOLDER, ZADC_STEM
from model.names.output_names import INDEX, PREVIOUS, SUMMARY

DEEPEST = 3  # folders below a case's in which cases are looked for, to say that they lie too deep
LAYOUTS = (
    f"{ADC_FOLDER}/ and {ZADC_FOLDER}/ as in the data set, or a folder for each case with its ADC and its Z map"
    f" or its DICOM files, or {LAYOUT},"
    f" or a {TABLE} with the columns {', '.join(COLUMNS)} and, if there are brain masks, {BRAIN_MASK}"
)


def find_cases(root: Path, table: Path | None = None, *, estimate_z: bool = False) -> list[FoundCase]:
    """The cases below `root`, sorted by name, those with a problem too; with `table`, the ones that it lists.

    estimate_z: whether a table may lack the column of the Z maps.
    Raises UserError when there is no case or the table cannot be used.
    """
    try:
        if table is None:
            table = table_in(root)
        if table:
            cases = listed_cases(table, estimate_z=estimate_z)
        elif is_bids(root):
            cases = bids_cases(root)
        elif any(os.path.lexists(root / name) for name in (ADC_FOLDER, ZADC_FOLDER)):
            cases = _published_cases(root)
        else:
            cases = _cases_by_folder(root)
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}: {error.filename})") from None
    if not cases:
        raise UserError(f"{table or root}: no case found, expected {LAYOUTS}{'' if table else _instead(root)}")
    return sorted(each_once([_with_usable_name(case) for case in cases]), key=lambda case: case.name)


def _instead(root: Path) -> str:
    unread, images = describe_unread(root), [path.name for path in named_as_images(root)]
    found = unread or (
        f"{', '.join(images[:3])} beside no folder of a case, put each case in one of its own" if images else ""
    )
    if not found and not any(root.iterdir()):
        return f"; {EMPTY_INPUT}"
    return f"; found {found}" if found else ""


def _with_usable_name(case: FoundCase) -> FoundCase:
    """The case, or one with a problem when no folder of the output can have its name."""
    name = case.name
    usable = name.isprintable() and name == Path(name).name and not name.startswith(".") and len(name.encode()) <= 200
    if usable and name.casefold() not in (SUMMARY, INDEX, PREVIOUS):
        return case
    if case.problem and name.isprintable():
        return replace(case, name=name[:200])
    shown = ascii(name)[:200]
    return FoundCase(shown, problem=f"{shown} cannot name a case, expected what a folder can be called")


# --- the layout of the data set ---


def _published_cases(root: Path) -> list[FoundCase]:
    """By what the published archives call them; files named otherwise pair up by the words that are not the map's.

    Other folders in which images lie are cases of their own.
    """
    adc, zadc = (images_by_case(root / name, stem) for name, stem in ((ADC_FOLDER, ADC_STEM), (ZADC_FOLDER, ZADC_STEM)))
    for name, other in _same_words(adc.keys() - zadc.keys(), zadc.keys() - adc.keys()):
        zadc[name] = zadc.pop(other)
    masks = _masks_by_words(adc)
    cases = [
        _pair(name, adc.get(name, []), zadc.get(name, []), root, masks.get(case_words(name), []), look=False)
        for name in adc.keys() | zadc.keys()
    ]
    for name in (ADC_FOLDER, ZADC_FOLDER):
        cases += _unreadable_entries(root / name)
    known = (ADC_FOLDER, ZADC_FOLDER, LABEL_FOLDER)
    beside = [path for path in root.iterdir() if path.name not in known and (holds_scan(path) or not os.path.isdir(path))]
    return cases + _cases_by_folder(root, beside)


def images_by_case(folder: Path, stem: re.Pattern) -> dict[str, list[Path]]:
    """The images of a folder by what `stem` calls `case` in their names, or by their stems where it does not match.

    None of a folder that is not there. Raises UserError for a link to nothing, OSError where it cannot be read.
    """
    if is_dangling(folder):
        raise UserError(dangling([folder]))
    paths: dict[str, list[Path]] = {}
    for path in named_as_images(folder) if folder.is_dir() else []:
        match = stem.fullmatch(stem_of(path))
        paths.setdefault(match["case"] if match else stem_of(path), []).append(path)
    return paths


def _same_words(names: set[str], others: set[str]) -> list[tuple[str, str]]:
    """The names of the two sets that have the same words, those for a map left out, where just one of each set has them."""
    first, second = (collections.Counter(map(case_words, given)) for given in (names, others))
    by_words = {case_words(other): other for other in others}
    shared = [(name, case_words(name)) for name in names]
    return [(name, by_words[words]) for name, words in shared if words and first[words] == second[words] == 1]


def _masks_by_words(adc: dict[str, list[Path]]) -> dict[tuple[str, ...], list[Path]]:
    """Take the brain masks out of the ADC maps: by the words of the map beside which each lies."""
    maps = {case_words(name) for name, paths in adc.items() if not is_brain_mask(paths[0])}
    masks: dict[tuple[str, ...], list[Path]] = {}
    for name in [name for name, paths in adc.items() if is_brain_mask(paths[0]) and case_words(name) in maps]:
        masks.setdefault(case_words(name), []).extend(adc.pop(name))
    return masks


def _unreadable_entries(folder: Path) -> list[FoundCase]:
    """Folders with scans and files of formats that are not read, where an image of a case is expected."""
    entries = visible_in(folder) if folder.is_dir() else []
    expected = f"expected an image that ends in one of {', '.join(READ)}"
    return [
        FoundCase(f"{folder.name}/{path.name}", problem=f"{path}: {expected}{where_dicom_is_read([unread_kind(path)])}")
        for path in entries
        if not suffix_of(path) and (holds_scan(path) if os.path.isdir(path) else is_scan(path))
    ]


# --- a folder for each case ---


def _cases_by_folder(root: Path, entries: list[Path] | None = None) -> list[FoundCase]:
    """A case for each folder; what looks like one and lies loose or too deep is one with a problem.

    What is hidden, and the index and the viewer of a CD, are passed over; a hidden folder of a case is told.
    """
    cases, loose = [], []
    paths = sorted(root.iterdir() if entries is None else entries)
    of_cd = any(map(is_index_of_cd, paths))
    for path in paths:
        if is_of_the_system(path):
            if _is_hidden_case(path):
                words = f"warning: {path}: left out, since its name begins with a dot; it holds a case"
                print(one_line(words), flush=True)
            continue
        if os.path.isdir(path):
            found = _cases_of_folder(path, root)
            if not found[0].problem or not of_cd or holds_scan(path, of_cd=True):
                cases += found
        elif not is_no_image(path) and (lost := dangling([path])):
            cases.append(FoundCase(path.name, problem=lost))
        elif case := _multi_frame_case(path):
            cases.append(case)
        elif is_scan(path) or (unread_kind(path) and not of_cd):
            problem = f"{path}: lies beside the cases, expected it in a folder of its case"
            loose.append(FoundCase(path.name, problem=problem + where_dicom_is_read([unread_kind(path)])))
    return cases + loose if cases or entries is not None else []


def _multi_frame_case(path: Path) -> FoundCase | None:
    """The case that a DICOM file with more than one frame is, called as the file; None for any other file.

    A file with one frame is a slice, which is no case without the others.
    """
    if not is_dicom(path):
        return None
    from model.images.dicom.series import frames_in

    if frames_in(path) < 2:
        return None
    same = [other for other in path.parent.iterdir() if other != path and path.stem in (other.name, other.stem)]
    return FoundCase(path.stem if is_named_dicom(path) and not same else path.name, path)


def _is_hidden_case(path: Path) -> bool:
    """Whether it is a hidden folder, not of a system as `.Trash` is, with an ADC map or DICOM in it or one folder below."""
    if not path.name.startswith(".") or path.name.casefold().startswith(SYSTEM_FOLDERS) or path.is_symlink():
        return False
    maps = (tell_apart(images_or_none(folder))[0] for folder in [path, *path.glob("*/")])
    return any(maps) or any(is_dicom(file) for pattern in ("*", "*/*") for file in path.glob(pattern))


def _cases_of_folder(folder: Path, root: Path) -> list[FoundCase]:
    """The folder's own case, and cases in folders below it, which are too deep to be run.

    Beside DICOM an ADC map of another format in a folder below may have been made of it: the case says that it was left out.
    """
    images = images_below(folder, DEEPEST)
    case = with_word_of_masks_elsewhere(
        _case_of_folder(folder), folder, [path for paths in images.values() for path in paths]
    )
    maps = {place: tell_apart(paths) for place, paths in images.items()}
    below = {place: bool(zadc) for place, (adc, zadc) in maps.items() if adc}
    converted = [path for path, has_z in below.items() if not has_z]
    if case.adc == folder and converted and may_hold_adc_map(folder):
        where = ", ".join(path.relative_to(folder).as_posix() for path in converted)
        remark = f"The ADC map in the folder below ({where}) was left out: the DICOM files were taken."
        case = replace(case, remarks=(*case.remarks, remark))
        below = {path: has_z for path, has_z in below.items() if has_z}
    deep = [
        FoundCase(
            path.relative_to(root).as_posix(),
            problem=f"{path}: lies too deep, expected in {root}; name {path.parent} as input, or list it in a {TABLE}",
        )
        for path in below
    ]
    return deep if deep and case.problem and not images_or_none(folder) else [case, *deep]


def _case_of_folder(folder: Path) -> FoundCase:
    """Two files told apart by their names, or DICOM for the ADC map."""
    try:
        images, of_dicom = named_as_images(folder), holds_dicom(folder)
        given, converted = split_converted(images, folder) if of_dicom else (images, [])
        adc, zadc = tell_apart(given)
        if of_dicom and not (zadc and adc):  # an only map whose name is that of a mask is one
            adc = [path for path in adc if not says_mask(path)]
        if of_dicom and not adc:
            case = _pair(folder.name, [folder], zadc, folder, list(filter(is_brain_mask, given)), look=False)
        else:
            case = _pair(folder.name, adc, zadc, folder, brain_masks(given))
        case = with_word_of_images(with_word_of_estimates(case, given), given)
        case = with_word_of_masks(case, folder, visible_in(folder))
        return with_word_of_dicom(case, converted) if of_dicom else case
    except UserError as error:
        return FoundCase(folder.name, problem=str(error))
    except OSError as error:
        return FoundCase(folder.name, problem=f"{error.filename}: cannot be read ({error.strerror})")


def _pair(name: str, adc: list[Path], zadc: list[Path], where: Path, masks: list[Path], *, look: bool = True) -> FoundCase:
    """The case, unless there is not exactly one file for each of its maps, or one is a link to nothing.

    Where only the Z map is missing the case says so and has no problem. look: say what else lies in the folder, which takes
    time.
    """
    expected = f"{where}: expected one file of {name} that is the "
    if len(adc) != 1:
        return FoundCase(name, problem=f"{expected}ADC map, {_what_is(adc, ADC_HINT, where if look else None)}")
    no_z, no_mask = "", dangling(masks)
    if len(zadc) != 1:
        no_z = f"{expected}Z map, {_what_is(zadc, Z_HINT, where if look else None)}"
        no_z += "" if zadc else f" ({adc[0].name} was taken as the ADC map)"
        if zadc or (look and any(unread_kind(path) and is_z_map(path) for path in visible_in(where))):
            return FoundCase(name, problem=no_z)
    if len(masks) > 1:
        no_mask = f"{where}: expected one brain mask of {name}, {_what_is(masks, '', None)}"
    if problem := dangling([*adc, *zadc]):
        return FoundCase(name, problem=problem)
    mask = masks[0] if masks else None
    return FoundCase(name, adc[0], zadc[0] if zadc else None, brain_mask=mask, no_z=no_z, no_mask=no_mask)


def _what_is(paths: list[Path], hint: str, where: Path | None) -> str:
    """What there is instead of one file for a map."""
    if paths:
        return f"{len(paths)} could be it: {', '.join(path.name for path in paths)}; list the one to use in a {TABLE}"
    advice = f"its name should have {hint}, or list the files in a {TABLE}"
    if where is None:
        return f"none is there; {advice}"
    if unread := describe_unread(where):
        return f"found {unread}"
    there = [path.name for path in where.iterdir() if not is_of_the_system(path) or suffix_of(path)]
    found = f" beside {', '.join(sorted(there)[:3])}{', ...' if len(there) > 3 else ''}" if there else " that is not hidden"
    return f"none is there{found}; {advice}"
