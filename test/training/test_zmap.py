"""Estimating Z maps out of fold on invented cases: who may see what, the errors on paper, and what is written."""

import dataclasses
import json
import math

import numpy as np
import pytest
from training_helpers import write_study

from model.images.registered import GRID_MM, sampled
from model.lesions.atlas import MAPS, MAPS_MM
from model.lesions.decision import most_dice
from model.lesions.estimate import ESTIMATE_FEATURES, WITH_ATLAS
from model.networks.stored_estimator import load_estimator
from training import zmap
from training.data.dataset import PackedCase
from training.lesions import fit_trees, held_out
from training.lesions.estimates import atlas_alone, estimate_folds, with_atlas
from training.lesions.fit_atlas import AtlasFit, fit_atlas, sums_of
from training.lesions.fit_certainty import Marked
from training.lesions.fit_estimate import FIT_Z, VoxelTable, fit_estimator, voxel_table
from training.scores.methods import ESTIMATED, ESTIMATES, RULE
from training.scores.metrics import dice_of
from training.scores.rows import Row, ZError, read_records

SHAPE = (6, 20, 24)


def case_of(number: int) -> PackedCase:
    """Z is a line through the ADC, whose noise has a lesion in it; the brain fills a box."""
    rng = np.random.default_rng(number)
    adc, label = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    adc[1:5, 2:18, 2:22] = rng.uniform(1000, 1800, (4, 16, 20))
    label[2:4, 5:9, 4 + number : 8 + number] = True
    adc[label] = rng.uniform(500, 700, label.sum())
    zadc = np.where(adc > 0, (adc - 1300) / 200, 0).astype(np.float32)
    return PackedCase(f"case{number}", adc, zadc, label, (3.0, 1.5, 1.25))


