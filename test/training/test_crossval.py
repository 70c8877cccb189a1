"""Fitting the lesion decision on invented cases and tiny networks: who may see what, and what is written."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import study_rows
import torch
from inference_helpers import TREES_ALONE, as_network, load, stump
from training_helpers import SMALL, invented_case, write_packed, write_study

from model.errors import UserError
from model.lesions.candidates import FEATURES, LOWEST_PROBABILITY, sigmoid
from model.lesions.decision import LOWEST_LOG_ODDS, most_dice
from model.networks.config import SHIPPED_INFERENCE, InferenceConfig, to_json
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble, save_decision
from model.networks.torch_engine import save_weights
from training import crossval, fit, ship
from training.crossval import trees_on_networks
from training.data.dataset import PackedCase
from training.data.seen import digests, training_seed
from training.learning.study_runs import run_folder
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees, trees_by_fold
from training.lesions.held_out import HeldOut, answers_of_trees, calibrated, fit_calibration, nested_calibrations
from training.lesions.networks import fold_ensemble, gather, load_held_out
from training.scores.configuration import configuration_of
from training.scores.methods import CROSSVAL, RULE
from training.scores.metrics import dice_of
from training.scores.rows import Row, read_records

CASES = {f"case{number}": dataclasses.replace(invented_case(number), fold=number // 2) for number in range(6)}
FOLDS = [[f"case{2 * fold}", f"case{2 * fold + 1}"] for fold in range(3)]
FOLD_OF = {name: fold for fold, names in enumerate(FOLDS) for name in names}
CPU = torch.device("cpu")


def small_model(fold: int) -> LesionNet:
    """An untrained network whose own rule tells which fold's it is."""
    return LesionNet(dataclasses.replace(SMALL, z_threshold=-1.5 - fold / 4)).eval()


def part_of(case: PackedCase) -> HeldOut:
    """As if a network answered sigmoid(-2 - Z) in the brain, and the trees log odds of -2 Z - 4 there."""
    p = np.where(case.adc > 0, 1 / (1 + np.exp(2 + case.zadc)), 0).astype(np.float32)
    first = np.where(case.adc > 0, np.maximum(-2 * case.zadc - 4, LOWEST_LOG_ODDS), LOWEST_LOG_ODDS).astype(np.float32)
    return HeldOut(case, FOLD_OF[case.name], p, first)


@pytest.fixture(scope="module")
def parts() -> list[HeldOut]:
    return [part_of(case) for case in CASES.values()]


