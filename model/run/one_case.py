"""One case from its two files to a folder: read, segment, write. Both ways to run go through `run_case`.

Does not import torch by itself, so that a bad case is refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError
from model.files import files_into, only_run, remove_partial_folders, remove_partials, require_writable, writable
from model.images.case import ADC_UNIT, Case, read_case
from model.images.formats import stem_of
from model.images.volume import write_mask, write_probabilities
from model.networks.as_learnt import segment_as_learnt
from model.report.results import describe, describe_files, describe_run, write_results
from model.run.own_files import (
    FILES,
    REPLACED,
    foreign_files,
    is_cut_off,
    is_mask_of_0_and_1,
    is_own,
    read_own_results,
    with_record,
    with_replaced,
)
from model.run.platform_paths import MASK_PATH, PROBABILITIES_PATH, REPORT_PATH, RESULTS_PATH, find_inputs

if TYPE_CHECKING:
    from model.networks.predict import Predictor, Segmentation


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is wanted beside the mask and `results.json`, and how the ADC map is meant."""

    probabilities: bool = False
    report: bool = False
    adc_unit: str = ADC_UNIT


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a case's files are written: paths in `folder`. `work` is a folder beside or above, for what is not whole yet."""

    folder: Path
    work: Path
    mask: str
    probabilities: str
    results: str = RESULTS_PATH
    report: str = REPORT_PATH

    def written(self, options: Options) -> list[str]:
        """The files that a run with these options writes."""
        extras = ((self.probabilities, options.probabilities), (self.report, options.report))
        return [self.results, self.mask, *(name for name, wanted in extras if wanted)]


def segment(
    input_root: Path, output_root: Path, load_predictor: Callable[[], Predictor], options: Options | None = None
) -> dict:
    """Write the mask and `results.json` of the case below `input_root`, and what else `options` ask for.

    What an earlier case left in the output folder is removed first, and when anything fails no file is left. Returns the
    results. Raises UserError when the output folder, the case or the weights cannot be used, and when a file that is not
    this program's lies where one would be written.
    """
    options = options or Options()
    place = Place(folder=output_root, work=output_root, mask=MASK_PATH, probabilities=PROBABILITIES_PATH)
    with only_run(output_root):
        clear_output(place, options)
        adc, zadc = find_inputs(input_root)
        try:
            return run_case(adc, zadc, stem_of(adc), load_predictor, options, place)
        except BaseException:
            for name in place.written(options):
                (output_root / name).unlink(missing_ok=True)
            raise


def run_case(
    adc: Path, zadc: Path, name: str, load_predictor: Callable[[], Predictor], options: Options, place: Place
) -> dict:
    """Read, segment and write one case; returns what `results.json` holds. Raises UserError."""
    started = time.perf_counter()
    case = read_case(adc, zadc, options.adc_unit)
    segmentation, results = segment_case(case, load_predictor(), started)
    return write_case(place, name, case, segmentation, results, options)


def segment_case(case: Case, predictor: Predictor, started: float) -> tuple[Segmentation, dict]:
    """The answer for a case, and all that goes into its `results.json`. started: `time.perf_counter()` of its beginning."""
    segmentation = segment_as_learnt(case, predictor)
    results = describe(segmentation, case) | describe_files(case) | describe_run(predictor)
    return segmentation, results | {"seconds": round(time.perf_counter() - started, 2)}


def write_case(place: Place, name: str, case: Case, segmentation: Segmentation, results: dict, options: Options) -> dict:
    """Write what `options` ask for, the mask last: where there is one, everything is there. Raises UserError.

    Returns the results with the record of the files. Files of an earlier run that are not written again are removed.
    """
    before = read_own_results(place.folder / place.results)
    with files_into(place.folder, place.work, first=place.results, last=place.mask) as staged:
        _write_images(place, staged, case, segmentation, options)
        if options.report:
            from model.report.case_page import write_report  # and its libraries only where it is asked for

            write_report(staged / place.report, name, case, segmentation.mask, results)
        results = with_record(results, staged)
        while_replacing = with_replaced(results, place.folder, place.results)
        write_results(while_replacing, staged / place.results)
    _remove_outdated(place.folder, before, results)
    if REPLACED in while_replacing:
        write_results(results, place.folder / place.results)
    return results


def _write_images(place: Place, folder: Path, case: Case, segmentation: Segmentation, options: Options) -> None:
    mask, probabilities = folder / place.mask, folder / place.probabilities
    if options.probabilities:
        probabilities.parent.mkdir(parents=True, exist_ok=True)
        write_probabilities(segmentation.probabilities, case.grid, probabilities)
    mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(segmentation.mask, case.grid, mask)


def _remove_outdated(folder: Path, before: dict | None, results: dict) -> None:
    """Remove the files of an earlier run that these results do not have, unless they were changed since."""
    for name in (before or {FILES: {}})[FILES].keys() - results[FILES].keys():
        if is_own(folder, name, before):
            (folder / name).unlink()


def _remove_empty_folder(folder: Path, name: str) -> None:
    """Remove the folder of a file that was removed from it, unless something else lies there or it is the output folder."""
    parent = (folder / name).parent
    if parent != folder and not parent.is_symlink() and not any(parent.iterdir()):
        parent.rmdir()


def clear_output(place: Place, options: Options) -> None:
    """Make the output folders, and remove an earlier run's files, cut-off ones too; no earlier mask outlives a failure.

    Own is what `results.json` records, and without it a mask of 0 and 1 where the platform wants the mask. Raises UserError
    when that is not possible, or when something else lies where a file is written or the platform allows the mask alone.
    """
    folder, mask = place.folder, place.folder / place.mask
    with writable(folder):
        results = read_own_results(folder / place.results)
        for name in (place.mask, place.probabilities, place.report):
            if is_own(folder, name, results) or is_cut_off(folder, name, results):
                (folder / name).unlink()
                _remove_empty_folder(folder, name)
            remove_partials(folder / name)
        if results is None and is_mask_of_0_and_1(mask):
            mask.unlink()
        if results is not None:  # last, since it says which of the others are own
            (folder / place.results).unlink()
        remove_partials(folder / place.results)
        remove_partial_folders(folder)
        foreign = foreign_files(folder, place.written(options), None, place.results)
    if foreign:
        names = ", ".join(str(folder / name) for name in foreign)
        raise UserError(f"{names}: not written by this program, or changed since; it stays, so name another output folder")
    with writable(folder):
        mask.parent.mkdir(parents=True, exist_ok=True)
        if options.probabilities:
            (folder / place.probabilities).parent.mkdir(parents=True, exist_ok=True)
        beside = sorted(path.name for path in mask.parent.iterdir())
    require_writable(mask.parent)  # before the weights are loaded
    if beside:
        raise UserError(f"{mask.parent}: expected an empty folder for the mask, found {', '.join(beside)}")
