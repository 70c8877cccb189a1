"""The study's statistics against numbers from paper and from numpy and scipy; its page, README block and figures."""

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from model.errors import UserError
from model.networks.config import InferenceConfig, ModelConfig
from model.networks.network import LesionNet
from model.networks.torch_engine import save_weights
from training import tables
from training.common.cli import run
from training.data.splits import FOLDS, read_fold
from training.learning.losses import LOSSES
from training.learning.phantom_masks import masks_by_loss
from training.pages import cells, plots, study_tables
from training.pages.phantom_figure import draw_phantom
from training.pages.study_page import answer, both_protocols
from training.pages.study_tables import Study
from training.scores import statistics
from training.scores.methods import RULE, STUDY
from training.scores.rows import Epoch, Row, as_frame, curves_path, write_records

ROOT = Path(__file__).resolve().parents[2]
NAN = math.nan
BEGIN, END = tables.MARKERS


def row(case: str = "a", method: str = "dice", **fields: float | str) -> Row:
    """A row of which a test names what matters."""
    values = {field.name: 0.0 if field.type is float else field.type() for field in dataclasses.fields(Row)}
    return Row(
        **(values | {"case": case, "method": method, "true_lesions": 1, "lesion_load": 0.02, "slice_mm": 2.0} | fields)
    )


def table(*rows: Row) -> pd.DataFrame:
    return as_frame(rows, Row)


def invented_rows(protocol: str, method: str, fold: int, seed: int = 0) -> list[Row]:
    """Rows of one run that look like real ones: harder for small lesions, each loss a little different."""
    return [invented_row(protocol, case, method, fold, seed) for case in read_fold(fold)[1]]


def invented_row(protocol: str, case: str, method: str, fold: int, seed: int) -> Row:
    """A case's own difficulty is the same for every method."""
    number = int(case.split("_")[1].split("-")[0])
    nature, chance = np.random.default_rng(number), np.random.default_rng([number, list(STUDY).index(method)])
    load = 0.0 if number % 11 == 0 else float(np.clip(10 ** nature.normal(-2.2, 0.8), 1e-4, 0.4))
    found = chance.random() < (0.5 if load == 0 else 0.93)
    skill = {RULE: 0.4, "hausdorffdt": 0.38}.get(method, 0.48 + 0.03 * method.endswith("-hausdorffdt"))
    dice = float(np.clip(skill + 0.18 * (math.log10(load or 1) + 2.2) + chance.normal(0, 0.08), 0.01, 0.95))
    scores = (dice, 12 * (1 - dice) ** 2, min(dice * 1.25, 1)) if found else (0.0, NAN, 0.0)
    if load == 0:
        scores = (0.0, NAN, 0.0) if found else (1.0, 0.0, 1.0)
    grid = [s * 1.02 for s in scores] if protocol == "paper" and method != RULE else [NAN] * 3
    network = method != RULE
    return Row(
        case=case,
        method=method,
        fold=fold,
        seed=seed if network else -1,
        dice=scores[0],
        masd_mm=scores[1],
        nsd=scores[2],
        nan_reason=("no prediction" if load else "no lesion") if math.isnan(scores[1]) else "",
        predicted_ml=300 * load,
        true_ml=300 * load,
        lesion_load=load,
        slice_mm=float(nature.choice([2.0, 4.0, 6.0])),
        predicted_lesions=3,
        true_lesions=2 if load else 0,
        lesion_precision=chance.random() if found else NAN,
        lesion_recall=chance.random() if load else NAN,
        grid_dice=grid[0],
        grid_masd_mm=grid[1],
        grid_nsd=grid[2],
        train_seconds=400 + 10 * fold if network else NAN,
        epochs=30 * network,
        predict_seconds=1.5 * network,
        peak_mb=900.0 if network else NAN,
        machine="x86_64 CPU, 2 threads" if network else "",
    )


