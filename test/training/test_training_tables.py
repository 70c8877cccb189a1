"""The study's statistics against numbers from paper and from numpy and scipy; its page, README block and figures."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_rows import NAN, invented_curve, invented_rows, row, table, write_results

from model.errors import UserError
from training import tables
from training.data.splits import FOLDS, SPLITS, read_folds
from training.learning.losses import LOSSES
from training.pages import cells, study_tables
from training.pages.markdown import replace_block
from training.pages.study_page import answer, both_protocols, study_text
from training.pages.study_tables import Study
from training.scores import statistics
from training.scores.methods import RULE
from training.scores.rows import Epoch, as_frame, curves_path, write_records

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = tables.MARKERS
README = (ROOT / "README.md", tables.MARKERS)


WHOLE = {loss: tuple(range(FOLDS)) for loss in LOSSES}


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """The command's options, for results/, docs/ and README.md of a folder."""
    return f"--results={tmp_path / 'results'}", f"--docs={tmp_path / 'docs'}", f"--readme={tmp_path / 'README.md'}"


def page(folder: Path, protocol: str, runs: dict[str, tuple[int, ...]], configuration: dict | None = None) -> str:
    """The page about a study of these folds of some losses, without figures."""
    path = write_results(folder, protocol, runs)
    if configuration:
        path.with_suffix(".json").write_text(json.dumps(configuration))
    return study_text([tables.load_study(folder, name) for name in study_tables.TITLES], folder)


def line_of(text: str, start: str, after: str = "") -> str:
    """The first line of a table, behind a heading, that begins with this cell."""
    return next(line for line in text[text.index(after) :].splitlines() if line.startswith(f"| {start} |"))


# Statistics.


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, and never falling
        ([0.03, 0.01, 0.04, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.6, NAN, 0.9], [1.0, NAN, 1.0]),  # what has no p does not count, and one is the most
        ([0.02, NAN], [0.02, NAN]),
    ],
)
def test_holm_by_hand(p, expected):
    assert statistics.holm(p) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25] * 7, (0.25, 0.25)),
        ([0.0, 1.0], (0.0, 1.0)),  # a resample's mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4
        ([0.5], (NAN, NAN)),
        ([], (NAN, NAN)),
    ],
)
def test_intervals_by_hand(values, expected):
    assert statistics.bootstrap_interval(np.array(values)) == pytest.approx(expected, nan_ok=True, rel=1e-12)


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(3).gamma(2, size=44)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=5).confidence_interval
    assert statistics.bootstrap_interval(values) == pytest.approx(oracle, abs=0.03)
    assert statistics.bootstrap_interval(values) == statistics.bootstrap_interval(values)


def test_seeds_are_averaged_within_a_case_first():
    rows = [row("a", seed=0, dice=0.2), row("a", seed=1, dice=0.6), row("b", seed=0, dice=1.0)]
    assert statistics.per_case(table(*rows), "dice").to_dict() == pytest.approx({"a": 0.4, "b": 1.0})
    assert statistics.estimate(statistics.per_case(table(*rows), "dice")).mean == pytest.approx(0.7)


def test_nan_is_left_out_of_seeds_and_of_means():
    rows = [row("a", seed=0, masd_mm=NAN), row("a", seed=1, masd_mm=3.0), row("b", masd_mm=NAN), row("c", masd_mm=5.0)]
    scores = statistics.per_case(table(*rows), "masd_mm")
    assert scores.to_dict() == pytest.approx({"a": 3.0, "b": NAN, "c": 5.0}, nan_ok=True)
    found = statistics.estimate(scores)
    assert (found.mean, found.n) == (4.0, 2)


def test_pairs_use_shared_cases_only():
    first, second = {"a": 0.5, "b": 0.9, "c": NAN, "d": 0.4}, {"a": 0.4, "c": 0.1, "d": 0.2, "e": 0.0}
    found = statistics.compare("x", "y", pd.Series(first), pd.Series(second))
    assert found.difference.mean == pytest.approx(0.15)  # a: 0.1, d: 0.2
    assert (found.difference.n, found.better, found.worse) == (2, 2, 0)


def by_seed(method: str, *dice: float) -> pd.DataFrame:
    """Nine cases that have one Dice, but another one with each seed."""
    return table(*(row(f"case{n}", method, seed=seed, dice=d) for n in range(9) for seed, d in enumerate(dice)))


