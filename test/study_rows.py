"""Rows of the study for the tests of its statistics and pages: invented ones, and parts of the committed ones."""

import dataclasses
import math
from pathlib import Path

import pandas as pd

from training.scores.methods import RULE
from training.scores.rows import RESULTS, Epoch, Row, as_frame, curves_path, read_records, run_key, write_records

NAN = math.nan


def row(case: str = "a", method: str = "dice", **fields: float | str) -> Row:
    """A row of which a test names what matters."""
    values = {field.name: 0.0 if field.type is float else field.type() for field in dataclasses.fields(Row)}
    return Row(
        **(values | {"case": case, "method": method, "true_lesions": 1, "lesion_load": 0.02, "slice_mm": 2.0} | fields)
    )


def table(*rows: Row) -> pd.DataFrame:
    return as_frame(rows, Row)


def write_results(folder: Path, protocol: str, runs: dict[str, tuple[int, ...]], seeds: tuple[int, ...] = (0,)) -> Path:
    """Some folds of some losses of the committed results, with the rule on all cases; returns the rows' file."""
    keys = {(loss, seed, fold) for loss, folds in runs.items() for fold in folds for seed in seeds}
    path, committed = folder / f"{protocol}.csv", RESULTS / f"{protocol}.csv"
    for kind, source, target in ((Row, committed, path), (Epoch, curves_path(committed), curves_path(path))):
        chosen = [one for one in read_records(source, kind) if run_key(one) in keys or one.method == RULE]
        write_records(chosen, target, kind)
    return path
