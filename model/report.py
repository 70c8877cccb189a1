"""The numbers beside a mask, for `results.json`."""

import json
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.files import whole_file
from model.volume import connected_components


def describe(mask: np.ndarray, brain: np.ndarray, voxel_mm3: float) -> dict:
    """Lesion and brain volume in ml, the lesions' share of the brain, and their number (26-connected components).

    mask, brain: boolean (z, y, x) of one shape, the brain not empty.
    """
    return {
        "lesion_volume_ml": round(float(mask.sum()) * voxel_mm3 / 1000, 4),
        "brain_volume_ml": round(float(brain.sum()) * voxel_mm3 / 1000, 2),
        "lesion_share_of_brain": round(float(mask.sum() / brain.sum()), 6),
        "lesions": connected_components(mask)[1],
    }


def write_results(results: dict, path: Path) -> None:
    """Write as JSON, whole or not at all. Raises UserError when the file cannot be written."""
    try:
        with whole_file(path) as partial:
            partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