@pytest.mark.parametrize(("dice", "p"), [((0.3, 0.1), 2 / 10_001), ((0.3, -0.1), 2 / 4)])
def test_chance_in_training_by_hand(dice, p):
    """Of two drawn seeds both are the first in a quarter of the draws, and both the second in another quarter."""
    found = statistics.case_and_seed_bootstrap(by_seed("dice", *dice), by_seed("tversky", 0.0), "dice")
    assert found == (pytest.approx(min(dice)), pytest.approx(max(dice)), pytest.approx(p, rel=0.05 if p > 0.1 else 1e-6))


def test_chance_in_the_cases_is_that_of_the_bootstrap_over_cases():
    values = np.random.default_rng(5).normal(0.1, 0.2, 30)
    rows = [row(f"case{n:02}", "dice", dice=d, seed=s, fold=n % 3) for n, d in enumerate(values) for s in range(3)]
    zero = table(*(row(f"case{n:02}", "tversky", fold=n % 3) for n in range(30)))
    low, high, _ = statistics.case_and_seed_bootstrap(table(*rows), zero, "dice")
    assert (low, high) == pytest.approx(statistics.bootstrap_interval(values), abs=0.005)


def test_one_seed_is_compared_by_wilcoxon_and_several_by_the_bootstrap():
    one = {"dice": by_seed("dice", 0.3), "tversky": by_seed("tversky", 0.0)}
    assert statistics.compare_runs(one, "dice", "tversky", "dice").p == pytest.approx(2 / 2**9)
    several = one | {"dice": by_seed("dice", 0.3, -0.1)}
    assert statistics.compare_runs(several, "dice", "tversky", "dice").p == pytest.approx(2 / 4, rel=0.05)


def test_the_spread_over_seeds_is_of_seeds_that_all_cases_have():
    rows = [row(c, seed=s, dice=d) for c in "ab" for s, d in ((0, 0.5), (1, 0.7))]
    assert study_tables.seed_range(table(*rows, row("a", seed=2, dice=0.9))) == "0.500 to 0.700"
    assert study_tables.seed_range(table(*rows[::2])) == "-"


def test_p_is_scipys_with_zeros_ranked():
    differences = np.array([0.0, 0.0, 0.1, 0.2, -0.05, 0.3, -0.4, 0.15, 0.25, 0.07, 0.5, 0.6])
    expected = stats.wilcoxon(differences, zero_method="pratt").pvalue
    assert statistics.signed_rank_p(differences) == expected != stats.wilcoxon(differences, zero_method="wilcox").pvalue


@pytest.mark.parametrize(("differences", "p"), [(np.arange(1.0, 7.0), 2 / 2**6), (np.zeros(4), 1), (np.zeros(0), NAN)])
def test_p_by_hand(differences, p):
    assert statistics.signed_rank_p(differences) == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize(
    ("load", "lesions", "stratum"),
    [(0.0, 0, 0), (1e-5, 1, 1), (0.00999, 1, 1), (0.01, 1, 1), (0.0101, 1, 2), (0.05, 1, 2), (0.0501, 1, 3)],
)
def test_edges_of_lesion_load(load, lesions, stratum):
    found = statistics.load_strata(table(row(lesion_load=load, true_lesions=lesions))).item()
    assert found == ("empty", "below 1 %", "1-5 %", "above 5 %")[stratum]


@pytest.mark.parametrize(("mm", "stratum"), [(2.9, "<= 3"), (3.0, "<= 3"), (3.01, "> 3")])
def test_edges_of_slice_thickness(mm, stratum):
    assert statistics.slice_strata(table(row(slice_mm=mm))).item() == f"slices {stratum} mm"


def test_every_case_is_in_one_stratum_of_each_kind():
    parts = statistics.strata(table(*(rows := invented_rows("native", "dice", 0))))
    assert sum(len(parts[name]) for name in statistics.LOADS) == len(rows)
    assert sum(len(parts[name]) for name in statistics.SLICES) == len(rows)


def test_the_best_loss_is_compared_on_shared_cases():
    rows = [row(c, "dice", dice=d) for c, d in (("a", 0.5), ("b", 0.5))]
    rows += [row(c, "tversky", dice=d) for c, d in (("b", 0.4), ("c", 0.9))]  # the larger mean, but worse where both are
    rows += [row("a", "dice-focal", dice=1.0), row("a", RULE, dice=1.0)]  # one easy case, and no loss
    assert statistics.best_loss(table(*rows)) == "dice"
    assert statistics.best_loss(table(row(method=RULE))) is None


def test_the_family_of_the_correction_is_every_comparison_of_the_table():
    cases = [f"case{i}" for i in range(8)]
    rows = [row(c, m, dice=0.1 * j + 0.01 * i) for j, m in enumerate((RULE, "tversky", "dice")) for i, c in enumerate(cases)]
    found = {c.second: c for c in statistics.against_best(table(*rows), "dice")}
    assert set(found) == {RULE, "tversky"}
    assert all(c.p == pytest.approx(2 / 2**8) and c.p_holm == pytest.approx(4 / 2**8) and c.clear for c in found.values())


