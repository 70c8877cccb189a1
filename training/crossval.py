"""Scores an ensemble out of fold and fits its lesion decision: the accuracy table, and `decision.safetensors`.

Example, for the networks that are shipped:

    python -m training.crossval --data data/packed

to write a decision that is fitted to them, too, and to ship others, runs of the study, with a decision fitted to them:

    python -m training.crossval --data data/packed --decide
    python -m training.crossval --data data/packed --take runs/study/native --losses tversky-hausdorffdt

A weights folder holds `fold<k>-<name>.safetensors`; a case is shown only to the networks of the fold that holds it out, and
to trees and a calibration that were fitted to the other four (`training.lesions`). Rows of every method go to crossval.csv
in --results, the reliability of the probabilities to reliability.csv. A decision written beside the networks is fitted to
all cases. Nothing is drawn by chance but the networks: --seed takes runs of another training seed, which needs a --weights
folder of its own. Rows say the seed that the networks' sidecars name, and are added to those of the other seeds.
"""

import argparse
import dataclasses
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from model.errors import UserError
from model.files import files_below, files_into, require_writable
from model.lesions.candidates import FEATURES, CaseMaps
from model.lesions.decision import LOWEST_LOG_ODDS, Decision, most_dice
from model.networks.config import InferenceConfig, to_json
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, Ensemble, load_ensemble, read_sidecar, save_decision, write_sidecar
from model.networks.torch_engine import TorchEngine, pick_device
from training.common.cli import run
from training.common.loss_names import LOSS_NAMES
from training.common.provenance import of_fit
from training.data.dataset import load_cases, require_packed
from training.data.same import digests
from training.data.seen import require_held_out, require_same_data, training_seed
from training.data.splits import FOLDS, read_fold
from training.learning.onnx_graph import export
from training.learning.study_runs import run_folder
from training.lesions.fit_trees import CandidateTable, candidate_table, decisions_by_fold, fit_trees
from training.lesions.held_out import HeldOut, calibrated, fit_calibration, nested_calibrations
from training.scores.case_row import NO_RUN, Prediction, case_row
from training.scores.metrics import Scores, mean_scores
from training.scores.rows import (
    RESULTS,
    RULE,
    Bin,
    Row,
    read_records,
    require_configuration,
    write_configuration,
    write_records,
)
from training.scores.rule import rule_mask

FLIPS = InferenceConfig(flip_axes=(2,))  # left-right, as in training
BINS = 10
REPLACED = ("fold*.safetensors", "fold*.onnx", "fold*.json", "decision.safetensors", "decision.json")  # with --take
MASKS = ("decision", "trees", "trees-on-networks", "networks", RULE)


def copy_networks(runs: Path, losses: list[str], weights: Path, data: dict[str, str], seed: int = 0) -> None:
    """Replace the networks in `weights` by the study's runs of these losses and seed, all folds; a decision goes too.

    data: digests of the cases. Raises UserError, and replaces nothing, when a run is missing or was trained on other data.
    """
    pairs = [(fold, loss) for fold in range(FOLDS) for loss in losses]
    sources = {(fold, loss): run_folder(runs, loss, fold, seed) / f"fold{fold}.safetensors" for fold, loss in pairs}
    missing = [path for path in sources.values() if not (path.exists() and path.with_suffix(".json").exists())]
    if missing:  # before anything is removed
        raise UserError(f"{missing[0]}: not trained yet ({len(missing)} of {len(sources)} runs are missing)")
    require_same_data((path.with_suffix(".json") for path in sources.values()), data)
    weights.parent.mkdir(parents=True, exist_ok=True)
    with files_into(weights, weights.parent) as staged:  # nothing is replaced before all of it is there and usable
        for (fold, loss), path in sources.items():
            target = staged / f"fold{fold}-{loss}.safetensors"
            shutil.copyfile(path, target)
            sidecar = read_sidecar(path.with_suffix(".json")) | {"inference": to_json(FLIPS)}
            write_sidecar(target.with_suffix(".json"), sidecar)
        export(staged)  # also proves that the networks are usable
        require_held_out(staged)
        taken = set(files_below(staged))
    for name in REPLACED:
        for path in weights.glob(name):
            if path.name not in taken:
                path.unlink()


