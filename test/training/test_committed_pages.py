"""The committed pages are what the committed rows give."""

import sys
from pathlib import Path

import pytest
from commands import exit_code

from model.lesions.certainty import REAL_SHARE
from training import accuracy, tables
from training.accuracy import PUBLISHED
from training.pages.publish import page_arguments
from training.scores.rows import RESULTS, MarkedLesion, ReaderRow, Row, read_frame

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("command", "page"), [(tables, "study.md"), (accuracy, "accuracy.md")])
def test_page_and_readme(tmp_path: Path, command: object, page: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes((ROOT / "README.md").read_bytes())
    assert exit_code(command.main, f"--docs={tmp_path}", f"--readme={readme}") == 0
    assert (tmp_path / page).read_bytes() == (ROOT / "docs" / page).read_bytes()
    assert readme.read_bytes() == (ROOT / "README.md").read_bytes()


def test_pages_are_those_of_the_repository_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables"])
    assert vars(page_arguments("")) == {"results": RESULTS, "docs": ROOT / "docs", "readme": ROOT / "README.md"}


def test_what_the_readmes_own_sentences_say_of_the_rows() -> None:
    """Those outside of the generated blocks."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    dice, false = {}, {}
    for name in ("crossval", "estimated"):
        rows = read_frame(RESULTS / f"{name}.csv", Row).query("method == 'decision'")
        dice[name] = rows.groupby("case")["dice"].mean()
        false[name] = 1 - (read_frame(RESULTS / f"{name}-lesions.csv", MarkedLesion)["marked_share"] >= REAL_SHARE).mean()
    ours, other = dice["crossval"].mean(), dice["estimated"].mean()
    assert f"Dice {ours:.2f} on {len(dice['crossval'])} held-out cases; the best published result is" in readme
    assert f"the best published result is {max(float(score) for _, score, *_ in PUBLISHED):.2f}, on other cases" in readme
    assert f"An estimated one gives about {5 * round(20 * other / ours)} % of the Dice." in readme
    words = f"half of the marks are false, {10 * false['estimated']:.0f} of 10 where the Z map is estimated."
    assert (words in readme, 2 * false["crossval"]) == (True, pytest.approx(1, abs=0.05))


@pytest.mark.parametrize(("z_map", "rows"), [("given", "crossval"), ("estimated", "estimated")])
def test_the_reader_finishes_the_drafts_that_are_scored(z_map: str, rows: str) -> None:
    """Of given Z maps those of the trees alone, whose calibration is found there beside a constant."""
    method = "trees" if z_map == "given" else "decision"
    drafts, scored = read_frame(RESULTS / "reader.csv", ReaderRow), read_frame(RESULTS / f"{rows}.csv", Row)
    drafts = drafts[(drafts["z_map"] == z_map) & (drafts["after"] == "0")]
    dice = scored[scored["method"] == method].groupby("case")["dice"].first()
    assert set(drafts["case"]) == set(dice.index)
    assert drafts["dice"].to_list() == pytest.approx(dice[drafts["case"]].to_list(), abs=2e-3)
