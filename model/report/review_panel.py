"""The part of a case's page in which a reader finishes the draft, and what its scripts know of the case.

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
from model.reviews.review_file import LONGEST, SIZES, grid_content, mask_digest

SCRIPTS = ("review_voxels.js", "review_state.js", "review_page.js", "report.js")

PANEL = f"""<div id="review">
<p id="review-next" role="status"></p>
<fieldset><legend id="chosen-name">No lesion is chosen</legend>
<div class="pair">
<button type="button" id="keep" aria-pressed="false">Keep <kbd>K</kbd></button>
<button type="button" id="reject" aria-pressed="false"><span id="reject-word">Reject</span> <kbd>X</kbd></button>
<button type="button" id="previous">Previous <kbd>P</kbd></button>
<button type="button" id="next">Next <kbd>N</kbd></button>
</div>
<label class="size">Size <input type="range" id="chosen-size" min="{SIZES[0]}" max="{SIZES[-1]}" step="1" value="0">
<span id="chosen-size-words"></span></label>
</fieldset>
<fieldset><legend>A click</legend>
<label><input type="radio" name="tool" value="look" checked> Looks</label>
<label><input type="radio" name="tool" value="add"> Adds <kbd>A</kbd></label>
<label><input type="radio" name="tool" value="pen"> Draws <kbd>D</kbd></label>
<label><input type="radio" name="tool" value="eraser"> Erases <kbd>E</kbd></label>
<label>Pen <select id="brush"><option value="1">1 voxel</option><option value="3">3 voxels</option>
<option value="5">5 voxels</option></select></label>
<button type="button" id="fill-between">Fill between slices</button>
</fieldset>
<fieldset><legend>The whole mask</legend>
<span id="review-total"></span>
<div class="pair">
<button type="button" id="undo">Undo</button>
<button type="button" id="redo">Redo</button>
<button type="button" id="keep-rest">Keep the undecided</button>
<button type="button" id="no-lesion">No lesion in this brain</button>
</div>
<label class="size">Sizes <input type="range" id="case-size" min="{SIZES[0]}" max="{SIZES[-1]}" step="1" value="0">
<span id="case-size-words"></span></label>
</fieldset>
<fieldset><legend>The review</legend>
<label>Initials <input type="text" id="initials" maxlength="{LONGEST["initials"]}" size="6" autocomplete="off"></label>
<label class="remark">Remark <textarea id="remark" maxlength="{LONGEST["remark"]}" rows="1"></textarea></label>
<div class="pair">
<button type="button" id="save" class="main">Save review</button>
<button type="button" id="save-mask">Save mask</button>
</div>
<button type="button" id="open-review">Open a review</button>
<input type="file" id="review-file" accept=".json" aria-label="Review file" tabindex="-1" hidden>
</fieldset>
<p id="review-notice" role="status"></p>
<details id="review-help" class="note"><summary>Help <kbd>?</kbd></summary><dl>
<dt><kbd>N</kbd> <kbd>P</kbd></dt><dd>next and previous undecided lesion, the least sure first</dd>
<dt><kbd>K</kbd> <kbd>X</kbd></dt><dd>keep or reject it and go on to the next;
a rejected one stays as an outline, and K takes it back</dd>
<dt><kbd>+</kbd> <kbd>&minus;</kbd></dt><dd>make it larger or smaller, by the probability</dd>
<dt><kbd>A</kbd></dt><dd>add the region around the cross that may be lesion:
what Probability colours in the picture; + and &minus; size it, X removes it</dd>
<dt><kbd>D</kbd> <kbd>E</kbd></dt><dd>draw or erase at the cross, with the width of the pen</dd>
<dt><kbd>H</kbd></dt><dd>with the focus in the picture: hide and show the mask</dd>
<dt>arrows</dt><dd>there too: other slices; with <kbd>Shift</kbd> the cross moves in its slice</dd>
<dt><kbd>Ctrl Z</kbd> <kbd>Ctrl Y</kbd></dt><dd>undo and redo, back to the draft</dd>
<dt><kbd>Esc</kbd></dt><dd>puts pen and eraser away</dd>
<dt><kbd>Ctrl S</kbd></dt><dd>saves the review; to go on with it later, open it here or drop it on this page</dd>
</dl></details>
</div>"""


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
