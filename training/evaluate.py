"""Segments the held-out cases of one fold from the published files and scores the masks on disk, beside the rule Z < -2.

Example:

    python -m training.evaluate --data data/BONBID2023_Train --fold 0 --out runs/masks

Every mask goes the way that process.py goes; it is read back from disk and scored on the patient's own grid with the
challenge's definitions. Cases that any network of the ensemble was trained on are refused.
"""

import argparse
import csv
import dataclasses
import json
import math
from pathlib import Path

from tqdm import tqdm

from model.case import read_case
from model.errors import UserError
from model.predict import Predictor, pick_device
from model.preprocess import brain_mask
from model.volume import read_volume, write_mask
from model.weights import IMAGE_WEIGHTS, load_ensemble
from training.cases import CaseFiles, find_cases, read_label
from training.cli import run
from training.metrics import Scores, mean_scores, score
from training.splits import read_fold

RULE_Z = -2.0


def require_unseen(names: list[str], weights: Path) -> None:
    """Raise UserError when a sidecar in `weights` lists one of the cases as trained on."""
    for sidecar in sorted(weights.glob("*.json")):
        try:
            seen = set(json.loads(sidecar.read_text())["provenance"]["cases"]["training"]) & set(names)
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{sidecar}: does not say which cases the network was trained on") from None
        if seen:
            raise UserError(f"{sidecar}: trained on {', '.join(sorted(seen))}; its score on them would mean nothing")


def score_case(files: CaseFiles, predictor: Predictor, out: Path) -> dict[str, Scores]:
    """Write the masks of the network and of the rule, read them back and score them."""
    case = read_case(files.adc, files.zadc)
    label = read_label(files.label, case.adc)
    masks = {
        "network": predictor.mask(case.adc.voxels, case.zadc.voxels, case.grid.voxel_mm3),
        "rule": brain_mask(case.adc.voxels) & (case.zadc.voxels < RULE_Z),
    }
    scores = {}
    for method, mask in masks.items():
        path = out / f"{files.name}_{method}.mha"
        write_mask(mask, case.grid, path)
        scores[method] = score(read_volume(path).voxels > 0, label, case.grid.spacing_mm)
    return scores


def print_table(rows: dict[str, dict[str, Scores]]) -> None:
    """Per-case scores of both methods and their means, with the number of cases whose MASD does not exist."""
    print(f"{'case':24}" + "".join(f"{method:>10} Dice  MASD   NSD" for method in ("network", "rule")))
    for name, scores in rows.items():
        print(f"{name:24}" + "".join(_columns(scores[method]) for method in ("network", "rule")))
    means = [mean_scores([scores[method] for scores in rows.values()]) for method in ("network", "rule")]
    missing = [sum(math.isnan(scores[method].masd_mm) for scores in rows.values()) for method in ("network", "rule")]
    print(f"{'mean':24}" + "".join(_columns(mean) for mean in means))
    print(f"cases without MASD (one mask empty): network {missing[0]}, rule {missing[1]}, of {len(rows)}")


def _columns(scores: Scores) -> str:
    return f"{scores.dice:15.4f} {scores.masd_mm:5.2f} {scores.nsd:.4f}"


def write_csv(rows: dict[str, dict[str, Scores]], path: Path) -> None:
    """One row per case and method."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "method", "dice", "masd_mm", "nsd"])
        for name, scores in rows.items():
            writer.writerows([name, method, *dataclasses.astuple(s)] for method, s in scores.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds 1ADC_ss, 2Z_ADC and 3LABEL")
    parser.add_argument("--fold", type=int, default=0, help="whose held-out cases (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=IMAGE_WEIGHTS, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="folder for the masks and scores.csv")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    args = parser.parse_args()
    _, held_out = read_fold(args.fold)
    require_unseen(held_out, args.weights)
    device, _ = pick_device(args.device)
    predictor = Predictor(load_ensemble(args.weights), device)
    cases = {files.name: files for files in find_cases(args.data)}
    missing = sorted(set(held_out) - cases.keys())
    if missing:
        raise UserError(f"{args.data}: held-out cases are missing: {', '.join(missing)}")
    args.out.mkdir(parents=True, exist_ok=True)
    rows = {name: score_case(cases[name], predictor, args.out) for name in tqdm(held_out, unit="case")}
    print_table(rows)
    write_csv(rows, args.out / "scores.csv")


if __name__ == "__main__":
    run(main)
