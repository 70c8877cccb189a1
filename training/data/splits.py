"""Deals the labelled cases into five folds, stratified by slice thickness and lesion load; identifiers only.

Example:

    python -m training.data.splits --data data/packed --out training/data/splits.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

from model.errors import UserError
from training.common.cli import run
from training.data.dataset import PackedCase, load_cases

SPLITS = Path(__file__).with_name("splits.json")
FOLDS = 5
THICK_SLICE_MM = 3.0
LOAD_EDGES = (0.0, 0.01, 0.05)  # share of the brain: empty, below 1 %, 1-5 %, above 5 %


def load_class(case: PackedCase) -> int:
    """0 for an empty case, then 1 to 3 by the share of the brain that is lesion."""
    return int(np.searchsorted(LOAD_EDGES, case.lesion_load)) if case.label.any() else 0


def deal(cases: list[PackedCase], seed: int = 0) -> list[list[str]]:
    """Shuffle, sort by stratum and lesion load, then deal like cards: neighbours in the order land in different folds."""
    rng = np.random.default_rng(seed)
    shuffled = [cases[i] for i in rng.permutation(len(cases))]
    ordered = sorted(shuffled, key=lambda c: (load_class(c), c.spacing_mm[0] > THICK_SLICE_MM, c.lesion_load))
    return [sorted(case.name for case in ordered[fold::FOLDS]) for fold in range(FOLDS)]


def read_fold(fold: int, path: Path = SPLITS) -> tuple[list[str], list[str]]:
    """Case names of one fold: (training, validation).

    Raises UserError for a fold that does not exist.
    """
    folds = json.loads(path.read_text())["folds"]
    if not 0 <= fold < len(folds):
        raise UserError(f"{path}: expected a fold from 0 to {len(folds) - 1}, found {fold}")
    training = [name for i, names in enumerate(folds) for name in names if i != fold]
    return sorted(training), folds[fold]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--out", type=Path, default=SPLITS, help="default: %(default)s")
    args = parser.parse_args()
    folds = deal(load_cases(args.data))
    args.out.write_text(json.dumps({"seed": 0, "folds": folds}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
