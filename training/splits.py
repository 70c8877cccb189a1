"""Deals the labelled cases into five folds, stratified by slice thickness and lesion load; identifiers only.

Example:

    python -m training.splits --data data/packed --out training/data/splits.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

from training.common.cli import run
from training.data.dataset import PackedCase, load_cases
from training.data.splits import FOLDS, SPLITS
from training.data.strata import is_thick


def deal(cases: list[PackedCase], seed: int = 0) -> list[list[str]]:
    """Shuffle, sort by stratum and lesion load, then deal like cards: neighbours in the order land in different folds."""
    rng = np.random.default_rng(seed)
    shuffled = [cases[i] for i in rng.permutation(len(cases))]
    ordered = sorted(shuffled, key=lambda c: (c.load_class, is_thick(c.spacing_mm[0]), c.lesion_load))
    return [sorted(case.name for case in ordered[fold::FOLDS]) for fold in range(FOLDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--out", type=Path, default=SPLITS, help="default: %(default)s")
    args = parser.parse_args()
    folds = deal(load_cases(args.data))
    args.out.write_text(json.dumps({"seed": 0, "folds": folds}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
