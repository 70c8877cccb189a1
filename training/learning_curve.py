"""How the Dice of the trees alone grows with the number of cases that they are fitted to.

Example, the rows that `python -m training.accuracy` draws:

    python -m training.learning_curve --data data/packed

For each fold, a number of the other folds' cases is drawn, without regard to their lesions. Trees and calibration are fitted
to those cases as to all of them in `training.crossval`, and scored on the fold's own cases that have a lesion. The smaller
of two numbers takes the first cases of the same draw. The rows go to learning_curve.csv in --results.
"""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from model.lesions.decision import most_dice
from model.lesions.trees import Trees
from training.common.cli import add_data_option, command_parser, run
from training.data.dataset import PackedCase, load_folds
from training.data.splits import folds_by_number
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees
from training.lesions.held_out import answers_of_trees, calibrated, fit_calibration
from training.scores.configuration import configuration_of
from training.scores.metrics import dice_of
from training.scores.places import add_results_option, open_results
from training.scores.rows import LEARNING_CURVE, CurvePoint, replace_records

SIZES = (10, 15, 20, 28)  # cases; and as many as every fold leaves, if there are no more: 35 of the committed folds
DRAWS = 6


def sizes(folds: Sequence[Sequence[str]]) -> list[int]:
    """How many cases to draw, for folds that hold out these: those of SIZES that every fold leaves, and all that it does."""
    left = sum(map(len, folds)) - max(map(len, folds))
    return [*(size for size in SIZES if size < left), left]


def drawn(folds: Sequence[Sequence[str]], fold: int, draw: int, size: int) -> list[str]:
    """Names of `size` of the cases that a fold does not hold out; sorted, all of them where there are no more."""
    names = sorted(name for number, held_out in enumerate(folds) for name in held_out if number != fold)
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
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_results_option(parser)
    args = parser.parse_args()
    path = open_results(args, learning_curve=CurvePoint) / LEARNING_CURVE
    cases = load_folds(args.data)
    tables = {name: candidate_table(case) for name, case in cases.items()}
    fitted: dict[tuple[str, ...], Trees] = {}
    points = []
    split = folds_by_number(cases.values())
    for size in sizes(split):
        for draw in tqdm(range(DRAWS), desc=f"{size} cases", unit="draw", disable=None):
            folds = {fold: drawn(split, fold, draw, size) for fold in range(len(split))}
            dice = curve_points(cases, tables, folds, fitted)
            points += [CurvePoint(name, size, draw, value) for name, value in dice.items()]
        print(f"{size:3} cases  Dice {np.mean([point.dice for point in points if point.size == size]):.4f}", flush=True)
    replace_records(points, path, CurvePoint, configuration_of(cases.values()))


if __name__ == "__main__":
    run(main)
