"""Rows of the study for the tests of its statistics and pages: single ones, and whole invented studies on disk."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd

from training.common.loss_names import LOSS_NAMES
from training.data.splits import FOLDS, SPLITS, read_folds
from training.scores.methods import RULE, STUDY
from training.scores.rows import Epoch, Row, as_frame, curves_path, write_records

NAN = math.nan


def row(case: str = "a", method: str = "dice", **fields: float | str) -> Row:
    """A row of which a test names what matters."""
    values = {field.name: 0.0 if field.type is float else field.type() for field in dataclasses.fields(Row)}
    return Row(
        **(values | {"case": case, "method": method, "true_lesions": 1, "lesion_load": 0.02, "slice_mm": 2.0} | fields)
    )


def table(*rows: Row) -> pd.DataFrame:
    return as_frame(rows, Row)


def invented_rows(method: str, fold: int, seed: int = 0) -> list[Row]:
    """Rows of one run that look like real ones: harder for small lesions, each loss a little different."""
    return [invented_row(case, method, fold, seed) for case in read_folds(SPLITS).held_out[fold]]


def invented_row(case: str, method: str, fold: int, seed: int) -> Row:
    """A case's own difficulty is the same for every method; some have no lesion, and some masks are empty."""
    number, network = int(case.split("_")[1].split("-")[0]), method != RULE
    nature, chance = np.random.default_rng(number), np.random.default_rng([number, list(STUDY).index(method)])
    load = 0.0 if number % 11 == 0 else float(np.clip(10 ** nature.normal(-2.2, 0.8), 1e-4, 0.4))
    dice = float(np.clip(0.45 + 0.18 * (math.log10(load or 1) + 2.2) + chance.normal(0, 0.08), 0.01, 0.95))
    scores, reason = (dice, 12 * (1 - dice) ** 2, min(dice * 1.25, 1)), ""
    if not load or chance.random() > 0.93:
        scores, reason = (0.0, NAN, 0.0), "no prediction" if load else "no lesion"
    facts = {"lesion_load": load, "true_ml": 300 * load, "true_lesions": 2 * bool(load), "nan_reason": reason}
    facts |= dict(zip(("dice", "masd_mm", "nsd"), scores, strict=True))
    return row(case, method, fold=fold, seed=seed if network else -1, epochs=30 * network, **facts)


def invented_curve(method: str, fold: int, seed: int = 0, epochs: int = 30) -> list[Epoch]:
    """A loss that falls, and a held-out score every fifth epoch."""
    chance = np.random.default_rng([LOSS_NAMES.index(method), fold, seed])
    scale = 40 if method == "hausdorffdt" else 0.7
    for epoch in range(1, epochs + 1):
        dice = 0.5 * (1 - math.exp(-epoch / 8)) + chance.normal(0, 0.02) if epoch % 5 == 0 else NAN
        loss = scale * (0.3 + math.exp(-epoch / 10)) + chance.normal(0, 0.02 * scale)
        yield Epoch(method, fold, seed, epoch, loss, dice, dice)


def write_results(folder: Path, protocol: str, runs: dict[str, tuple[int, ...]], seeds: tuple[int, ...] = (0,)) -> Path:
    """The results of some folds of some losses, with the rule on all cases; returns the rows' file."""
    rows = [r for fold in range(FOLDS) for r in invented_rows(RULE, fold)]
    keys = [(loss, fold, seed) for loss, folds in runs.items() for fold in folds for seed in seeds]
    rows += [r for key in keys for r in invented_rows(*key)]
    path = folder / f"{protocol}.csv"
    write_records(rows, path, Row)
    write_records([e for key in keys for e in invented_curve(*key)], curves_path(path), Epoch)
    return path
