"""Deals the labelled cases into five folds, stratified by slice thickness and lesion load; identifiers only.

Example:

    python -m training.splits --data data/packed --out training/data/splits.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

from model.files import write_whole
from training.common.cli import run
from training.common.outputs import require_outside, require_own_file
from training.data.dataset import PackedCase, load_cases
from training.data.splits import FOLDS, SPLITS
from training.data.strata import is_thick


def deal(cases: list[PackedCase], seed: int = 0) -> list[list[str]]:
    """Shuffle, sort by stratum and lesion load, then deal like cards: neighbours in the order land in different folds."""
    rng = np.random.default_rng(seed)
    shuffled = [cases[i] for i in rng.permutation(len(cases))]
    ordered = sorted(shuffled, key=lambda c: (c.load_class, is_thick(c.spacing_mm[0]), c.lesion_load))
    return [sorted(case.name for case in ordered[fold::FOLDS]) for fold in range(FOLDS)]


def is_split(path: Path) -> bool:
    """Whether a file is a split as this command writes it. Raises OSError or ValueError."""
    found = json.loads(path.read_bytes())
    return isinstance(found, dict) and found.keys() == {"seed", "folds"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--out", type=Path, default=SPLITS, help="default: %(default)s")
    args = parser.parse_args()
    require_outside(args.out, [args.data])
    require_own_file(args.out, is_split, "an earlier split")
    folds = deal(load_cases(args.data))
    write_whole(args.out, (json.dumps({"seed": 0, "folds": folds}, indent=1) + "\n").encode())


if __name__ == "__main__":
    run(main)
