"""What all rows of a results file share: `NAME.json` beside `NAME.csv`, the digests of the data among it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from model.errors import UserError
from model.files import whole_file
from training.data.seen import differing, digests
from training.data.splits import folds_by_number

if TYPE_CHECKING:
    from training.data.dataset import PackedCase


def require_configuration(configuration: dict, path: Path) -> None:
    """Write the configuration beside a new results file, or raise UserError when an existing one has another.

    Its "data" are the digests of the cases.
    """
    if not path.with_suffix(".json").exists() and not path.exists():
        write_configuration(configuration, path)
        return
    known, found = read_configuration(path), json.loads(json.dumps(configuration))
    cases = differing(known.pop("data", None), found.pop("data"))
    folds = differing(_fold_of(known.pop("folds", None)), _fold_of(found.pop("folds", None)))
    other = [*differences(known, found), *([f"other folds: {folds}"] if folds else [])]
    other += [f"other data: {cases}"] if cases else []
    if other:
        raise UserError(
            f"{path}: its rows come from another configuration ({', '.join(other)});"
            " move the file away or choose another --results folder"
        )


def _fold_of(folds: object) -> dict[str, str]:
    """The fold of each case, by its name."""
    return {
        str(name): str(number) for number, names in enumerate(folds if isinstance(folds, list) else ()) for name in names
    }


def configuration_of(cases: "Iterable[PackedCase]") -> dict:
    """What rows of some cases share, each with its fold: the folds, and the digests of the data."""
    some = list(cases)
    return {"folds": folds_by_number(some), "data": digests(some)}


def write_configuration(configuration: dict, path: Path) -> None:
    """Write what the rows of a results file share beside it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")


def read_configuration(path: Path) -> dict:
    """What the rows of a results file share. Raises UserError where it is missing or damaged."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        raise UserError(f"{path}: its configuration {beside.name} is missing; restore it or move the rows away")
    try:
        known = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{beside}: not JSON ({error})") from None
    if not isinstance(known, dict):
        raise UserError(f"{beside}: expected a JSON object with a configuration, found another value")
    return known


def differences(first: dict, second: dict) -> list[str]:
    """Dotted names of the values that differ."""
    a, b = (pd.json_normalize(part).to_dict("records")[0] for part in (first, second))
    return [f"{key}: {a.get(key)} and {b.get(key)}" for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
