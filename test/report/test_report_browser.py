"""The report and the index in a real headless Chromium, opened from disk.

How much the viewer's overlay must colour is derived from the maps: of the axial slice that it shows, the share of the
brain that the mask, or a range of the Z map, has in that slice.
"""

import functools
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from report_helpers import (
    DIRECTIONS,
    found_in,
    left_front_upper_case,
    phantom_case,
    results_of,
    wait_for_viewer,
    write_phantom_report,
)

from model.images.case import Case
from model.images.volume import Grid, Volume
from model.report.case_page import write_report
from model.report.folder_page import write_index
from model.report.numbers import deviations, place
from model.report.results import from_brain_centre

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
ROUND_CORNER = 8  # pixels of the frame through which the white page shows
NO_WEBGL2 = "The viewer needs WebGL2, which this browser does not offer here."
HOSTILE = "<img src=x onerror=alert(1)>"


def canvas_pixels(page: Page) -> np.ndarray:
    """What the viewer shows, (rows, columns, 3), as integers whose differences do not wrap."""
    page.wait_for_timeout(300)  # the next frame
    pixels = np.asarray(Image.open(io.BytesIO(page.locator("#viewer-canvas").screenshot())).convert("RGB")).astype(int)
    return pixels[ROUND_CORNER:-ROUND_CORNER, ROUND_CORNER:-ROUND_CORNER]


def yellow(pixels: np.ndarray) -> np.ndarray:
    """Where red and green clearly exceed blue: the mask, and never a grey or the crosshair."""
    return pixels[..., :2].min(axis=-1) - pixels[..., 2] > 40


def choose(page: Page, overlay: str) -> None:
    """What lies over the ADC: "mask", "z", "probability" or "none"."""
    page.check(f"#overlay input[value={overlay}]")


