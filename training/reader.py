"""How much a reader's corrections are worth: a simulated reader finishes the out-of-fold drafts of the trees.

Example, the rows that `python -m training.accuracy` shows:

    python -m training.reader --data data/packed

The drafts are those of trees and calibrations that were fitted to the other folds, for given and for estimated Z maps. The
reader goes through the lesions of a draft as the page does, those least likely to be real first (fitted to other folds).
The false ones are rejected ("strikes"), then each missed one gets a click ("adds"), then each that is left gets its size
("resizes"). The reader knows the label, so this is an upper bound; some decisions are wrong by chance. Rows go to reader.csv
in --results: Dice and NSD as the draft comes, after some actions and after all, means over the draws of a case.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from model.images.brain import brain_box
from model.lesions.decision import most_dice
from training.common.cli import add_data_option, command_parser, run
from training.data.dataset import PackedCase, load_folds
from training.data.splits import fold_number
from training.lesions.estimates import estimate_folds
from training.lesions.fit_atlas import fit_atlas
from training.lesions.fit_certainty import Marked
from training.lesions.fit_estimate import voxel_table
from training.lesions.fit_trees import candidate_table, trees_by_fold
from training.lesions.held_out import answers_of_trees, calibrated, nested_calibrations
from training.lesions.simulated_reader import NEIGHBOURS, Draft, read
from training.scores.configuration import configuration_of
from training.scores.metrics import Scores, score
from training.scores.places import add_results_option, open_results
from training.scores.rows import AFTER, ALL, READER, READERS, ReaderRow, replace_records

WRONG = (0.0, 0.1, 0.2)  # share of the decisions
DRAWS = 10  # of wrong decisions


def drafts(cases: dict[str, PackedCase]) -> Iterator[tuple[PackedCase, Draft]]:
    """Every case with the draft of trees, calibration and chances that were fitted to the other folds."""
    tables = {name: candidate_table(case) for name, case in cases.items()}
    trees = trees_by_fold(tables)
    parts = answers_of_trees(cases, tables, trees)
    answers = calibrated(parts, trees, nested_calibrations(parts, trees_alone=True))
    lesions = Marked.of(parts, answers).nested().lesions
    for part in parts:
        case, probabilities = part.case, answers[part.case.name]
        chances = lesions.loc[lesions["case"] == case.name, "chance_real"].to_numpy()
        box = brain_box(case.brain, margin=1)
        numbers, _ = ndimage.label(most_dice(probabilities), NEIGHBOURS)  # as `Marked` counts them
        yield case, Draft(probabilities[box], numbers[box], chances, case.label[box])


def reading(draft: Draft, reader: str, wrong: float, draw: int, name: str) -> list[np.ndarray]:
    """The masks of one reading, the draft first. What is wrong depends on case and draw alone."""
    rng = np.random.default_rng([draw, *name.encode()])
    return list(read(draft, reader, lambda: bool(rng.random() < wrong), rng))


def reader_rows(case: PackedCase, draft: Draft, z_map: str) -> Iterator[ReaderRow]:
    """The rows of one case."""
    scored = scores_of(case)
    for reader, wrong in itertools.product(READERS, WRONG):
        readings = [reading(draft, reader, wrong, draw, case.name) for draw in range(DRAWS if wrong else 1)]
        for after in (*map(str, AFTER), ALL):
            stages = [min(int(after), len(masks) - 1) if after != ALL else len(masks) - 1 for masks in readings]
            found = [scored(masks[stage]) for masks, stage in zip(readings, stages, strict=True)]
            dice, nsd = (float(np.mean([getattr(one, field) for one in found])) for field in ("dice", "nsd"))
            key = (case.name, fold_number(case), z_map, reader, wrong, after)
            yield ReaderRow(*key, dice, nsd, float(np.mean(stages)))


def scores_of(case: PackedCase) -> Callable[[np.ndarray], Scores]:
    """What scores masks in the box of the brain, each once."""
    label = case.label[brain_box(case.brain, margin=1)]
    known: dict[bytes, Scores] = {}

    def scored(mask: np.ndarray) -> Scores:
        key = np.packbits(mask).tobytes()
        if key not in known:
            known[key] = score(mask, label, case.spacing_mm)
        return known[key]

    return scored


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_results_option(parser)
    args = parser.parse_args()
    path = open_results(args, reader=ReaderRow) / READER
    cases = load_folds(args.data)
    voxels = {name: voxel_table(case) for name, case in cases.items()}
    estimated = estimate_folds(cases, voxels, fit_atlas(cases.values()), ["decision"])["decision"]
    rows: list[ReaderRow] = []
    for z_map, some in (("given", cases), ("estimated", estimated)):
        for case, draft in tqdm(drafts(some), desc=f"{z_map} Z", total=len(some), unit="case", disable=None):
            rows += reader_rows(case, draft, z_map)
    replace_records(rows, path, ReaderRow, configuration_of(cases.values()))
    for z_map, reader, wrong in itertools.product(("given", "estimated"), READERS, WRONG):
        mine = [row for row in rows if (row.z_map, row.reader, row.wrong, row.after) == (z_map, reader, wrong, ALL)]
        dice, nsd, clicks = (np.mean([getattr(row, field) for row in mine]) for field in ("dice", "nsd", "clicks"))
        print(f"{z_map:10} {reader:8} {wrong:4.0%} wrong  Dice {dice:.4f}  NSD {nsd:.4f}  {clicks:.1f} clicks")


if __name__ == "__main__":
    run(main)
