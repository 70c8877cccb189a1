"""The Z map estimated from the ADC map alone, and what segments the cases of a run: those with a Z map and those without."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model.errors import UserError
from model.lesions.certainty import NOT_FITTED
from model.lesions.estimate import ZEstimator
from model.lesions.own_atlas import read_atlas
from model.networks.predict import Predictor
from model.networks.stored import ATLAS, ESTIMATE, ZMAP, Engine, Ensemble, load_ensemble, network_files, trees_alone
from model.networks.stored_estimator import load_estimator, zmap_folder


class EstimatingPredictor(Predictor):
    """Segments cases that have no Z map, on one that it estimates first.

    without_atlas: takes its place where a case does not fit the atlas; None where the estimator asks none.
    """

    def __init__(self, estimator: ZEstimator, lesions: Ensemble, without_atlas: EstimatingPredictor | None = None) -> None:
        super().__init__(lesions)
        self.estimator, self.without_atlas = estimator, without_atlas


class Predictors:
    """What segments the cases of a run, by the weights of a folder. Each is loaded when the first case needs it.

    engine: called where networks are loaded. say: gets a line for each predictor. atlas_files: mean and standard deviation,
    which take the place of those of the folder's atlas. networks: how many are asked, by default all.
    """

    def __init__(
        self,
        folder: Path,
        engine: Callable[[], Engine],
        say: Callable[[str], object] = lambda _: None,
        atlas_files: tuple[Path, Path] | None = None,
        networks: int | None = None,
    ) -> None:
        self._folder, self._engine, self._say, self._atlas_files = folder, engine, say, atlas_files
        self._networks = networks

    @functools.cached_property
    def given(self) -> Predictor:
        """For cases with a Z map. Raises UserError where the weights cannot be used."""
        asks = self._networks != 0 and network_files(self._folder)
        predictor = Predictor(load_ensemble(self._folder, self._engine() if asks else None, networks=self._networks))
        self._say(f"weights: {predictor.ensemble.id} from {self._folder}")
        return predictor

    @functools.cached_property
    def estimating(self) -> EstimatingPredictor:
        """For cases without one. Raises UserError where the weights cannot estimate."""
        predictor = load_estimating_predictor(self._folder, lambda: self.given.ensemble, self._atlas_files)
        asked = predictor.estimator.atlas
        where = f"{self._folder / ATLAS}, atlas: {asked.name}" if asked else f"{self._folder / ZMAP}, without an atlas"
        self._say(f"weights for estimated Z maps: {predictor.ensemble.id} from {where}")
        return predictor

    def of(self, *, estimated: bool) -> Predictor:
        """The one for a case whose Z map is estimated, or for one that has its own."""
        return self.estimating if estimated else self.given

    @property
    def atlas(self) -> str:
        """The name of the atlas beside which Z maps are estimated; empty where they are estimated without one."""
        atlas = self.estimating.estimator.atlas
        return atlas.name if atlas else ""


def load_estimating_predictor(
    folder: Path, lesions: Callable[[], Ensemble], atlas_files: tuple[Path, Path] | None = None
) -> EstimatingPredictor:
    """The trees that estimate, each with the lesion decision that was fitted to their estimates.

    Those that ask an atlas, where the folder has them, with those that do not beside them: both have the id of all.
    lesions: gives the networks that find lesions. They are asked only where a decision's calibration gives them a weight.
    atlas_files: mean and standard deviation, which take the place of those of the folder's atlas; how sure masks are is not
    known then.
    Raises UserError as `load_estimator` and `read_atlas`, and when the folder cannot estimate or has no atlas to replace.
    """
    plain = _estimating(zmap_folder(folder), lesions)
    if not (folder / ATLAS / f"{ESTIMATE}.safetensors").is_file():
        if atlas_files:
            raise UserError(f"--atlas: {folder / ATLAS}: these weights ask no atlas, no {ESTIMATE}.safetensors")
        return plain
    asking = _estimating(folder / ATLAS, lesions)
    built_in = asking.estimator.atlas
    atlas = read_atlas(*atlas_files, built_in) if atlas_files and built_in else None
    identity = asking.ensemble.id + plain.ensemble.id + (atlas.digest if atlas else "")
    identity = hashlib.sha256(identity.encode()).hexdigest()[:12]
    estimator = replace(asking.estimator, atlas=atlas or built_in)
    plain = EstimatingPredictor(plain.estimator, replace(plain.ensemble, id=identity))
    ensemble = replace(asking.ensemble, id=identity)
    if atlas and ensemble.decision:
        ensemble = replace(ensemble, decision=replace(ensemble.decision, certainty=NOT_FITTED))
    return EstimatingPredictor(estimator, ensemble, plain)


def _estimating(folder: Path, lesions: Callable[[], Ensemble]) -> EstimatingPredictor:
    estimator, decision, identity = load_estimator(folder)
    if decision.calibration.networks == 0:
        return EstimatingPredictor(estimator, trees_alone(decision, identity))
    networks = lesions()
    if not networks.networks:
        raise UserError(f"--networks 0: the decision in {folder} weighs networks")
    identity = hashlib.sha256((identity + networks.id).encode()).hexdigest()[:12]
    return EstimatingPredictor(estimator, replace(networks, decision=decision, id=identity))