def axial_slice_on_screen(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """Overlay and brain of the axial slice through the viewer's crosshair, boolean (rows, columns)."""
    page.select_option("#view", "AXIAL")
    shown = canvas_pixels(page)
    choose(page, "none")
    hidden = canvas_pixels(page)
    choose(page, "mask")
    assert not yellow(hidden).any()
    brain = (hidden.max(axis=-1) > 30) & (np.ptp(hidden, axis=-1) < 20)  # neither the background nor the crosshair
    return yellow(shown), brain


def voxel_of(lesion: dict) -> tuple[int, int, int]:
    """The voxel (z, y, x) that the viewer goes to."""
    grid = phantom_case()[0].grid
    along = np.linalg.solve(np.reshape(grid.direction, (3, 3)), np.subtract(lesion["inside_mm"], grid.origin_mm))
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
    assert np.count_nonzero(yellow(canvas_pixels(page))) > 1000  # in three planes
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
    case, voxel = phantom_case()[0], voxel_of(lesion)
    z = case.zadc.voxels[voxel]
    assert page.inner_text("#location").split(" · ") == [
        f"Slice {lesion['slice']} of 30",
        f"{place(from_brain_centre(np.array([voxel]), case)[0])} of the brain's centre, mm",
        f"ADC {case.adc.voxels[voxel]:.0f} ×10⁻⁶ mm²/s",  # noqa: RUF001
        f"Z {deviations(z)}",
        "probability 0.75",
    ]


def shares_of_z(page: Page, lesion: dict) -> tuple[float, float]:
    """The share of the axial slice's brain that is clearly blue on the screen, and that with a Z below -1.4."""
    page.select_option("#view", "AXIAL")
    page.fill("#opacity", "1")
    choose(page, "z")
    pixels = canvas_pixels(page)
    blue = pixels[..., 2] - pixels[..., 0] > 60
    on_screen = np.count_nonzero(blue) / np.count_nonzero(pixels.max(axis=-1) > 30)
    case, z = phantom_case()[0], voxel_of(lesion)[0]
    inside = case.zadc.voxels[z][case.brain[z]]
    return on_screen, np.count_nonzero(inside < -1.4) / len(inside)


EDGES = {"top": (0, 0.5), "bottom": (1, 0.5), "left": (0.5, 0), "right": (0.5, 1)}  # of rows and of columns


def letters_at(pixels: np.ndarray) -> set[str]:
    """The edges near whose middle bright strokes with a dark rim are drawn, within an otherwise white picture."""
    found = set()
    for edge, (row, column) in EDGES.items():
        top, left = (round(share * (size - 40)) for share, size in zip((row, column), pixels.shape[:2], strict=True))
        part = pixels[top : top + 40, left : left + 40]
        if np.count_nonzero(part.max(axis=-1) < 60) > 10 and np.count_nonzero(part.min(axis=-1) > 200) > 20:
            found.add(edge)
    return found


@pytest.mark.parametrize(("view", "oriented"), [("AXIAL", True), ("CORONAL", True), ("SAGITTAL", True), ("AXIAL", False)])
def test_letters_stand_at_all_edges_and_show_over_white(page, tmp_path, view, oriented):
    """A cube of a brain that fills the square picture, brighter than the window's white end."""
    grid = Grid((20, 20, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), DIRECTIONS["oblique"])
    adc = Volume(np.full(grid.size, 3000, np.float32), grid, Path("adc.mha"), oriented=oriented)
    case = Case(adc, Volume(np.ones(grid.size, np.float32), grid, Path("zadc.mha")))
    mask = np.zeros(grid.size, bool)
    write_report(tmp_path / "report.html", "white", case, found_in(case, mask), results_of(case, mask))
    page.set_viewport_size({"width": 416 + 2 * 24, "height": 900})  # the picture is 26 rem high
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    page.select_option("#view", view)
    page.focus("#slice")
    page.keyboard.press("End")  # the cross goes to where it hides no letter
    assert letters_at(canvas_pixels(page)) == (set(EDGES) if oriented else set())


@pytest.mark.parametrize(
    ("flips", "direction"), [((False, True, False), "straight"), ((True, False, True), "oblique"), ((False,) * 3, "between")]
)
def test_the_viewer_shows_the_patients_left_at_the_right(page, tmp_path, flips, direction):
    """Axial slices stored to the left and the front, to the right and the feet, and between; a lesion left and in front."""
    case, mask = left_front_upper_case(DIRECTIONS[direction], (0, 1, 2), flips)
    results = results_of(case, mask)
    write_report(tmp_path / "report.html", "one side", case, found_in(case, mask), results)
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    lesion, brain = axial_slice_on_screen(page)
    below, right = place_in_brain(lesion, brain)
    assert below < -0.5
    assert right > 0.5
    assert page.inner_text("#location").startswith(f"Slice {results['lesion_list'][0]['slice']} of 10 · ")
    words = re.search(r"(\d+) left, (\d+) anterior, (\d+) superior of the brain", page.inner_text("#location"))
    assert [int(mm) for mm in words.groups()] == pytest.approx([3.5 * 1.5, 5.5 * 1.75, 2 * 4], abs=3)  # within a voxel


def test_the_z_map_has_its_colours(page, tmp_path):
    """Of the scale's blue half red falls 60 below blue at -1.4, by linear interpolation from f7f7f7 to 4393c3 at -3."""
    results = open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    on_screen, expected = shares_of_z(page, results["lesion_list"][0])
    assert expected > 0.1
    assert on_screen == pytest.approx(expected, rel=0.1)
    assert page.locator("#viewer-legend [data-overlay]:visible").all_inner_texts() == ["Z map −6  6 standard deviations"]  # noqa: RUF001


def test_the_probability_lies_over_the_adc(page, tmp_path):
    """The made-up probability is 0.125 outside the mask, violet, and 0.75 in it, green."""
    results = open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.select_option("#view", "AXIAL")
    page.fill("#opacity", "1")
    choose(page, "probability")
    pixels = canvas_pixels(page)
    green, violet = (pixels[..., 1] - pixels[..., other] > 60 for other in (0, 2)), pixels[..., 2] - pixels[..., 1] > 20
    green = np.logical_and(*green)
    mask, _ = axial_slice_of(results["lesion_list"][0])
    inside = phantom_case()[0].brain[voxel_of(results["lesion_list"][0])[0]]
    assert np.count_nonzero(green) / np.count_nonzero(green | violet) == pytest.approx(share(mask, inside), rel=0.1)


def slice_shown(page: Page) -> int:
    return int(re.match(r"Slice (\d+) of 30", page.inner_text("#location")).group(1))


def test_keys_and_wheel_step_through_the_slices(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    first = results["lesion_list"][0]["slice"]
    page.focus("#viewer-canvas")
    for key, moved in (("ArrowUp", 1), ("ArrowUp", 2), ("ArrowDown", 1), ("ArrowLeft", 0), ("PageUp", 1), ("ArrowDown", 0)):
        page.keyboard.press(key)
        assert slice_shown(page) == first + moved
    page.select_option("#view", "AXIAL")
    page.focus("#opacity")
    page.hover("#viewer-canvas")
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(300)
    assert slice_shown(page) == first  # without the focus the wheel is the page's
    page.focus("#viewer-canvas")
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(300)
    assert abs(slice_shown(page) - first) == 1
    page.focus("#slice")
    page.keyboard.press("Home")
    lowest = int(np.flatnonzero(phantom_case()[0].brain.any(axis=(1, 2)))[0])
    assert slice_shown(page) == max(lowest - 2, 0) + 1
    assert page.get_attribute("#slice", "aria-valuetext") == f"Slice {slice_shown(page)} of 30"


def test_a_swipe_over_the_viewer_scrolls_the_page_and_a_tap_moves_the_cross(browser, tmp_path):
    write_phantom_report(tmp_path / "report.html")
    context = browser.new_context(viewport={"width": 420, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    page.locator("#viewer-canvas").scroll_into_view_if_needed()
    box = page.locator("#viewer-canvas").bounding_box()
    middle = {"x": box["x"] + box["width"] / 4, "y": box["y"] + box["height"] / 4}
    before = page.inner_text("#location")
    page.touchscreen.tap(middle["x"], middle["y"])
    page.wait_for_timeout(300)
    tapped, at = page.inner_text("#location"), page.evaluate("window.scrollY")
    assert tapped != before
    finger = context.new_cdp_session(page)
    for up in range(0, 160, 10):
        point = {"x": middle["x"], "y": middle["y"] - up}
        kind = "touchMove" if up else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        page.wait_for_timeout(16)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)
    assert page.evaluate("window.scrollY") > at + 100
    assert page.inner_text("#location") == tapped
    context.close()


def test_the_slice_that_a_link_leads_to_is_marked(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    marked = "figure => getComputedStyle(figure).outlineStyle"
    figures = page.locator("#slices figure")
    assert set(figures.evaluate_all(f"all => all.map({marked})")) == {"none"}
    page.click("#lesions tbody tr:nth-child(2) a")
    number = results["lesion_list"][1]["slice"]
    assert page.locator(f"#slice-{number}").evaluate(marked) == "solid"
    assert figures.evaluate_all(f"all => all.map({marked})").count("solid") == 1


def test_h_hides_and_shows_what_lies_over_the_adc(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.focus("#viewer-canvas")
    assert page.is_hidden("#overlay-hidden")
    page.keyboard.press("h")
    assert not yellow(canvas_pixels(page)).any()
    assert page.is_visible("#overlay-hidden")
    page.keyboard.press("h")
    assert yellow(canvas_pixels(page)).any()
    assert page.is_hidden("#overlay-hidden")


def test_the_key_of_the_help_brings_it_into_view(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.set_viewport_size({"width": 1366, "height": 650})
    page.keyboard.press("?")
    assert page.is_visible("#review-help dl")
    assert page.locator("#review-help summary").evaluate("help => help.getBoundingClientRect().bottom <= innerHeight")


def test_an_empty_mask_shows_nothing(page, tmp_path):
    open_report(page, tmp_path / "report.html", mask=np.zeros_like(phantom_case()[1]))
    wait_for_viewer(page)
    assert not yellow(canvas_pixels(page)).any()
    assert page.inner_text("#lesions p") == "No lesion was found."


def test_the_small_lesions_open(page, tmp_path):
    results = open_report(page, tmp_path / "report.html")
    small = [lesion for lesion in results["lesion_list"] if lesion["volume_ml"] < 0.05]
    rows = page.locator("#lesions tbody tr:visible")
    assert rows.count() == len(results["lesion_list"]) - len(small) == 5
    page.click("#small-lesions summary")
    assert rows.count() == 6
    assert rows.nth(5).inner_text().split("\t")[1] == small[0]["side"]


def test_every_slice_is_drawn_with_its_outline(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    slices = np.flatnonzero(phantom_case()[1].any(axis=(1, 2)))
    assert page.locator("#slices figure").count() == len(slices)
    figure = page.locator("#slices figure svg").nth(int(np.argmax(np.count_nonzero(phantom_case()[1], axis=(1, 2))[slices])))
    pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot())).convert("RGB")).astype(int)
    bright = (pixels[..., :2].min(axis=-1) > 180) & (pixels[..., 2] < 90)
    left, right = np.array_split(bright, 2, axis=1)
    assert np.count_nonzero(left) > 100
    assert np.count_nonzero(left) == pytest.approx(np.count_nonzero(right), rel=0.25)


def test_without_webgl2_the_rest_stays(page, tmp_path):
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    open_report(page, tmp_path / "report.html")
    page.wait_for_timeout(300)
    assert page.inner_text("#viewer") == f"Viewer\n\n{NO_WEBGL2}"
    assert not page.is_visible("#viewer-canvas")
    assert page.locator("#lesions tbody tr").count() == 6
    assert page.locator("#key-slice").is_visible()
    assert page.locator("#slices figure").first.is_visible()


def test_a_viewer_that_fails_says_so(page, tmp_path):
    page.add_init_script("window.DecompressionStream = undefined")
    open_report(page, tmp_path / "report.html")
    page.wait_for_selector("#viewer-notice:visible")
    assert page.inner_text("#viewer").startswith("Viewer\n\nThe viewer could not start: ")


def test_without_javascript_the_page_says_so(browser, tmp_path):
    write_phantom_report(tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    shown = page.locator("#viewer > *:visible").all_inner_texts()
    context.close()
    assert [text for text in shown if text] == ["Viewer", "The viewer needs JavaScript, which is off here."]


def test_nothing_is_said_of_the_browser_before_the_script_knows_it(page, tmp_path):
    """What the page shows when its script asks whether there is WebGL2."""
    seen = "document.querySelector('#viewer').innerText"
    page.add_init_script(f"HTMLCanvasElement.prototype.getContext = () => ((window.seen = {seen}), null)")
    open_report(page, tmp_path / "report.html")
    assert page.evaluate("window.seen").strip() == "Viewer"
    assert page.inner_text("#viewer-notice") == NO_WEBGL2


def test_the_print_has_no_viewer(page, tmp_path):
    open_report(page, tmp_path / "report.html")
    wait_for_viewer(page)
    page.emulate_media(media="print")
    assert not page.is_visible("#viewer")
    assert page.locator("#lesions table").first.is_visible()
    page.set_viewport_size({"width": 700, "height": 900})  # A4 less its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


def printed_pages(page: Page, path: Path) -> list[tuple[float, str]]:
    """Of every page as A4: how far down its words reach, as a share of its height, and its words."""
    if not shutil.which("pdftotext"):
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no pdftotext: apt-get install poppler-utils")
    page.pdf(path=path, format="A4")
    text = subprocess.run(["pdftotext", "-bbox", path, "-"], capture_output=True, text=True, check=True).stdout
    pages = []
    for height, words in re.findall(r'<page width="[^"]*" height="([^"]*)">(.*?)</page>', text, re.DOTALL):
        lowest = max(map(float, re.findall(r'yMax="([^"]*)"', words)))
        pages.append((lowest / float(height), " ".join(re.findall(">([^<]+)</word>", words))))
    return pages


@pytest.mark.parametrize("warnings", [0, 6, 12])
def test_the_case_is_named_on_every_printed_page_and_the_first_is_full(page, tmp_path, warnings):
    open_report(page, tmp_path / "report.html", name="baby & <b>7", warnings=["the brain is small"] * warnings)
    (first, _), *_ = pages = printed_pages(page, tmp_path / "report.pdf")
    assert len(pages) > 1
    assert first > 0.7
    for _, words in pages:
        assert words.startswith("baby &amp; &lt;b&gt;7: report. Research use, not a medical device.")
        assert "Slices The slices" not in words or re.search(r"Slices The slices.* slice \d+ of 30", words)


def test_a_long_reason_does_not_empty_the_first_printed_page(page, tmp_path):
    reason = "expected one ADC series, found many: " + ", ".join(f"1.2.826.0.1.3680043.10.{n}" for n in range(60))
    entries = [{"case": f"case {n}", "status": "failed", "reason": reason, "results": None, "report": None} for n in (1, 2)]
    write_index(tmp_path / "index.html", entries)
    page.goto((tmp_path / "index.html").as_uri())
    pages = printed_pages(page, tmp_path / "index.pdf")
    assert pages[0][0] > 0.7
    assert all("Share of brain" in words for _, words in pages)  # the heads of the columns


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


@functools.cache
def axe() -> str:
    """The accessibility checker's script."""
    if not AXE.is_file():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no {AXE}: npm install --no-save --no-package-lock axe-core")
    return AXE.read_text(encoding="utf-8")


def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical, with the elements."""
    page.evaluate(f"() => {{ {axe()} }}")
    found = page.evaluate("() => axe.run()")
    return [
        f"{fault['id']}: {[node['target'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_the_report_has_no_serious_accessibility_fault(page, tmp_path, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    open_report(page, tmp_path / "report.html", z_map="estimated")
    wait_for_viewer(page)
    page.click("#small-lesions summary")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_the_index_has_no_serious_accessibility_fault(index, scheme, width):
    index.emulate_media(color_scheme=scheme)
    index.set_viewport_size({"width": width, "height": 900})
    index.fill("#filter", "case")
    assert faults(index) == []
    assert index.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("media", "width"), [("screen", 360), ("screen", 420), ("screen", 500), ("print", 718)])
def test_the_index_fits_a_narrow_page_with_its_remarks(index, media, width):
    """360 and 420 pixels are a telephone's, 500 half a screen's; 718 are A4 less a centimetre at each side."""
    index.emulate_media(media=media)
    index.set_viewport_size({"width": width, "height": 900})
    assert index.evaluate("document.documentElement.scrollWidth") <= width
    region = index.locator(".wide")
    assert region.evaluate("region => region.scrollWidth") <= region.evaluate("region => region.clientWidth")
    assert index.locator("#cases td.failed").bounding_box()["width"] > 100


@pytest.mark.parametrize("width", [360, 420])
def test_a_telephone_shows_slice_and_volume_of_a_lesion(page, tmp_path, width):
    page.set_viewport_size({"width": width, "height": 900})
    open_report(page, tmp_path / "report.html")
    heads = page.locator("#lesions thead").first.locator("th")
    right = {head.inner_text(): head.evaluate("th => th.getBoundingClientRect().right") for head in heads.all()}
    assert max(right["Slice"], right["Volume, ml"]) <= width


def test_the_checker_finds_faults(page):
    page.set_content("<html><body><img src='data:,'><button></button></body></html>")
    assert {fault.split(":")[0] for fault in faults(page)} >= {"image-alt", "button-name"}


def cases(page: Page) -> list[str]:
    return page.locator("#cases tbody tr:visible th").all_inner_texts()


def test_the_index_sorts_by_click_and_by_key(index):
    volume, name = index.locator("#cases thead th").nth(1), index.locator("#cases thead th").nth(0)
    assert cases(index) == [HOSTILE, "case 10", "case 9", "case 1"]  # the one that failed first
    volume.locator("button").click()
    assert cases(index) == ["case 9", "case 10", "case 1", HOSTILE]
    assert volume.get_attribute("aria-sort") == "ascending"
    volume.locator("button").press("Enter")
    assert cases(index) == ["case 1", "case 10", "case 9", HOSTILE]
    assert volume.get_attribute("aria-sort") == "descending"
    name.locator("button").press("Space")
    assert cases(index) == [HOSTILE, "case 1", "case 9", "case 10"]
    assert volume.get_attribute("aria-sort") is None


def test_the_index_sorts_by_a_click_anywhere_in_a_head(index):
    head = index.locator("#cases thead th").nth(1)
    head.click(position={"x": 2, "y": 2})
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()  # which sorts once
    assert head.get_attribute("aria-sort") == "descending"


def test_the_index_filters_by_name(index):
    index.fill("#filter", "CASE 1")
    assert cases(index) == ["case 10", "case 1"]
    assert index.inner_text("#shown") == "2 of 4 shown"
    index.locator("#cases thead th").nth(0).locator("button").click()
    assert cases(index) == ["case 1", "case 10"]
    index.fill("#filter", "")
    assert len(cases(index)) == 4
    assert index.inner_text("#shown") == ""


def test_the_index_shows_a_picture_of_a_case(index):
    picture = index.locator("#cases tbody img")
    assert picture.count() == 1
    shown = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(int)
    assert yellow(shown).any()
    picture.click()
    index.wait_for_selector("#key-slice")


def test_the_index_leads_to_the_reports(index):
    assert index.locator(".plot circle").count() == 3
    assert index.locator(".plot circle.empty").count() == 1
    index.click("#cases a")
    wait_for_viewer(index)
    assert index.inner_text("h1") == "phantom"
