"""The report and the index in a real headless Chromium, opened from disk.

How much the viewer's overlay must colour is derived from the maps: of the axial slice that it shows, the share of the
brain that the mask, or a range of the Z map, has in that slice.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from report_helpers import (
    DIRECTIONS,
    canvas_pixels,
    found_in,
    left_front_upper_case,
    needs,
    next_frame,
    open_page,
    phantom_case,
    pixels_of,
    press,
    results_of,
    watched_page,
    write_phantom_report,
    yellow,
)

from model.images.case import Case
from model.images.volume import Grid, Volume
from model.report.case_page import write_report
from model.report.folder_page import write_index
from model.report.numbers import deviations, place
from model.report.results import from_brain_centre

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
NO_WEBGL2 = "The viewer needs WebGL2, which this browser does not offer here."
HOSTILE = "</script><img src=x onerror=alert(1)>"
WIDE, NARROW, TELEPHONE = 1200, 400, 360


@functools.cache
def lesions() -> list[dict]:
    return results_of(*phantom_case())["lesion_list"]


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory) -> Iterator[Page]:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_phantom_report(path, name=HOSTILE, z_map="estimated")
    with watched_page(browser, has_touch=True) as page:
        yield open_page(page, path)


@pytest.fixture
def report(opened: Page) -> Page:
    """The phantom's report as it is when it has been opened."""
    opened.emulate_media(media="screen", color_scheme="light")
    opened.set_viewport_size({"width": WIDE, "height": 900})
    opened.check("#overlay input[value=mask]")
    opened.fill("#opacity", "0.6")
    opened.select_option("#view", "MULTIPLANAR")
    opened.click("#lesions tbody tr:nth-child(1) button")
    return opened


def axial_pixels(page: Page, overlay: str = "mask") -> np.ndarray:
    """What the axial slice through the viewer's crosshair looks like with an overlay that hides what is below it."""
    page.select_option("#view", "AXIAL")
    page.fill("#opacity", "0.6" if overlay == "mask" else "1")
    page.check(f"#overlay input[value={overlay}]")
    return canvas_pixels(page)


