"""The slice of a case with the largest lesion area as a small picture: in the head of its report and in the index.

The index takes the picture out of the report, so a case that is not run again has one too.
"""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from model.images.case import Case
from model.report.montage import ADC_WINDOW, MASK_COLOUR, choose_slices, grey_levels, make_view
from model.report.page import base64_text

PIXEL_MM = 0.8
MASK_SHARE = 0.55  # of the mask's colour in the grey below it
FIRST_BYTES = 1 << 16  # of a report, among which the picture is
PICTURE = re.compile(
    rb'(?:<span class="sides" data-l="([LRAPIS]?)" data-r="([LRAPIS]?)">)?'
    rb'<img id="key-slice" src="data:image/webp;base64,([A-Za-z0-9+/=]+)" width="(\d{1,4})" height="(\d{1,4})"'
)


def key_slice(mask: np.ndarray, brain: np.ndarray) -> int:
    """The slice with the largest lesion area, the first of equals; of an empty mask the one in the brain's middle."""
    areas = np.count_nonzero(mask, axis=(1, 2))
    if areas.any():
        return int(np.argmax(areas))
    indices, _ = choose_slices(mask, brain, ())
    return indices[len(indices) // 2]


def thumbnail(case: Case, mask: np.ndarray) -> str:
    """HTML of the picture, as radiologists look at a slice, with the mask in its colour and the letters of both sides.

    mask: boolean (z, y, x).
    """
    view, index = make_view(case), key_slice(mask, case.brain)
    inside, marked = view.cut(case.brain[index]), view.cut(mask[index])
    grey = grey_levels(view.cut(case.adc.voxels[index]), inside, ADC_WINDOW)
    colour = np.array(list(bytes.fromhex(MASK_COLOUR)))
    shades = np.repeat(grey[..., None], 3, axis=2).astype(float)
    shades[marked] = (1 - MASK_SHARE) * shades[marked] + MASK_SHARE * colour
    height, width = (max(round(n * mm / PIXEL_MM), 1) for n, mm in zip(inside.shape, view.pixel_mm, strict=True))
    image = Image.fromarray(np.rint(shades).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "webp", quality=73, method=6)
    what = "largest lesion area" if marked.any() else "no lesion"
    _, _, left, right = view.letters  # which the page's style writes over the picture
    return (
        f'<span class="sides" data-l="{left}" data-r="{right}">'
        f'<img id="key-slice" src="data:image/webp;base64,{base64_text(file.getvalue())}" width="{width}" height="{height}"'
        f' alt="Slice {index + 1} of {len(mask)}, {what}"></span>'
    )


def thumbnail_of(report: Path, address: str) -> str:
    """The picture of a report that is there, as HTML for the index, which leads to its address; empty where there is none.

    Reads the report's head alone.
    """
    try:
        with report.open("rb") as file:
            found = PICTURE.search(file.read(FIRST_BYTES))
    except OSError:
        return ""
    if not found:
        return ""
    left, right, data, width, height = ((part or b"").decode("ascii") for part in found.groups())
    return (
        f'<a class="sides" data-l="{left}" data-r="{right}" href="{address}" tabindex="-1" aria-hidden="true">'
        f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" alt=""></a>'
    )
