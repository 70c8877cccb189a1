"""The page of a folder: its table and pictures, without a browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from report_helpers import Tags, small_case, write_phantom_report

from model.report.folder_page import write_index
from model.report.page import link
from model.report.thumbnail import PICTURE, key_slice, thumbnail

DONE = {"status": "done", "reason": "", "report": None}


def entry(case: str, volume_ml: float, **more: object) -> dict:
    results = {"lesion_volume_ml": volume_ml, "lesion_share_of_brain": 0.0123456, "lesions": 2, "weights": "w"}
    largest = {"lesion_list": [{"volume_ml": 0.75 * volume_ml, "side": "left"}] if volume_ml else []}
    results |= largest | {"warnings": ["odd", "thick"]} | more
    return DONE | {"case": case, "results": results, "report": f"{case}/report.html"}


FAILED = {"case": "c", "status": "failed", "reason": "c: no brain", "results": None, "report": None}


def test_the_index_lists_every_case_those_that_failed_first(tmp_path):
    outdated = FAILED | {"case": "e", "status": "outdated", "reason": "new weights"}
    sure = {"brain_volume_ml": 350.2, "chance_of_lesion": 0.4051, "expected_dice": 0.6251, "empty_below": 0.3}
    emptied = {"chance_of_lesion": 0.2049, "expected_dice": None, "empty_below": 0.3}
    entries = [entry("a b", 12.5, **sure), FAILED, entry("d", 0.0, **emptied), outdated]
    write_index(tmp_path / "index.html", entries)
    rows = Tags(tmp_path / "index.html").rows
    certainty = ["Chance of a lesion, %", "Expected Dice"]
    numbers = ["Lesion volume, ml", "Share of brain, %", "Lesions", "Largest, ml"]
    assert rows[0] == ["", "Case", *numbers, "Side", "Brain volume, ml", *certainty, "Remark"]
    said = "Probably no lesion, mask left empty as below 30 %."
    assert rows[1:] == [
        ["", "c", "", "", "", "", "", "", "", "", "failed: c: no brain"],
        ["", "e", "", "", "", "", "", "", "", "", "outdated: new weights"],
        ["", "a b", "12.5", "1.2", "2", "9.4", "left", "350", "41", "0.63", "Probably no lesion. odd thick"],
        ["", "d", "0", "1.2", "2", "", "", "", "20", "", f"{said} odd thick"],
    ]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "4 cases: 2 done, 1 failed, 1 outdated. 1 without a lesion.<" in page
    assert page.count('href="./a%20b/report.html"') == 1
    assert 'id="to-review"' not in page  # without a review


def test_the_index_marks_cases_with_an_estimated_z_map(tmp_path):
    write_index(tmp_path / "index.html", [entry("a", 1.0, z_map="given"), entry("b", 2.0, z_map="estimated"), FAILED])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert (
        "1 of 2 masks: Z map estimated from the ADC: the mask is much less reliable than with the challenge&#x27;s Z map."
        in page
    )
    assert [row[1] for row in Tags(tmp_path / "index.html").rows[1:]] == ["c", "a", "b Z estimated"]
    write_index(tmp_path / "index.html", [entry("a", 1.0)])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert ("estimated" in page, "1 case: 1 done" in page) == (False, True)


def test_a_done_case_shows_the_picture_of_its_report(tmp_path):
    for name in ("a", "b", "none"):
        (tmp_path / name).mkdir()
    write_phantom_report(tmp_path / "a" / "report.html")
    (tmp_path / "none" / "report.html").write_text("<html>of an earlier version")
    other = "data:image/webp;base64,QUJD"
    (tmp_path / "b" / "report.html").write_text(f'<img id="key-slice" src="{other}" width="3" height="4"')
    write_index(tmp_path / "index.html", [entry(name, 1.0) for name in ("b", "a", "none", "gone")])
    own = next(a["src"] for _, a in Tags(tmp_path / "a" / "report.html").elements if a.get("id") == "key-slice")
    framed = [a for tag, a in Tags(tmp_path / "index.html").elements if tag == "a" and "aria-hidden" in a]
    links = [a["href"] for a in framed]
    assert [(a["data-l"], a["data-r"]) for a in framed] == [("", ""), ("R", "L")]  # an earlier version's has no letters
    pictures = [a["src"] for tag, a in Tags(tmp_path / "index.html").elements if tag == "img"]
    assert list(zip(links, pictures, strict=True)) == [("./b/report.html", other), ("./a/report.html", own)]


def test_the_picture_is_of_the_slice_with_the_largest_lesion_area():
    """In a grid of pixels of 1 x 2 mm: a picture as wide as eight of the one and as high as seven of the other."""
    case = small_case()
    case.adc.voxels[:, 2:5, 2:6] = 1200
    mask = np.zeros(case.grid.size, bool)
    mask[2, 2:4, 2:4] = mask[0, 2, 2:5] = True
    assert key_slice(mask, case.brain) == 2
    html = thumbnail(case, mask)
    assert 'alt="Slice 3 of 3, largest lesion area"' in html
    *_, data, width, height = PICTURE.search(html.encode()).groups()
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert image.size == (int(width), int(height)) == (round(8 / 0.8), round(14 / 0.8))
    pixels = np.asarray(image).astype(int)
    yellow = pixels[..., :2].min(axis=-1) - pixels[..., 2] > 40
    rows, columns = np.nonzero(yellow)
    assert (rows.min(), rows.max()) == pytest.approx((2 * 2 / 0.8, 4 * 2 / 0.8 - 1), abs=1)  # rows 2 and 3 of the cut
    assert (columns.min(), columns.max()) == pytest.approx((2 / 0.8, 4 / 0.8 - 1), abs=1)
    assert "no lesion" in thumbnail(case, np.zeros_like(mask))


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//host/a", "https://host/a"])
def test_a_link_leads_nowhere_else(path):
    assert link(path).startswith("./")
    assert ":" not in link(path)