def mask_on_screen(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """Mask and brain of the axial slice through the viewer's crosshair, boolean (rows, columns)."""
    shown, hidden = axial_pixels(page), axial_pixels(page, "none")
    assert not yellow(hidden).any()
    brain = (hidden.max(axis=-1) > 30) & (np.ptp(hidden, axis=-1) < 20)  # neither the background nor the crosshair
    return yellow(shown), brain


def voxel_of(lesion: dict) -> tuple[int, int, int]:
    """The voxel (z, y, x) that the viewer goes to."""
    return tuple(np.rint(phantom_case()[0].grid.to_index(np.array(lesion["inside_mm"]))).astype(int).tolist())


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


def test_what_lies_over_the_adc_covers_what_it_should(report):
    """Of the Z scale's blue half red falls 60 below blue at -1.4, by linear interpolation from f7f7f7 to 4393c3 at -3.

    The made-up probability is 0.125 outside the mask, violet, and 0.75 in it, green.
    """
    assert np.count_nonzero(yellow(canvas_pixels(report))) > 1000  # in three planes
    mask, brain = axial_slice_of(lesions()[0])
    shown = mask_on_screen(report)
    assert share(mask, brain) > 0.05
    assert share(*shown) == pytest.approx(share(mask, brain), rel=0.1)
    assert place_in_brain(*shown) == pytest.approx(place_in_brain(mask, brain), abs=0.05)

    pixels = axial_pixels(report, "z")
    blue = pixels[..., 2] - pixels[..., 0] > 60
    case, z = phantom_case()[0], voxel_of(lesions()[0])[0]
    inside = case.zadc.voxels[z][case.brain[z]]
    assert share(inside < -1.4, inside < np.inf) > 0.1
    assert share(blue, pixels.max(axis=-1) > 30) == pytest.approx(share(inside < -1.4, inside < np.inf), rel=0.1)
    legend = report.locator("#viewer-legend [data-overlay]:visible").all_inner_texts()
    assert legend == ["Z map, estimated −6  6 standard deviations"]  # noqa: RUF001

    pixels = axial_pixels(report, "probability")
    green = (pixels[..., 1] - pixels[..., 0] > 60) & (pixels[..., 1] - pixels[..., 2] > 60)
    violet = pixels[..., 2] - pixels[..., 1] > 20
    assert share(green, green | violet) == pytest.approx(share(mask, case.brain[z]), rel=0.1)


def test_h_hides_and_shows_what_lies_over_the_adc(report):
    report.focus("#viewer-canvas")
    for hidden in (True, False):
        press(report, "h")
        assert yellow(canvas_pixels(report)).any() != hidden
        assert report.is_visible("#overlay-hidden") == hidden


def test_a_lesions_button_moves_the_viewer_there(report):
    report.click("#lesions tbody tr:nth-child(2) button")
    lesion = lesions()[1]
    shown, expected = mask_on_screen(report), axial_slice_of(lesion)
    assert share(*shown) == pytest.approx(share(*expected), rel=0.25)
    assert place_in_brain(*shown) == pytest.approx(place_in_brain(*expected), abs=0.05)
    case, voxel = phantom_case()[0], voxel_of(lesion)
    z = case.zadc.voxels[voxel]
    assert report.inner_text("#location").split(" · ") == [
        f"Slice {lesion['slice']} of 30",
        f"{place(from_brain_centre(np.array([voxel]), case)[0])} of the brain's centre, mm",
        f"ADC {case.adc.voxels[voxel]:.0f} ×10⁻⁶ mm²/s",  # noqa: RUF001
        f"Z {deviations(z)}",
        "probability 0.75",
    ]


def slice_shown(page: Page) -> int:
    return int(re.match(r"Slice (\d+) of 30", page.inner_text("#location")).group(1))


def test_keys_and_wheel_step_through_the_slices(report):
    first = lesions()[0]["slice"]
    report.focus("#viewer-canvas")
    for key, moved in (("ArrowUp", 1), ("ArrowDown", 0), ("ArrowLeft", -1), ("PageUp", 0)):
        press(report, key)
        assert slice_shown(report) == first + moved
    report.select_option("#view", "AXIAL")
    for focused, steps in (("#opacity", 0), ("#viewer-canvas", 1)):  # without the focus the wheel is the page's
        report.focus(focused)
        report.hover("#viewer-canvas")
        before = report.evaluate("scrollY")
        report.mouse.wheel(0, 100)
        report.wait_for_timeout(200)
        assert abs(slice_shown(report) - first) == steps
        assert (report.evaluate("scrollY") > before) == (steps == 0)
    report.focus("#slice")
    press(report, "Home")
    lowest = int(np.flatnonzero(phantom_case()[0].brain.any(axis=(1, 2)))[0])
    assert slice_shown(report) == max(lowest - 2, 0) + 1
    assert report.get_attribute("#slice", "aria-valuetext") == f"Slice {slice_shown(report)} of 30"


def test_a_swipe_over_the_viewer_scrolls_the_page_and_a_tap_moves_the_cross(report):
    report.set_viewport_size({"width": 420, "height": 800})
    report.locator("#viewer-canvas").scroll_into_view_if_needed()
    box = report.locator("#viewer-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    before = report.inner_text("#location")
    report.touchscreen.tap(x, y)
    report.wait_for_timeout(100)
    tapped, at = report.inner_text("#location"), report.evaluate("window.scrollY")
    assert tapped != before
    finger = report.context.new_cdp_session(report)
    for up in range(0, 160, 10):
        kind = "touchMove" if up else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y - up}]})
        report.wait_for_timeout(16)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    report.wait_for_timeout(300)
    assert report.evaluate("window.scrollY") > at + 100
    assert report.inner_text("#location") == tapped


def test_the_parts_around_the_viewer(report):
    assert (report.inner_text("h1"), report.title()) == (HOSTILE, f"{HOSTILE}: report")  # and nothing of it ran
    small = [lesion for lesion in lesions() if lesion["volume_ml"] < 0.05]
    rows = report.locator("#lesions tbody tr:visible")
    assert (rows.count(), len(small)) == (5, 1)
    report.click("#small-lesions summary")
    assert (rows.count(), rows.nth(5).inner_text().split("\t")[1]) == (6, small[0]["side"])
    report.click("#lesions tbody tr:nth-child(2) a")
    outlined = "all => all.filter(figure => getComputedStyle(figure).outlineStyle == 'solid').map(figure => figure.id)"
    assert report.locator("#slices figure").evaluate_all(outlined) == [f"slice-{lesions()[1]['slice']}"]
    report.set_viewport_size({"width": 1366, "height": 650})
    press(report, "?")
    assert report.is_visible("#review-help dl")
    assert report.locator("#review-help summary").evaluate("help => help.getBoundingClientRect().bottom <= innerHeight")


