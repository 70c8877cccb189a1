"""A case shown to a predictor in the orientation that the networks learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.images.orientation import turn_to_learnt

if TYPE_CHECKING:
    from model.images.case import Case
    from model.networks.predict import Predictor, Segmentation
    from model.networks.predictors import EstimatingPredictor


def estimate_as_learnt(case: Case, predictor: EstimatingPredictor) -> Case:
    """The case with the Z map that is estimated from its ADC map, on the case's own grid."""
    turn = turn_to_learnt(case.grid)
    estimate = predictor.estimator.estimate(turn.there(case.adc.voxels), turn.spacing_mm(case.grid))
    return case.with_estimate(turn.back(estimate))


def segment_as_learnt(case: Case, predictor: Predictor) -> Segmentation:
    """What the ensemble says about a case, on the case's own grid: the same however its voxels are stored."""
    turn = turn_to_learnt(case.grid)
    found = predictor.segment(turn.there(case.adc.voxels), turn.there(case.zadc.voxels), turn.spacing_mm(case.grid))
    mask, probabilities, groups = (turn.back(part) for part in (found.mask, found.probabilities, found.groups))
    return replace(found, mask=mask, probabilities=probabilities, groups=groups)
