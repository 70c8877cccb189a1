"""The report and the index in a real headless Chromium, opened from disk.

How red the viewer's overlay must be is derived from the mask: of the axial slice that it shows, it has to colour the
share of the brain that the mask has in that slice.
"""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from report_helpers import find_chromium, open_browser, phantom_case, wait_for_viewer, write_phantom_report

from model.report.folder_page import write_index
from model.report.page import short

ROUND_CORNER = 8  # pixels of the frame through which the white page shows
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not find_chromium():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no chromium on this machine")
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that may neither complain nor fetch anything; whatever it does is looked at when the test ends."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: None if _is_local(request.url) else wrong.append(f"request: {request.url[:100]}"))
    yield page
    context.close()
    assert not wrong


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def canvas_pixels(page: Page) -> np.ndarray:
    """What the viewer shows, (rows, columns, 3), as integers whose differences do not wrap."""
    page.wait_for_timeout(300)  # the next frame
    pixels = np.asarray(Image.open(io.BytesIO(page.locator("#viewer-canvas").screenshot())).convert("RGB")).astype(int)
    return pixels[ROUND_CORNER:-ROUND_CORNER, ROUND_CORNER:-ROUND_CORNER]


def red(pixels: np.ndarray) -> np.ndarray:
    """Where red clearly exceeds green and blue: the overlay, and never a grey or the crosshair."""
    return pixels[..., 0] - pixels[..., 1:].max(axis=-1) > 40


