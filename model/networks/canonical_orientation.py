"""A case shown to a predictor in the canonical orientation, in which the networks were trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.images.orientation import turn_to_canonical

if TYPE_CHECKING:
    from model.images.case import Case
    from model.networks.predict import Predictor, Segmentation
    from model.networks.predictors import EstimatingPredictor


def estimate_canonical(case: Case, predictor: EstimatingPredictor) -> tuple[Case, EstimatingPredictor]:
    """The case with the Z map that is estimated from its ADC map, on the case's own grid; and what segments it.

    That is the predictor, or the one without an atlas where the case does not fit the atlas, which its warnings say then.
    """
    turn = turn_to_canonical(case.grid)
    adc, spacing_mm = turn.to_canonical(case.adc.voxels), turn.spacing_mm(case.grid)
    registration = None
    if predictor.estimator.atlas and predictor.without_atlas:
        registration = predictor.estimator.atlas.register(adc, spacing_mm)
        if not registration.usable:
            predictor = predictor.without_atlas
    estimate = predictor.estimator.estimate(adc, spacing_mm, registration)
    return case.with_estimate(turn.from_canonical(estimate), registration), predictor


def segment_canonical(case: Case, predictor: Predictor) -> Segmentation:
    """What the ensemble says about a case, on the case's own grid: the same however its voxels are stored."""
    turn = turn_to_canonical(case.grid)
    found = predictor.segment(
        turn.to_canonical(case.adc.voxels), turn.to_canonical(case.zadc.voxels), turn.spacing_mm(case.grid)
    )
    mask, probabilities = (turn.from_canonical(part) for part in (found.mask, found.probabilities))
    return replace(found, mask=mask, probabilities=probabilities)
