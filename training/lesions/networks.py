"""Networks that hold out folds: what they say about the cases that they never saw, and a lesion decision fitted to that."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from model.errors import UserError
from model.lesions.candidates import FEATURES
from model.lesions.decision import Decision
from model.lesions.trees import Trees
from model.networks.predict import Predictor
from model.networks.stored import ATLAS, DECISION, ZMAP, Ensemble, load_ensemble, network_files, read_sidecar, save_decision
from model.networks.torch_engine import TorchEngine
from training.common.provenance import of_fit
from training.data.dataset import PackedCase
from training.data.seen import require_held_out, require_same_data, trained_on
from training.data.twins import has_twin, healthy_twin
from training.lesions.fit_certainty import Marked
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees, trees_by_fold
from training.lesions.held_out import (
    HeldOut,
    answers_of_trees,
    calibrated,
    fit_calibration,
    nested_calibrations,
    without_networks,
)
from training.scores.rows import TWIN

DECISION_FILES = (f"{DECISION}.safetensors", f"{DECISION}.json")


def require_sidecars(weights: Path, patterns: Iterable[str]) -> None:
    """Raise UserError when a file that would be replaced or removed in a folder of weights has no valid sidecar."""
    for path in sorted({path.with_suffix(".json") for pattern in patterns for path in weights.glob(pattern)}):
        read_sidecar(path)


def load_held_out(weights: Path, cases: dict[str, PackedCase], device: torch.device) -> Ensemble:
    """The networks of a folder, `fold<k>-<name>.safetensors`, each of which holds out fold k. A decision is not read.

    Raises UserError when a network was trained on a case of its fold, or on other data than the cases.
    """
    require_held_out(weights, cases.values())
    if untold := require_same_data(weights.glob("fold*.json"), cases.values()):
        print(f"{weights}: {len(untold)} networks do not say on which data they were trained: that is not checked")
    return load_ensemble(weights, TorchEngine(device), with_decision=False)  # an outdated one is no obstacle


def fold_ensemble(ensemble: Ensemble, fold: int) -> Ensemble:
    """The networks of one fold, without a decision. Raises UserError when there is none."""
    mine = [i for i, group in enumerate(ensemble.groups) if group == f"fold{fold}"]
    if not mine:
        raise UserError(f"weights {ensemble.id}: no network of fold {fold}, expected fold{fold}-<name>.safetensors")
    parts: dict[str, Any] = {name: [getattr(ensemble, name)[i] for i in mine] for name in ("networks", "models")}
    return replace(ensemble, **parts, groups=(f"fold{fold}",) * len(mine), decision=None)


def gather(
    cases: dict[str, PackedCase], tables: dict[str, CandidateTable], trees: dict[int, Trees], ensemble: Ensemble | None
) -> list[HeldOut]:
    """What the trees and networks that a case was held out from say about it, for every given case. trees: by fold.

    ensemble: None where there are no networks, and trees alone are asked.
    """
    if ensemble is None:
        return answers_of_trees(cases, tables, trees)
    parts = []
    for fold in trees:
        predictor = Predictor(fold_ensemble(ensemble, fold))
        held_out = [case for case in cases.values() if case.fold == fold]
        for case in tqdm(held_out, desc=f"fold {fold}", unit="case", disable=None):
            probabilities = predictor.network_probabilities(case.adc, case.zadc)
            parts.append(HeldOut(case, fold, probabilities, tables[case.name].log_odds(trees[fold])))
    return parts


def gather_twins(
    cases: dict[str, PackedCase],
    trees: dict[int, Trees],
    ensemble: Ensemble | None,
    make: Callable[[PackedCase], PackedCase] = healthy_twin,
) -> list[HeldOut]:
    """What `gather` says about the cases' twins without lesions, or others that are made of them, by the cases' names."""
    twins = {name: make(case) for name, case in cases.items() if has_twin(case)}
    return gather(twins, {name: candidate_table(twin) for name, twin in twins.items()}, trees, ensemble)


def require_lesions(cases: dict[str, PackedCase]) -> None:
    """Raise UserError where no case has a lesion."""
    if not any(case.label.any() for case in cases.values()):
        raise UserError(f"none of the {len(cases)} cases has a lesion, so that there is nothing to learn")


def fit_decision(weights: Path, cases: dict[str, PackedCase], device: torch.device | None, command: str) -> None:
    """Fit trees to all cases, a calibration to what is said about cases that were held out, and write both.

    device: on which the networks in `weights` are asked; None where there are none and trees decide alone. command: the
    module that is told as their maker. Raises UserError as `load_held_out` does, and for networks that would not be asked.
    """
    if device is None and (networks := network_files(weights)):
        raise UserError(f"{networks[0]}: a network, where trees are to decide alone; name another --weights folder")
    require_lesions(cases)
    ensemble = load_held_out(weights, cases, device) if device else None
    tables = {name: candidate_table(case) for name, case in cases.items()}
    trees = trees_by_fold(tables)
    parts, twins = gather(cases, tables, trees, ensemble), gather_twins(cases, trees, ensemble)
    shipped = fit_trees(list(tables.values()))
    alone = decide(shipped, without_networks(parts), without_networks(twins), trees, trees_alone=True)
    decision = replace(decide(shipped, parts, twins, trees), trees_alone=alone) if ensemble else alone
    save_decision(weights, decision, of_fit(command, cases))
    calibrations = {"networks and trees": decision.calibration} if ensemble else {}
    for name, found in (calibrations | {"trees alone": alone.calibration}).items():
        print(f"{name}: log odds = {found.intercept:.2f} + {found.networks:.2f} networks + {found.first_stage:.2f} trees")
    for folder in (weights / ATLAS, weights / ZMAP):
        beside = folder / f"{DECISION}.json"
        if beside.exists() and trained_on(beside) != cases.keys():
            print(f"{folder}: of other cases than these; python -m training.zmap --ship makes it anew")


def decide(
    shipped: Trees, parts: list[HeldOut], twins: list[HeldOut], trees: dict[int, Trees], *, trees_alone: bool = False
) -> Decision:
    """A decision of the shipped trees, calibrated by what was said about cases that were held out; trees: by fold.

    How sure its masks are is fitted to those of the cases and of their twins, calibrated nested.
    """
    calibrations = nested_calibrations(parts, trees_alone=trees_alone)
    answers, of_twins = (calibrated(some, trees, calibrations) for some in (parts, twins))
    certainty = Marked.of(parts, answers).beside(twins, of_twins, TWIN).fit()
    return Decision(shipped, FEATURES, fit_calibration(parts, trees_alone=trees_alone), certainty)
