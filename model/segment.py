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
from model.preprocess import brain_mask
from model.report import describe, write_results
from model.sockets import MASK_PATH, RESULTS_PATH, find_inputs
from model.volume import write_mask

if TYPE_CHECKING:
    from model.predict import Predictor


def segment(input_root: Path, output_root: Path, load_predictor: Callable[[], Predictor]) -> dict:
    """Write the mask and `results.json` of the case below `input_root`; returns the results.

    What an earlier case left in the output folder is removed first, and when anything fails neither file is left.
    Raises UserError when the output folder, the case or the weights cannot be used.
    """
    started = time.perf_counter()
    with only_run(output_root):
        clear_output(output_root)
        case = read_case(*find_inputs(input_root))
        predictor = load_predictor()
        mask = predictor.mask(case.adc.voxels, case.zadc.voxels, case.grid.voxel_mm3)
        results = describe(mask, brain_mask(case.adc.voxels), case.grid.voxel_mm3)
        results |= {
            "seconds": round(time.perf_counter() - started, 2),
            "device": str(predictor.device),
            "weights": predictor.ensemble.id,
        }
        try:
            write_results(results, output_root / RESULTS_PATH)
            write_mask(mask, case.grid, output_root / MASK_PATH)  # last: where there is a mask, everything is there
        except BaseException:
            for path in (RESULTS_PATH, MASK_PATH):
                (output_root / path).unlink(missing_ok=True)
            raise
    return results


def clear_output(root: Path) -> None:
    """Make the output folders and remove an earlier run's files, cut-off ones too.

    Raises UserError when that is not possible, or when a foreign file lies where the platform allows the mask alone.
    """
    mask, results = root / MASK_PATH, root / RESULTS_PATH
    try:
        mask.parent.mkdir(parents=True, exist_ok=True)
        for path in (mask, results):
            path.unlink(missing_ok=True)
            remove_partials(path)
        foreign = sorted(path.name for path in mask.parent.iterdir())
    except OSError as error:
        raise UserError(f"{root}: output cannot be written there ({error.strerror}: {error.filename})") from None
    if foreign:
        raise UserError(f"{mask.parent}: expected an empty folder for the mask, found {', '.join(foreign)}")
