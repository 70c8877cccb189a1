"""The record that `results.json` keeps of the files that were written with it.

It has under `files` the SHA-256 sum and the size of every file, and under `sha256` the sum of its own content.
"""

import hashlib
import json
from pathlib import Path

from model.files import files_below, sha256_of

FILES, OWN_SUM = "files", "sha256"


def with_record(results: dict, folder: Path) -> dict:
    """The results, with sum and size of every file that lies in `folder`, and with a sum of their own. Raises OSError."""
    names = files_below(folder)
    files = {name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    results = results | {FILES: files}
    return results | {OWN_SUM: _sum_of(results)}


def read_own_results(path: Path) -> dict | None:
    """What a `results.json` holds that is as this program wrote it; None for any other file, and where there is none."""
    try:
        results: dict = json.loads(path.read_bytes())
        own = not path.is_symlink() and results[OWN_SUM] == _sum_of(results)
        inside = own and not any(Path(name).is_absolute() or ".." in Path(name).parts for name in results[FILES])
        recorded = inside and all({"sha256", "bytes"} <= entry.keys() for entry in results[FILES].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return results if recorded else None


def is_current(folder: Path, name: str, results: dict) -> bool:
    """Whether a file is there as the results record it; a link is not."""
    path = folder / name
    try:
        return name in results[FILES] and not path.is_symlink() and sha256_of(path) == results[FILES][name]["sha256"]
    except OSError:
        return False


def _sum_of(results: dict) -> str:
    """SHA-256 of the results without their own sum, however the file lays them out."""
    kept = {key: value for key, value in results.items() if key != OWN_SUM}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