def require_own_weights(weights: Path) -> None:
    """Raise UserError when a file that would be replaced or removed in a folder of weights has no valid sidecar."""
    for path in sorted({path.with_suffix(".json") for name in REPLACED for path in weights.glob(name)}):
        read_sidecar(path)


def fold_ensemble(ensemble: Ensemble, fold: int) -> Ensemble:
    """The networks of one fold, without a decision. Raises UserError when there is none."""
    mine = [i for i, group in enumerate(ensemble.groups) if group == f"fold{fold}"]
    if not mine:
        raise UserError(f"weights {ensemble.id}: no network of fold {fold}, expected fold{fold}-<name>.safetensors")
    parts: dict[str, Any] = {name: [getattr(ensemble, name)[i] for i in mine] for name in ("networks", "models")}
    return dataclasses.replace(ensemble, **parts, groups=(f"fold{fold}",) * len(mine), decision=None)


def gather(data: Path, weights: Path, first_stages: dict[int, Decision], device: torch.device) -> list[HeldOut]:
    """What the trees and networks that a case was held out from say about it, for every case."""
    require_held_out(weights)
    ensemble = load_ensemble(weights, TorchEngine(device), with_decision=False)  # an outdated one is no obstacle
    parts = []
    for fold in range(FOLDS):
        predictor = Predictor(fold_ensemble(ensemble, fold))
        for case in tqdm(load_cases(data, read_fold(fold)[1]), desc=f"fold {fold}", unit="case", disable=None):
            first_stage = first_stages[fold].first_stage(CaseMaps(case.adc, case.zadc, case.spacing_mm))
            (probabilities,) = predictor.group_probabilities(case.adc, case.zadc)
            parts.append(HeldOut(case, fold, probabilities, first_stage))
    return parts


def without_networks(part: HeldOut) -> HeldOut:
    """The same with networks that say nothing."""
    return dataclasses.replace(part, probabilities=np.zeros_like(part.probabilities))


def trees_on_networks(parts: list[HeldOut]) -> list[HeldOut]:
    """The log odds of trees that see the networks' probabilities in the place of the softened rule."""
    tables = {part.case.name: candidate_table(part.case, part.probabilities) for part in parts}
    answers = []
    for fold in sorted({part.fold for part in parts}):
        trees = fit_trees([tables[part.case.name] for part in parts if part.fold != fold])
        for part in (part for part in parts if part.fold == fold):
            table, log_odds = tables[part.case.name], np.full(part.probabilities.shape, LOWEST_LOG_ODDS, np.float32)
            log_odds[table.candidates] = np.maximum(trees.answers(table.features), LOWEST_LOG_ODDS)
            answers.append(dataclasses.replace(without_networks(part), first_stage=log_odds))
    return answers


def case_rows(part: HeldOut, answers: dict[str, np.ndarray], seed: int) -> list[Row]:
    """The rows of one case: the rule, the networks alone (p > 0.5), and the masks of most Dice by the other methods."""
    masks = {RULE: rule_mask(part.case.adc, part.case.zadc), "networks": part.probabilities > 0.5}
    masks |= {method: most_dice(probabilities) for method, probabilities in answers.items()}
    facts = NO_RUN | {"predict_seconds": math.nan}
    return [case_row(part.case, Prediction(masks[m]), (m, part.fold, seed), **facts) for m in MASKS]


def reliability(parts: list[HeldOut], by_method: dict[str, dict[str, np.ndarray]]) -> list[Bin]:
    """How often candidates of a given probability are lesion, by method and case; every case weighs the same."""
    labels = [part.case.label[part.candidates] for part in parts]
    weights = np.concatenate([np.full(len(label), 1 / max(len(label), 1)) for label in labels])
    label = np.concatenate(labels)
    bins = []
    for method, answers in by_method.items():
        p = np.concatenate([answers[part.case.name][part.candidates] for part in parts])
        place = np.minimum((p * BINS).astype(int), BINS - 1)
        for number in np.unique(place):
            inside = place == number
            mean_p, share = (float(np.average(values[inside], weights=weights[inside])) for values in (p, label))
            bins.append(Bin(method, int(number), mean_p, share, int(inside.sum())))
    return bins


