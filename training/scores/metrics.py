"""The challenge's three scores, with its own definitions (bonbidhie_eval/evaluation.py).

Surface distances come from DeepMind's surface-distance, as in the official scorer.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import surface_distance
from scipy import ndimage

NSD_TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class Scores:
    """One case. `masd_mm` is NaN where exactly one of the masks is empty."""

    dice: float
    masd_mm: float
    nsd: float


@dataclass(frozen=True)
class Metric:
    """How one of `Scores` is called and written."""

    name: str
    official: str  # in the challenge's metrics.json
    digits: int
    detail: str = ""
    less_is_better: bool = False

    @property
    def title(self) -> str:
        """Name and detail, as the head of a column."""
        return f"{self.name} {self.detail}".strip()


METRICS = {  # by the fields of Scores, in their order
    "dice": Metric("Dice", "DiceCoefficient", 3),
    "masd_mm": Metric("MASD", "MASD", 2, "mm", less_is_better=True),
    "nsd": Metric("NSD", "NSD", 3, f"at {NSD_TOLERANCE_MM:g} mm"),
}


def score(prediction: np.ndarray, label: np.ndarray, spacing_mm: tuple[float, float, float]) -> Scores:
    """Dice, mean average surface distance and normalised surface Dice at 2 mm.

    prediction, label: boolean (z, y, x) of one shape; spacing_mm: (z, y, x). Both empty: 1, 0 mm, 1. One empty: 0, NaN, 0.
    Like the official scorer, hands the in-plane spacing over as (x, y) although the arrays are (y, x): the two differ in
    one known case only.

    Raises ValueError when the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction is {prediction.shape}, label is {label.shape}")
    if not prediction.any() and not label.any():
        return Scores(dice_of(prediction, label), 0.0, 1.0)
    if not prediction.any() or not label.any():
        return Scores(0.0, math.nan, 0.0)
    z, y, x = spacing_mm
    distances = surface_distance.compute_surface_distances(label, prediction, (z, x, y))
    return Scores(
        dice=dice_of(prediction, label),
        masd_mm=float(np.mean(surface_distance.compute_average_surface_distance(distances))),
        nsd=float(surface_distance.compute_surface_dice_at_tolerance(distances, NSD_TOLERANCE_MM)),
    )


def dice_of(prediction: np.ndarray, label: np.ndarray) -> float:
    """Dice of two boolean masks of one shape; 1 when both are empty."""
    both_empty = not prediction.any() and not label.any()
    return 1.0 if both_empty else float(surface_distance.compute_dice_coefficient(label, prediction))


def mask_facts(prediction: np.ndarray, label: np.ndarray, spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    """What is said about one mask and its label, boolean (z, y, x), by the names that the fields of result rows have.

    Lesions are 26-connected; precision is the share of the predicted ones that touch a true one, recall of the true ones
    that are touched; NaN without any.
    """
    (predicted, found), (true, there) = (ndimage.label(mask, np.ones((3, 3, 3))) for mask in (prediction, label))
    voxel_ml = math.prod(spacing_mm) / 1000
    return asdict(score(prediction, label, spacing_mm)) | {
        "nan_reason": nan_reason(prediction, label),
        "predicted_ml": float(prediction.sum()) * voxel_ml,
        "true_ml": float(label.sum()) * voxel_ml,
        "predicted_lesions": found,
        "true_lesions": there,
        "lesion_precision": _share_hit(predicted, found, label),
        "lesion_recall": _share_hit(true, there, prediction),
    }


def _share_hit(lesions: np.ndarray, count: int, mask: np.ndarray) -> float:
    """The share of numbered lesions that have a voxel in a mask."""
    return np.count_nonzero(np.unique(lesions[mask])) / count if count else math.nan


def nan_reason(prediction: np.ndarray, label: np.ndarray) -> str:
    """Why a case has no MASD; empty where it has one."""
    if prediction.any() == label.any():
        return ""
    return "no prediction" if label.any() else "no lesion"


def mean_scores(scores: list[Scores]) -> Scores:
    """Mean per metric; NaN distances are left out, as the challenge does. NaN where nothing is left."""
    distances = [s.masd_mm for s in scores if not math.isnan(s.masd_mm)]
    return Scores(
        dice=float(np.mean([s.dice for s in scores])),
        masd_mm=float(np.mean(distances)) if distances else math.nan,
        nsd=float(np.mean([s.nsd for s in scores])),
    )
