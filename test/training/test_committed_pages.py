"""The committed pages are what the committed rows give."""

import shutil
from pathlib import Path

import pytest
from commands import exit_code

from training import accuracy, tables

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the README and of the figures, which pages link to where they exist."""
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    shutil.copytree(ROOT / "docs" / "figures", tmp_path / "docs" / "figures")
    return tmp_path


@pytest.mark.parametrize(("command", "page"), [(tables, "study.md"), (accuracy, "accuracy.md")])
def test_page_and_readme(folder: Path, monkeypatch: pytest.MonkeyPatch, command: object, page: str) -> None:
    for name in ("draw_figures", "draw_reliability", "draw_agreement", "draw_curve", "draw_reader"):
        monkeypatch.setattr(command, name, lambda *_: None, raising=False)
    assert exit_code(command.main, f"--docs={folder / 'docs'}", f"--readme={folder / 'README.md'}") == 0
    assert (folder / "docs" / page).read_text() == (ROOT / "docs" / page).read_text()
    assert (folder / "README.md").read_text() == (ROOT / "README.md").read_text()
