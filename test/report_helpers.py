"""The phantom's report, and a real browser to open it in."""

import contextlib
import functools
import io
import os
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import make_grid, make_phantom
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from model.images.case import Case
from model.images.volume import Grid, Volume
from model.lesions.certainty import Certainty
from model.networks.predict import Segmentation
from model.report.case_page import write_report
from model.report.results import describe

NAME = "phantom"
ROUND_CORNER = 8  # pixels of the viewer's frame through which the white page shows
CERTAINTY = Certainty({"chance_real": {"intercept": 0.5, "log10_ml": 1.0}})
# Of axial slices: straight, turned by 27 degrees, and 46 degrees between axial and coronal as one published case.
DIRECTIONS = {
    "straight": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    "oblique": make_grid().direction,
    "between": (1.0, 0.0, 0.0, 0.0, 0.694658370, -0.719339800, 0.0, 0.719339800, 0.694658370),
}
PATIENCE_MS = 120_000  # at most, on a busy machine
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


class Tags(HTMLParser):
    """Every element of a page with its attributes, and the cells of its tables row by row."""

    def __init__(self, page: Path):
        super().__init__()
        self.elements, self.rows, self.cell = [], [], None
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None


@functools.cache
def phantom_case() -> tuple[Case, np.ndarray]:
    """The invented case and its label."""
    phantom = make_phantom()
    adc, zadc = (Volume(voxels, phantom.grid, Path("phantom.mha")) for voxels in (phantom.adc, phantom.zadc))
    return Case(adc, zadc), phantom.label


def small_case(direction: tuple[float, ...] = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)) -> Case:
    """A brain of 1 x 3 x 4 voxels in the middle of 3 x 7 x 8."""
    adc = np.zeros((3, 7, 8), np.float32)
    adc[1, 2:5, 2:6] = 1200
    grid = Grid(adc.shape, (4.0, 2.0, 1.0), (0.0, 0.0, 0.0), direction)
    return Case(Volume(adc, grid, Path("adc.mha")), Volume(adc / 1000, grid, Path("zadc.mha")))


def left_front_upper_case(
    direction: tuple[float, ...], order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> tuple[Case, np.ndarray]:
    """A brain with one lesion, to the left, in front and above; and its mask, boolean (z, y, x).

    direction: of axial slices to the left, the back and the top, before SimpleITK stores them in another order of the axes
    (x, y, z) and reverses some.
    """
    adc, mask = np.zeros((10, 24, 20), np.float32), np.zeros((10, 24, 20), np.float32)
    adc[1:9, 2:22, 3:18] = 1200
    mask[6:8, 5:8, 12:16] = 1
    stored = []
    for voxels in (adc, mask):
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing((1.5, 1.75, 4.0))
        image.SetOrigin((-31.25, 12.5, -70.75))
        image.SetDirection(direction)
        stored.append(sitk.Flip(sitk.PermuteAxes(image, order), flips))
    adc, mask = map(sitk.GetArrayFromImage, stored)
    spacing_mm, origin_mm = stored[0].GetSpacing()[::-1], stored[0].GetOrigin()
    grid = Grid(adc.shape, spacing_mm, origin_mm, stored[0].GetDirection())
    return Case(Volume(adc, grid, Path("adc.mha")), Volume(adc / 1000, grid, Path("zadc.mha"))), mask > 0


def found_in(case: Case, mask: np.ndarray) -> Segmentation:
    """A mask of one probability, whose lesions are the surer the larger they are."""
    probabilities = np.where(mask, np.float32(0.75), np.float32(0.125) * case.brain)
    return Segmentation(mask, probabilities, CERTAINTY)


def results_of(case: Case, mask: np.ndarray) -> dict:
    """What results.json would say of it."""
    return describe(found_in(case, mask), case) | {
        "seconds": 4.56,
        "device": "cpu",
        "weights": "0123456789abcdef",
        "warnings": ["the Z map's smallest value is -10.0"],
        "software": {"torch": "2.13.0", "numpy": "2.4.6"},
    }


def write_phantom_report(path: Path, mask: np.ndarray | None = None, name: str = NAME, **more: object) -> dict:
    """Write the phantom's report with its label, or another mask; returns its results, to which `more` is added."""
    case, label = phantom_case()
    mask = label if mask is None else mask
    results = results_of(case, mask) | more
    write_report(path, name, case, found_in(case, mask), results)
    return results


def needs(found: object, words: str) -> None:
    """Skip the test where something is not installed, or in CI fail it."""
    if not found:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(words)


def find_chromium() -> str | None:
    """The browser's program, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium with WebGL2 in software. Nothing is downloaded: the program is the system's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def watched_page(browser: Browser, width: int = 1200, **options: object) -> Iterator[Page]:
    """A page that may neither complain nor fetch anything; whatever it does is looked at in the end."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_default_timeout(PATIENCE_MS)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.type}"), dialog.dismiss()))
    local = ("file:", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else wrong.append(f"request: {request.url}"))
    yield page
    context.close()
    assert not wrong


def open_page(page: Page, path: Path) -> Page:
    """Open a report and wait until its viewer has drawn the first lesion."""
    page.goto(path.as_uri())
    page.wait_for_selector("body.with-viewer")
    next_frame(page)
    return page


def next_frame(page: Page) -> None:
    """Wait until what was done is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")


def canvas_pixels(page: Page) -> np.ndarray:
    """What the viewer shows, (rows, columns, 3), as integers whose differences do not wrap; its frame has round corners."""
    next_frame(page)
    return pixels_of(page.locator("#viewer-canvas").screenshot())[ROUND_CORNER:-ROUND_CORNER, ROUND_CORNER:-ROUND_CORNER]


def pixels_of(picture: bytes) -> np.ndarray:
    """A picture as integers (rows, columns, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def yellow(pixels: np.ndarray) -> np.ndarray:
    """Where red and green clearly exceed blue: the mask, and never a grey or the crosshair."""
    return pixels[..., :2].min(axis=-1) - pixels[..., 2] > 40


def saved(page: Page, folder: Path, button: str = "#save") -> Path:
    """What a button of the page downloads, in a folder."""
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
