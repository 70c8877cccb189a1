"""Fitting the lesion decision on invented cases and tiny networks: who may see what, and what is written."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import as_network, load, stump
from training_helpers import SMALL, invented_case, write_packed

from model.errors import UserError
from model.lesions.candidates import FEATURES, CaseMaps, candidate_features
from model.lesions.decision import Trees, most_dice
from model.networks.config import InferenceConfig, to_json
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble, save_decision
from model.networks.torch_engine import save_weights
from training import crossval
from training.crossval import FLIPS, case_rows, fold_ensemble, gather, reliability, take
from training.data import seen
from training.data.dataset import PackedCase
from training.data.seen import require_held_out
from training.data.splits import read_fold
from training.learning.study_runs import run_folder
from training.lesions import fit_decision as lesion_decision
from training.lesions.fit_decision import (
    Evidence,
    choose_empty_above,
    fit_trees,
    nested_decisions,
    out_of_fold,
)
from training.scores.metrics import dice_of, score
from training.scores.rows import Bin, Row, read_records
from training.scores.rule import rule_mask

CASES = {f"case{number}": invented_case(number) for number in range(10)}
FOLDS = [[f"case{2 * fold}", f"case{2 * fold + 1}"] for fold in range(5)]
FOLD_OF = {name: fold for fold, names in enumerate(FOLDS) for name in names}
CPU = torch.device("cpu")


def small_model(fold: int) -> LesionNet:
    """An untrained network whose own rule tells which fold's it is."""
    return LesionNet(dataclasses.replace(SMALL, z_threshold=-1.5 - fold / 4)).eval()


def evidence_of(case: PackedCase) -> Evidence:
    """As if from a network that answers sigmoid(-2 - Z) in the brain."""
    p = np.where(case.adc > 0, 1 / (1 + np.exp(2 + case.zadc)), 0).astype(np.float32)
    return Evidence(case, FOLD_OF[case.name], p, *candidate_features(p, CaseMaps(case.adc, case.zadc, case.spacing_mm)))


