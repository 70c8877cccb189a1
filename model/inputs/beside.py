"""What lies beside a case's maps and is not used as one of them: none is passed over without a word."""

import os
import re
from dataclasses import replace
from pathlib import Path

from model.errors import UserError
from model.files import json_object
from model.images.formats.names import NIFTI, format_of, stem_of, suffix_of
from model.images.mark import head_of
from model.images.mask_words import BRAIN, MASK, said_of
from model.inputs.contents import DICOM, PICTURE, unread_kind
from model.inputs.found_case import FoundCase
from model.inputs.map_names import estimated_z_maps, has_z_word, is_z_map, shared_words, tell_apart
from model.inputs.mask_names import MaskKind, mask_kind, says_mask, words_of

CONVERTED = re.compile(  # dcm2niix's own names: folder_protocol_time_series
    r".+_\d{14}_\d+[a-z]*(_(e\d+|ph|real|imaginary|Eq|Tilt|ADC|MoCo|[tic]\d+|\d+))*"
)
DESCRIPTION = re.compile(rb"TE=[\d.]+;Time=[\d.]+")  # in the header of its NIfTI files
STRIPPED = re.compile(rf"{BRAIN.pattern}|ss|masked")
OTHER_IMAGE = re.compile(  # by a word of its name
    r"b\d+|bvals?|trace\w*|(iso)?dwi|dti|e(xp)?adc|t[12]\w*|flair|fa|colfa|md|swi|s0|tensor\w*|labels?|segs?"
)
ADVICE = "if it is one, call it brain_mask (in BIDS desc-brain_mask), or list the mask in a cases.csv"
NO_MASKS = ("", DICOM, PICTURE)  # kinds of files that are no images, or images without the grid of a map


def split_converted(images: list[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """The images of a folder that are no mere copies of its DICOM files, and those that are, by name or JSON.

    Z maps, masks and stripped images are what someone made of them, and are wanted. An ADC map is, where the DICOM has none.
    """
    converted = [path for path in images if is_converted(path) and not has_z_word(stem_of(path)) and not says_mask(path)]
    if tell_apart(converted)[0] and not may_hold_adc_map(folder):
        return images, []
    return [path for path in images if path not in converted], converted


def may_hold_adc_map(folder: Path) -> bool:
    """Whether the DICOM files of a folder may be read as an ADC map; True where their headers cannot be read.

    Reads them all, so it is for folders in which another ADC map lies.
    """
    from model.images.dicom.series import has_adc_map
    from model.images.dicom.values import reading

    try:
        with reading(folder):
            return has_adc_map(folder)
    except UserError:
        return True


def is_converted(path: Path) -> bool:
    """Whether an image is as dcm2niix, or another program that leaves its name in a JSON, converted it from DICOM.

    By its name, the JSON, or what dcm2niix puts into the header, unless its name says that it was stripped since.
    """
    stem = stem_of(path)
    if CONVERTED.fullmatch(stem):
        return True
    content = json_object(path.with_name(f"{stem}.json"))
    told = content.get("ConversionSoftware") or (format_of(path) is NIFTI and DESCRIPTION.search(head_of(path)))
    if not told or content.get("SkullStripped") is True:
        return False
    of_series = words_of(f"{content.get('SeriesDescription', '')} {content.get('ProtocolName', '')}")
    return not any(map(STRIPPED.fullmatch, set(words_of(stem)) - set(of_series)))


def with_word_of_estimates(case: FoundCase, images: list[Path]) -> FoundCase:
    """The case, and what is said of estimated Z maps beside it, which are no given ones."""
    if not (names := ", ".join(path.name for path in estimated_z_maps(images))):
        return case
    left_out = f"{names} was left out: its name says that it is an estimated Z map, not a given one"
    no_z = f"{case.no_z}; {left_out}" if case.no_z else ""
    return replace(case, no_z=no_z, remarks=(*case.remarks, f"{left_out}."))


def with_word_of_images(case: FoundCase, images: list[Path]) -> FoundCase:
    """The case, and what is said where it has no Z map of images beside it whose names do not say what they are."""
    if not case.adc or case.zadc:
        return case
    unused = [path for path in images if path not in case.files and not tell_apart([path])[0] and not is_z_map(path)]
    of_the_case = words_of(stem_of(case.adc))  # a patient's FA, or T2, says nothing of the image
    words = {path: [word for word in words_of(stem_of(path)) if word not in of_the_case] for path in unused}
    unknown = [path.name for path in unused if not _says_what_it_is(words[path])]
    return replace(case, unknown=", ".join(unknown))


def _says_what_it_is(words: list[str]) -> bool:
    brain, parts, _ = said_of(words)
    return bool(brain or parts) or any(map(OTHER_IMAGE.fullmatch, words)) or any(map(MASK.fullmatch, words))


def with_word_of_masks(case: FoundCase, folder: Path, beside: list[Path], advice: str = ADVICE) -> FoundCase:
    """The case, and what is said of files beside its map where no brain mask was found: they may be one, or are another."""
    if case.problem or case.brain_mask or case.no_mask:
        return case
    shared = shared_words([path for path in (case.adc, case.zadc) if path])
    kinds = {path: mask_kind(path, shared) for path in beside if path not in case.files}
    masks = {path: unread_kind(path) for path, kind in kinds.items() if kind is not MaskKind.NONE}
    masks = {path: unread for path, unread in masks.items() if suffix_of(path) or unread not in NO_MASKS}
    doubtful = [path for path in masks if kinds[path] is not MaskKind.OTHER]
    if not doubtful:
        names = ", ".join(path.name for path in masks)
        return replace(case, other_masks=f"{names} is none by its name" if names else "")
    shown = ", ".join(f"{path.name}{f' ({masks[path]}, which is not read)' if masks[path] else ''}" for path in doubtful)
    return replace(case, no_mask=f"{folder}: expected a brain mask, found {shown}; {advice}")


def with_word_of_masks_elsewhere(case: FoundCase, folder: Path, elsewhere: list[Path]) -> FoundCase:
    """The case, and what is said of brain masks of another folder or image where none was found beside its map."""
    masks = [path.relative_to(folder).as_posix() for path in elsewhere if mask_kind(path) is MaskKind.BRAIN]
    if case.brain_mask or case.no_mask or not masks:
        return case
    said = f"left out: {', '.join(masks)}"
    return replace(case, other_masks="; ".join(filter(None, [case.other_masks, said])))


def with_word_of_dicom(case: FoundCase, converted: list[Path]) -> FoundCase:
    """A case beside whose files DICOM lies, and which of them is its ADC map."""
    if not case.adc or os.path.isdir(case.adc):
        return replace(case, converted=tuple(tell_apart(converted)[0]))
    why = "no ADC series is among them" if is_converted(case.adc) else "they were not read"
    remark = f"The ADC map was taken from {case.adc.name}, not from the DICOM files beside it: {why}."
    return replace(case, remarks=(*case.remarks, remark))