CASES = {f"case{number}": dataclasses.replace(case_of(number), fold=number // 2) for number in range(6)}
FOLDS = [[f"case{2 * fold}", f"case{2 * fold + 1}"] for fold in range(3)]
FOLD_OF = {name: fold for fold, names in enumerate(FOLDS) for name in names}


pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def tables() -> dict[str, VoxelTable]:
    return {name: voxel_table(case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def fit() -> AtlasFit:
    return fit_atlas(CASES.values())


@pytest.fixture(scope="module")
def estimates(few_trees, tables, fit) -> dict[str, dict[str, PackedCase]]:
    return estimate_folds(CASES, tables, fit)


def test_a_case_has_a_say_in_the_estimates_of_all_folds_but_its_own(tables, fit, estimates):
    """In the trees and in the atlas; the places that the fit of the atlas found come from the ADC."""
    changed = dataclasses.replace(CASES["case2"], zadc=-CASES["case2"].zadc)
    other = tables | {"case2": voxel_table(changed)}
    other_fit = AtlasFit(fit.places, fit.sums | {"case2": sums_of(changed, fit.places["case2"], fit.atlas.mean.shape)})
    after = estimate_folds(CASES, other, other_fit)
    for method in ESTIMATES:
        assert estimates[method].keys() == after[method].keys() == CASES.keys()
        same = {case for case in CASES if np.array_equal(estimates[method][case].zadc, after[method][case].zadc)}
        assert same == {"case2", "case3"}
        assert all(found.label is CASES[case].label for case, found in estimates[method].items())


def test_features_of_a_case_that_is_fitted_to_come_from_an_atlas_without_it(tables, fit):
    (table,) = with_atlas(CASES, [tables["case3"]], fit)
    rest = fit.of(name for name in CASES if name != "case3").atlas
    np.testing.assert_allclose(
        table.features[:, WITH_ATLAS.index("atlas_mean")], rest.at(fit.places["case3"])[0][table.chosen] / 1000, rtol=2e-3
    )
    maps = sampled(rest.maps, fit.places["case3"][table.chosen] * (GRID_MM / MAPS_MM))
    np.testing.assert_allclose(table.features[:, [WITH_ATLAS.index(name) for name in MAPS]], maps, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(table.features[:, : len(ESTIMATE_FEATURES)], tables["case3"].features)
    alone = atlas_alone(table)
    assert not alone.features[:, : len(ESTIMATE_FEATURES)].any()


def test_trees_learn_a_line_and_are_the_same_in_any_order(tables):
    some = [tables[f"case{number}"] for number in (2, 3, 5)]
    estimator, case = fit_estimator(some), CASES["case0"]
    error = (estimator.estimate(case.adc, case.spacing_mm) - case.zadc)[case.brain]
    assert np.median(np.abs(error)) < 0.1
    for name, array in fit_estimator(some[::-1]).trees.arrays().items():
        np.testing.assert_array_equal(array, estimator.trees.arrays()[name])


def test_voxels_of_low_z_and_of_lesions_weigh_more_and_cases_the_same():
    case = dataclasses.replace(CASES["case0"], zadc=4 * CASES["case0"].zadc)
    table = voxel_table(case)
    assert np.abs(case.zadc[case.brain]).max() > FIT_Z
    assert len(table.z) == np.count_nonzero(case.brain)  # a small brain is taken whole
    np.testing.assert_array_equal(table.z, np.clip(case.zadc[case.brain], -FIT_Z, FIT_Z))
    expected = 1 + 4 * (table.z < -1) + 5 * case.label[case.brain]
    np.testing.assert_allclose(table.weights * len(table.z), expected)


def test_large_brain_is_thinned_evenly_and_keeps_its_lesion():
    adc = np.full((12, 60, 60), 1300, np.float32)
    label = np.zeros(adc.shape, bool)
    label[5, 20:24, 20:24] = True
    table = voxel_table(PackedCase("a", adc, np.zeros_like(adc), label, (3.0, 1.0, 1.0)))
    assert 8000 <= len(table.z) <= 8000 + 16
    assert np.count_nonzero(table.weights > table.weights.min()) == 16


def test_errors_on_paper():
    """Three voxels of which one is lesion and one is clipped: errors 0.5, 1 and 2, in the lesion 1 above."""
    row = lambda *values: np.array(values, np.float32).reshape(1, 1, -1)  # noqa: E731
    case = PackedCase("a", row(1, 1, 1, 0), row(-2, 0, 14, 9), row(1, 0, 0, 0) > 0, (1, 1, 1), fold=3)
    found = zmap.z_error(case, dataclasses.replace(case, zadc=row(-1, 0.5, 8, 0)), "decision")
    assert (found.case, found.method, found.fold) == ("a", "decision", 3)
    assert (found.brain_median, found.low_median, found.lesion_median, found.lesion_bias) == (1, 1, 1, 1)
    assert found.brain_p90 == pytest.approx(1.8)
    assert found.correlation == pytest.approx(np.corrcoef([-2, 0, 10], [-1, 0.5, 8])[0, 1])
    empty = dataclasses.replace(case, label=case.label & False)
    assert math.isnan(zmap.z_error(empty, case, "decision").lesion_bias)


def test_threshold_is_the_best_of_the_other_folds():
    """Lesions of fold 0 lie below 1400, of the others below 700: fold 0 gets the others' threshold."""
    cases = {}
    for name, case in CASES.items():
        adc = np.where(case.brain, np.where(case.label, 1375 if FOLD_OF[name] == 0 else 675, 1600), 0)
        cases[name] = dataclasses.replace(case, adc=adc.astype(np.float32), spacing_mm=(900.0, 900.0, 900.0))  # not smoothed
    masks = zmap.adc_masks(cases)
    assert not masks["case0"].any()
    for name in FOLDS[2]:
        np.testing.assert_array_equal(masks[name], cases[name].label)


def test_command_writes_rows_errors_and_files_that_load(tables, fit, estimates, tmp_path, command):
    """The decisions are fitted to the estimates, and both to the other folds alone; what is shipped to all cases."""
    write_study(tmp_path, CASES, FOLDS)
    assert "decision           Dice" in command(zmap.main, "--data", tmp_path, "--ship")
    rows = read_records(tmp_path / "results" / "estimated.csv", Row)
    errors = read_records(tmp_path / "results" / "zmap.csv", ZError)
    configuration = json.loads((tmp_path / "results" / "estimated.json").read_text())
    assert configuration == {"folds": FOLDS, "data": {name: case.digest for name, case in CASES.items()}}
    for some, methods in ((rows, ESTIMATED), (errors, ESTIMATES)):
        assert {(row.case, row.method, row.fold) for row in some} == {
            (name, method, fold) for name, fold in FOLD_OF.items() for method in methods
        }

    dice = {(row.method, row.case): row.dice for row in rows}
    every = list(tables.values())
    shipped = {"decision": ("atlas", with_atlas(CASES, every, fit), fit.atlas), "no-atlas": ("zmap", every, None)}
    for method, (folder, some, atlas) in shipped.items():
        estimated = estimates[method]
        candidates = {name: fit_trees.candidate_table(case) for name, case in estimated.items()}
        trees = fit_trees.trees_by_fold(candidates)
        parts = held_out.answers_of_trees(estimated, candidates, trees)
        nested = held_out.nested_calibrations(parts, trees_alone=True)
        answers = held_out.calibrated(parts, trees, nested)
        for name, case in CASES.items():
            assert dice[method, name] == pytest.approx(dice_of(most_dice(answers[name]), case.label), rel=1e-5)
        assert np.mean([dice[method, name] for name in CASES]) > 0.9

        estimator, decision, _ = load_estimator(tmp_path / "weights" / folder)
        expected = fit_estimator(some, atlas), fit_trees.fit_trees(list(candidates.values()))
        for found, fitted in zip((estimator.trees, decision.trees), (expected[0].trees, expected[1]), strict=True):
            for name, array in fitted.arrays().items():
                np.testing.assert_array_equal(found.arrays()[name], array)
        assert decision.calibration == held_out.fit_calibration(parts, trees_alone=True)
        assert decision.certainty == Marked.of(parts, answers).fit()
    for name, case in estimates["decision"].items():
        assert dice[RULE, name] == pytest.approx(dice_of(case.brain & (case.zadc < -2), case.label), rel=1e-5)
