"""The committed pages are what the committed rows give."""

import shutil
from pathlib import Path

import pytest
from commands import exit_code

from training import accuracy, tables
from training.scores.rows import RESULTS, ReaderRow, Row, read_frame

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


@pytest.mark.parametrize(("z_map", "rows"), [("given", "crossval"), ("estimated", "estimated")])
def test_the_reader_finishes_the_drafts_that_are_scored(z_map: str, rows: str) -> None:
    """Of given Z maps those of the trees alone, whose calibration is found there beside a constant."""
    method = "trees" if z_map == "given" else "decision"
    drafts, scored = read_frame(RESULTS / "reader.csv", ReaderRow), read_frame(RESULTS / f"{rows}.csv", Row)
    drafts = drafts[(drafts["z_map"] == z_map) & (drafts["after"] == "0")]
    dice = scored[scored["method"] == method].groupby("case")["dice"].first()
    assert set(drafts["case"]) == set(dice.index)
    assert drafts["dice"].to_list() == pytest.approx(dice[drafts["case"]].to_list(), abs=2e-3)
