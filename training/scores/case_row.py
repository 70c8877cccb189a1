"""The row of one case: its mask against its label, and what is known of the run that made the mask."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.dataset import PackedCase
from training.scores.metrics import Scores, mask_facts, mean_scores, score
from training.scores.rows import Row

NO_SCORES = Scores(math.nan, math.nan, math.nan)
NO_RUN: dict[str, Any] = {
    "train_seconds": math.nan,
    "epochs": 0,
    "peak_mb": math.nan,
    "machine": "",
}  # of a mask that no run made


@dataclass(frozen=True, eq=False)
class Prediction:
    """Boolean masks (z, y, x): on the patient's grid and, where the protocol resamples, on its own grid with the label."""

    mask: np.ndarray
    grid_mask: np.ndarray | None = None
    grid_label: np.ndarray | None = None
    grid_spacing_mm: tuple[float, float, float] | None = None


def case_row(case: PackedCase, prediction: Prediction, key: tuple[str, int, int], **facts: Any) -> Row:
    """Everything the results say about one case."""
    grid = NO_SCORES
    if prediction.grid_mask is not None and prediction.grid_label is not None and prediction.grid_spacing_mm is not None:
        grid = score(prediction.grid_mask, prediction.grid_label, prediction.grid_spacing_mm)
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


def mean_lines(rows: Sequence[Row], methods: Iterable[str]) -> str:
    """A line of mean scores for each method."""
    means = {
        method: mean_scores([Scores(row.dice, row.masd_mm, row.nsd) for row in rows if row.method == method])
        for method in methods
    }
    return "\n".join(
        f"{method:18} Dice {mean.dice:.4f}  MASD {mean.masd_mm:.2f} mm  NSD {mean.nsd:.4f}" for method, mean in means.items()
    )
