"""One case from the input folder to the output folder: the code path that every way of running shares.

Does not import torch by itself, so that a bad case is refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model.case import read_case
from model.errors import UserError
from model.files import only_run, remove_partials
from model.report import describe, write_results
from model.sockets import MASK_PATH, PROBABILITIES_PATH, RESULTS_PATH, find_inputs
from model.volume import write_mask, write_probabilities

if TYPE_CHECKING:
    from model.predict import Predictor


def segment(
    input_root: Path, output_root: Path, load_predictor: Callable[[], Predictor], probabilities: bool = False
) -> dict:
    """Write the mask and `results.json` of the case below `input_root`, on demand the probabilities; returns the results.

    What an earlier case left in the output folder is removed first, and when anything fails no file is left.
    Raises UserError when the output folder, the case or the weights cannot be used.
    """
    started = time.perf_counter()
    with only_run(output_root):
        clear_output(output_root, probabilities)
        case = read_case(*find_inputs(input_root))
        predictor = load_predictor()
        found = predictor.segment(case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm)
        results = describe(found, case) | {
            "seconds": round(time.perf_counter() - started, 2),
            "device": str(predictor.device),
            "weights": predictor.ensemble.id,
        }
        try:
            write_results(results, output_root / RESULTS_PATH)
            if probabilities:
                write_probabilities(found.probabilities, case.grid, output_root / PROBABILITIES_PATH)
            write_mask(found.mask, case.grid, output_root / MASK_PATH)  # last: where there is a mask, everything is there
        except BaseException:
            for path in (RESULTS_PATH, PROBABILITIES_PATH, MASK_PATH):
                (output_root / path).unlink(missing_ok=True)
            raise
    return results


def clear_output(root: Path, probabilities: bool) -> None:
    """Make the output folders, on demand the one of the probabilities, and remove an earlier run's files, cut-off ones too.

    Raises UserError when that is not possible, or when a foreign file lies where the platform allows the mask alone.
    """
    mask, probability_map = root / MASK_PATH, root / PROBABILITIES_PATH
    try:
        for path in (mask, probability_map) if probabilities else (mask,):
            path.parent.mkdir(parents=True, exist_ok=True)
        for path in (mask, probability_map, root / RESULTS_PATH):
            path.unlink(missing_ok=True)
            remove_partials(path)
        foreign = sorted(path.name for path in mask.parent.iterdir())
    except OSError as error:
        raise UserError(f"{root}: output cannot be written there ({error.strerror}: {error.filename})") from None
    if foreign:
        raise UserError(f"{mask.parent}: expected an empty folder for the mask, found {', '.join(foreign)}")