def invented_curve(method: str, fold: int, seed: int = 0, epochs: int = 30) -> list[Epoch]:
    """A loss that falls, and a held-out score every fifth epoch."""
    chance = np.random.default_rng([list(LOSSES).index(method), fold, seed])
    scale = 40 if method == "hausdorffdt" else 0.7
    for epoch in range(1, epochs + 1):
        dice = 0.5 * (1 - math.exp(-epoch / 8)) + chance.normal(0, 0.02) if epoch % 5 == 0 else NAN
        loss = scale * (0.3 + math.exp(-epoch / 10)) + chance.normal(0, 0.02 * scale)
        yield Epoch(method, fold, seed, epoch, loss, dice, dice)


def write_study(folder: Path, protocol: str, runs: dict[str, tuple[int, ...]], seeds: tuple[int, ...] = (0,)) -> Path:
    """The results of some folds of some losses, with the rule on all cases; returns the rows' file."""
    rows = [r for fold in range(FOLDS) for r in invented_rows(protocol, RULE, fold)]
    keys = [(loss, fold, seed) for loss, folds in runs.items() for fold in folds for seed in seeds]
    rows += [r for key in keys for r in invented_rows(protocol, *key)]
    path = folder / f"{protocol}.csv"
    write_records(rows, path, Row)
    write_records([e for key in keys for e in invented_curve(*key)], curves_path(path), Epoch)
    return path


WHOLE = {loss: tuple(range(FOLDS)) for loss in LOSSES}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command on tmp_path/results, with figures only where asked for; returns the page's text."""

    def call(*options: str, draw: bool = False) -> str:
        if not draw:
            monkeypatch.setattr(tables, "draw_figures", lambda study, figures: None)
        folders = [f"--results={tmp_path / 'results'}", f"--docs={tmp_path / 'docs'}", f"--readme={tmp_path / 'README.md'}"]
        monkeypatch.setattr(sys, "argv", ["tables", *folders, *options])
        tables.main()
        return (tmp_path / "docs" / "study.md").read_text()

    return call


def line_of(text: str, start: str, after: str = "") -> str:
    """The first line of a table, behind a heading, that begins with this cell."""
    return next(line for line in text[text.index(after) :].splitlines() if line.startswith(f"| {start} |"))


# Statistics.


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, and never falling
    assert statistics.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_does_not_count_what_has_no_p_and_stops_at_one():
    assert statistics.holm([0.6, NAN, 0.9]) == pytest.approx([1.0, NAN, 1.0], nan_ok=True)
    assert statistics.holm([0.02, NAN]) == pytest.approx([0.02, NAN], nan_ok=True)


def test_the_interval_of_a_constant_is_the_constant():
    assert statistics.bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_case_has_no_interval(values):
    assert all(map(math.isnan, statistics.bootstrap_interval(np.array(values))))


def test_the_interval_of_two_values_is_known():
    # a resample's mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4
    assert statistics.bootstrap_interval(np.array([0.0, 1.0])) == (0.0, 1.0)


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


def test_chance_in_training_by_hand():
    """Of two drawn seeds both are the first in a quarter of the draws, and both the second in another quarter."""
    zero = by_seed("tversky", 0.0)
    low, high, p = statistics.case_and_seed_bootstrap(by_seed("dice", 0.3, 0.1), zero, "dice")
    assert (low, high) == pytest.approx((0.1, 0.3))
    assert p == pytest.approx(2 / 10_001)
    low, high, p = statistics.case_and_seed_bootstrap(by_seed("dice", 0.3, -0.1), zero, "dice")
    assert (low, high) == pytest.approx((-0.1, 0.3))
    assert p == pytest.approx(2 / 4, rel=0.05)


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


def test_p_of_all_positive_differences_by_hand():
    assert statistics.signed_rank_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 2**6)


def test_p_where_nothing_differs_or_nothing_is_there():
    assert statistics.signed_rank_p(np.zeros(4)) == 1
    assert math.isnan(statistics.signed_rank_p(np.zeros(0)))


@pytest.mark.parametrize(
    ("load", "lesions", "stratum"),
    [(0.0, 0, 0), (1e-5, 1, 1), (0.00999, 1, 1), (0.01, 1, 1), (0.0101, 1, 2), (0.05, 1, 2), (0.0501, 1, 3)],
)
def test_edges_of_lesion_load(load, lesions, stratum):
    found = statistics.load_strata(table(row(lesion_load=load, true_lesions=lesions))).item()
    assert found == ("empty", "below 1 %", "1-5 %", "above 5 %")[stratum]


