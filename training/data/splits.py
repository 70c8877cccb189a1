"""The five folds of the labelled cases, as `python -m training.splits` dealt them; identifiers only."""

import json
from pathlib import Path

from model.errors import UserError

SPLITS = Path(__file__).with_name("splits.json")
FOLDS = 5
INNER_EVERY = 8  # with early stopping


def inner_places(cases: int) -> range:
    """Which of that many training cases, in the order of their lesion load, decide when to stop and are not trained on."""
    return range(INNER_EVERY // 2, cases, INNER_EVERY)


def read_fold(fold: int, path: Path | None = None) -> tuple[list[str], list[str]]:
    """Case names of one fold: (training, validation). path: of the folds, SPLITS where none is given.

    Raises UserError for a fold that does not exist.
    """
    path = path or SPLITS
    folds = json.loads(path.read_text())["folds"]
    if not 0 <= fold < len(folds):
        raise UserError(f"{path}: expected a fold from 0 to {len(folds) - 1}, found {fold}")
    training = [name for i, names in enumerate(folds) for name in names if i != fold]
    return sorted(training), folds[fold]


def all_folds() -> dict[str, int]:
    """The fold that holds out each case, by the case's name, fold by fold."""
    return {name: fold for fold in range(FOLDS) for name in read_fold(fold)[1]}