@pytest.fixture(scope="module")
def evidence() -> list[Evidence]:
    return [evidence_of(case) for case in CASES.values()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    for case in CASES.values():
        write_packed(case, folder)
    (folder / "splits.json").write_text(json.dumps({"folds": FOLDS}))
    return folder


@pytest.fixture(autouse=True)
def invented_folds(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in (crossval, seen):
        monkeypatch.setattr(user, "read_fold", lambda fold: read_fold(fold, data / "splits.json"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network per fold, trained on the other folds' cases, as its sidecar says."""
    for fold in range(5):
        training = sorted(name for name in CASES if FOLD_OF[name] != fold)
        path = tmp_path / "weights" / f"fold{fold}-dice.safetensors"
        save_weights(path, small_model(fold), SMALL, InferenceConfig(), {"cases": {"training": training}})
    return tmp_path / "weights"


class Fits:
    """Stands for fit_trees: remembers whose evidence each fit saw, and answers a probability that tells the fit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[set[str]] = []
        for user in (lesion_decision, crossval):
            monkeypatch.setattr(user, "fit_trees", self)

    def __call__(self, evidence: list[Evidence], seed: int = 0) -> Trees:
        self.seen.append({part.case.name for part in evidence})
        p = len(self.seen) / 100
        return stump("z", 0, p, p).trees

    def behind(self, answer: np.ndarray, part: Evidence) -> set[str]:
        """The cases that the fit behind an answer saw."""
        (number,) = np.unique(np.round(answer[part.candidates] * 100).astype(int))
        return self.seen[number - 1]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    return Fits(monkeypatch)


# --- nothing of a case leaks into its own answer ---


def test_the_trees_of_a_fold_see_all_other_cases_and_never_its_own(evidence, fits):
    answers = out_of_fold(evidence)
    assert answers.keys() == CASES.keys()
    for part in evidence:
        assert fits.behind(answers[part.case.name], part) == {name for name in CASES if FOLD_OF[name] != part.fold}
        assert not answers[part.case.name][~part.candidates].any()


def test_a_folds_limit_is_chosen_on_the_other_folds_alone(evidence, fits, monkeypatch):
    answers = out_of_fold(evidence)
    choices = []

    def choose(others: list[Evidence], calibrated: dict[str, np.ndarray]) -> float:
        names = {part.case.name for part in others}
        assert calibrated.keys() == names
        for part in others:  # its answers too come from trees that saw neither its own fold nor the one to be scored
            held_out = {FOLD_OF[name] for name in CASES.keys() - names} | {part.fold}
            expected = {name for name in CASES if FOLD_OF[name] not in held_out}
            assert fits.behind(calibrated[part.case.name], part) == expected
        choices.append(names)
        return len(choices) / 10

    monkeypatch.setattr(lesion_decision, "choose_empty_above", choose)
    decided = nested_decisions(evidence, answers)
    assert decided.keys() == CASES.keys()
    for name, (calibrated, limit) in decided.items():
        assert calibrated is answers[name]
        assert choices[round(10 * limit) - 1] == {other for other in CASES if FOLD_OF[other] != FOLD_OF[name]}


def test_labels_of_a_fold_do_not_change_its_answers(evidence):
    """With the real trees: other labels of fold 3 change the other folds' answers, but not its own and not its limit."""
    some = [part for part in evidence if part.fold in (1, 3, 4)]
    flipped = [
        dataclasses.replace(part, case=dataclasses.replace(part.case, label=~part.case.label)) if part.fold == 3 else part
        for part in some
    ]
    before, after = (nested_decisions(parts, out_of_fold(parts)) for parts in (some, flipped))
    for part in some:
        same = np.array_equal(before[part.case.name][0], after[part.case.name][0])
        assert same == (part.fold == 3)
        assert part.fold != 3 or before[part.case.name][1] == after[part.case.name][1]


# --- the fit ---


def test_fitted_trees_tell_lesions_and_are_the_same_twice(evidence):
    trees = fit_trees(evidence[2:])
    for part in evidence[:2]:
        p = trees.probabilities(part.features)
        lesion = part.case.label[part.candidates]
        assert p[lesion].mean() > p[~lesion].mean() + 0.2
    for name, array in fit_trees(evidence[2:]).arrays().items():
        np.testing.assert_array_equal(array, trees.arrays()[name])


def test_every_case_weighs_the_same_in_the_fit(evidence, monkeypatch):
    given = {}

    class Classifier(lesion_decision.HistGradientBoostingClassifier):
        def fit(self, features: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray) -> object:
            given.update(features=features, labels=labels, weight=sample_weight)
            return super().fit(features, labels, sample_weight=sample_weight)

    monkeypatch.setattr(lesion_decision, "HistGradientBoostingClassifier", Classifier)
    monkeypatch.setattr(lesion_decision, "VOXELS_PER_CASE", 700)
    few = dataclasses.replace(evidence[0], features=evidence[0].features[:350])
    few = dataclasses.replace(
        few, candidates=few.candidates & (np.cumsum(few.candidates).reshape(few.candidates.shape) <= 350)
    )
    assert len(evidence[1].features) > 700
    fit_trees([few, evidence[1]])
    assert given["features"].shape == (1050, len(FEATURES))
    np.testing.assert_allclose(given["weight"][:350].sum(), given["weight"][350:].sum())
    known = {row.tobytes(): label for row, label in zip(few.features, few.case.label[few.candidates], strict=True)}
    for row, label in zip(given["features"][:350], given["labels"][:350], strict=True):
        assert known[row.tobytes()] == label


def on_line(name: str, label: list[int]) -> Evidence:
    """A case of a row of voxels that are all candidates."""
    shape = (1, 1, len(label))
    case = PackedCase(
        name, np.ones(shape, np.float32), np.zeros(shape, np.float32), np.array(label, bool).reshape(shape), (1, 1, 1)
    )
    return Evidence(
        case, 0, np.zeros(shape, np.float32), np.ones(shape, bool), np.zeros((len(label), len(FEATURES)), np.float32)
    )


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


def test_limit_is_the_one_in_the_middle_of_the_best():
    """An empty case is marked below 0.2 / 1.1, a lesion is found up to 1.8 / 1.9: 0.2 to 0.4 are right for both."""
    cases = [on_line("empty", [0, 0]), on_line("lesion", [1, 0])]
    assert choose_empty_above(cases, {"empty": row(0.1, 0), "lesion": row(0.9, 0)}) == 0.3


def test_limit_without_an_empty_case_is_low_enough_to_find_the_lesions():
    """One voxel of probability 0.1 is found up to 0.18; 0 to 0.18 are as good."""
    assert choose_empty_above([on_line("lesion", [1, 0])], {"lesion": row(0.1, 0)}) == 0.1


@pytest.mark.parametrize(
    ("mask", "label", "expected"), [([0, 0], [0, 0], 1), ([1, 0], [0, 0], 0), ([0, 0], [0, 1], 0), ([1, 1], [0, 1], 2 / 3)]
)
def test_dice_on_paper(mask, label, expected):
    assert dice_of(np.array(mask, bool), np.array(label, bool)) == pytest.approx(expected)


# --- the networks ---


def test_a_case_is_shown_to_the_network_that_holds_it_out(data, weights):
    evidence = gather(data, weights, CPU)
    assert [(part.case.name, part.fold) for part in evidence] == [(name, FOLD_OF[name]) for name in CASES]
    for part in evidence:
        alone = Ensemble([as_network(small_model(part.fold))], [SMALL], InferenceConfig(), "alone")
        expected = Predictor(alone).probabilities(part.case.adc, part.case.zadc, part.case.spacing_mm)
        np.testing.assert_allclose(part.probabilities, expected, rtol=0, atol=2e-3)  # weights are float16 on disk
        found = candidate_features(part.probabilities, CaseMaps(part.case.adc, part.case.zadc, part.case.spacing_mm))
        np.testing.assert_array_equal(part.candidates, found[0])
        np.testing.assert_array_equal(part.features, found[1])


def test_networks_of_a_fold_come_without_the_decision(weights):
    save_weights(weights / "fold3-tversky.safetensors", small_model(0), SMALL, InferenceConfig(), {})
    save_decision(weights, stump("z", 0, 0.5, 0.5), {})
    mine = fold_ensemble(load(weights), 3)
    assert (len(mine.networks), len(mine.models), mine.groups, mine.decision) == (2, 2, ("fold3", "fold3"), None)


def test_a_fold_without_a_network_is_named(weights):
    (weights / "fold2-dice.safetensors").unlink()
    with pytest.raises(UserError, match="no network of fold 2"):
        fold_ensemble(load(weights), 2)


def edit(path: Path, training: object) -> None:
    sidecar = json.loads(path.read_text())
    sidecar["provenance"] = training
    path.write_text(json.dumps(sidecar))


def test_networks_that_did_not_see_their_fold_are_taken(weights):
    save_decision(weights, stump("z", 0, 0.5, 0.5), {"cases": list(CASES)})  # a decision may have seen all
    require_held_out(weights)


def test_a_network_that_saw_its_fold_is_refused(data, weights):
    path = weights / "fold3-dice.json"
    edit(path, {"cases": {"training": ["case0", "case7"]}})
    with pytest.raises(UserError, match=f"{path}: trained on case7, which its fold holds out"):
        gather(data, weights, CPU)


@pytest.mark.parametrize("provenance", [{}, {"cases": {}}, {"cases": ["case0"]}, {"cases": {"training": None}}])
def test_a_network_that_does_not_say_what_it_saw_is_refused(weights, provenance):
    edit(weights / "fold1-dice.json", provenance)
    with pytest.raises(UserError, match=r"fold1-dice.json: does not say which cases"):
        require_held_out(weights)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs of two losses over all folds."""
    for loss in ("dice", "tversky"):
        for fold in range(5):
            path = run_folder(tmp_path / "runs", loss, fold, 0) / f"fold{fold}.safetensors"
            training = sorted(name for name in CASES if FOLD_OF[name] != fold)
            provenance = {"loss": loss, "cases": {"training": training}}
            save_weights(path, small_model(fold), SMALL, InferenceConfig(threshold=0.4), provenance)
    return tmp_path / "runs"


def test_take_replaces_the_networks_by_copies_that_flip(runs, tmp_path):
    target = tmp_path / "target"
    save_weights(target / "fold0-old.safetensors", small_model(0), SMALL, InferenceConfig(), {})
    save_decision(target, stump("z", 0, 0.5, 0.5), {})
    take(runs, ["dice", "tversky"], target)
    names = {f"fold{fold}-{loss}" for fold in range(5) for loss in ("dice", "tversky")}
    assert {path.name for path in target.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("safetensors", "json", "onnx")
    }
    for name in names:
        fold, loss = int(name[4]), name[6:]
        source = run_folder(runs, loss, fold, 0) / f"fold{fold}"
        assert (target / f"{name}.safetensors").read_bytes() == source.with_suffix(".safetensors").read_bytes()
        expected = json.loads(source.with_suffix(".json").read_text()) | {"inference": to_json(FLIPS)}
        found = json.loads((target / f"{name}.json").read_text())
        assert found.pop("onnx")
        assert found == expected
    ensemble = load(target)
    assert ensemble.groups == tuple(f"fold{fold}" for fold in range(5) for _ in "ab")
    assert (ensemble.inference, ensemble.decision) == (FLIPS, None)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_take_with_a_run_missing_changes_nothing(runs, weights, suffix):
    before = {path: path.read_bytes() for path in weights.iterdir()}
    path = run_folder(runs, "tversky", 4, 0) / "fold4.safetensors"
    path.with_suffix(suffix).unlink()
    with pytest.raises(UserError, match=rf"{path}: not trained yet \(1 of 10 runs are missing\)"):
        take(runs, ["dice", "tversky"], weights)
    assert {path: path.read_bytes() for path in weights.iterdir()} == before


# --- what is written ---


def test_rows_of_a_case_are_networks_decision_and_rule(evidence):
    part = evidence[3]
    mask = part.case.label.copy()
    mask[part.case.label.argmax() // mask[0].size] = False
    rows = {row.method: row for row in case_rows(part, mask)}
    masks = {"networks": part.probabilities > 0.5, "decision": mask, "z<-2": rule_mask(part.case.adc, part.case.zadc)}
    assert rows.keys() == masks.keys()
    for method, found in masks.items():
        assert (rows[method].case, rows[method].fold) == ("case3", 1)
        expected = score(found, part.case.label, part.case.spacing_mm)
        assert (rows[method].dice, rows[method].masd_mm, rows[method].nsd) == dataclasses.astuple(expected)


def test_reliability_by_hand():
    """Voxels of the case of two weigh 1/2 each, of the case of four 1/4; a probability of 1 is in the last bin."""
    two, four = on_line("two", [0, 1]), on_line("four", [0, 1, 0, 0])
    two = dataclasses.replace(two, probabilities=row(0.15, 0.95))
    four = dataclasses.replace(four, probabilities=row(0.12, 0.12, 0.18, 0.95))
    found = reliability([two, four], {"two": row(0, 1), "four": row(0, 1, 0, 0.25)})
    expected = [
        Bin("networks", 1, 0.144, 0.2, 4),
        Bin("networks", 9, 0.95, 0.5 / 0.75, 2),
        Bin("decision", 0, 0, 0, 3),
        Bin("decision", 2, 0.25, 0, 1),
        Bin("decision", 9, 1, 1, 2),
    ]
    for bin, by_hand in zip(found, expected, strict=True):
        assert (bin.method, bin.number, bin.voxels) == (by_hand.method, by_hand.number, by_hand.voxels)
        assert (bin.probability, bin.lesion_share) == pytest.approx((by_hand.probability, by_hand.lesion_share), abs=1e-6)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["crossval", "--device", "cpu", *map(str, words)])
    crossval.main()


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, float]]:
    """What the command decides by case, filled when it runs."""
    monkeypatch.setattr(lesion_decision, "EMPTY_ABOVE", (0.0, 0.1))
    found = {}
    monkeypatch.setattr(crossval, "nested_decisions", lambda *given: found.update(nested_decisions(*given)) or found)
    return found


def test_command_writes_rows_and_reliability_and_leaves_the_decision(
    data, weights, tmp_path, fits, decided, monkeypatch, capsys
):
    save_decision(weights, stump("z", 0, 0.5, 0.5), {})
    before = {path: path.read_bytes() for path in weights.iterdir()}
    command(monkeypatch, "--data", data, "--weights", weights, "--results", tmp_path / "results")
    rows = read_records(tmp_path / "results" / "crossval.csv", Row)
    assert [(row.method, row.case, row.fold) for row in rows] == [
        (method, name, FOLD_OF[name]) for method in ("decision", "networks", "z<-2") for name in CASES
    ]
    assert {bin.method for bin in read_records(tmp_path / "results" / "reliability.csv", Bin)} == {"networks", "decision"}
    assert {path: path.read_bytes() for path in weights.iterdir()} == before

    evidence = {part.case.name: part for part in gather(data, weights, CPU)}
    for row in rows[:20]:
        part = evidence[row.case]
        mask = part.probabilities > 0.5 if row.method == "networks" else most_dice(*decided[row.case])
        assert row.dice == pytest.approx(dice_of(mask, part.case.label), rel=1e-5)
    out = capsys.readouterr().out
    for method in ("networks", "decision", "z<-2"):
        dice = np.mean([row.dice for row in rows if row.method == method])
        assert f"{method:10} Dice {dice:.4f}" in out


def test_command_ships_the_runs_it_takes_with_a_decision_fitted_to_all_cases(
    data, runs, weights, tmp_path, fits, decided, monkeypatch
):
    words = ("--data", data, "--weights", weights, "--results", tmp_path / "results")
    command(monkeypatch, *words, "--take", runs, "--losses", "tversky")
    assert {path.stem for path in weights.iterdir()} == {"decision", *(f"fold{fold}-tversky" for fold in range(5))}
    decision = load(weights).decision
    assert decision.empty_above in (0, 0.1)
    assert fits.seen[15] == set(CASES)  # after 5 out of fold and one for each of the 10 pairs of folds
    assert decision.trees.probabilities(np.zeros((1, len(FEATURES)), np.float32))[0] == pytest.approx(0.16)
    assert json.loads((weights / "decision.json").read_text())["provenance"]["cases"]["training"] == sorted(CASES)


@pytest.mark.parametrize("words", [["--take", "runs"], ["--losses", "dice"]])
def test_take_and_losses_go_together(monkeypatch, words):
    with pytest.raises(UserError, match="go together"):
        command(monkeypatch, "--data", "nowhere", *words)


@pytest.mark.parametrize("words", [[], ["--take", "runs", "--losses", "dice", "--results", "elsewhere"]])
def test_another_draw_is_not_shipped_and_not_shown(monkeypatch, words):
    with pytest.raises(UserError, match="seed 0 is what is shipped"):
        command(monkeypatch, "--data", "packed", "--seed", "1", *words)


def test_another_draw_is_another_fit(evidence):
    some = [part for part in evidence if part.fold in (1, 3, 4)]
    answers = [out_of_fold(some, seed) for seed in (0, 0, 1)]
    name = some[0].case.name
    assert np.array_equal(answers[0][name], answers[1][name])
    assert not np.array_equal(answers[0][name], answers[2][name])