def test_edges_of_slice_thickness():
    assert [statistics.slice_strata(table(row(slice_mm=mm))).item() for mm in (2.9, 3.0, 3.01)] == [
        "slices <= 3 mm",
        "slices <= 3 mm",
        "slices > 3 mm",
    ]


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


def test_clear_needs_both_the_test_and_the_interval():
    def comparison(low: float, p: float) -> statistics.Comparison:
        return statistics.Comparison("x", "y", statistics.Estimate(0.1, low, 0.3, 9), 8, 1, p, p)

    assert comparison(0.01, 0.049).clear
    assert not comparison(-0.01, 0.049).clear
    assert not comparison(0.01, 0.05).clear
    assert not comparison(0.01, NAN).clear


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


def test_an_incomplete_study_says_what_was_not_run(tmp_path, command):
    write_study(tmp_path / "results", "native", {"dice": tuple(range(FOLDS)), "tversky": (0, 1)})
    text = command()
    assert line_of(text, "dice-focal", "### Scores").startswith("| dice-focal | not run (0 of 5 folds) |")
    assert "| 2 of 5 folds; not run: 2, 3, 4 | 18 |" in line_of(text, "tversky", "### Scores")
    assert "| 5 of 5 folds | 44 |" in line_of(text, "dice", "### Scores")
    assert "The losses ran on different cases" in text
    assert "7 of 30 combinations of loss and fold" in " ".join(text.split())
    assert "## Paper protocol\n\nnot run" in text


def test_the_rule_stands_on_the_same_cases(tmp_path, command):
    write_study(tmp_path / "results", "native", {"tversky": (0, 2)})
    cells = line_of(command(), "rule Z < -2", "### Scores").split(" | ")
    assert cells[2] == "18"
    values = [r.dice for fold in (0, 2) for r in invented_rows("native", RULE, fold)]
    assert cells[3].startswith(f"{np.mean(values):.3f} [")


def test_the_tables_figures_are_those_of_numpy(tmp_path, command):
    write_study(tmp_path / "results", "native", WHOLE)
    cells = line_of(command(), "tversky", "### Scores").split(" | ")
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


def test_only_the_rule(tmp_path, command):
    write_study(tmp_path / "results", "native", {})
    text = command()
    assert "No loss has been run." in text
    assert "| 44 |" in line_of(text, "rule Z < -2", "### Scores")


def test_the_paper_protocol_has_both_grids_and_the_published_figures(tmp_path, command):
    write_study(tmp_path / "results", "paper", {"tversky-hausdorffdt": (0,)})
    text = command()
    rows = invented_rows("paper", "tversky-hausdorffdt", 0)
    change = np.mean([r.grid_dice - r.dice for r in rows])
    assert f"changes the mean of a loss by {change:+.3f} in Dice, " in " ".join(text.split())
    assert "| 0.5000 | 1.6250 | 0.5325 | 59 |" in line_of(text, "tversky-hausdorffdt", "### Beside the published")
    assert "| 0.3300 | inf | 0.2800 | 29 | not run (0 of 5 folds)" in line_of(
        text, "hausdorffdt", "### Beside the published"
    )


def test_the_paper_protocol_says_how_many_steps_it_took(tmp_path, command):
    path = write_study(tmp_path / "results", "paper", {"dice": (0,)})
    path.with_suffix(".json").write_text(
        json.dumps({"training": {"batch_size": 4, "epochs": 60, "patience": 10, "bfloat16": True}})
    )
    text = command()
    assert "| steps in an epoch | 22: 85 cases, batches of 4 | 8 |" in text  # 35 cases without every eighth: 31
    assert "| arithmetic of the network | not published | bfloat16 |" in text


def same_everywhere(*offsets: tuple[str, float]) -> Study:
    """Losses that differ by a constant and a little noise of their own, on all cases."""
    rows = []
    for method, offset in offsets:
        for case in (c for fold in range(FOLDS) for c in read_fold(fold)[1]):
            noise = np.random.default_rng([*case.encode(), *method.encode()]).normal(0, 0.02)
            rows.append(row(case, method, dice=0.5 + offset + noise, nsd=0.5 + offset + noise))
    return Study("native", table(*rows), as_frame([], Epoch))