@pytest.mark.parametrize(
    ("low", "p", "clear"), [(0.01, 0.049, True), (-0.01, 0.049, False), (0.01, 0.05, False), (0.01, NAN, False)]
)
def test_clear_needs_both_the_test_and_the_interval(low, p, clear):
    estimate = statistics.Estimate(0.1, low, 0.3, 9)
    assert statistics.Comparison("x", "y", estimate, 8, 1, p, p).clear == clear


def test_the_hausdorff_term_is_compared_by_lesion_load():
    rows = [row(c, "tversky", dice=0.5, lesion_load=load) for c, load in (("a", 0.005), ("b", 0.2))]
    rows += [row("a", "tversky-hausdorffdt", dice=0.7, lesion_load=0.005)]
    rows += [row("b", "tversky-hausdorffdt", dice=0.4, lesion_load=0.2)]
    effect = statistics.boundary_effect(table(*rows), "dice")
    means = {name: comparisons[0].difference.mean for name, comparisons in effect.items()}
    assert means == pytest.approx({"all": 0.05, "below 1 %": 0.2, "above 5 %": -0.1})


def test_lesion_loads_are_corrected_apart_from_all_cases():
    rows = [
        row(f"case{i}", m, dice=d + 0.01 * i) for i in range(8) for m, d in (("tversky", 0.1), ("tversky-hausdorffdt", 0.2))
    ]
    rows += [dataclasses.replace(r, method=r.method.replace("tversky", "dice-focal"), dice=0.3) for r in rows]
    effect = statistics.boundary_effect(table(*(dataclasses.replace(r, dice=round(r.dice, 6)) for r in rows)), "dice")
    assert [c.p_holm for c in effect["all"]] == pytest.approx([1, 2 * 2 / 2**8])  # two pairs
    assert [c.p_holm for c in effect["1-5 %"]] == pytest.approx([1, 2 * 2 / 2**8])


# The page.


def test_an_incomplete_study_says_what_was_not_run(tmp_path):
    text = page(tmp_path, "native", {"dice": tuple(range(FOLDS)), "tversky": (0, 1)})
    assert line_of(text, "dice-focal", "### Scores").startswith("| dice-focal | not run (0 of 5 folds) |")
    assert "| 2 of 5 folds; not run: 2, 3, 4 | 18 |" in line_of(text, "tversky", "### Scores")
    assert "| 5 of 5 folds | 44 |" in line_of(text, "dice", "### Scores")
    assert "The losses ran on different cases" in text
    assert f"7 of {FOLDS * len(LOSSES)} combinations of loss and fold" in " ".join(text.split())
    assert "## Paper protocol\n\nnot run" in text


def test_the_rule_stands_on_the_same_cases(tmp_path):
    cells = line_of(page(tmp_path, "native", {"tversky": (0, 2)}), "rule Z < -2", "### Scores").split(" | ")
    assert cells[2] == "18"
    values = [r.dice for fold in (0, 2) for r in invented_rows("native", RULE, fold)]
    assert cells[3].startswith(f"{np.mean(values):.3f} [")


def test_the_tables_figures_are_those_of_numpy(tmp_path):
    cells = line_of(page(tmp_path, "native", WHOLE), "tversky", "### Scores").split(" | ")
    rows = [r for fold in range(FOLDS) for r in invented_rows("native", "tversky", fold)]
    for cell, field, digits in ((3, "dice", 3), (4, "masd_mm", 2), (5, "nsd", 3)):
        assert cells[cell].startswith(f"{np.nanmean([getattr(r, field) for r in rows]):.{digits}f} [")
    missed = sum(r.nan_reason == "no prediction" for r in rows)
    false = sum(r.nan_reason == "no lesion" for r in rows)
    assert cells[7] == f"{missed + false} ({missed} missed, {false} false)"


def test_numbers_are_rounded_without_a_negative_zero():
    assert [cells.number(v, 3, "+") for v in (-0.0004, 0.0, -0.0006, NAN)] == ["+0.000", "+0.000", "-0.001", "-"]
    assert cells.interval(statistics.Estimate(0.5, 0.4321, 0.6, 9), 2) == "0.50 [0.43, 0.60]"
    assert cells.interval(statistics.Estimate(0.5, NAN, NAN, 1), 2) == "0.50"


