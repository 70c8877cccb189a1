"""The Z map estimated from the ADC map alone, and what segments the cases of a run: those with a Z map and those without."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model.lesions.estimate import ZEstimator
from model.networks.config import InferenceConfig
from model.networks.predict import Predictor
from model.networks.stored import Engine, Ensemble, load_ensemble, load_estimator, zmap_folder


class EstimatingPredictor(Predictor):
    """Segments cases that have no Z map, on one that it estimates first."""

    def __init__(self, estimator: ZEstimator, lesions: Ensemble) -> None:
        super().__init__(lesions)
        self.estimator = estimator


class Predictors:
    """What segments the cases of a run. Each is loaded when the first case needs it."""

    def __init__(self, load_given: Callable[[], Predictor], load_estimating: Callable[[], EstimatingPredictor]) -> None:
        self._load_given, self._load_estimating = load_given, load_estimating

    @functools.cached_property
    def given(self) -> Predictor:
        """For cases with a Z map."""
        return self._load_given()

    @functools.cached_property
    def estimating(self) -> EstimatingPredictor:
        """For cases without one. Raises UserError where the weights cannot estimate."""
        return self._load_estimating()

    def of(self, *, estimated: bool) -> Predictor:
        """The one for a case whose Z map is estimated, or for one that has its own."""
        return self.estimating if estimated else self.given

    def load(self, *, estimate_z: bool) -> None:
        """Load all that the cases of a run can need, before the first one."""
        for estimated in (False, True) if estimate_z else (False,):
            self.of(estimated=estimated)


def load_predictors(folder: Path, engine: Engine, *, say: Callable[[str], object]) -> Predictors:
    """The predictors of a folder of weights; `say` gets a line for each that is loaded."""

    def load_given() -> Predictor:
        predictor = Predictor(load_ensemble(folder, engine))
        say(f"weights: {predictor.ensemble.id} from {folder}")
        return predictor

    def load_estimating() -> EstimatingPredictor:
        predictor = load_estimating_predictor(folder, lambda: predictors.given.ensemble)
        say(f"weights for estimated Z maps: {predictor.ensemble.id} from {zmap_folder(folder)}")
        return predictor

    predictors = Predictors(load_given, load_estimating)
    return predictors


def load_estimating_predictor(folder: Path, lesions: Callable[[], Ensemble]) -> EstimatingPredictor:
    """The trees that estimate, with the lesion decision that was fitted to their estimates.

    lesions: gives the networks that find lesions. They are asked only where that decision's calibration gives them a weight.
    Raises UserError as `load_estimator`, and when the folder cannot estimate.
    """
    estimator, decision, identity = load_estimator(zmap_folder(folder))
    if decision.calibration.networks == 0:
        return EstimatingPredictor(estimator, Ensemble((), (), InferenceConfig(), identity, (), decision, "numpy", "cpu"))
    networks = lesions()
    identity = hashlib.sha256((identity + networks.id).encode()).hexdigest()[:12]
    return EstimatingPredictor(estimator, replace(networks, decision=decision, id=identity))
