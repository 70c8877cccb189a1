"""Tells the files that this program wrote from files of others, by the SHA-256 sums that `results.json` holds.

`results.json` has under `files` the sum and the size of every file written with it, and under `sha256` the sum of its own
content. `replaced_files` is there while files are replaced one after the other: the sums of those that lay there before.
"""

import hashlib
import json
import os
from pathlib import Path

from model.errors import UserError
from model.files import files_below, sha256_of
from model.images.formats.names import DETACHED_HEADER, FORMATS, WRITTEN, stem_of, suffix_of
from model.images.volume import read_volume
from model.names.bids_names import DERIVED
from model.names.bids_names import is_mask as is_bids_mask
from model.names.output_names import MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM
from model.names.platform_paths import (
    CAPTURE_PATH,
    MASK_PATH,
    PROBABILITIES_PATH,
    REPORT_PATH,
    SEGMENTATION_PATH,
    ZMAP_PATH,
)

FILES, REPLACED, OWN_SUM = "files", "replaced_files", "sha256"
VOXEL_SUFFIXES = (".zraw", ".raw")  # of the file beside a DETACHED_HEADER
KNOWN = {  # all that a run writes beside results.json; nothing else is removed or replaced, whatever a record says
    *(stem + end for stem in (MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM) for end in (*WRITTEN, *VOXEL_SUFFIXES)),
    *(MASK_PATH, PROBABILITIES_PATH, ZMAP_PATH, REPORT_PATH, SEGMENTATION_PATH, CAPTURE_PATH),
}
FIRST_BYTES = {suffix: first for one in FORMATS for suffix, first in one.written.items()}  # of images of this program


class ChangedFiles(UserError):
    """Files that someone made or changed lie where a run's would be written."""


def with_record(results: dict, folder: Path) -> dict:
    """The results, with sum and size of every file that lies in `folder`, and with a sum of their own. Raises OSError."""
    names = files_below(folder)
    files = {name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    results = results | {FILES: files}
    return results | {OWN_SUM: _sum_of(results)}


def with_replaced(results: dict, folder: Path, before: dict | None) -> dict:
    """The results, with the sums of the files in `folder` that theirs replace, and of those of `before` that then go.

    Raises OSError.
    """
    there = sorted(name for name in results[FILES] if (folder / name).is_file()) + outdated(folder, before, results)
    return results | {REPLACED: {name: sha256_of(folder / name) for name in there}} if there else results


def read_own_results(path: Path) -> dict | None:
    """What a `results.json` holds that is as this program wrote it; None for any other file, and where there is none."""
    try:
        results: dict = json.loads(path.read_bytes())
        own = not path.is_symlink() and results[OWN_SUM] == _sum_of(results)
        recorded = own and all({"sha256", "bytes"} <= entry.keys() for entry in results[FILES].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return _of_known_names(results) if recorded else None


def _of_known_names(results: dict) -> dict:
    """Without the entries for files that no run writes, which a record could lead out of its folder with."""
    replaced = results.get(REPLACED)
    kept = {REPLACED: replaced if isinstance(replaced, dict) else {}} if REPLACED in results else {}
    entries = {FILES: results[FILES]} | kept
    return results | {key: {name: entry[name] for name in entry if _is_known(name)} for key, entry in entries.items()}


def _is_known(name: str) -> bool:
    return name in KNOWN or bool(DERIVED.fullmatch(name))


def is_mask(name: str) -> bool:
    """Whether a file of a folder's case is its mask, by the path from the case's folder on."""
    path = Path(name)
    return (stem_of(path) == MASK_STEM and suffix_of(path) in WRITTEN) or is_bids_mask(name)


def outdated(folder: Path, before: dict | None, results: dict) -> list[str]:
    """The files of an earlier run's record that `results` do not have, sorted, without those that were changed since."""
    names = {name for key in (FILES, REPLACED) for name in (before or {}).get(key, ())}
    return sorted(name for name in names - results[FILES].keys() if is_own(folder, name, before))


def is_own(folder: Path, name: str, results: dict | None) -> bool:
    """Whether a file is one that the results were written with, or one that they were about to replace."""
    path = folder / name
    if results is None or path.is_symlink() or not path.is_file():
        return False
    sums = (results[FILES].get(name, {}).get("sha256"), results.get(REPLACED, {}).get(name))
    try:
        return sha256_of(path) in sums
    except OSError:
        return False


def is_current(folder: Path, name: str, results: dict) -> bool:
    """Whether a file is there as the results record it."""
    try:
        return name in results[FILES] and sha256_of(folder / name) == results[FILES][name]["sha256"]
    except OSError:
        return False


def is_cut_off(folder: Path, name: str, results: dict | None) -> bool:
    """Whether a recorded file lost its end, which is no one's work: it is empty, or the voxels of an image are not whole."""
    path = folder / name
    try:
        if results is None or path.is_symlink() or path.stat().st_size >= results[FILES][name]["bytes"]:
            return False
        with path.open("rb") as file:
            first = file.read(10)
    except (OSError, KeyError):
        return False
    is_image = suffix_of(path) in FIRST_BYTES and first.startswith(FIRST_BYTES[suffix_of(path)])
    return not first or (is_image and not _is_whole(path))


def _is_whole(path: Path) -> bool:
    try:
        read_volume(path)
    except UserError:
        return False
    return True


def foreign_files(folder: Path, names: list[str], results: dict | None, results_name: str) -> list[str]:
    """Which of the files that would be written lie there already and are not, or no longer, this program's."""
    pairs = [name.removesuffix(DETACHED_HEADER) for name in names if name.endswith(DETACHED_HEADER)]
    names = [*names, *(stem + end for stem in pairs for end in VOXEL_SUFFIXES)]
    known = {name for name in names if is_own(folder, name, results) or is_cut_off(folder, name, results)}
    if results is not None:
        known.add(results_name)
    return [name for name in names if os.path.lexists(folder / name) and name not in known]


def state_of(path: Path) -> str:
    """What tells whether a file was changed since: its sum, or where a link leads; empty when it cannot be read."""
    try:
        return f"a link to {os.readlink(path)}" if path.is_symlink() else sha256_of(path)
    except OSError:
        return ""


def _sum_of(results: dict) -> str:
    """SHA-256 of the results without their own sum and what is there for a moment, however the file lays them out."""
    kept = {key: value for key, value in results.items() if key not in (OWN_SUM, REPLACED)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
