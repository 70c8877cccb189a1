"""The row of one case: its mask against its label, and what is known of the run that made the mask."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.dataset import PackedCase
from training.data.splits import fold_number
from training.scores.metrics import METRICS, Scores, mask_facts, score
from training.scores.rows import Row, as_frame

NO_RUN = {"train_seconds": math.nan, "epochs": 0, "peak_mb": math.nan, "machine": ""}  # of a mask that no run made


@dataclass(frozen=True, eq=False)
class Prediction:
    """Boolean masks (z, y, x): on the patient's grid and, where the protocol resamples, on its own: mask, label, mm."""

    mask: np.ndarray
    on_grid: tuple[np.ndarray, np.ndarray, tuple[float, float, float]] | None = None


def case_row(case: PackedCase, prediction: Prediction, key: tuple[str, int, int], **facts: Any) -> Row:
    grid = score(*prediction.on_grid) if prediction.on_grid else Scores(math.nan, math.nan, math.nan)
    return Row(
        case=case.name,
        method=key[0],
        fold=key[1],
        seed=key[2],
        lesion_load=case.lesion_load,
        slice_mm=case.spacing_mm[0],
        grid_dice=grid.dice,
        grid_masd_mm=grid.masd_mm,
        grid_nsd=grid.nsd,
        **mask_facts(prediction.mask, case.label, case.spacing_mm),
        **facts,
    )


def rows_without_run(case: PackedCase, masks: Mapping[str, np.ndarray], seed: int = 0) -> list[Row]:
    """The rows of masks that no run of the study made, boolean (z, y, x) by method, of a case with its fold."""
    facts = NO_RUN | {"predict_seconds": math.nan}
    return [case_row(case, Prediction(mask), (m, fold_number(case), seed), **facts) for m, mask in masks.items()]


def mean_lines(rows: Sequence[Row]) -> str:
    """A line of mean scores for each method, in the order of the rows."""
    means = as_frame(rows, Row).groupby("method")[list(METRICS)].mean()
    lines = ((method, *means.loc[method]) for method in dict.fromkeys(row.method for row in rows))
    return "\n".join(f"{method:18} Dice {dice:.4f}  MASD {masd:.2f} mm  NSD {nsd:.4f}" for method, dice, masd, nsd in lines)