def test_every_slice_is_drawn_with_its_outline(report):
    areas = np.count_nonzero(phantom_case()[1], axis=(1, 2))
    figures = report.locator("#slices figure svg")
    assert figures.count() == np.count_nonzero(areas)
    pixels = pixels_of(figures.nth(int(np.argmax(areas[areas > 0]))).screenshot())
    bright = (pixels[..., :2].min(axis=-1) > 180) & (pixels[..., 2] < 90)
    left, right = map(np.count_nonzero, np.array_split(bright, 2, axis=1))
    assert left > 100
    assert left == pytest.approx(right, rel=0.25)


@functools.cache
def axe() -> str:
    """The accessibility checker's script."""
    needs(AXE.is_file(), f"no {AXE}: npm install --no-save --no-package-lock axe-core")
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


def require_fit(page: Page, scheme: str, width: int) -> None:
    """No accessibility fault and nothing beyond the page's right edge."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_report_fits_screens_and_paper_and_has_no_serious_accessibility_fault(report):
    if not report.is_visible("#small-lesions tbody"):
        report.click("#small-lesions summary")
    require_fit(report, "light", WIDE)
    require_fit(report, "dark", NARROW)
    report.set_viewport_size({"width": TELEPHONE, "height": 900})
    heads = report.locator("#lesions thead").first.locator("th")
    right = {head.inner_text(): head.evaluate("th => th.getBoundingClientRect().right") for head in heads.all()}
    assert max(right["Slice"], right["Volume, ml"]) <= TELEPHONE
    report.emulate_media(media="print")
    assert not report.is_visible("#viewer")
    assert report.locator("#lesions table").first.is_visible()
    whole = "all => all.every(part => getComputedStyle(part).breakInside == 'avoid')"  # no page ends within one
    assert report.locator("figure, #provenance, #lesions tr").evaluate_all(whole)
    report.set_viewport_size({"width": 700, "height": 900})  # A4 less its margins
    assert report.evaluate("document.documentElement.scrollWidth") <= 700


def test_the_checker_finds_faults(page):
    page.set_content("<html><body><img src='data:,'><button></button></body></html>")
    assert {fault.split(":")[0] for fault in faults(page)} >= {"image-alt", "button-name"}


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


@pytest.mark.parametrize(("views", "oriented"), [(("AXIAL", "CORONAL", "SAGITTAL"), True), (("AXIAL",), False)])
def test_letters_stand_at_all_edges_and_show_over_white_and_an_empty_mask_shows_nothing(page, tmp_path, views, oriented):
    """A cube of a brain that fills the square picture, brighter than the window's white end."""
    grid = Grid((20, 20, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), DIRECTIONS["oblique"])
    adc = Volume(np.full(grid.size, 3000, np.float32), grid, Path("adc.mha"), oriented=oriented)
    case = Case(adc, Volume(np.ones(grid.size, np.float32), grid, Path("zadc.mha")))
    mask = np.zeros(grid.size, bool)
    write_report(tmp_path / "report.html", "white", case, found_in(case, mask), results_of(case, mask))
    page.set_viewport_size({"width": 416 + 2 * 24, "height": 900})  # the picture is 26 rem high
    open_page(page, tmp_path / "report.html")
    assert page.inner_text("#lesions p") == "No lesion was found."
    for view in views:
        page.select_option("#view", view)
        page.focus("#slice")
        press(page, "End")  # the cross goes to where it hides no letter
        pixels = canvas_pixels(page)
        assert not yellow(pixels).any()
        assert letters_at(pixels) == (set(EDGES) if oriented else set()), view