@pytest.fixture(scope="module")
def tables() -> dict[str, CandidateTable]:
    return {name: candidate_table(case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    write_study(folder, CASES, FOLDS)
    return folder


pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network per fold, trained on the other folds' cases, as its sidecar says."""
    for fold in range(3):
        save(tmp_path / "weights" / f"fold{fold}-dice.safetensors", fold)
    return tmp_path / "weights"


def save(path: Path, fold: int, **provenance: object) -> None:
    """A network of a fold, with what its sidecar says of its training."""
    training = sorted(name for name in CASES if FOLD_OF[name] != fold)
    known = {"cases": {"training": training}, "training": {"fold": fold, "seed": 0}, "data": digests(CASES.values())}
    save_weights(path, small_model(fold), SMALL, InferenceConfig(threshold=0.4), known | provenance)


# --- nothing of a case leaks into its own answer ---


def trees_of(parts: list[HeldOut]) -> dict[int, bytes]:
    trees = trees_by_fold({part.case.name: candidate_table(part.case) for part in parts})
    return {fold: found.value.tobytes() for fold, found in trees.items()}


def trees_on_networks_of(parts: list[HeldOut]) -> dict[int, bytes]:
    answers = {part.case.name: part.first_stage for part in trees_on_networks(parts)}
    return {fold: b"".join(answers[name].tobytes() for name in names) for fold, names in enumerate(FOLDS)}


FITS = {"trees": trees_of, "trees on networks": trees_on_networks_of, "calibrations": nested_calibrations}


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("name", ["case0", "case3"])
def test_a_case_has_a_say_in_the_fits_of_all_folds_but_its_own(parts, kind, name):
    case = dataclasses.replace(CASES[name], label=CASES[name].brain & (CASES[name].zadc > -1))  # where no lesion is
    others = [dataclasses.replace(part, case=case) if part.case.name == name else part for part in parts]
    before, after = FITS[kind](parts), FITS[kind](others)
    assert before.keys() == set(range(3))
    assert [fold for fold in before if before[fold] == after[fold]] == [FOLD_OF[name]]


def test_trees_on_networks_answer_where_the_networks_see_candidates(parts):
    for part, answer in zip(parts, trees_on_networks(parts), strict=True):
        assert (answer.case.name, answer.fold) == (part.case.name, part.fold)
        assert (answer.first_stage[part.probabilities <= LOWEST_PROBABILITY] == LOWEST_LOG_ODDS).all()
        assert (answer.first_stage[part.probabilities > LOWEST_PROBABILITY] > LOWEST_LOG_ODDS).all()


# --- the fits ---


def test_fitted_trees_tell_lesions_and_are_the_same_in_any_order(tables):
    some = [tables[f"case{number}"] for number in range(2, 6)]
    trees = fit_trees(some)
    for name in ("case0", "case1"):
        log_odds, lesion = trees.answers(tables[name].features), CASES[name].label[tables[name].candidates]
        assert log_odds[lesion].mean() > log_odds[~lesion].mean() + 1
    for name, array in fit_trees(some[::-1]).arrays().items():
        np.testing.assert_array_equal(array, trees.arrays()[name])


def test_every_case_weighs_the_same_in_the_fit():
    """Candidates that are all alike cannot be told apart: a half of few and none of many is a quarter."""

    def alike(name: str, lesion: int, candidates: int) -> CandidateTable:
        features = np.zeros((candidates, len(FEATURES)), np.float32)
        return CandidateTable(name, np.ones((1, 1, candidates), bool), features, np.arange(candidates) < lesion)

    trees = fit_trees([alike("many", 0, 3000), alike("none", 0, 0), alike("few", 150, 300)])
    assert sigmoid(trees.answers(np.zeros((1, len(FEATURES)), np.float32))) == pytest.approx([0.25], rel=1e-4)


def answered(log_odds: list[float], label: list[int], first: list[float]) -> HeldOut:
    """A case of a row of brain voxels, with what the networks and the trees say."""
    case = PackedCase("row", row(*[1] * len(label)), row(*[0] * len(label)), row(*label) > 0, (1, 1, 1))
    return HeldOut(case, 0, row(*sigmoid(np.array(log_odds))), row(*first))


@pytest.mark.parametrize(("networks", "trees_alone"), [([0] * 8, False), ([-9, -9, -9, 9] * 2, True)])
def test_calibration_is_found_again_by_hand(networks, trees_alone):
    """Trees at log odds -1 and 1 are right 1 and 3 times in 4: -log 3 and log 3.

    Networks say the same everywhere; or the truth, which trees alone do not look at.
    """
    parts = [answered(networks, [1, 0, 0, 0, 1, 1, 1, 0], [-1] * 4 + [1] * 4)]
    found = fit_calibration(parts, trees_alone=trees_alone)
    assert (found.intercept, found.networks) == pytest.approx((0, 0), abs=1e-3)
    assert found.first_stage == pytest.approx(np.log(3), abs=1e-3)


def test_every_case_weighs_the_same_in_the_calibration():
    """One case of two voxels, half of them lesion, one of eight without: 1 in 4, not 1 in 10."""
    parts = [answered([0] * 2, [1, 0], [0] * 2), answered([0] * 8, [0] * 8, [0] * 8)]
    assert fit_calibration(parts).intercept == pytest.approx(np.log(1 / 3), abs=1e-3)


@pytest.mark.parametrize("label", [0, 1])
def test_without_lesions_or_without_others_the_trees_are_left_alone(label):
    assert fit_calibration([answered([0, 1], [label] * 2, [0, 1])]) == TREES_ALONE


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


# --- the networks ---


def test_a_case_is_shown_to_the_network_and_the_trees_that_hold_it_out(weights, tables):
    """The trees of fold n say (n + 1) / 10 everywhere."""
    trees = {fold: stump("z", 0, *[(fold + 1) / 10] * 2).trees for fold in range(3)}
    parts = gather(CASES, tables, trees, load_held_out(weights, CASES, CPU))
    assert [(part.case.name, part.fold) for part in parts] == [(name, FOLD_OF[name]) for name in CASES]
    for part in parts:
        alone = Ensemble([as_network(small_model(part.fold))], [SMALL], InferenceConfig(), "alone")
        expected = Predictor(alone).segment(part.case.adc, part.case.zadc, part.case.spacing_mm).probabilities
        np.testing.assert_allclose(part.probabilities, expected, rtol=0, atol=2e-3)  # weights are float16 on disk
        answered = part.first_stage > LOWEST_LOG_ODDS
        np.testing.assert_array_equal(answered, tables[part.case.name].candidates)
        np.testing.assert_allclose(sigmoid(part.first_stage[answered]), (part.fold + 1) / 10, rtol=1e-5)


def test_networks_of_a_fold_come_without_the_decision_and_a_fold_without_one_is_named(weights):
    save(weights / "fold2-tversky.safetensors", 2)
    save_decision(weights, stump("z", 0, 0.5, 0.5), {})
    mine = fold_ensemble(load(weights), 2)
    assert (len(mine.networks), len(mine.models), mine.groups, mine.decision) == (2, 2, ("fold2", "fold2"), None)
    with pytest.raises(UserError, match="no network of fold 3"):
        fold_ensemble(load(weights), 3)


@pytest.mark.parametrize(
    ("fold", "known", "reason"),
    [
        (2, {"cases": {"training": ["case0", "case5"]}}, "trained on case5, which its fold holds out"),
        (2, {"cases": {"training": ["baby"]}, "data": {"baby": CASES["case5"].digest}}, "trained on case5, which its fold"),
        (1, {"cases": {}}, "does not say which cases"),
        (1, {"cases": {"training": None}}, "does not say which cases"),
        (1, {"training": {}}, "does not say which fold"),
        (1, {"training": {"fold": 2}}, "holds out fold 2, expected a name .*fold2-"),
        (1, {"data": digests(CASES.values()) | {"gone": "0f"}}, r"trained on other data than these \(gone\)"),
    ],
)
def test_a_network_that_may_have_seen_its_fold_or_other_data_is_refused(weights, fold, known, reason):
    save(weights / f"fold{fold}-dice.safetensors", fold, **known)
    with pytest.raises(UserError, match=rf"fold{fold}-dice.json: {reason}"):
        load_held_out(weights, CASES, CPU)


@pytest.mark.parametrize(
    ("seed", "reason"), [(1, r"seeds \[0, 1\], expected networks of one"), (None, r"fold1-dice\.json: does not say .* seed")]
)
def test_networks_of_other_seeds_or_of_none_are_refused(weights, seed, reason):
    save(weights / "fold1-dice.safetensors", 1, training={"fold": 1, "seed": seed})
    with pytest.raises(UserError, match=reason):
        training_seed(weights)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs of two losses over all folds."""
    for loss in ("dice", "tversky"):
        for fold in range(3):
            save(run_folder(tmp_path / "runs", loss, fold, 0) / f"fold{fold}.safetensors", fold, loss=loss)
    return tmp_path / "runs"


def test_take_with_a_run_missing_changes_nothing(runs, weights):
    before = {path: path.read_bytes() for path in weights.iterdir()}
    path = run_folder(runs, "tversky", 2, 0) / "fold2.safetensors"
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=rf"{path}: not trained yet \(1 of 6 runs are missing\)"):
        ship.copy_networks(runs, ["dice", "tversky"], weights, CASES.values())
    assert {path: path.read_bytes() for path in weights.iterdir()} == before


# --- what is written ---


@pytest.fixture
def places(data: Path, weights: Path) -> tuple[object, ...]:
    """The options that every command takes."""
    return "--device", "cpu", "--data", data, "--weights", weights


def test_command_writes_rows_and_leaves_the_decision(places, weights, tables, tmp_path, command):
    save_decision(weights, stump("z", 0, 0.5, 0.5), {})
    before = {path: path.read_bytes() for path in weights.iterdir()}
    out = command(crossval.main, *places, "--results", tmp_path / "results")
    rows = read_records(tmp_path / "results" / "crossval.csv", Row)
    assert [(row.method, row.case, row.fold, row.seed) for row in rows] == [
        (method, name, FOLD_OF[name], 0) for method in sorted(CROSSVAL) for name in CASES
    ]
    assert {path: path.read_bytes() for path in weights.iterdir()} == before

    found = gather(CASES, tables, trees_by_fold(tables), load_held_out(weights, CASES, CPU))
    parts, calibrations = {part.case.name: part for part in found}, nested_calibrations(found)
    silent = [dataclasses.replace(part, probabilities=np.zeros_like(part.probabilities)) for part in found]
    without = nested_calibrations(silent, trees_alone=True)
    on_networks = calibrated(trees_on_networks(found), trees_by_fold(tables))
    for row in rows:
        part = parts[row.case]
        decision = dataclasses.replace(stump("z", 0, 0.5, 0.5), calibration=calibrations[part.fold])
        alone = dataclasses.replace(decision, calibration=without[part.fold])
        masks = {
            "networks": part.probabilities > 0.5,
            "decision": most_dice(decision.calibrate(part.probabilities, part.first_stage)),
            "trees": most_dice(alone.calibrate(np.zeros_like(part.probabilities), part.first_stage)),
            "trees-on-networks": most_dice(on_networks[row.case]),
            RULE: part.case.brain & (part.case.zadc < -2),
        }
        assert row.dice == pytest.approx(dice_of(masks[row.method], part.case.label), rel=1e-5)
    for method in CROSSVAL:
        dice = np.mean([row.dice for row in rows if row.method == method])
        assert f"{method:18} Dice {dice:.4f}" in out


def require_fitted_to_all(weights: Path, tables: dict[str, CandidateTable], maker: str) -> None:
    trees = load(weights).decision.trees
    for name, array in fit_trees(list(tables.values())).arrays().items():
        np.testing.assert_array_equal(trees.arrays()[name], array)
    alone, by_fold = load(weights).decision.trees_alone, trees_by_fold(tables)
    found = answers_of_trees(CASES, tables, by_fold)
    assert alone.calibration == fit_calibration(found, trees_alone=True)
    assert alone.certainty.coefficients
    assert alone.certainty != load(weights).decision.certainty
    provenance = json.loads((weights / "decision.json").read_text())["provenance"]
    assert provenance["cases"]["training"] == sorted(CASES)
    assert maker in provenance["command"]


def test_ship_replaces_networks_by_copies_that_flip_and_fits_a_decision_to_all_cases(places, runs, weights, tables, command):
    save_weights(weights / "fold0-old.safetensors", small_model(0), SMALL, InferenceConfig(), {})
    command(ship.main, *places, "--runs", runs, "--losses", "dice", "tversky")
    names = {f"fold{fold}-{loss}" for fold in range(3) for loss in ("dice", "tversky")}
    files = {f"{name}.{kind}" for name in names for kind in ("safetensors", "json", "onnx")}
    assert {path.name for path in weights.iterdir()} == files | {"decision.safetensors", "decision.json"}
    for name in names:
        fold, loss = int(name[4]), name[6:]
        source = run_folder(runs, loss, fold, 0) / f"fold{fold}"
        assert (weights / f"{name}.safetensors").read_bytes() == source.with_suffix(".safetensors").read_bytes()
        expected = json.loads(source.with_suffix(".json").read_text()) | {"inference": to_json(SHIPPED_INFERENCE)}
        found = json.loads((weights / f"{name}.json").read_text())
        assert found.pop("onnx")
        assert found.pop("sidecar_sha256") != expected.pop("sidecar_sha256")  # over other values
        assert found == expected
    ensemble = load(weights)
    assert ensemble.groups == tuple(f"fold{fold}" for fold in range(3) for _ in "ab")
    assert ensemble.inference == SHIPPED_INFERENCE
    require_fitted_to_all(weights, tables, "training.ship")


def test_fit_writes_a_decision_beside_the_networks_that_are_there(places, weights, tables, command):
    """Estimators of Z that are there, too, are not fitted again: those of other cases are told."""
    save_decision(weights / "zmap", stump("z", 0, 0.5, 0.5), {"cases": {"training": sorted(CASES)}})
    save_decision(weights / "atlas", stump("z", 0, 0.5, 0.5), {"cases": {"training": ["case0"]}})
    before = {path: path.read_bytes() for path in weights.rglob("*.*")}
    said = command(fit.main, *places)
    require_fitted_to_all(weights, tables, "training.fit")
    assert {path: path.read_bytes() for path in before} == before
    assert f"{weights / 'atlas'}: of other cases than these; python -m training.zmap --ship makes it anew" in said
    assert str(weights / "zmap") not in said


def negated(data: Path, folder: Path) -> Path:
    """The data with one case's Z map of the other sign."""
    shutil.copytree(data, folder)
    write_packed(dataclasses.replace(CASES["case3"], zadc=-CASES["case3"].zadc), folder)
    return folder


def test_rows_of_another_seed_are_added_and_those_of_other_data_are_not(places, data, weights, tmp_path, command, refusal):
    path = tmp_path / "results" / "crossval.csv"
    some = [study_rows.row(name, "decision", seed=0) for name in CASES]
    crossval.write_rows(some, path, 0, configuration_of(CASES.values()))
    for fold in range(3):
        save(weights / f"fold{fold}-dice.safetensors", fold, training={"fold": fold, "seed": 1}, data=None)
    words, before = (*places, "--results", path.parent), path.read_bytes()
    assert re.match(
        rf"{path}: .*other data: case3", refusal(crossval.main, *words, "--data", negated(data, tmp_path / "other"))
    )
    assert path.read_bytes() == before
    out = command(crossval.main, *words)
    assert f"{weights}: 3 networks do not say on which data they were trained" in out
    rows = read_records(path, Row)
    assert len(rows) == len(some) + len(CROSSVAL) * len(CASES)
    assert {row.seed for row in rows} == {0, 1}
    one = [row for row in rows if row.seed == 1]
    crossval.write_rows(one, path, 0, configuration_of(CASES.values()))
    with pytest.raises(UserError, match="other data"):
        crossval.write_rows(one, path, 0, {"folds": FOLDS, "data": {}})
    crossval.write_rows(one, path, 1, {"folds": FOLDS, "data": {}})  # its own seed's rows alone are there: all are replaced
    assert json.loads(path.with_suffix(".json").read_text()) == {"folds": FOLDS, "data": {}}


def test_networks_trained_on_other_data_are_refused(places, data, runs, weights, tmp_path, refusal):
    before = {path: path.read_bytes() for path in weights.iterdir()}
    other, results = negated(data, tmp_path / "other"), ("--results", tmp_path / "results")
    for module, words in ((crossval, results), (ship, ("--runs", runs, "--losses", "dice"))):
        line = refusal(module.main, *places, *words, "--data", other)
        assert re.search(r"fold0.*\.json: trained on other data than these \(case3\)", line)
    assert {path: path.read_bytes() for path in weights.iterdir()} == before
    assert not list((tmp_path / "results").glob("*"))


def test_another_seed_is_not_shipped(refusal):
    line = refusal(ship.main, "--data", "packed", "--seed", "1", "--runs", "runs", "--losses", "dice")
    assert "seed 0 is what is shipped" in line