def axial_slice_on_screen(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """Overlay and brain of the axial slice through the viewer's crosshair, boolean (rows, columns)."""
    page.select_option("#view", "AXIAL")
    shown = canvas_pixels(page)
    page.uncheck("#show-mask")
    hidden = canvas_pixels(page)
    page.check("#show-mask")
    assert not red(hidden).any()
    brain = (hidden.max(axis=-1) > 30) & (np.ptp(hidden, axis=-1) < 20)  # neither the background nor the crosshair
    return red(shown), brain


def voxel_of(lesion: dict) -> tuple[int, int, int]:
    """The voxel (z, y, x) in which a lesion's centre lies."""
    grid = phantom_case()[0].grid
    along = np.linalg.solve(np.reshape(grid.direction, (3, 3)), np.subtract(lesion["centre_mm"], grid.origin_mm))
    return tuple(np.rint(along[::-1] / grid.spacing_mm).astype(int).tolist())


def axial_slice_of(lesion: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mask and brain of the axial slice through a lesion's centre; what is darker than the window's black is left out."""
    case, label = phantom_case()
    z = voxel_of(lesion)[0]
    return label[z], case.adc.voxels[z] > 200


def share(mask: np.ndarray, brain: np.ndarray) -> float:
    return np.count_nonzero(mask) / np.count_nonzero(brain)


def place_in_brain(mask: np.ndarray, brain: np.ndarray) -> list[float]:
    """How far below and to the right of the brain's middle the mask's middle lies, in standard deviations of the brain."""
    inside = np.argwhere(brain)
    return ((np.argwhere(mask).mean(axis=0) - inside.mean(axis=0)) / inside.std(axis=0)).tolist()


def open_report(page: Page, path: Path, **options: object) -> dict:
    results = write_phantom_report(path, **options)
    page.goto(path.as_uri())
    return results


def test_the_overlay_covers_what_the_mask_marks(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    assert np.count_nonzero(red(canvas_pixels(page))) > 1000  # in three planes
    shown, expected = axial_slice_on_screen(page), axial_slice_of(results["lesion_list"][0])
    assert share(*expected) > 0.05
    assert share(*shown) == pytest.approx(share(*expected), rel=0.1)
    assert place_in_brain(*shown) == pytest.approx(place_in_brain(*expected), abs=0.05)


def test_a_lesions_button_moves_the_viewer_there(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.click("#lesions tbody tr:nth-child(2) button")
    lesion = results["lesion_list"][1]
    shown, expected = axial_slice_on_screen(page), axial_slice_of(lesion)
    assert share(*shown) == pytest.approx(share(*expected), rel=0.25)
    assert place_in_brain(*shown) == pytest.approx(place_in_brain(*expected), abs=0.05)
    place, adc = re.fullmatch(r"Position (.+) mm, ADC (\S+) .*", page.inner_text("#location")).groups()
    assert [float(mm) for mm in place.split(",")] == pytest.approx(lesion["centre_mm"], abs=0.1)
    assert float(adc) == phantom_case()[0].adc.voxels[voxel_of(lesion)]


def test_an_empty_mask_shows_nothing_red(page, tmp_path):
    open_report(page, tmp_path / "report.html", mask=np.zeros_like(phantom_case()[1]))
    wait_for_viewer(page)
    assert not red(canvas_pixels(page)).any()
    assert page.inner_text("#lesions p") == "No lesion was found."


def test_the_table_on_the_screen_is_what_the_results_say(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    rows = [row.split("\t") for row in page.inner_text("#lesions tbody").splitlines()]
    shown = [[float(cells[column]) for column in (2, 4, 6, 7)] for cells in rows]
    keys = ("volume_ml", "lowest_z", "probability", "confidence")
    assert shown == [[float(short(lesion[key])) for key in keys] for lesion in results["lesion_list"]]
    assert [cells[1] for cells in rows] == [lesion["side"] for lesion in results["lesion_list"]]
    assert page.inner_text("#lesion_volume_ml") == f"{results['lesion_volume_ml']:.1f} ml"


def test_every_slice_is_drawn_with_its_outline(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    slices = np.flatnonzero(phantom_case()[1].any(axis=(1, 2)))
    assert page.locator("#slices figure").count() == len(slices)
    figure = page.locator("#slices figure svg").nth(int(np.argmax(np.count_nonzero(phantom_case()[1], axis=(1, 2))[slices])))
    pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot())).convert("RGB")).astype(int)
    yellow = (pixels[..., :2].min(axis=-1) > 180) & (pixels[..., 2] < 90)
    left, right = np.array_split(yellow, 2, axis=1)
    assert np.count_nonzero(left) > 100
    assert np.count_nonzero(left) == pytest.approx(np.count_nonzero(right), rel=0.25)


def test_without_webgl2_the_rest_stays(page, tmp_path):
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    open_report(page, tmp_path / "report.html")
    page.wait_for_timeout(300)
    assert "The viewer needs JavaScript and WebGL2" in page.inner_text("#viewer-notice")
    assert not page.is_visible("#viewer-canvas")
    assert page.locator("#lesions tbody tr").count() == 6
    assert page.locator("#slices figure").first.is_visible()


def test_the_print_has_no_viewer(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.emulate_media(media="print")
    assert not page.is_visible("#viewer")
    assert page.is_visible("#lesions table")


def test_hostile_names_run_nothing(page, tmp_path):
    open_report(page, tmp_path / "report.html", name=f"</script>{HOSTILE}")
    wait_for_viewer(page)
    assert page.inner_text("h1") == f"</script>{HOSTILE}"
    assert page.title() == f"</script>{HOSTILE}: report"


@pytest.fixture
def index(page: Page, tmp_path: Path) -> Page:
    """Three cases that are done, one that failed; only the first has a report."""
    folder = tmp_path / "case 10 #1?"
    folder.mkdir()
    results = write_phantom_report(folder / "report.html")
    entries = [
        {"case": "case 10", "status": "done", "reason": "", "results": results, "report": f"{folder.name}/report.html"},
        {"case": HOSTILE, "status": "failed", "reason": HOSTILE, "results": None, "report": None},
    ]
    for case, volume in (("case 9", 0.0), ("case 1", 100.5)):
        others = {"results": results | {"lesion_volume_ml": volume}, "report": None}
        entries.append({"case": case, "status": "done", "reason": ""} | others)
    write_index(tmp_path / "index.html", entries)
    page.goto((tmp_path / "index.html").as_uri())
    return page


def cases(page: Page) -> list[str]:
    return page.locator("#cases tbody tr td:first-child").all_inner_texts()


def test_the_index_sorts_by_click_and_by_key(index):
    volume, name = index.locator("#cases th").nth(1), index.locator("#cases th").nth(0)
    volume.locator("button").click()
    assert cases(index) == ["case 9", "case 10", "case 1", HOSTILE]
    assert volume.get_attribute("aria-sort") == "ascending"
    volume.locator("button").press("Enter")
    assert cases(index) == ["case 1", "case 10", "case 9", HOSTILE]
    assert volume.get_attribute("aria-sort") == "descending"
    name.locator("button").press("Space")
    assert cases(index) == [HOSTILE, "case 1", "case 9", "case 10"]
    assert volume.get_attribute("aria-sort") is None


def test_the_index_leads_to_the_reports(index):
    assert index.locator(".plot circle").count() == 3
    assert index.locator(".plot circle.empty").count() == 1
    index.click("#cases a")
    wait_for_viewer(index)
    assert index.inner_text("h1") == "phantom"