def test_the_answer_claims_nothing_where_nothing_is_significant():
    text = answer(same_everywhere(("dice", 0), ("tversky", 0), ("dice-focal", 0)))
    assert "Significant differences to other losses: by Dice none; by NSD none." in text


def test_the_answer_names_what_is_significant():
    text = answer(same_everywhere(("dice", 0.2), ("tversky", 0), ("tversky-hausdorffdt", 0.2), (RULE, 0.0)))
    assert "Significant differences to other losses: by Dice tversky (+0.2" in text
    assert "tversky-hausdorffdt (" not in text
    assert "The Hausdorff term changes Dice by +0.2" in text
    assert "trained once" in text


def test_the_answer_says_which_losses_have_more_seeds():
    once = same_everywhere(("dice", 0), ("tversky", 0))
    again = once.rows[once.rows["method"] == "tversky"].assign(seed=1)
    text = answer(Study("native", pd.concat([once.rows, again], ignore_index=True), once.epochs))
    assert "Trained tversky with 2 seeds, every other loss with one." in text
    assert "trained once" not in text


def test_the_answer_with_one_loss_has_no_winner():
    assert "other losses" not in answer(same_everywhere(("dice", 0.0), (RULE, -0.1)))


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
    first = read_fold(0)[1]
    rows = same_everywhere(("dice", 0.0), ("tversky", 0.2)).rows
    elsewhere = same_everywhere(("dice", 0.4), ("tversky", 0.0)).rows
    native = pd.concat([rows[rows["case"].isin(first)], elsewhere[~elsewhere["case"].isin(first)]], ignore_index=True)
    paper = Study("paper", rows[rows["case"].isin(first)], as_frame([], Epoch))
    text = both_protocols([Study("native", native, as_frame([], Epoch)), paper])
    assert f"on the {len(first)} cases that both have: 1 of 1 pairs of losses are in the same order" in text
    assert "The best loss is the same, tversky." in text


# README, figures, bytes.


def test_the_readme_block_is_replaced_and_the_rest_untouched(tmp_path, command):
    write_study(tmp_path / "results", "native", WHOLE)
    before, after = "# Title\n\ntext  \n\n", "\n\n## Next\n\ntext without a newline at its end"
    (tmp_path / "README.md").write_text(f"{before}{BEGIN}\nwhat stood here\n{END}{after}")
    command()
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"{before}{BEGIN}\n| native protocol | Dice |")
    assert text.endswith(f"\n{END}{after}")
    assert "what stood here" not in text
    command()
    assert (tmp_path / "README.md").read_text() == text


def test_a_readme_without_markers_stays(tmp_path, command):
    write_study(tmp_path / "results", "native", {"dice": (0,)})
    (tmp_path / "README.md").write_text("nothing here\n")
    command()
    assert (tmp_path / "README.md").read_text() == "nothing here\n"


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_do_not_pair_are_refused(tmp_path, command, text):
    write_study(tmp_path / "results", "native", {"dice": (0,)})
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(UserError, match=r"README.md: expected <!-- study:begin -->"):
        command()
    assert (tmp_path / "README.md").read_text() == text
    assert not (tmp_path / "docs").exists()


def test_the_same_rows_give_the_same_bytes(tmp_path, command):
    write_study(tmp_path / "results", "native", {"dice": (0, 1), "tversky": (0,)}, seeds=(0, 1))
    write_study(tmp_path / "results", "paper", {"dice": (0,)})
    first, second = tmp_path / "docs", tmp_path / "first"
    command(draw=True)
    shutil.move(first, second)
    for path in (tmp_path / "results").glob("*.csv"):  # another order of the rows is the same study
        head, *lines = path.read_text().splitlines(keepends=True)
        path.write_text(head + "".join(reversed(lines)))
    command(draw=True)
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    kinds = ("curves", "dice", "volume")
    assert [str(f) for f in files] == [f"figures/{p}-{k}.png" for p in ("native", "paper") for k in kinds] + ["study.md"]
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)
    assert all((first / f).stat().st_size < 150_000 for f in files)
    assert all(f"(figures/{f.name})" in (first / "study.md").read_text() for f in files[:-1])


