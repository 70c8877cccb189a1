"""The five folds of the labelled cases, as `python -m training.splits` dealt them; identifiers only."""

import json
from pathlib import Path

from model.errors import UserError

SPLITS = Path(__file__).with_name("splits.json")
FOLDS = 5


def read_fold(fold: int, path: Path = SPLITS) -> tuple[list[str], list[str]]:
    """Case names of one fold: (training, validation).

    Raises UserError for a fold that does not exist.
    """
    folds = json.loads(path.read_text())["folds"]
    if not 0 <= fold < len(folds):
        raise UserError(f"{path}: expected a fold from 0 to {len(folds) - 1}, found {fold}")
    training = [name for i, names in enumerate(folds) for name in names if i != fold]
    return sorted(training), folds[fold]
