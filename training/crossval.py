"""Scores an ensemble out of fold and fits its lesion decision: the accuracy table, and `decision.safetensors`.

Example, for the networks that are shipped:

    python -m training.crossval --data data/packed

and to ship others, runs of the study, and a decision fitted to them:

    python -m training.crossval --data data/packed --take runs/study/native --losses tversky-hausdorffdt

A weights folder holds `fold<k>-<name>.safetensors`; a case is shown only to the networks of the fold that holds it out.
The lesion decision (`training.lesions.fit_decision`) is nested: what is scored on a fold was fitted and chosen on the
other four.
Only with --take a decision is written beside the networks, fitted to all out-of-fold answers. Writes the rows to
crossval.csv and the reliability of the probabilities to reliability.csv in --results; another --seed, which draws other
voxels for the fits, needs a --results folder of its own.
"""

import argparse
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import sklearn
import torch
from tqdm import tqdm

from model.errors import UserError
from model.lesions.candidates import FEATURES, CaseMaps, candidate_features
from model.lesions.decision import Decision, most_dice
from model.networks.config import InferenceConfig, to_json
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, Ensemble, load_ensemble, read_sidecar, save_decision
from model.networks.torch_engine import TorchEngine, pick_device
from training.common.cli import run
from training.common.loss_names import LOSS_NAMES
from training.common.provenance import LICENCE, git_commit
from training.data.dataset import load_cases
from training.data.seen import require_held_out
from training.data.splits import FOLDS, read_fold
from training.learning.onnx_graph import export
from training.learning.study_runs import run_folder
from training.lesions.fit_decision import Evidence, choose_empty_above, fit_trees, nested_decisions, out_of_fold
from training.scores.case_row import NO_RUN, Prediction, case_row
from training.scores.metrics import mean_scores
from training.scores.rows import RESULTS, RULE, Bin, Row, write_records
from training.scores.rule import rule_mask

FLIPS = InferenceConfig(flip_axes=(2,))  # left-right, as in training
BINS = 10


def take(runs: Path, losses: list[str], weights: Path) -> None:
    """Replace the networks in `weights` by the study's runs of these losses (all folds, seed 0); a decision goes too."""
    sources = {
        (fold, loss): run_folder(runs, loss, fold, 0) / f"fold{fold}.safetensors" for fold in range(FOLDS) for loss in losses
    }
    missing = [path for path in sources.values() if not (path.exists() and path.with_suffix(".json").exists())]
    if missing:  # before anything is removed
        raise UserError(f"{missing[0]}: not trained yet ({len(missing)} of {len(sources)} runs are missing)")
    staged = weights.with_name(f".{weights.name}.partial")  # nothing is removed before all of it is there and usable
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for (fold, loss), path in sources.items():
        target = staged / f"fold{fold}-{loss}.safetensors"
        shutil.copyfile(path, target)
        sidecar = read_sidecar(path.with_suffix(".json")) | {"inference": to_json(FLIPS)}
        target.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    export(staged)  # also proves that the networks are usable
    require_held_out(staged)
    weights.mkdir(parents=True, exist_ok=True)
    for name in ("fold*.safetensors", "fold*.onnx", "fold*.json", "decision.safetensors", "decision.json"):
        for path in weights.glob(name):
            path.unlink()
    for path in staged.iterdir():
        path.replace(weights / path.name)
    staged.rmdir()


def fold_ensemble(ensemble: Ensemble, fold: int) -> Ensemble:
    """The networks of one fold, without a decision. Raises UserError when there is none."""
    mine = [i for i, group in enumerate(ensemble.groups) if group == f"fold{fold}"]
    if not mine:
        raise UserError(f"weights {ensemble.id}: no network of fold {fold}, expected fold{fold}-<name>.safetensors")
    parts = {name: [getattr(ensemble, name)[i] for i in mine] for name in ("networks", "models")}
    return dataclasses.replace(ensemble, **parts, groups=(f"fold{fold}",) * len(mine), decision=None)


