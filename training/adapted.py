"""Says whether weights fitted to one's own cases do better there than ours: out of fold, beside ours as they are.

Example, after `training.fit` or `training.ship`:

    python -m training.adapted --data FOLDER

Cases that ours saw, such as published ones beside one's own, teach and are not scored. Of the own weights nothing is scored
that saw the case: trees and calibrations are fitted to the other folds, and of the networks in --weights, where there are
any, each is asked about the fold that it holds out. Rows go to adapted.csv in --results, the table and what it says to
adapted.md there.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from model.errors import UserError
from model.lesions.decision import most_dice
from model.networks.engines import pick_engine
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble, network_files
from model.networks.torch_engine import pick_device
from training.common.cli import add_data_option, add_device_option, command_parser, run
from training.data.dataset import REVIEWED, PackedCase, load_folds
from training.data.seen import seen_by
from training.data.splits import fold_words, folds_by_number
from training.lesions.fit_trees import candidate_table, trees_by_fold
from training.lesions.held_out import answers_of_trees, calibrated, nested_calibrations
from training.lesions.networks import gather, load_held_out
from training.pages.cells import SCORE_HEADER, interval, score_cells
from training.pages.markdown import require_own_page, table, wrapped, write_text
from training.scores.case_row import rows_without_run
from training.scores.configuration import configuration_of
from training.scores.methods import ADAPTED, RULE
from training.scores.places import add_results_option, add_weights_option, open_results, weights_of
from training.scores.rows import Row, as_frame, replace_records
from training.scores.rule import rule_mask
from training.scores.statistics import compare, per_case

NAME = "adapted"
FEWEST_CASES = 10  # with a lesion: the bootstrap's interval of fewer is too narrow, and empty masks win without any
REVIEWS = """{} of the labels are reviewed drafts. Where ours made the drafts, the labels lean towards ours, which then score
better here than on labels that were drawn from nothing; the table may hide a gain of the own weights. Where earlier weights
of one's own made them, the labels lean towards such weights, and the table may show a gain that is none."""


def predictions(cases: dict[str, PackedCase], weights: Path, ours: Path, device: str, scored: list[str]) -> dict[str, dict]:
    """By method of ADAPTED and by scored case: boolean masks (z, y, x). Without own networks there is no "decision"."""
    predictor = Predictor(load_ensemble(ours, pick_engine("auto", device, ours)[0]))
    tables = {name: candidate_table(case) for name, case in cases.items()}
    trees = trees_by_fold(tables)
    parts = answers_of_trees(cases, tables, trees)
    answers = {"trees": calibrated(parts, trees, nested_calibrations(parts, trees_alone=True))}
    if network_files(weights):
        ensemble = load_held_out(weights, cases, pick_device(device)[0])
        answers["decision"] = calibrated(gather(cases, tables, trees, ensemble), trees)
    masks = {method: {name: most_dice(found[name]) for name in scored} for method, found in answers.items()}
    some = [cases[name] for name in scored]
    each = tqdm(some, desc="ours", unit="case", disable=None)
    masks["ours"] = {case.name: predictor.mask(case.adc, case.zadc, case.spacing_mm) for case in each}
    return masks | {RULE: {case.name: rule_mask(case.adc, case.zadc) for case in some}}


def page(rows: pd.DataFrame, cases: dict[str, PackedCase]) -> str:
    """The table of all methods, the differences to ours, and which weights to take."""
    methods = [method for method in ADAPTED if method in set(rows["method"])]
    parts = {method: rows[rows["method"] == method] for method in methods}
    lines = [[ADAPTED[method], *score_cells(parts[method])] for method in methods]
    sentences = []
    for method in (method for method in ("trees", "decision") if method in parts):
        scores = [per_case(parts[which], "dice") for which in (method, "ours")]
        found = compare(method, "ours", *scores)
        title, difference = ADAPTED[method], found.difference
        verdict = "they do better here" if difference.low > 0 else "no measurable gain: keep ours"
        if (parts["ours"]["true_lesions"] > 0).sum() < FEWEST_CASES:
            verdict = f"fewer than {FEWEST_CASES} cases with a lesion do not tell: keep ours"
        sentences.append(
            f"{title[0].upper()}{title[1:]}, minus ours: Dice {interval(difference, 3, '+')}, better in {found.better} and"
            f" worse in {found.worse} of {difference.n} cases: {verdict}."
        )
    scored = set(rows["case"])
    reviewed = sum(case.source == REVIEWED for name, case in cases.items() if name in scored)
    said = [wrapped(" ".join(sentences)), *([wrapped(REVIEWS.format(reviewed))] if reviewed else [])]
    top = f"Generated by `python -m training.adapted` from {fold_words(folds_by_number(cases.values()))}."
    top += f" {scored_words(cases, scored)} Rows: adapted.csv. Means over cases with 95 % bootstrap intervals."
    return "\n\n".join(["# Own weights beside ours", wrapped(top), table(["", *SCORE_HEADER], lines), *said]) + "\n"


def scored_words(cases: Collection[str], scored: Collection[str]) -> str:
    """How many of the cases are scored, and why the others are not."""
    if len(scored) == len(cases):
        return "All are scored."
    return f"Scored are the {len(scored)} that ours did not see; the other {len(cases) - len(scored)} only teach."


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_weights_option(parser)
    parser.add_argument("--ours", type=Path, default=IMAGE_WEIGHTS, help="weights to compare with (default: %(default)s)")
    add_results_option(parser)
    add_device_option(parser)
    args = parser.parse_args()
    results = open_results(args, adapted=Row)
    path, text = results / f"{NAME}.csv", results / f"{NAME}.md"
    require_own_page(text, NAME)
    cases = load_folds(args.data)
    seen = seen_by(args.ours, cases.values())
    scored = [name for name in cases if name not in seen]
    if not scored:
        raise UserError(f"{args.ours}: trained on all cases of {args.data}, so that there is none to compare on")
    print(scored_words(cases, scored), flush=True)
    masks = predictions(cases, weights_of(args), args.ours, args.device, scored)
    rows = [
        row
        for name in scored
        for row in rows_without_run(cases[name], {method: found[name] for method, found in masks.items()})
    ]
    replace_records(rows, path, Row, configuration_of(cases.values()))
    said = page(as_frame(rows, Row), cases)
    write_text(text, said)
    print(said, end="")


if __name__ == "__main__":
    run(main)
