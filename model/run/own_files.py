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
from model.images.formats import suffix_of
from model.images.volume import read_volume

FILES, REPLACED, OWN_SUM = "files", "replaced_files", "sha256"
PAIR = ".mhd"  # of two files: the header, and the voxels in one that ends like these
VOXEL_SUFFIXES = (".zraw", ".raw")
HEADER_BYTES = 4096
FIRST_BYTES = {  # by suffix: what the images that this program writes begin with
    ".mha": b"ObjectType",
    ".mhd": b"ObjectType",
    ".nrrd": b"NRRD",
    ".nii": (348).to_bytes(4, "little"),
    ".nii.gz": b"\x1f\x8b",
}


def with_record(results: dict, folder: Path) -> dict:
    """The results, with sum and size of every file that lies in `folder`, and with a sum of their own. Raises OSError."""
    names = files_below(folder)
    files = {name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    results = results | {FILES: files}
    return results | {OWN_SUM: _sum_of(results)}


def with_replaced(results: dict, folder: Path, results_name: str) -> dict:
    """The results, with the sums of the files in `folder` that theirs are about to replace. Raises OSError."""
    names = results[FILES].keys() | (read_own_results(folder / results_name) or {FILES: {}})[FILES].keys()
    there = sorted(name for name in names if (folder / name).is_file())
    return results | {REPLACED: {name: sha256_of(folder / name) for name in there}} if there else results


def read_own_results(path: Path) -> dict | None:
    """What a `results.json` holds that is as this program wrote it; None for any other file, and where there is none."""
    try:
        results: dict = json.loads(path.read_bytes())
        own = not path.is_symlink() and results[OWN_SUM] == _sum_of(results)
        recorded = own and all({"sha256", "bytes"} <= entry.keys() for entry in results[FILES].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return results if recorded else None


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
    names = [*names, *(name.removesuffix(PAIR) + end for name in names if name.endswith(PAIR) for end in VOXEL_SUFFIXES)]
    known = {name for name in names if is_own(folder, name, results) or is_cut_off(folder, name, results)}
    if results is not None:
        known.add(results_name)
    return [name for name in names if os.path.lexists(folder / name) and name not in known]


def is_mask_of_0_and_1(path: Path) -> bool:
    """Whether a file is a whole uint8 MetaImage of 0 and 1, what this program writes where the platform wants the mask."""
    if path.is_symlink() or suffix_of(path) != ".mha":
        return False
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
        return b"ElementType = MET_UCHAR" in header and bool((read_volume(path).voxels <= 1).all())
    except (OSError, UserError):
        return False


def _sum_of(results: dict) -> str:
    """SHA-256 of the results without their own sum and what is there for a moment, however the file lays them out."""
    kept = {key: value for key, value in results.items() if key not in (OWN_SUM, REPLACED)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
