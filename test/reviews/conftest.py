"""A folder of reviews, and runs that take them."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """An empty folder of reviews."""
    (tmp_path / "reviews").mkdir()
    return tmp_path / "reviews"


@pytest.fixture
def take(go, good, folder):
    """Runs the cases of `good` with the folder of reviews; returns exit code, stdout and the last line of stderr."""
    return lambda *words: go(good, "--reviews", str(folder), *words)
