"""How the Dice of the trees alone grows with the number of cases that they are fitted to.

Example, the rows that `python -m training.accuracy` draws:

    python -m training.learning_curve --data data/packed

For each fold, a number of the other folds' cases is drawn, without regard to their lesions. Trees and calibration are fitted
to those cases as to all of them in `training.crossval`, and scored on the fold's own cases that have a lesion. The smaller
of two numbers takes the first cases of the same draw. The rows go to learning_curve.csv in --results.
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.files import require_writable
from model.lesions.decision import most_dice
from model.lesions.trees import Trees
from training.common.cli import run
from training.data.dataset import PackedCase, load_folds, require_packed
from training.data.same import digests
from training.data.splits import FOLDS, read_fold
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees
from training.lesions.held_out import answers_of_trees, calibrated, fit_calibration
from training.scores.metrics import dice_of
from training.scores.rows import LEARNING_CURVE, RESULTS, CurvePoint, read_records, write_configuration, write_records

SIZES = (10, 15, 20, 28, 35)  # cases; a fold leaves 35 or 36
DRAWS = 6


def drawn(fold: int, draw: int, size: int) -> list[str]:
    """Names of `size` of the cases that a fold does not hold out; sorted, all of them where there are no more."""
    names = read_fold(fold)[0]
    order = np.random.default_rng((draw, fold)).permutation(len(names))
    return sorted(names[place] for place in order[:size])


def curve_points(
    cases: dict[str, PackedCase],
    tables: dict[str, CandidateTable],
    folds: dict[int, list[str]],
    fitted: dict[tuple[str, ...], Trees],
) -> dict[str, float]:
    """Dice of every case that has a lesion. folds: what is fitted to, by fold; fitted: earlier fits by their cases."""
    for names in folds.values():
        if (key := tuple(names)) not in fitted:
            fitted[key] = fit_trees([tables[name] for name in names])
    trees = {fold: fitted[tuple(names)] for fold, names in folds.items()}
    parts = answers_of_trees(cases, tables, trees)
    calibrations = {
        fold: fit_calibration([part for part in parts if part.case.name in names], trees_alone=True)
        for fold, names in folds.items()
    }
    answers = calibrated(parts, trees, calibrations)
    return {name: dice_of(most_dice(answers[name]), case.label) for name, case in cases.items() if case.label.any()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    args = parser.parse_args()
    require_packed(args.data)
    require_writable(args.results)
    path = args.results / LEARNING_CURVE
    read_records(path, CurvePoint)  # refuses a table of something else
    cases = load_folds(args.data)
    tables = {name: candidate_table(case) for name, case in cases.items()}
    fitted: dict[tuple[str, ...], Trees] = {}
    points = []
    for size in SIZES:
        for draw in tqdm(range(DRAWS), desc=f"{size} cases", unit="draw", disable=None):
            folds = {fold: drawn(fold, draw, size) for fold in range(FOLDS)}
            dice = curve_points(cases, tables, folds, fitted)
            points += [CurvePoint(name, size, draw, value) for name, value in dice.items()]
        print(f"{size:3} cases  Dice {np.mean([point.dice for point in points if point.size == size]):.4f}", flush=True)
    write_configuration({"data": digests(cases.values())}, path)
    write_records(points, path, CurvePoint)


if __name__ == "__main__":
    run(main)
