"""The committed pages are what the committed rows give."""

from pathlib import Path

import pytest
from commands import exit_code

from training import accuracy, tables
from training.scores.rows import RESULTS, ReaderRow, Row, read_frame

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("command", "page"), [(tables, "study.md"), (accuracy, "accuracy.md")])
def test_page_and_readme(tmp_path: Path, command: object, page: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes((ROOT / "README.md").read_bytes())
    assert exit_code(command.main, f"--docs={tmp_path}", f"--readme={readme}") == 0
    assert (tmp_path / page).read_bytes() == (ROOT / "docs" / page).read_bytes()
    assert readme.read_bytes() == (ROOT / "README.md").read_bytes()


@pytest.mark.parametrize(("z_map", "rows"), [("given", "crossval"), ("estimated", "estimated")])
def test_the_reader_finishes_the_drafts_that_are_scored(z_map: str, rows: str) -> None:
    """Of given Z maps those of the trees alone, whose calibration is found there beside a constant."""
    method = "trees" if z_map == "given" else "decision"
    drafts, scored = read_frame(RESULTS / "reader.csv", ReaderRow), read_frame(RESULTS / f"{rows}.csv", Row)
    drafts = drafts[(drafts["z_map"] == z_map) & (drafts["after"] == "0")]
    dice = scored[scored["method"] == method].groupby("case")["dice"].first()
    assert set(drafts["case"]) == set(dice.index)
    assert drafts["dice"].to_list() == pytest.approx(dice[drafts["case"]].to_list(), abs=2e-3)
