"""What the scripts of a case's page, with which a reader finishes the draft, know of the case.

The scripts are `SCRIPTS`, run as one: voxel logic, a review's states and file, the page, and the viewer that starts all.
What they save is in `model.reviews.review_file`.
"""

import json

import numpy as np

import model
from model.images.brain import Box
from model.images.case import Case
from model.images.formats.nifti import encode_nifti
from model.images.mark import MASK, text_of
from model.images.orientation import turn_to_canonical
from model.report.page import base64_text
from model.report.results import voxel_digest
from model.reviews.review_file import grid_content, mask_digest

SCRIPTS = ("review_voxels.js", "review_state.js", "review_page.js", "report.js")


def review_about(name: str, case: Case, mask: np.ndarray, results: dict, box: Box) -> str:
    """What the scripts know of the case called `name` and its draft, as a block of JSON.

    mask: the draft, boolean (z, y, x); box: of the viewer's volumes.
    """
    grid = case.grid
    about = {
        "case": name.encode("utf-8", "replace").decode("utf-8"),
        "software": model.__version__,
        "weights": results.get("weights") or "",
        "adc_sha256": case.adc.sha256,
        "adc_voxels_sha256": voxel_digest(case),
        "draft_sha256": mask_digest(mask),
        "grid": grid_content(grid),
        "place": _place(case, box),
        "voxel_ml": grid.voxel_mm3 / 1000,
        "brain_ml": float(case.brain.sum()) * grid.voxel_mm3 / 1000,
        "nifti_head": base64_text(_nifti_head(case)),
        "lesions": [_lesion(lesion, case) for lesion in results["lesion_list"]],
    }
    return json_block("review-about", about)


def json_block(name: str, content: dict) -> str:
    """JSON that the scripts read, as a block of that name; no text in it ends the block."""
    escaped = json.dumps(content).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{escaped}</script>'


def _place(case: Case, box: Box) -> dict:
    """Where the viewer's voxels lie in the flat array: the first, and steps to the right, the front and the top."""
    turn, size = turn_to_canonical(case.grid), case.grid.size
    strides = (size[1] * size[2], size[2], 1)
    first, steps = 0, []
    for axis, is_reversed, to_left_or_back in zip(turn.axes, turn.reversed, (False, True, True), strict=True):
        down = is_reversed != to_left_or_back
        steps.append(-strides[axis] if down else strides[axis])
        first += strides[axis] * (box[axis].stop - 1 if down else box[axis].start)
    return {"first": first, "steps": steps[::-1]}


def _nifti_head(case: Case) -> bytes:
    """All of a mask's NIfTI file on the ADC map's grid that comes before the voxels."""
    voxels = np.zeros(case.grid.size, np.uint8)
    return encode_nifti(voxels, case.grid, compress=False, description=text_of(MASK))[: -voxels.size]


def _lesion(lesion: dict, case: Case) -> dict:
    """Of a lesion of results.json: its voxel, flat in the array, and what the panel says of it."""
    inside = tuple(np.rint(case.grid.to_index(np.array(lesion["inside_mm"]))).astype(int).tolist())
    return {
        "inside": int(np.ravel_multi_index(inside, case.grid.size)),
        "side": lesion["side"],
        "ml": lesion["volume_ml"],
        "chance": lesion.get("chance_real"),
    }
