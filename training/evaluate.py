"""Scores a folder of masks against a folder of labels, or segments the held-out cases of one fold and scores those.

Example:

    python -m training.evaluate masks data/BONBID2023_Train/3LABEL --adc data/BONBID2023_Train/1ADC_ss --out scores

    python -m training.evaluate --data data/BONBID2023_Train --fold 0 --out runs/masks

    python -m training.evaluate --data data/BONBID2023_Train --rule-only --out runs/rule

The first line writes scores.csv (a row for each case), summary.md (means with 95 % bootstrap intervals, by lesion size),
dice.png and volumes.png. A label is <case>_lesion.<ext> or <case>.<ext>, a mask <case>.<ext>, <case>_<anything>.<ext> or
<case>/lesions.<ext>, an ADC map <case>-ADC_ss.<ext> or <case>.<ext>; <ext> is mha, mhd, nii, nii.gz or nrrd. Every label
needs exactly one mask on its grid and the reverse, and no other values than 0 and 1; otherwise nothing is written. Of a
folder that process.py wrote only masks that are current are scored; summary.md names the other cases, and why. Files in
--out that are not of an earlier call stay: the call is refused.

The second line segments from the published files, and scores the rule Z < -2 beside the network; the third scores the rule
alone, on every case or on those of a --fold. Every mask goes the way that process.py goes; it is read back from disk and
scored on the patient's own grid with the challenge's definitions. Cases that any network of the ensemble was trained on are
refused.
"""

import argparse
import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.errors import UserError
from model.files import require_writable
from model.images.case import read_case
from model.images.volume import read_volume, write_mask
from model.networks.canonical_orientation import segment_canonical
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble
from training.common.cli import run
from training.common.outputs import own_files_into, require_outside, require_own_files
from training.data.published import CaseFiles, published_cases, read_label
from training.data.seen import require_unseen
from training.data.splits import folds_of
from training.pages.score_summary import FILES, write_scores
from training.scores.mask_score import score_pair
from training.scores.metrics import METRICS, Scores, mean_scores, score
from training.scores.pairs import find_pairs
from training.scores.rule import rule_mask

USAGE = """python -m training.evaluate PRED LABELS [--adc ADC] [--out OUT]
       python -m training.evaluate --data DATA [--fold FOLD] [--weights WEIGHTS] [--device DEVICE] [--rule-only] --out OUT"""
SCORES_FOLDER = Path("scores")
FOLD_OPTIONS = ("data", "fold", "weights", "device", "rule_only")
Rows = dict[str, dict[str, Scores]]  # by case, then by method


def score_case(files: CaseFiles, predictor: Predictor | None, out: Path) -> dict[str, Scores]:
    """Write the masks of the network (where there is one) and of the rule, read them back and score them."""
    case = read_case(files.adc, files.zadc)
    label = read_label(files.label, case.adc)
    masks = {"rule": rule_mask(case.adc.voxels, case.zadc.voxels)}
    if predictor:
        masks = {"network": segment_canonical(case, predictor).mask} | masks
    scores = {}
    for method, mask in masks.items():
        path = out / f"{files.name}_{method}.mha"
        write_mask(mask, case.grid, path)
        scores[method] = score(read_volume(path).voxels > 0, label, case.grid.spacing_mm)
    return scores


def print_table(rows: Rows) -> None:
    """Scores per case and their means, how many cases have no MASD, and the paired differences of network and rule."""
    methods = list(next(iter(rows.values())))
    print(f"{'case':24}" + "".join(f"{method:>10} Dice  MASD    NSD" for method in methods))
    means = {method: mean_scores([scores[method] for scores in rows.values()]) for method in methods}
    for name, scores in (rows | {"mean": means}).items():
        print(f"{name:24}" + "".join(_columns(scores[method]) for method in methods))
    missing = {method: sum(math.isnan(scores[method].masd_mm) for scores in rows.values()) for method in methods}
    counts = ", ".join(f"{method} {count}" for method, count in missing.items())
    print(f"cases without MASD (one mask empty): {counts}, of {len(rows)}")
    if "network" in methods and len(rows) > 1:
        for metric in ("dice", "nsd"):
            print(_paired([getattr(s["network"], metric) - getattr(s["rule"], metric) for s in rows.values()], metric))


def _columns(scores: Scores) -> str:
    return f"{scores.dice:15.4f} {scores.masd_mm:5.2f} {scores.nsd:.4f}"


def _paired(differences: list[float], metric: str) -> str:
    mean, error = np.mean(differences), np.std(differences, ddof=1) / math.sqrt(len(differences))
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return (
        f"{metric}, network - rule: {mean:+.3f}, standard error {error:.3f}, better in {better} and worse in {worse} cases"
    )


