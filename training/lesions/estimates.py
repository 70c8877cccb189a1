"""Z maps of labelled cases that are estimated out of fold, with an atlas and without."""

from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from model.lesions.brain_map import BrainMap
from model.lesions.estimate import ESTIMATE_FEATURES
from training.data.dataset import PackedCase
from training.data.splits import numbers_of_folds
from training.lesions.fit_atlas import AtlasFit
from training.lesions.fit_estimate import VoxelTable, fit_estimator
from training.scores.methods import ESTIMATES


def estimate_folds(
    cases: dict[str, PackedCase], tables: dict[str, VoxelTable], fit: AtlasFit, methods: Sequence[str] = ESTIMATES
) -> dict[str, dict[str, PackedCase]]:
    """By method of ESTIMATES, every case with the Z map that trees, which did not see it, estimate in the place of its own.

    Nor did the atlas see it: of each fold one is made of the other cases, to which its held-out cases are registered.
    """
    estimated: dict[str, dict[str, PackedCase]] = {method: {} for method in methods}
    for fold in tqdm(numbers_of_folds(cases.values()), desc="estimates", unit="fold", disable=None):
        training = [name for name, case in cases.items() if case.fold != fold]
        held_out = [case for case in cases.values() if case.fold == fold]
        seen = fit.of(training)
        some = [tables[name] for name in training]
        beside = with_atlas(cases, some, seen)
        registered = [seen.atlas.register(case.adc, case.spacing_mm) for case in held_out]
        fitted_to = {
            "decision": (beside, seen.atlas),
            "no-atlas": (some, None),
            "atlas-alone": ([atlas_alone(table) for table in beside], seen.atlas),
        }
        for method in methods:
            estimator = fit_estimator(*fitted_to[method])
            for case, place in zip(held_out, registered, strict=True):
                zadc = estimator.estimate(case.adc, case.spacing_mm, place)
                estimated[method][case.name] = replace(case, zadc=zadc)
    return estimated


def with_atlas(cases: dict[str, PackedCase], tables: Sequence[VoxelTable], fit: AtlasFit) -> list[VoxelTable]:
    """The tables with the atlas's features; what an atlas says about a case of its own is taken from one without it."""
    return [
        table.with_atlas(
            BrainMap(cases[table.name].adc, cases[table.name].spacing_mm), fit.without(table.name), fit.places[table.name]
        )
        for table in tables
    ]


def atlas_alone(table: VoxelTable) -> VoxelTable:
    """The table without what the other features say."""
    features = table.features.copy()
    features[:, : len(ESTIMATE_FEATURES)] = 0
    return replace(table, features=features)