def test_bold_is_the_best_of_losses_with_as_many_cases():
    rows = [row("a", "dice", dice=0.2), row("a", "tversky", dice=0.3), row("a", RULE, dice=0.9), row("b", "dice", dice=0.2)]
    assert study_tables.stratum_cells(table(*rows)) == {"dice": "0.200 (2)", "tversky": "0.300 (1)", RULE: "0.900 (1)"}
    cells = study_tables.stratum_cells(table(*rows, row("b", "tversky", dice=0.3)))
    assert cells == {"dice": "0.200 (2)", "tversky": "**0.300** (2)", RULE: "0.900 (1)"}


def test_only_the_rule(tmp_path):
    text = page(tmp_path, "native", {})
    assert "No loss has been run." in text
    assert "| 44 |" in line_of(text, "rule Z < -2", "### Scores")


def test_the_paper_protocol_has_both_grids_the_published_figures_and_its_steps(tmp_path):
    training = {"batch_size": 4, "epochs": 60, "patience": 10, "bfloat16": True}
    text = page(tmp_path, "paper", {"tversky-hausdorffdt": (0,)}, {"training": training})
    grid = np.mean([r.grid_dice for r in invented_rows("paper", "tversky-hausdorffdt", 0)])
    assert f"| 59 | {grid:.3f} |" in line_of(text, "tversky-hausdorffdt", "### Beside the published")
    for loss, line in (
        ("tversky-hausdorffdt", "| 0.5000 | 1.6250 | 0.5325 | 59 |"),
        ("hausdorffdt", "| 0.3300 | inf | 0.2800 | 29 | not run (0 of 5 folds)"),
    ):
        assert line in line_of(text, loss, "### Beside the published")
    assert "| steps in an epoch | 22: 85 cases, batches of 4 | 8 |" in text  # 35 cases without every eighth: 31
    assert "| arithmetic of the network | not published | bfloat16 |" in text


def same_everywhere(*offsets: tuple[str, float]) -> Study:
    """Losses that differ by a constant and a little noise of their own, on all cases."""
    rows = []
    for method, offset in offsets:
        for case in (c for fold in range(FOLDS) for c in read_folds(SPLITS).held_out[fold]):
            noise = np.random.default_rng([*case.encode(), *method.encode()]).normal(0, 0.02)
            rows.append(row(case, method, dice=0.5 + offset + noise, nsd=0.5 + offset + noise))
    return Study("native", table(*rows), as_frame([], Epoch))