def test_figures_without_data_are_not_shown(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    assert "native-curves.png" in command(draw=True)
    curves_path(path).unlink()
    assert "native-curves.png" not in command(draw=True)
    assert not (tmp_path / "docs" / "figures" / "native-curves.png").exists()


def test_curves_of_a_run_without_rows_are_left_out(tmp_path):
    path = write_study(tmp_path, "native", {"dice": (0,)})
    write_records([*invented_curve("dice", 0), *invented_curve("dice", 1)], curves_path(path), Epoch)
    assert set(tables.load_study(tmp_path, "native").epochs["fold"]) == {0}


def test_the_phantom_figure_says_which_losses_are_missing(tmp_path, monkeypatch):
    config = ModelConfig()
    for loss in ("dice", "tversky"):
        path = tmp_path / "runs" / "native" / f"{loss}-fold0-seed0" / "fold0.safetensors"
        save_weights(path, LesionNet(config), config, InferenceConfig(), {})
    said = []
    monkeypatch.setattr("training.pages.phantom_figure.caption", lambda number, drawn: said.append((number, drawn)) or "")
    folder = ROOT / "test" / "case"
    draw_phantom(folder, masks_by_loss(tmp_path / "runs", folder), tmp_path / "phantom.png")
    ((number, drawn),) = said
    assert drawn == ["dice", "tversky"]
    assert 0 < (tmp_path / "phantom.png").stat().st_size < 150_000
    r, _, b = np.asarray(Image.open(tmp_path / "phantom.png").convert("RGB")).astype(int)[180, 320]
    assert b > r + 60  # in the lesion of the Z map, whose low values are blue in the reports, too
    monkeypatch.undo()
    from training.pages.phantom_figure import caption

    assert "Not run, so not drawn: dice-focal, hausdorffdt," in caption(number, drawn)


# What is refused.


def refused(path: Path, change, command, match: str) -> None:
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=match) as caught:
        command()
    assert "\n" not in str(caught.value)


def test_wrong_columns(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    refused(path, lambda text: text.replace("masd_mm,", "hd95,", 1), command, r"native\.csv: expected the columns case, ")


def test_wrong_columns_of_the_curves(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    refused(
        curves_path(path), lambda text: text.replace("loss", "cost", 1), command, r"native-curves\.csv: expected the col"
    )


def test_an_unknown_method(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    refused(path, lambda text: text.replace(",dice,0,", ",lovasz,0,"), command, r"native\.csv: unknown method 'lovasz'")


def test_a_row_that_is_there_twice(tmp_path, command):
    path = write_study(tmp_path / "results", "paper", {"dice": (0,)})
    refused(path, lambda text: text + text.splitlines(keepends=True)[1], command, r"paper\.csv: .* more than one such row")


def test_a_run_that_is_not_whole(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    refused(
        path, lambda t: "".join(t.splitlines(keepends=True)[:-1]), command, r"native\.csv: .* missing or not of this fold"
    )


def test_a_fold_that_does_not_exist(tmp_path, command):
    path = write_study(tmp_path / "results", "native", {"dice": (0,)})
    refused(path, lambda text: text.replace(",dice,0,", ",dice,7,"), command, r"has fold 7, expected 0 to 4")


def test_no_results_is_one_line_and_exit_code_2(tmp_path, command, capsys):
    with pytest.raises(SystemExit) as caught:
        run(command)
    assert caught.value.code == 2
    expected = f"error: {tmp_path / 'results'}: no results, expected native.csv or paper.csv"
    assert capsys.readouterr().err.startswith(expected)


def test_published_figures_are_of_losses_in_their_order():
    assert list(study_tables.PUBLISHED) == [name for name in LOSSES if name in study_tables.PUBLISHED]


def test_the_panels_above_an_empty_place_have_their_own_labels() -> None:
    _, panels = plots.panels_of(7, 3, (2, 2), sharex=True)
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in panels]
    assert labelled == [False, False, False, False, True, True, True]
