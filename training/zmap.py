"""Estimates the Z map from the ADC map alone, out of fold, and scores what is found on such maps.

Example, the rows of docs/accuracy.md, and the files that `--estimate-z` runs on:

    python -m training.zmap --data data/packed
    python -m training.zmap --data data/packed --ship

For each fold trees are fitted to the ADC and Z maps of the other four, whose lesions weigh more, and estimate the Z maps of
its cases. The lesion decision is fitted to such out-of-fold estimates, again of the other four folds, because that is what
it will see. Those estimates are by trees that saw this fold, which may flatter (stacking). Z errors go to zmap.csv in
--results, the scores to estimated.csv: of that decision, of the rule Z < -2 on the estimates, and of the ADC below the
threshold that is best on the other four folds, which needs no estimate. How sure the decision's masks are goes to
estimated-lesions.csv and estimated-cases.csv. The same is done without an atlas and from the atlas alone. --ship writes
trees fitted to all cases, with and without an atlas, each with a decision fitted to all out-of-fold estimates of its kind.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.files import require_writable
from model.images.limits import LARGEST_PUBLISHED_Z
from model.lesions.brain_map import BrainMap
from model.lesions.candidates import FEATURES
from model.lesions.decision import Decision, most_dice
from model.networks.stored import ATLAS, ZMAP, save_decision
from model.networks.stored_estimator import save_estimator
from training.common.cli import add_data_option, command_parser, run
from training.common.provenance import of_fit
from training.data.dataset import PackedCase, load_folds
from training.data.splits import fold_number
from training.lesions.estimates import estimate_folds, with_atlas
from training.lesions.fit_atlas import AtlasFit, fit_atlas
from training.lesions.fit_certainty import Marked
from training.lesions.fit_estimate import LOW_Z, VoxelTable, fit_estimator, voxel_table
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees, trees_by_fold
from training.lesions.held_out import HeldOut, answers_of_trees, calibrated, fit_calibration, nested_calibrations
from training.lesions.networks import require_sidecars
from training.scores.case_row import mean_lines, rows_without_run
from training.scores.configuration import configuration_of
from training.scores.methods import ESTIMATED, RULE
from training.scores.metrics import dice_of
from training.scores.places import add_results_option, add_weights_option, open_results, weights_of
from training.scores.rows import MarkedCase, MarkedLesion, Row, ZError, replace_records, write_records
from training.scores.rule import rule_mask

SMOOTHED_MM = 2.0  # the ADC of the threshold
THRESHOLDS = tuple(range(500, 1501, 50))  # 1e-6 mm2/s


def z_error(case: PackedCase, estimated: PackedCase, method: str) -> ZError:
    """The estimate of one case against its own Z map."""
    given, found = (
        np.clip(c.zadc, -LARGEST_PUBLISHED_Z, LARGEST_PUBLISHED_Z)[case.brain].astype(float) for c in (case, estimated)
    )
    error, lesion = found - given, case.label[case.brain]

    def median(values: np.ndarray) -> float:
        return float(np.median(values)) if values.size else math.nan

    return ZError(
        case=case.name,
        method=method,
        fold=fold_number(case),
        brain_median=median(np.abs(error)),
        brain_p90=float(np.percentile(np.abs(error), 90)),
        low_median=median(np.abs(error[given < LOW_Z])),
        lesion_median=median(np.abs(error[lesion])),
        lesion_bias=median(error[lesion]),
        correlation=float(np.corrcoef(found, given)[0, 1]),
    )


def threshold_masks(case: PackedCase) -> list[np.ndarray]:
    """Where the smoothed ADC is below each of THRESHOLDS, boolean (z, y, x)."""
    brain_map, smooth = BrainMap(case.adc, case.spacing_mm), np.full(case.adc.shape, np.inf)
    smooth[brain_map.box] = np.where(brain_map.brain, brain_map.smooth(brain_map.adc, SMOOTHED_MM), np.inf)
    return [smooth < threshold for threshold in THRESHOLDS]


def adc_masks(cases: dict[str, PackedCase]) -> dict[str, np.ndarray]:
    """By case: smoothed ADC below the threshold with the best mean Dice on the other folds."""
    masks = {name: threshold_masks(case) for name, case in cases.items()}
    dice = {name: [dice_of(mask, cases[name].label) for mask in some] for name, some in masks.items()}
    chosen = {}
    for name, case in cases.items():
        others = [dice[other] for other, one in cases.items() if one.fold != case.fold]
        chosen[name] = masks[name][int(np.mean(others, axis=0).argmax())]
    return chosen


@dataclass(frozen=True, eq=False)
class Found:
    """What is found on estimates. parts, candidates, marked: what their decision is fitted to; masks: by case, nested."""

    parts: list[HeldOut]
    candidates: dict[str, CandidateTable]
    masks: dict[str, np.ndarray]
    marked: Marked

    @classmethod
    def on(cls, estimated: dict[str, PackedCase]) -> "Found":
        """Of each case by a decision that was fitted to the estimates of the other folds."""
        candidates = {name: candidate_table(case) for name, case in estimated.items()}
        trees = trees_by_fold(candidates)
        parts = answers_of_trees(estimated, candidates, trees)
        answers = calibrated(parts, trees, nested_calibrations(parts, trees_alone=True))
        masks = {name: most_dice(probabilities) for name, probabilities in answers.items()}
        return cls(parts, candidates, masks, Marked.of(parts, answers))

    def decision(self) -> Decision:
        """Fitted to all of them."""
        calibration = fit_calibration(self.parts, trees_alone=True)
        return Decision(fit_trees(list(self.candidates.values())), FEATURES, calibration, self.marked.fit())


def ship(
    cases: dict[str, PackedCase], tables: dict[str, VoxelTable], fit: AtlasFit, found: dict[str, Found], weights: Path
) -> None:
    """Write trees fitted to all cases, with and without an atlas of all, each with its decision."""
    provenance = of_fit("training.zmap", cases)
    some = list(tables.values())
    beside = fit_estimator(with_atlas(cases, some, fit), fit.atlas)
    for name, estimator, method in ((ATLAS, beside, "decision"), (ZMAP, fit_estimator(some), "no-atlas")):
        save_estimator(weights / name, estimator, provenance)
        save_decision(weights / name, found[method].decision(), provenance)


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--ship", action="store_true", help=f"write what estimates to {ATLAS}/ and {ZMAP}/ in --weights")
    add_weights_option(parser)
    add_results_option(parser)
    args = parser.parse_args()
    marked = {"estimated-lesions": MarkedLesion, "estimated-cases": MarkedCase}
    results, weights = open_results(args, zmap=ZError, estimated=Row, **marked), weights_of(args)
    if args.ship:
        require_writable(weights)
        require_sidecars(weights, (f"{ATLAS}/*", f"{ZMAP}/*"))
    cases = load_folds(args.data)
    voxels = {name: voxel_table(case) for name, case in cases.items()}
    fit = fit_atlas(cases.values())
    estimated = estimate_folds(cases, voxels, fit)
    errors = [z_error(cases[name], case, method) for method, some in estimated.items() for name, case in some.items()]
    write_records(errors, results / "zmap.csv", ZError)
    found = {method: Found.on(some) for method, some in estimated.items()}
    found["decision"].marked.write(results, "estimated")
    masks = {method: one.masks for method, one in found.items()} | {
        RULE: {name: rule_mask(case.adc, case.zadc) for name, case in estimated["decision"].items()},
        "adc": adc_masks(cases),
    }
    rows = [
        row
        for name, case in cases.items()
        for row in rows_without_run(case, {method: masks[method][name] for method in ESTIMATED})
    ]
    replace_records(rows, results / "estimated.csv", Row, configuration_of(cases.values()))
    if args.ship:
        ship(cases, voxels, fit, found, weights)
    print(mean_lines(rows))


if __name__ == "__main__":
    run(main)