def write_csv(rows: Rows, path: Path) -> None:
    """Columns case, method, dice, masd_mm, nsd; a MASD that does not exist is nan."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "method", *METRICS])
        for name, scores in rows.items():
            writer.writerows([name, method, *dataclasses.astuple(s)] for method, s in scores.items())


def pick_cases(data: Path, fold: int | None) -> list[CaseFiles]:
    """The held-out cases of a fold, or all cases. Raises UserError when one of them is missing."""
    cases = {files.name: files for files in published_cases(data)}
    names = list(cases) if fold is None else folds_of(data).of(fold)[1]
    missing = sorted(set(names) - cases.keys())
    if missing:
        raise UserError(f"{data}: held-out cases are missing: {', '.join(missing)}")
    return [cases[name] for name in names]


def parse_args() -> argparse.Namespace:
    """The command line; options that were not given are None. Exits when options of both uses are mixed."""
    parser = argparse.ArgumentParser(usage=USAGE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help=f"folder for the results (default with PRED and LABELS: {SCORES_FOLDER})")
    folders = parser.add_argument_group("two folders")
    folders.add_argument("masks", metavar="PRED", type=Path, nargs="?", help="folder of masks")
    folders.add_argument("labels", metavar="LABELS", type=Path, nargs="?", help="folder of labels")
    folders.add_argument("--adc", type=Path, help="folder of ADC maps: lesion size as a share of the brain (default: in ml)")
    fold = parser.add_argument_group("held-out cases")
    fold.add_argument("--data", type=Path, help="folder that holds 1ADC_ss, 2Z_ADC and 3LABEL")
    fold.add_argument("--fold", type=int, help="whose held-out cases (default: 0, or every case with --rule-only)")
    fold.add_argument("--weights", type=Path, help=f"default: {IMAGE_WEIGHTS}")
    fold.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: auto")
    fold.add_argument(
        "--rule-only", action="store_true", default=None, help="score the rule Z < -2 alone, without a network"
    )
    args = parser.parse_args()
    problem = wrong_usage(args)
    if problem:
        parser.error(problem)
    return args


def wrong_usage(args: argparse.Namespace) -> str:
    """What is wrong with the options as a whole; empty when nothing is."""
    if args.masks is None:
        absent = [f"--{name}" for name in ("data", "out") if getattr(args, name) is None]
        if absent:
            return f"expected PRED and LABELS, or --data and --out; {' and '.join(absent)} not given"
        return "--adc goes with PRED and LABELS only" if args.adc else ""
    if args.labels is None:
        return "expected LABELS after PRED"
    mixed = [f"--{name.replace('_', '-')}" for name in FOLD_OPTIONS if getattr(args, name) is not None]
    return f"{', '.join(mixed)} cannot be used with PRED and LABELS" if mixed else ""


def score_fold(args: argparse.Namespace) -> None:
    """Segment and score the held-out cases; writes the masks and scores.csv."""
    fold = 0 if args.fold is None and not args.rule_only else args.fold
    cases = pick_cases(args.data, fold)
    methods = ("rule",) if args.rule_only else ("network", "rule")
    names = [*(f"{files.name}_{method}.mha" for files in cases for method in methods), "scores.csv"]
    require_outside(args.out, [args.data])
    require_own_files(args.out, names)
    require_writable(args.out)
    predictor = None
    if not args.rule_only:
        weights = args.weights or IMAGE_WEIGHTS
        require_unseen([files.name for files in cases], weights)
        from model.networks.torch_engine import TorchEngine, pick_device  # takes seconds, and scores do not need it

        predictor = Predictor(load_ensemble(weights, TorchEngine(pick_device(args.device or "auto")[0])))
    with own_files_into(args.out, names) as staged:
        rows = {files.name: score_case(files, predictor, staged) for files in tqdm(cases, unit="case")}
        write_csv(rows, staged / "scores.csv")
    print_table(rows)


def score_folders(masks: Path, labels: Path, out: Path, adc: Path | None = None) -> str:
    """Score every case of two folders and write the results to `out`; returns the summary.

    Raises UserError, before anything is written, when the folders do not pair up or a file is not usable, and when `out`
    cannot be written, lies in one of them or holds another's files.
    """
    pairs = find_pairs(masks, labels, adc)
    require_outside(out, filter(None, (masks, labels, adc)))
    require_own_files(out, FILES)
    require_writable(out)
    rows = [score_pair(pair, masks, labels) for pair in tqdm(pairs.scored, unit="case", leave=False, disable=None)]
    with own_files_into(out, FILES) as staged:
        return write_scores(rows, pairs, masks, labels, staged)


def main() -> None:
    args = parse_args()
    if args.masks is None:
        score_fold(args)
    else:
        print(score_folders(args.masks, args.labels, args.out or SCORES_FOLDER, args.adc), end="")


if __name__ == "__main__":
    run(main)
