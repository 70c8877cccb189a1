"""Where the platform puts a case's files and expects the mask (challenge BONBID-HIE)."""

import json
import os
from pathlib import Path

from model.errors import UserError
from model.run.contents import how_to_convert, unread_kind

ADC_SLUG = "skull-stripped-adc"
ZADC_SLUG = "z-score-apparent-diffusion-coefficient-map"
DEFAULT_PATHS = {ADC_SLUG: "images/skull-stripped-adc-brain-mri", ZADC_SLUG: "images/z-score-adc"}
MASK_PATH = "images/hie-lesion-segmentation/overlay.mha"
PROBABILITIES_PATH = "images/hie-lesion-probabilities/probabilities.mha"  # apart: the mask's folder may hold one image
RESULTS_PATH = "results.json"
REPORT_PATH = "report.html"
MANIFEST = "inputs.json"
EMPTY_INPUT = "the input folder is empty; in a container, check the folder before ':/input' in its -v mount"
OTHERWISE = "a folder of cases, or other formats: --cases"
IMAGE_SUFFIX = ".mha"  # the platform would take a .tif too, but that holds no spacing: volumes in ml would be wrong


def find_inputs(root: Path) -> tuple[Path, Path]:
    """The ADC map's and the Z map's file below an input folder.

    Their folders come from `inputs.json` where there is one, else from the challenge's two paths. Raises UserError when
    `inputs.json` cannot be used, or a folder is missing or does not hold exactly one image.
    """
    if not os.path.isdir(root):
        raise UserError(f"{root}: no such input folder, or not open to this user")
    paths = DEFAULT_PATHS | _declared_paths(root / MANIFEST)
    return _only_image(root, paths[ADC_SLUG]), _only_image(root, paths[ZADC_SLUG])


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:
        return False  # what lies in it may be open by name


def _declared_paths(manifest: Path) -> dict[str, str]:
    """Relative path by slug; empty without a manifest. Older hosts say `interface` where newer say `socket`."""
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        sockets = [entry.get("socket") or entry["interface"] for entry in entries]
        paths = {socket["slug"]: str(socket["relative_path"]) for socket in sockets}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{manifest}: not readable as JSON ({error})") from None
    except (TypeError, AttributeError, KeyError):
        raise UserError(
            f"{manifest}: expected a list of entries, each with a socket that has a slug and a relative_path"
        ) from None
    missing = sorted(DEFAULT_PATHS.keys() - paths.keys())
    if missing:
        raise UserError(f"{manifest}: expected a socket {' and '.join(missing)}, found {', '.join(sorted(paths)) or 'none'}")
    for slug in DEFAULT_PATHS:
        if Path(paths[slug]).is_absolute() or ".." in Path(paths[slug]).parts:
            raise UserError(f"{manifest}: relative_path of {slug} leaves the input folder: {paths[slug]}")
    return paths


def _only_image(root: Path, relative: str) -> Path:
    folder = root / relative
    try:
        if not folder.is_dir():
            found = EMPTY_INPUT if _is_empty(root) else f"found no folder ({OTHERWISE})"
            raise UserError(f"{folder}: expected a folder with one {IMAGE_SUFFIX} file, {found}")
        names = sorted(path.name for path in folder.iterdir())
    except (OSError, ValueError) as error:  # ValueError: a path that no file system can hold
        raise UserError(f"{folder}: cannot be listed ({error})") from None
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIX) and not name.startswith(".")]
    if len(images) != 1 or not images[0].isprintable():  # ITK aborts the process on a name that is not UTF-8
        found = ", ".join(names) if names else "nothing"
        advice = how_to_convert([unread_kind(folder / name) for name in names])
        raise UserError(
            f"{folder}: expected exactly one {IMAGE_SUFFIX} file, with a printable name, found {found} ({OTHERWISE}){advice}"
        )
    return folder / images[0]
