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


def invented_rows(protocol: str, method: str, fold: int, seed: int = 0) -> list[Row]:
    """Rows of one run that look like real ones: harder for small lesions, each loss a little different."""
    return [invented_row(protocol, case, method, fold, seed) for case in read_folds(SPLITS).held_out[fold]]


def invented_row(protocol: str, case: str, method: str, fold: int, seed: int) -> Row:
    """A case's own difficulty is the same for every method."""
    number = int(case.split("_")[1].split("-")[0])
    nature, chance = np.random.default_rng(number), np.random.default_rng([number, list(STUDY).index(method)])
    load = 0.0 if number % 11 == 0 else float(np.clip(10 ** nature.normal(-2.2, 0.8), 1e-4, 0.4))
    found = chance.random() < (0.5 if load == 0 else 0.93)
    skill = {RULE: 0.4, "hausdorffdt": 0.38}.get(method, 0.48 + 0.03 * method.endswith("-hausdorffdt"))
    dice = float(np.clip(skill + 0.18 * (math.log10(load or 1) + 2.2) + chance.normal(0, 0.08), 0.01, 0.95))
    scores = (dice, 12 * (1 - dice) ** 2, min(dice * 1.25, 1)) if found else (0.0, NAN, 0.0)
    if load == 0:
        scores = (0.0, NAN, 0.0) if found else (1.0, 0.0, 1.0)
    grid = [s * 1.02 for s in scores] if protocol == "paper" and method != RULE else [NAN] * 3
    network = method != RULE
    return Row(
        case=case,
        method=method,
        fold=fold,
        seed=seed if network else -1,
        dice=scores[0],
        masd_mm=scores[1],
        nsd=scores[2],
        nan_reason=("no prediction" if load else "no lesion") if math.isnan(scores[1]) else "",
        predicted_ml=300 * load,
        true_ml=300 * load,
        lesion_load=load,
        slice_mm=float(nature.choice([2.0, 4.0, 6.0])),
        predicted_lesions=3,
        true_lesions=2 if load else 0,
        lesion_precision=chance.random() if found else NAN,
        lesion_recall=chance.random() if load else NAN,
        grid_dice=grid[0],
        grid_masd_mm=grid[1],
        grid_nsd=grid[2],
        train_seconds=400 + 10 * fold if network else NAN,
        epochs=30 * network,
        predict_seconds=1.5 * network,
        peak_mb=900.0 if network else NAN,
        machine="x86_64 CPU, 2 threads" if network else "",
    )


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
    rows = [r for fold in range(FOLDS) for r in invented_rows(protocol, RULE, fold)]
    keys = [(loss, fold, seed) for loss, folds in runs.items() for fold in folds for seed in seeds]
    rows += [r for key in keys for r in invented_rows(protocol, *key)]
    path = folder / f"{protocol}.csv"
    write_records(rows, path, Row)
    write_records([e for key in keys for e in invented_curve(*key)], curves_path(path), Epoch)
    return path
