"""docs/study.md and the README's block from invented studies."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_rows import row, table, write_results

from model.errors import UserError
from training import tables
from training.common.loss_names import LOSS_NAMES
from training.data.splits import FOLDS, SPLITS, read_folds
from training.pages import study_tables
from training.pages.publish import replace_block
from training.pages.study_page import answer, study_text
from training.pages.study_tables import Study
from training.scores.methods import RULE
from training.scores.rows import Epoch, as_frame, curves_path

BEGIN, END = "<!-- study:begin -->", "<!-- study:end -->"
WHOLE = tuple(range(FOLDS))
NO_EPOCHS = as_frame([], Epoch)


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """The command's options, for results/, docs/ and README.md of a folder."""
    return f"--results={tmp_path / 'results'}", f"--docs={tmp_path / 'docs'}", f"--readme={tmp_path / 'README.md'}"


def cells_of(text: str, start: str) -> list[str]:
    """The cells of the line of a table that begins with this one."""
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |")).strip("| ").split(" | ")


def test_an_incomplete_study_says_what_was_not_run(tmp_path):
    write_results(tmp_path, "native", {"dice": WHOLE, "tversky": (0, 1)})
    study = tables.load_study(tmp_path, "native")
    scores = study_tables.scores_table(study)
    assert cells_of(scores, "tversky")[1:3] == ["2 of 5 folds; not run: 2, 3, 4", "18"]
    assert cells_of(scores, "dice")[1:3] == ["5 of 5 folds", "44"]
    assert "The losses ran on different cases" in scores
    assert f"7 of {5 * len(LOSS_NAMES)} combinations of loss and fold have been run; not run:" in answer(study)
    nothing = tables.load_study(tmp_path, "paper")
    assert study_text([study, nothing]).endswith("## Paper protocol\n\nnot run\n")


def test_only_the_rule(tmp_path):
    write_results(tmp_path, "native", {})
    text = study_text([tables.load_study(tmp_path, "native")])
    assert "No loss has been run." in text
    assert cells_of(text, "rule Z < -2")[2] == "44"


def same_everywhere(*offsets: tuple[str, float]) -> Study:
    """Losses that differ by a constant and a little noise of their own, on all cases."""
    rows = []
    for method, offset in offsets:
        for case in (c for fold in range(FOLDS) for c in read_folds(SPLITS).held_out[fold]):
            noise = np.random.default_rng([*case.encode(), *method.encode()]).normal(0, 0.02)
            rows.append(row(case, method, dice=0.5 + offset + noise, nsd=0.5 + offset + noise))
    return Study("native", table(*rows), NO_EPOCHS)


@pytest.mark.parametrize(
    ("offsets", "said", "not_said"),
    [
        ({"dice": 0, "tversky": 0, "dice-focal": 0}, ["other losses: by Dice none; by NSD none."], "The Hausdorff term"),
        (
            {"dice": 0.2, "tversky": 0, "tversky-hausdorffdt": 0.2, RULE: 0},
            ["other losses: by Dice tversky (+0.2", "The Hausdorff term changes Dice by +0.2", "trained once"],
            "tversky-hausdorffdt (",
        ),
        ({"dice": 0, RULE: -0.1}, [], "other losses"),
    ],
)
def test_the_answer_names_what_is_significant_and_nothing_else(offsets, said, not_said):
    text = answer(same_everywhere(*offsets.items()))
    assert [words for words in said if words not in text] == []
    assert not_said not in text


def test_the_answer_says_which_losses_have_more_seeds():
    once = same_everywhere(("dice", 0), ("tversky", 0))
    again = once.rows[once.rows["method"] == "tversky"].assign(seed=1)
    text = answer(Study("native", pd.concat([once.rows, again], ignore_index=True), NO_EPOCHS))
    assert "Trained tversky with 2 seeds, every other loss with one." in text
    assert "trained once" not in text


# --- what is written ---


def test_the_same_rows_give_the_same_bytes_and_the_readme_outside_the_markers_stays(tmp_path, words, command):
    path = write_results(tmp_path / "results", "native", {"dice": (0, 1), "tversky": (0,)}, seeds=(0, 1))
    curves_path(write_results(tmp_path / "results", "paper", {"dice": (0,)})).unlink()
    before, after = "# Title\n\ntext  \n\n", "\n\n## Next\n\ntext without a newline at its end"
    (tmp_path / "README.md").write_text(f"{before}{BEGIN}\nwhat stood here\n{END}{after}")
    command(tables.main, *words)
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith(f"{before}{BEGIN}\n| native protocol | Dice |")
    assert readme.endswith(f"\n{END}{after}")
    assert "what stood here" not in readme
    first, second = tmp_path / "docs", tmp_path / "first"
    shutil.move(first, second)
    head, *lines = path.read_text().splitlines(keepends=True)
    path.write_text(head + "".join(reversed(lines)))  # another order of the rows is the same study
    command(tables.main, *words)
    assert (tmp_path / "README.md").read_text() == readme
    files = sorted(str(path.relative_to(first)) for path in first.rglob("*.*"))
    assert files == [*(f"figures/{name}.png" for name in ("native-curves", "native-dice", "paper-dice")), "study.md"]
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)
    assert all((first / f).stat().st_size < 150_000 for f in files)
    shown = [line for line in (first / "study.md").read_text().splitlines() if line.startswith("![")]
    assert sorted(line.partition("](")[2].strip(")") for line in shown) == files[:-1]


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_do_not_pair_are_refused(text):
    with pytest.raises(UserError, match=r"^README\.md: expected <!-- study:begin -->"):
        replace_block(text, "new", Path("README.md"), "study")
    assert replace_block("nothing here\n", "new", Path("README.md"), "study") == "nothing here\n"


def test_curves_of_a_run_without_rows_are_left_out(tmp_path):
    rows = write_results(tmp_path, "native", {"dice": (0,)}).read_bytes()
    write_results(tmp_path, "native", {"dice": (0, 1)}).write_bytes(rows)
    assert set(tables.load_study(tmp_path, "native").epochs["fold"]) == {0}


def test_a_configuration_that_is_no_json_is_refused(tmp_path):
    write_results(tmp_path, "native", {"dice": (0,)}).with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match=r"native\.json: not JSON"):
        tables.load_study(tmp_path, "native")


def test_a_run_that_is_not_whole_is_refused(tmp_path):
    path = write_results(tmp_path, "native", {"dice": (0,)})
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"^\S*native\.csv: .* missing or not of this fold"):
        tables.load_study(tmp_path, "native")


def test_no_results_is_one_line(tmp_path, words, refusal):
    expected = f"{tmp_path / 'results'}: no results, expected native.csv or paper.csv"
    assert refusal(tables.main, *words).startswith(expected)