def ship_decision(parts: list[HeldOut], tables: Iterable[CandidateTable], weights: Path) -> None:
    """Fit trees and calibration to all cases and write them beside the networks that the answers come from."""
    decision = Decision(fit_trees(list(tables)), FEATURES, fit_calibration(parts))
    save_decision(weights, decision, of_fit("training.crossval", (part.case.name for part in parts)))


def rows_to_keep(path: Path, seed: int, data: dict[str, str]) -> list[Row]:
    """The rows of other seeds that are there. Raises UserError when they come from other data than `data`, by digests."""
    kept = [row for row in read_records(path, Row) if row.seed != seed]
    if kept:
        require_configuration({"data": data}, path)
    return kept


def write_rows(rows: list[Row], path: Path, seed: int, data: dict[str, str]) -> None:
    """Write the rows of a seed; those of other seeds stay."""
    kept = rows_to_keep(path, seed, data)
    if not kept:
        path.unlink(missing_ok=True)  # before the digests of its data are replaced
        write_configuration({"data": data}, path)
    write_records([*kept, *rows], path, Row)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")
    parser.add_argument("--weights", type=Path, default=IMAGE_WEIGHTS, help="default: %(default)s")
    parser.add_argument("--take", type=Path, help="first replace the networks there by runs of the study in this folder")
    parser.add_argument("--decide", action="store_true", help="write a decision beside the networks; --take always does")
    parser.add_argument("--losses", nargs="+", choices=LOSS_NAMES, help="with --take: whose runs")
    parser.add_argument("--seed", type=int, help="with --take: training seed of the runs (default: 0)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    args = parser.parse_args()
    if bool(args.take) != bool(args.losses):
        raise UserError("--take and --losses go together")
    if args.seed is not None and not args.take:
        raise UserError("--seed goes with --take; the sidecars of networks that are there say theirs")
    if args.seed and args.weights.resolve() == IMAGE_WEIGHTS.resolve():
        raise UserError("--seed goes with another --weights folder: seed 0 is what is shipped")
    return args


def main() -> None:
    args = parse_arguments()
    require_packed(args.data)
    for folder in (args.results, args.weights) if args.take else (args.results,):
        require_writable(folder)
    cases = load_cases(args.data, [name for fold in range(FOLDS) for name in read_fold(fold)[1]])
    data = digests(cases)
    if args.take or args.decide:
        require_own_weights(args.weights)
    if args.take:
        copy_networks(args.take, args.losses, args.weights, data, args.seed or 0)
    if untold := require_same_data(args.weights.glob("fold*.json"), data):
        print(f"{args.weights}: {len(untold)} networks do not say on which data they were trained: that is not checked")
    seed = training_seed(args.weights)
    rows_to_keep(args.results / "crossval.csv", seed, data)  # before work that takes long
    read_records(args.results / "reliability.csv", Bin)  # refuses a table of something else
    tables = {case.name: candidate_table(case) for case in cases}
    first_stages = decisions_by_fold(tables)
    parts = gather(args.data, args.weights, first_stages, pick_device(args.device)[0])
    calibrations = nested_calibrations(parts)
    answers = {
        "decision": calibrated(parts, first_stages, calibrations),
        "trees": calibrated([without_networks(part) for part in parts], first_stages),
        "trees-on-networks": calibrated(trees_on_networks(parts), first_stages),
    }
    rows = []
    for part in parts:
        rows += case_rows(part, {method: answers[method][part.case.name] for method in answers}, seed)
    write_rows(rows, args.results / "crossval.csv", seed, data)
    if not seed:
        networks = {part.case.name: part.probabilities for part in parts}
        write_records(reliability(parts, {"networks": networks} | answers), args.results / "reliability.csv", Bin)
    if args.take or args.decide:
        ship_decision(parts, tables.values(), args.weights)
    for method in MASKS:
        mean = mean_scores([Scores(row.dice, row.masd_mm, row.nsd) for row in rows if row.method == method])
        print(f"{method:18} Dice {mean.dice:.4f}  MASD {mean.masd_mm:.2f} mm  NSD {mean.nsd:.4f}")
    for fold, found in calibrations.items():
        print(
            f"fold {fold}: log odds = {found.intercept:.2f} + {found.networks:.2f} networks + {found.first_stage:.2f} trees"
        )


if __name__ == "__main__":
    run(main)