def test_the_viewer_shows_the_patients_left_at_the_right(page, tmp_path):
    """Slices stored to the right and the feet; a lesion left and in front. In which way else: see test_viewer.py."""
    case, mask = left_front_upper_case(DIRECTIONS["oblique"], (0, 1, 2), (True, False, True))
    results = results_of(case, mask)
    write_report(tmp_path / "report.html", "one side", case, found_in(case, mask), results)
    open_page(page, tmp_path / "report.html")
    below, right = place_in_brain(*mask_on_screen(page))
    assert below < -0.5
    assert right > 0.5
    assert page.inner_text("#location").startswith(f"Slice {results['lesion_list'][0]['slice']} of 10 · ")
    words = re.search(r"(\d+) left, (\d+) anterior, (\d+) superior of the brain", page.inner_text("#location"))
    assert [int(mm) for mm in words.groups()] == pytest.approx([3.5 * 1.5, 5.5 * 1.75, 2 * 4], abs=3)  # within a voxel


def test_without_webgl2_the_rest_stays(page, tmp_path):
    """Nothing is said of the browser before the script knows it."""
    seen = "document.querySelector('#viewer').innerText"
    page.add_init_script(f"HTMLCanvasElement.prototype.getContext = () => ((window.seen = {seen}), null)")
    write_phantom_report(tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())
    next_frame(page)
    assert page.evaluate("window.seen").strip() == "Viewer"
    assert page.inner_text("#viewer") == f"Viewer\n\n{NO_WEBGL2}"
    assert not page.is_visible("#viewer-canvas")
    assert page.locator("#lesions tbody tr").count() == 6
    assert page.locator("#key-slice").is_visible()
    assert page.locator("#slices figure").first.is_visible()


