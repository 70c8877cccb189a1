"""The phantom's report, and a real browser to open it in."""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from phantom import make_phantom
from playwright.sync_api import Browser, Page, sync_playwright

from model.images.case import Case
from model.images.volume import Volume
from model.report.case_page import write_report
from model.report.results import describe

NAME = "phantom"
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


@functools.cache
def phantom_case() -> tuple[Case, np.ndarray]:
    """The invented case and its label."""
    phantom = make_phantom()
    adc, zadc = (Volume(voxels, phantom.grid, Path("phantom.mha")) for voxels in (phantom.adc, phantom.zadc))
    return Case(adc, zadc), phantom.label


def results_of(case: Case, mask: np.ndarray) -> dict:
    """What results.json would say of a mask that two groups of networks made, of which one is a little shy."""
    probabilities = np.where(mask, 0.75, 0.125)
    shy = np.where(case.zadc.voxels < -4, probabilities, 0.125)
    found = SimpleNamespace(mask=mask, probabilities=probabilities, groups=[probabilities, shy], group_level=None)
    return describe(found, case) | {
        "seconds": 4.56,
        "device": "cpu",
        "weights": "0123456789abcdef",
        "warnings": ["the Z map's smallest value is -10.0"],
        "software": {"torch": "2.13.0", "numpy": "2.4.6"},
    }


def write_phantom_report(path: Path, mask: np.ndarray | None = None, name: str = NAME) -> dict:
    """Write the phantom's report with its label, or another mask; returns its results."""
    case, label = phantom_case()
    mask = label if mask is None else mask
    results = results_of(case, mask)
    write_report(path, name, case, mask, results)
    return results


def find_chromium() -> str | None:
    """The browser's program, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium with WebGL2 in software. Nothing is downloaded: the program is the system's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def wait_for_viewer(page: Page) -> None:
    """Wait until the viewer has drawn the first lesion."""
    page.wait_for_selector("body.with-viewer")
    page.wait_for_timeout(500)
