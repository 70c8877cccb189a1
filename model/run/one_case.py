"""One case from the input folder to the output folder, as the platform runs it.

Does not import torch by itself, so that a bad case is refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError
from model.files import only_run, remove_partials, writable
from model.images.case import ADC_UNIT, Case, read_case
from model.images.formats import stem_of
from model.images.volume import write_mask, write_probabilities
from model.networks.as_learnt import segment_as_learnt
from model.report.results import describe, describe_files, describe_run, write_results
from model.run.platform_paths import MASK_PATH, PROBABILITIES_PATH, REPORT_PATH, RESULTS_PATH, find_inputs

if TYPE_CHECKING:
    from model.networks.predict import Predictor, Segmentation


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is wanted beside the mask and `results.json`, and how the ADC map is meant."""

    probabilities: bool = False
    report: bool = False
    adc_unit: str = ADC_UNIT


def segment(
    input_root: Path, output_root: Path, load_predictor: Callable[[], Predictor], options: Options | None = None
) -> dict:
    """Write the mask and `results.json` of the case below `input_root`, and what else `options` ask for.

    What an earlier case left in the output folder is removed first, and when anything fails no file is left.
    Returns the results. Raises UserError when the output folder, the case or the weights cannot be used.
    """
    options = options or Options()
    places = {"results": RESULTS_PATH, "probabilities": PROBABILITIES_PATH, "report": REPORT_PATH, "mask": MASK_PATH}
    paths = {what: output_root / path for what, path in places.items()}
    with only_run(output_root):
        clear_output(paths, options)
        started = time.perf_counter()
        adc, zadc = find_inputs(input_root)
        case = read_case(adc, zadc, options.adc_unit)
        found, results = segment_case(case, load_predictor(), started)
        try:
            write_case(paths, stem_of(adc), case, found, results, options)
        except BaseException:
            for path in paths.values():
                path.unlink(missing_ok=True)
            raise
    return results


def segment_case(case: Case, predictor: Predictor, started: float) -> tuple[Segmentation, dict]:
    """The answer for a case, and all that goes into its `results.json`. started: `time.perf_counter()` of its beginning."""
    found = segment_as_learnt(case, predictor)
    results = describe(found, case) | describe_files(case) | describe_run(predictor)
    return found, results | {"seconds": round(time.perf_counter() - started, 2)}


def write_case(paths: dict[str, Path], name: str, case: Case, found: Segmentation, results: dict, options: Options) -> None:
    """Write what `options` ask for, the mask last: where there is one, everything is there. Raises UserError."""
    write_results(results, paths["results"])
    if options.probabilities:
        write_probabilities(found.probabilities, case.grid, paths["probabilities"])
    if options.report:
        from model.report.case_page import write_report  # and its libraries only where it is asked for

        write_report(paths["report"], name, case, found.mask, results)
    write_mask(found.mask, case.grid, paths["mask"])


def clear_output(paths: dict[str, Path], options: Options) -> None:
    """Make the output folders, on demand the one of the probabilities, and remove an earlier run's files, cut-off ones too.

    Raises UserError when that is not possible, or when a foreign file lies where the platform allows the mask alone.
    """
    mask = paths["mask"]
    with writable(paths["results"].parent):
        for what in ("mask", "probabilities") if options.probabilities else ("mask",):
            paths[what].parent.mkdir(parents=True, exist_ok=True)
        for path in paths.values():
            path.unlink(missing_ok=True)
            remove_partials(path)
        foreign = sorted(path.name for path in mask.parent.iterdir())
    if foreign:
        raise UserError(f"{mask.parent}: expected an empty folder for the mask, found {', '.join(foreign)}")