def test_a_viewer_that_fails_and_a_page_without_javascript_say_so(browser, page, tmp_path):
    page.add_init_script("window.DecompressionStream = undefined")
    write_phantom_report(tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#viewer-notice:visible")
    assert page.inner_text("#viewer").startswith("Viewer\n\nThe viewer could not start: ")
    with watched_page(browser, java_script_enabled=False) as page:
        page.goto((tmp_path / "report.html").as_uri())
        shown = page.locator("#viewer > *:visible").all_inner_texts()
    assert [text for text in shown if text] == ["Viewer", "The viewer needs JavaScript, which is off here."]


# --- paper ---


def printed_pages(page: Page, path: Path) -> list[tuple[float, str]]:
    """Of every page as A4: how far down its words reach, as a share of its height, and its words."""
    needs(shutil.which("pdftotext"), "no pdftotext: apt-get install poppler-utils")
    page.goto(path.as_uri())
    page.pdf(path=path.with_suffix(".pdf"), format="A4")
    words = ["pdftotext", "-bbox", path.with_suffix(".pdf"), "-"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    pages = []
    for height, words in re.findall(r'<page width="[^"]*" height="([^"]*)">(.*?)</page>', text, re.DOTALL):
        lowest = max(map(float, re.findall(r'yMax="([^"]*)"', words)))
        pages.append((lowest / float(height), " ".join(re.findall(">([^<]+)</word>", words))))
    return pages


@pytest.mark.parametrize("warnings", [0, 12])
def test_the_case_is_named_on_every_printed_page_and_the_first_is_full(page, tmp_path, warnings):
    name = "baby & <b>7"
    write_phantom_report(tmp_path / "report.html", name=name, warnings=["the brain is small"] * warnings)
    (first, _), *_ = pages = printed_pages(page, tmp_path / "report.html")
    assert len(pages) > 1
    assert first > 0.7
    for _, words in pages:
        assert words.startswith("baby &amp; &lt;b&gt;7: report. Research use, not a medical device.")
        assert "Slices The slices" not in words or re.search(r"Slices The slices.* slice \d+ of 30", words)


def test_a_long_reason_does_not_empty_the_first_printed_page(page, tmp_path):
    reason = "expected one ADC series, found many: " + ", ".join(f"1.2.826.0.1.3680043.10.{n}" for n in range(60))
    entries = [{"case": f"case {n}", "status": "failed", "reason": reason, "results": None, "report": None} for n in (1, 2)]
    write_index(tmp_path / "index.html", entries)
    pages = printed_pages(page, tmp_path / "index.html")
    assert pages[0][0] > 0.7
    assert all("Share of brain" in words for _, words in pages)  # the heads of the columns


# --- the index ---


@pytest.fixture(scope="module")
def index_path(tmp_path_factory) -> Path:
    """Three cases that are done, of which two are reviewed, and one that failed; only the first has a report."""
    path = tmp_path_factory.mktemp("index") / "index.html"
    folder = path.parent / "case 10 #1?"
    folder.mkdir()
    results = write_phantom_report(folder / "report.html")
    review = {"time": "2026-03-01T12:30:00+00:00", "by": HOSTILE, "remark": "", "undecided": []}
    entries = [
        {"case": "case 10", "status": "done", "reason": "", "results": results, "report": f"{folder.name}/report.html"},
        {"case": HOSTILE, "status": "failed", "reason": HOSTILE, "results": None, "report": None},
    ]
    for case, volume, undecided in (("case 9", 0.0, []), ("case 1", 100.5, [2])):
        more = {"lesion_volume_ml": volume, "review": review | {"undecided": undecided}}
        entries.append({"case": case, "status": "done", "reason": "", "results": results | more, "report": None})
    write_index(path, entries)
    return path


@pytest.fixture
def index(page: Page, index_path: Path) -> Page:
    page.goto(index_path.as_uri())
    return page


def cases(page: Page) -> list[str]:
    return page.locator("#cases tbody tr:visible th").all_inner_texts()


NINE, ONE = "case 9 reviewed", "case 1 reviewed in part"


def test_the_index_sorts_by_click_and_by_key(index):
    volume, name = index.locator("#cases thead th").nth(1), index.locator("#cases thead th").nth(0)
    assert cases(index) == [HOSTILE, "case 10", NINE, ONE]  # the one that failed first
    volume.locator("button").click()
    assert cases(index) == [NINE, "case 10", ONE, HOSTILE]
    assert volume.get_attribute("aria-sort") == "ascending"
    volume.locator("button").press("Enter")
    assert cases(index) == [ONE, "case 10", NINE, HOSTILE]
    assert volume.get_attribute("aria-sort") == "descending"
    name.locator("button").press("Space")
    assert cases(index) == [HOSTILE, ONE, NINE, "case 10"]
    assert volume.get_attribute("aria-sort") is None
    volume.click(position={"x": 2, "y": 2})  # anywhere in the head
    assert volume.get_attribute("aria-sort") == "ascending"


def test_the_index_filters_by_name_and_by_what_is_to_be_reviewed(index):
    index.fill("#filter", "CASE 1")
    assert (cases(index), index.inner_text("#shown")) == (["case 10", ONE], "2 of 4 shown")
    index.locator("#cases thead th").nth(0).locator("button").click()
    assert cases(index) == [ONE, "case 10"]
    index.fill("#filter", "")
    assert (len(cases(index)), index.inner_text("#shown")) == (4, "")
    assert index.inner_text("#totals").endswith("1 of 3 reviewed.")
    titles = [badge.get_attribute("title") for badge in index.locator(".badge.reviewed").all()]
    assert titles == [f"2026-03-01 12:30+00:00 {HOSTILE} (1 undecided)", f"2026-03-01 12:30+00:00 {HOSTILE}"]
    index.check("#to-review")
    assert (cases(index), index.inner_text("#shown")) == ([ONE, "case 10"], "2 of 4 shown")
    index.fill("#filter", "9")
    assert (cases(index), index.inner_text("#shown")) == ([], "0 of 4 shown")
    index.uncheck("#to-review")
    assert cases(index) == [NINE]


def test_the_index_fits_every_page_with_its_remarks_and_has_no_serious_accessibility_fault(index):
    """360 and 420 pixels are a telephone's, 500 half a screen's; 718 are A4 less a centimetre at each side."""
    require_fit(index, "light", WIDE)
    require_fit(index, "dark", NARROW)
    for media, width in (("screen", TELEPHONE), ("screen", 420), ("screen", 500), ("print", 718)):
        index.emulate_media(media=media)
        index.set_viewport_size({"width": width, "height": 900})
        assert index.evaluate("document.documentElement.scrollWidth") <= width
        region = index.locator(".wide")
        assert region.evaluate("region => region.scrollWidth") <= region.evaluate("region => region.clientWidth")
        assert index.locator("#cases td.failed").bounding_box()["width"] > 100


def test_the_index_shows_a_picture_of_a_case_which_leads_to_its_report(index):
    picture = index.locator("#cases tbody img")
    assert picture.count() == 1
    assert yellow(pixels_of(picture.screenshot())).any()
    for leads in ("#cases a.sides", "#cases th a"):
        index.click(leads)
        index.wait_for_selector("#key-slice")
        assert index.inner_text("h1") == "phantom"
        index.go_back()
