"""Reviews of a small case's draft, written as its page does or as a mask."""

import hashlib
import json
from pathlib import Path

import numpy as np
from inference_helpers import GRID, LESIONS
from phantom import write_image

OTHER = (4, 10, 6)  # a place in the brain away from the LESIONS
TIME = "2026-03-01T12:30:00+01:00"


def mask_of(*places: tuple) -> np.ndarray:
    """Boolean (z, y, x) on GRID with 1 at these places."""
    mask = np.zeros(GRID.size, bool)
    for place in places:
        mask[place] = True
    return mask


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths, voxel by voxel; written anew, to compare the program with."""
    found, inside = [0], False
    for voxel in mask.ravel().tolist():
        if voxel != inside:
            found.append(0)
            inside = voxel
        found[-1] += 1
    return found


def review_of(results: dict, name: str, mask: np.ndarray, draft: np.ndarray | None = None, **changes: object) -> dict:
    """What the page of a case of GRID saves. results: what results.json said of the draft; draft: its mask."""
    draft = mask_of(*LESIONS) if draft is None else draft
    content = {
        "format": "hie-lesions review",
        "format_version": 1,
        "case": name,
        "time": TIME,
        "initials": "AB",
        "remark": "",
        "software": results["software"]["hie-lesions"],
        "weights": results["weights"],
        "adc_sha256": results["inputs"]["adc"]["sha256"],
        "adc_voxels_sha256": results["inputs"]["adc"]["voxels_sha256"],
        "draft_sha256": hashlib.sha256(f"{draft.shape}".encode() + draft.astype("u1").tobytes()).hexdigest(),
        "grid": {
            "size": list(GRID.size),
            "spacing_mm": list(GRID.spacing_mm),
            "origin_mm": list(GRID.origin_mm),
            "direction": list(GRID.direction),
        },
        "size": 0,
        "lesions": [{"decision": "undecided", "size": None}] * results["lesions"],
        "added": [],
        "mask": runs(mask),
    }
    return content | changes


def write_review(path: Path, content: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_mask(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_image(mask.astype(np.uint8), GRID, path)
    return path
