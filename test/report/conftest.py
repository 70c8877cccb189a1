"""A real browser for the tests of the pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from report_helpers import find_chromium, needs, open_browser, watched_page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    needs(find_chromium(), "no chromium on this machine")
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched_page(browser) as page:
        yield page