def gather(data: Path, weights: Path, device: torch.device) -> list[Evidence]:
    """What the networks that hold a case out say about it, for every case."""
    require_held_out(weights)
    ensemble = load_ensemble(weights, TorchEngine(device), with_decision=False)  # an outdated one is no obstacle
    evidence = []
    for fold in range(FOLDS):
        predictor = Predictor(fold_ensemble(ensemble, fold))
        for case in tqdm(load_cases(data, read_fold(fold)[1]), desc=f"fold {fold}", unit="case", disable=None):
            (probabilities,) = predictor.group_probabilities(case.adc, case.zadc)
            found = candidate_features(probabilities, CaseMaps(case.adc, case.zadc, case.spacing_mm))
            evidence.append(Evidence(case, fold, probabilities, *found))
    return evidence


def case_rows(part: Evidence, mask: np.ndarray) -> list[Row]:
    """The rows of one case: the networks alone (p > 0.5), with the decision, and the rule."""
    masks = {"networks": part.probabilities > 0.5, "decision": mask, RULE: rule_mask(part.case.adc, part.case.zadc)}
    facts = NO_RUN | {"predict_seconds": math.nan}
    return [case_row(part.case, Prediction(found), (method, part.fold, 0), **facts) for method, found in masks.items()]


def reliability(evidence: list[Evidence], calibrated: dict[str, np.ndarray]) -> list[Bin]:
    """How often candidates of a given probability are lesion, before and after calibration; every case weighs the same."""
    labels = [part.case.label[part.candidates] for part in evidence]
    weights = np.concatenate([np.full(len(label), 1 / max(len(label), 1)) for label in labels])
    label = np.concatenate(labels)
    bins = []
    for method, answers in (
        ("networks", {part.case.name: part.probabilities for part in evidence}),
        ("decision", calibrated),
    ):
        p = np.concatenate([answers[part.case.name][part.candidates] for part in evidence])
        place = np.minimum((p * BINS).astype(int), BINS - 1)
        for number in np.unique(place):
            inside = place == number
            share = [float(np.average(values[inside], weights=weights[inside])) for values in (p, label)]
            bins.append(Bin(method, int(number), *share, int(inside.sum())))
    return bins


def ship_decision(evidence: list[Evidence], answers: dict[str, np.ndarray], weights: Path) -> None:
    """Fit the decision to all evidence and write it beside the networks that the evidence comes from."""
    decision = Decision(fit_trees(evidence), FEATURES, choose_empty_above(evidence, answers))
    provenance = {
        "command": "python -m training.crossval --take ...",
        "git_commit": git_commit(),
        "versions": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
        "cases": {"training": sorted(part.case.name for part in evidence)},
        "data_licence": LICENCE,
    }
    save_decision(weights, decision, provenance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")
    parser.add_argument("--weights", type=Path, default=IMAGE_WEIGHTS, help="default: %(default)s")
    parser.add_argument("--take", type=Path, help="first replace the networks there by runs of the study in this folder")
    parser.add_argument("--losses", nargs="+", choices=LOSS_NAMES, help="with --take: whose runs")
    parser.add_argument("--seed", type=int, default=0, help="of the decision's fits: which voxels are drawn (default: 0)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    args = parser.parse_args()
    if bool(args.take) != bool(args.losses):
        raise UserError("--take and --losses go together")
    if args.seed and (args.take or args.results.resolve() == RESULTS.resolve()):
        raise UserError("--seed goes with another --results folder and without --take: seed 0 is what is shipped and shown")
    if args.take:
        take(args.take, args.losses, args.weights)
    evidence = gather(args.data, args.weights, pick_device(args.device)[0])
    answers = out_of_fold(evidence, args.seed)
    decided = nested_decisions(evidence, answers, args.seed)
    rows = [row for part in evidence for row in case_rows(part, most_dice(*decided[part.case.name]))]
    write_records(rows, args.results / "crossval.csv", Row)
    write_records(reliability(evidence, answers), args.results / "reliability.csv", Bin)
    if args.take:
        ship_decision(evidence, answers, args.weights)
    for method in dict.fromkeys(row.method for row in rows):
        mean = mean_scores([row for row in rows if row.method == method])
        print(f"{method:10} Dice {mean.dice:.4f}  MASD {mean.masd_mm:.2f} mm  NSD {mean.nsd:.4f}")
    limits = sorted({limit for _, limit in decided.values()})
    print(f"empty below an expected Dice of {limits[0]} to {limits[-1]}, by fold")


if __name__ == "__main__":
    run(main)