@pytest.mark.parametrize(
    ("offsets", "said", "not_said"),
    [
        (
            {"dice": 0, "tversky": 0, "dice-focal": 0},
            ["Significant differences to other losses: by Dice none; by NSD none."],
            "The Hausdorff term",
        ),
        (
            {"dice": 0.2, "tversky": 0, "tversky-hausdorffdt": 0.2, RULE: 0},
            [
                "Significant differences to other losses: by Dice tversky (+0.2",
                "The Hausdorff term changes Dice by +0.2",
                "trained once",
            ],
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
    text = answer(Study("native", pd.concat([once.rows, again], ignore_index=True), once.epochs))
    assert "Trained tversky with 2 seeds, every other loss with one." in text
    assert "trained once" not in text


def test_what_holds_in_both_protocols():
    native = same_everywhere(("dice", 0.2), ("tversky", 0.0), ("dice-focal", 0.1))
    paper = same_everywhere(("dice", 0.1), ("tversky", 0.0), ("dice-focal", 0.2))
    text = both_protocols([native, dataclasses.replace(paper, protocol="paper")])
    order = "2 of 3 pairs of losses are in the same order by mean Dice. The best loss is not the same"
    assert f", on the 44 cases that both have: {order}: dice (native), dice-focal (paper)." in text
    assert text.endswith("Significant in both: dice over tversky; dice-focal over tversky.")
    assert both_protocols([native, Study("paper", table(), as_frame([], Epoch))]) == ""


def test_protocols_are_compared_on_the_cases_that_both_have():
    """Over all cases dice is ahead in the native protocol; on the first fold, which alone the other has, tversky is."""
    first = list(read_folds(SPLITS).held_out[0])
    rows = same_everywhere(("dice", 0.0), ("tversky", 0.2)).rows
    elsewhere = same_everywhere(("dice", 0.4), ("tversky", 0.0)).rows
    native = pd.concat([rows[rows["case"].isin(first)], elsewhere[~elsewhere["case"].isin(first)]], ignore_index=True)
    paper = Study("paper", rows[rows["case"].isin(first)], as_frame([], Epoch))
    text = both_protocols([Study("native", native, as_frame([], Epoch)), paper])
    assert f"on the {len(first)} cases that both have: 1 of 1 pairs of losses are in the same order" in text
    assert "The best loss is the same, tversky." in text


# README, figures, bytes.


def test_the_readme_block_is_replaced_and_the_rest_untouched(tmp_path, words, command):
    write_results(tmp_path / "results", "native", {"dice": (0,), "tversky": (0, 1)})
    before, after = "# Title\n\ntext  \n\n", "\n\n## Next\n\ntext without a newline at its end"
    (tmp_path / "README.md").write_text(f"{before}{BEGIN}\nwhat stood here\n{END}{after}")
    command(tables.main, *words)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"{before}{BEGIN}\n| native protocol | Dice |")
    assert text.endswith(f"\n{END}{after}")
    assert "what stood here" not in text
    assert replace_block(text, tables.readme_block([tables.load_study(tmp_path / "results", "native")]), *README) == text
    assert replace_block("nothing here\n", "new", *README) == "nothing here\n"


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_do_not_pair_are_refused(tmp_path, words, refusal, text):
    write_results(tmp_path / "results", "native", {"dice": (0,)})
    (tmp_path / "README.md").write_text(text)
    assert refusal(tables.main, *words).startswith(f"{tmp_path / 'README.md'}: expected <!-- study:begin -->")
    assert (tmp_path / "README.md").read_text() == text
    assert not (tmp_path / "docs").exists()


def test_the_same_rows_give_the_same_bytes(tmp_path, words, command):
    write_results(tmp_path / "results", "native", {"dice": (0, 1), "tversky": (0,)}, seeds=(0, 1))
    write_results(tmp_path / "results", "paper", {"dice": (0,)})
    first, second = tmp_path / "docs", tmp_path / "first"
    command(tables.main, *words)
    shutil.move(first, second)
    for path in (tmp_path / "results").glob("*.csv"):  # another order of the rows is the same study
        head, *lines = path.read_text().splitlines(keepends=True)
        path.write_text(head + "".join(reversed(lines)))
    command(tables.main, *words)
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    kinds = ("curves", "dice")
    assert [str(f) for f in files] == [f"figures/{p}-{k}.png" for p in ("native", "paper") for k in kinds] + ["study.md"]
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)
    assert all((first / f).stat().st_size < 150_000 for f in files)
    assert all(f"(figures/{f.name})" in (first / "study.md").read_text() for f in files[:-1])


def test_figures_without_data_are_not_shown(tmp_path, words, command):
    path = write_results(tmp_path / "results", "native", {"dice": (0,)})
    for there in (True, False):
        command(tables.main, *words)
        assert ("native-curves.png" in (tmp_path / "docs" / "study.md").read_text()) == there
        assert (tmp_path / "docs" / "figures" / "native-curves.png").exists() == there
        curves_path(path).unlink(missing_ok=True)


def test_curves_of_a_run_without_rows_are_left_out(tmp_path):
    path = write_results(tmp_path, "native", {"dice": (0,)})
    write_records([*invented_curve("dice", 0), *invented_curve("dice", 1)], curves_path(path), Epoch)
    assert set(tables.load_study(tmp_path, "native").epochs["fold"]) == {0}


# What is refused.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("masd_mm,", "hd95,", 1), "expected the columns case, "),
        (lambda text: text.replace(",dice,0,", ",lovasz,0,"), "unknown method 'lovasz'"),
        (lambda text: text + text.splitlines(keepends=True)[1], ".* more than one such row"),
        (lambda text: "".join(text.splitlines(keepends=True)[:-1]), ".* missing or not of this fold"),
        (lambda text: text.replace(",dice,0,", ",dice,7,"), ".*has fold 7, expected 0 to 4"),
    ],
)
def test_rows_that_cannot_be_of_a_study_are_refused(tmp_path, change, reason):
    path = write_results(tmp_path, "native", {"dice": (0,)})
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"^\S*native\.csv: {reason}.*$"):
        tables.load_study(tmp_path, "native")


def test_wrong_columns_of_the_curves(tmp_path):
    path = curves_path(write_results(tmp_path, "native", {"dice": (0,)}))
    path.write_text(path.read_text().replace("loss", "cost", 1))
    with pytest.raises(UserError, match=r"native-curves\.csv: expected the col"):
        tables.load_study(tmp_path, "native")


def test_no_results_is_one_line(tmp_path, words, refusal):
    expected = f"{tmp_path / 'results'}: no results, expected native.csv or paper.csv"
    assert refusal(tables.main, *words).startswith(expected)


def test_published_figures_are_of_losses_in_their_order():
    assert list(study_tables.PUBLISHED) == [name for name in LOSSES if name in study_tables.PUBLISHED]
