"""A real browser for the tests of the pages."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from report_helpers import find_chromium, open_browser


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
