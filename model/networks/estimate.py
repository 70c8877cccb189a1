"""The Z map estimated from the ADC map alone, and what segments the cases of a run: those with a Z map and those without."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.brain import brain_box, brain_mask, uncrop
from model.networks.inputs import estimate_input
from model.networks.predict import Predictor, answer_crop
from model.networks.stored import Engine, Ensemble, load_ensemble, zmap_folder


def estimate_z(ensemble: Ensemble, adc: np.ndarray) -> np.ndarray:
    """The Z map that an ensemble of estimating networks makes of an ADC map: float32 (z, y, x), 0 outside the brain.

    The mean over networks and flips, clipped as the published maps are. adc: 1e-6 mm2/s, float32 (z, y, x) in the learnt
    order, with at least one brain voxel. Raises UserError where the answer is not finite.
    """
    brain, total = brain_mask(adc), np.zeros(adc.shape, np.float32)
    for network, model in zip(ensemble.networks, ensemble.models, strict=True):
        box = brain_box(brain, model.margin)
        total += uncrop(answer_crop(network, estimate_input(adc[box], model), model, ensemble.inference), box, adc.shape)
    if not np.isfinite(total).all():
        raise UserError(f"weights {ensemble.id}: the estimated Z map is not finite, no mask can be drawn from it")
    limit = ensemble.models[0].zadc_clip
    return np.where(brain, np.clip(total / len(ensemble.models), -limit, limit), np.float32(0))


class EstimatingPredictor(Predictor):
    """Segments cases that have no Z map, on one that it estimates first."""

    def __init__(self, zmap: Ensemble, lesions: Ensemble) -> None:
        super().__init__(lesions)
        self.zmap = zmap

    def estimate(self, adc: np.ndarray) -> np.ndarray:
        """See `estimate_z`."""
        return estimate_z(self.zmap, adc)


class Predictors:
    """What segments the cases of a run. Each is loaded when the first case needs it."""

    def __init__(
        self, load_given: Callable[[], Predictor], load_estimating: Callable[[], EstimatingPredictor] | None = None
    ) -> None:
        self._load_given, self._load_estimating = load_given, load_estimating

    @functools.cached_property
    def given(self) -> Predictor:
        """For cases with a Z map."""
        return self._load_given()

    @functools.cached_property
    def estimating(self) -> EstimatingPredictor:
        """For cases without one. Raises ValueError where no estimates were asked for."""
        if not self._load_estimating:
            raise ValueError("no estimates were asked for")
        return self._load_estimating()

    def of(self, *, estimated: bool) -> Predictor:
        """The one for a case whose Z map is estimated, or for one that has its own."""
        return self.estimating if estimated else self.given

    def load(self) -> None:
        """Load all at once, before the first case."""
        for estimated in (False, True) if self._load_estimating else (False,):
            self.of(estimated=estimated)


def load_predictors(folder: Path, engine: Engine, *, estimate_z: bool, say: Callable[[str], object]) -> Predictors:
    """The predictors of a folder of weights; `say` gets a line for each that is loaded."""

    def load_given() -> Predictor:
        predictor = Predictor(load_ensemble(folder, engine))
        say(f"weights: {predictor.ensemble.id} from {folder}")
        return predictor

    def load_estimating() -> EstimatingPredictor:
        predictor = load_estimating_predictor(folder, engine, lambda: predictors.given.ensemble)
        say(f"weights for estimated Z maps: {predictor.ensemble.id} from {zmap_folder(folder)}")
        return predictor

    predictors = Predictors(load_given, load_estimating if estimate_z else None)
    return predictors


def load_estimating_predictor(folder: Path, engine: Engine, lesions: Callable[[], Ensemble]) -> EstimatingPredictor:
    """The networks that estimate, with the lesion decision that was fitted to their estimates.

    lesions: gives the networks that find lesions. They are asked only where that decision's calibration gives them a weight.
    Raises UserError as `load_ensemble`, and when the folder has no networks that estimate.
    """
    zmap = load_ensemble(zmap_folder(folder), engine, estimates_z=True)
    if zmap.decision and zmap.decision.calibration.networks == 0:
        return EstimatingPredictor(zmap, replace(zmap, networks=(), models=(), groups=()))
    networks = lesions()
    identity = hashlib.sha256((zmap.id + networks.id).encode()).hexdigest()[:12]
    return EstimatingPredictor(zmap, replace(networks, decision=zmap.decision, id=identity))
