"""Scores an ensemble out of fold: the rows of the accuracy table.

Example, for the networks that are shipped:

    python -m training.crossval --data data/packed

A weights folder holds `fold<k>-<name>.safetensors`; a case is shown only to the networks of the fold that holds it out, and
to trees and a calibration that were fitted to the other four (`training.lesions`). Rows of every method go to crossval.csv
in --results, how sure the masks are to crossval-lesions.csv and crossval-cases.csv. The fits are deterministic. Rows say the
training seed that the networks' sidecars name, and are added to those of the other seeds; the latter two files are of seed
0. `training.ship` puts networks of another seed into a folder.
"""

from pathlib import Path

from model.lesions.decision import most_dice
from model.networks.torch_engine import pick_device
from training.common.cli import add_data_option, add_device_option, command_parser, run
from training.data.dataset import load_folds
from training.data.seen import training_seed
from training.data.twins import healthy_twin, sham
from training.lesions.fit_certainty import Marked
from training.lesions.fit_trees import candidate_table, trees_by_fold
from training.lesions.held_out import HeldOut, answers_of_trees, calibrated, nested_calibrations, without_networks
from training.lesions.networks import gather, gather_twins, load_held_out
from training.scores.case_row import mean_lines, rows_without_run
from training.scores.configuration import configuration_of, require_configuration
from training.scores.methods import CROSSVAL, RULE
from training.scores.places import add_results_option, add_weights_option, open_results, weights_of
from training.scores.rows import SHAM, TWIN, MarkedCase, MarkedLesion, Row, read_records, replace_records, write_records
from training.scores.rule import rule_mask


def trees_on_networks(parts: list[HeldOut]) -> list[HeldOut]:
    """The log odds of trees that see the networks' probabilities in the place of the softened rule."""
    tables = {part.case.name: candidate_table(part.case, part.probabilities) for part in parts}
    return answers_of_trees({part.case.name: part.case for part in parts}, tables, trees_by_fold(tables))


def rows_to_keep(path: Path, seed: int, configuration: dict) -> list[Row]:
    """The rows of other seeds that are there. Raises UserError when they come from other data or other folds."""
    kept = [row for row in read_records(path, Row) if row.seed != seed]
    if kept:
        require_configuration(configuration, path)
    return kept


def write_rows(rows: list[Row], path: Path, seed: int, configuration: dict) -> None:
    """Write the rows of a seed; those of other seeds stay."""
    if kept := rows_to_keep(path, seed, configuration):
        write_records([*kept, *rows], path, Row)
    else:
        replace_records(rows, path, Row, configuration)


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_weights_option(parser)
    add_results_option(parser)
    add_device_option(parser)
    args = parser.parse_args()
    results = open_results(args, **{"crossval-lesions": MarkedLesion, "crossval-cases": MarkedCase})
    weights = weights_of(args)
    cases = load_folds(args.data)
    ensemble = load_held_out(weights, cases, pick_device(args.device)[0])
    seed, configuration = training_seed(weights), configuration_of(cases.values())
    rows_to_keep(results / "crossval.csv", seed, configuration)  # before work that takes long
    tables = {name: candidate_table(case) for name, case in cases.items()}
    trees = trees_by_fold(tables)
    parts = gather(cases, tables, trees, ensemble)
    calibrations, alone = nested_calibrations(parts), without_networks(parts)
    answers = {
        "decision": calibrated(parts, trees, calibrations),
        "trees": calibrated(alone, trees, nested_calibrations(alone, trees_alone=True)),
        "trees-on-networks": calibrated(trees_on_networks(parts), trees),
    }
    rows = []
    for part in parts:
        masks = {RULE: rule_mask(part.case.adc, part.case.zadc), "networks": part.probabilities > 0.5}
        masks |= {method: most_dice(probabilities[part.case.name]) for method, probabilities in answers.items()}
        rows += rows_without_run(part.case, {method: masks[method] for method in CROSSVAL}, seed)
    write_rows(rows, results / "crossval.csv", seed, configuration)
    if not seed:
        marked = Marked.of(parts, answers["decision"])
        for kind, make in ((TWIN, healthy_twin), (SHAM, sham)):
            made = gather_twins(cases, trees, ensemble, make)
            marked = marked.beside(made, calibrated(made, trees, calibrations), kind)
        marked.write(results, "crossval")
    print(mean_lines(rows))
    for fold, found in calibrations.items():
        print(f"fold {fold}: {found}")


if __name__ == "__main__":
    run(main)
