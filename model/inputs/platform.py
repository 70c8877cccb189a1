"""Finds the one case of an input folder, where the platform puts its files (challenge BONBID-HIE)."""

import json
import os
from pathlib import Path

from model.errors import UserError
from model.images.formats.names import stem_of
from model.inputs.beside import with_word_of_masks
from model.inputs.contents import DICOM, dangling, unread_kind, visible_in, where_dicom_is_read
from model.inputs.found_case import FoundCase
from model.inputs.map_names import brain_masks, estimated_z_maps

ADC_SLUG = "skull-stripped-adc"
ZADC_SLUG = "z-score-apparent-diffusion-coefficient-map"
DEFAULT_PATHS = {ADC_SLUG: "images/skull-stripped-adc-brain-mri", ZADC_SLUG: "images/z-score-adc"}
MANIFEST = "inputs.json"
EMPTY_INPUT = "the input folder is empty; in a container, check the folder before ':/input' in its -v mount"
OTHERWISE = "a folder of cases, or other formats: --cases"
IMAGE_SUFFIX = ".mha"  # the platform would take a .tif too, but that holds no spacing: volumes in ml would be wrong


def find_scan(root: Path) -> FoundCase:
    """The case below an input folder, called as its ADC map's file. Beside the map there may be a brain mask.

    Their folders come from `inputs.json` where there is one, else from the challenge's two paths. Raises UserError when
    `inputs.json` cannot be used, or a folder does not hold exactly one image. Without a folder for the Z map, or with an
    empty one, the case says so and can be run with an estimated one.
    """
    if not os.path.isdir(root):
        raise UserError(f"{root}: no such input folder, or not open to this user")
    paths, no_z = _paths(root / MANIFEST)
    case = _scan(root, paths, no_z)
    folder = case.adc_map.parent
    return with_word_of_masks(case, folder, visible_in(folder), f"expected one that ends in {IMAGE_SUFFIX}")


def _scan(root: Path, paths: dict[str, str], no_z: str) -> FoundCase:
    adc, *masks = _image_and_masks(root, paths[ADC_SLUG])
    mask = masks[0] if masks else None
    if not no_z:
        try:
            (zadc,) = _image_and_masks(root, paths[ZADC_SLUG], with_masks=False)
            if estimated_z_maps([zadc]):
                raise UserError(f"{zadc}: its name says that it is an estimated Z map, expected a given one")
            return FoundCase(stem_of(adc), adc, zadc, brain_mask=mask)
        except UserError as error:
            if not _is_absent(root / paths[ZADC_SLUG]):
                raise
            if (root / MANIFEST).exists():
                raise UserError(f"{error}; {root / MANIFEST} says that there is one") from None
            no_z = str(error)
    return FoundCase(stem_of(adc), adc, brain_mask=mask, no_z=no_z)


def _is_absent(folder: Path) -> bool:
    """Whether there is no folder, or one in which nothing lies that is not hidden."""
    return not folder.exists() or (folder.is_dir() and os.access(folder, os.R_OK) and not visible_in(folder))


def _paths(manifest: Path) -> tuple[dict[str, str], str]:
    """Relative path by slug, and why there is none for the Z map where a manifest names no such socket.

    Older hosts say `interface` where newer say `socket`.
    """
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        sockets = [entry.get("socket") or entry["interface"] for entry in entries]
        paths = {socket["slug"]: str(socket["relative_path"]) for socket in sockets}
    except FileNotFoundError:
        return DEFAULT_PATHS, ""
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(dangling([manifest]) or f"{manifest}: not readable as JSON ({error})") from None
    except (TypeError, AttributeError, KeyError):
        expected = "a list of entries, each with a socket that has a slug and a relative_path"
        raise UserError(f"{manifest}: expected {expected}") from None
    for slug in DEFAULT_PATHS.keys() & paths.keys():
        if Path(paths[slug]).is_absolute() or ".." in Path(paths[slug]).parts:
            raise UserError(f"{manifest}: relative_path of {slug} leaves the input folder: {paths[slug]}")
    missing = sorted(DEFAULT_PATHS.keys() - paths.keys())
    no_socket = f"{manifest}: expected a socket {' and '.join(missing)}, found {', '.join(sorted(paths)) or 'none'}"
    if ADC_SLUG in missing:
        raise UserError(no_socket)
    return paths, no_socket if missing else ""


def _image_and_masks(root: Path, relative: str, *, with_masks: bool = True) -> list[Path]:
    """The one image of a folder and, behind it, the brain mask that lies beside it."""
    folder = root / relative
    try:
        if not folder.is_dir():
            found = f"found no folder ({OTHERWISE})" if any(root.iterdir()) else EMPTY_INPUT
            raise UserError(f"{folder}: expected a folder with one {IMAGE_SUFFIX} file, {found}")
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error})") from None
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIX) and not name.startswith(".")]
    masks = [path.name for path in brain_masks([folder / name for name in images])] if with_masks else []
    images = [name for name in images if name not in masks] + masks
    if len(images) != 1 + bool(masks) or not "".join(images).isprintable():  # ITK aborts on a name that is not UTF-8
        kinds = [unread_kind(folder / name) for name in names]
        shown = [name for name, kind in zip(names, kinds, strict=True) if kind != DICOM]  # whose names may be the patient's
        shown += [f"{kinds.count(DICOM)} file(s) (DICOM)"] if DICOM in kinds else []
        found = ", ".join(shown) if shown else "nothing"
        advice = where_dicom_is_read(kinds)
        raise UserError(
            f"{folder}: expected exactly one {IMAGE_SUFFIX} file, with a printable name, found {found} ({OTHERWISE}){advice}"
        )
    return [folder / name for name in images]
