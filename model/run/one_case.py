"""One case from its files to a folder: read, segment, write. Both ways to run go through `run_case`.

Does not import torch by itself, so that a bad case is refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.command import undisturbed
from model.errors import UserError
from model.files import only_run, remove_partial_folders, require_writable, staged_for, writable
from model.images.case import Case, read_case
from model.images.converted import of_converted, of_other_grid
from model.images.dicom.files import segmentations
from model.images.formats.names import is_dicom_path
from model.images.grid import NotOneGrid
from model.images.mark import ESTIMATED_Z, PROBABILITIES
from model.images.volume import write_mask, write_probabilities
from model.inputs.platform import find_scan
from model.names.platform_paths import (
    CAPTURE_PATH,
    MASK_PATH,
    PROBABILITIES_PATH,
    REPORT_PATH,
    RESULTS_PATH,
    SEGMENTATION_PATH,
    ZMAP_PATH,
)
from model.outputs.place import Options, Place, sidecar_of
from model.outputs.previous import Previous
from model.outputs.record import FILES, read_own_results, with_record
from model.report.results import write_results
from model.run.reviewed import read_given, with_review

if TYPE_CHECKING:
    from model.inputs.found_case import FoundCase
    from model.reviews.find import GivenReview
    from model.run.reviewed import Draft
    from model.segmenter import Segmentation, Segmenter

# of the platform's output folder: what lies there, the folder of the mask as a whole, moves aside before a run
ENTRIES = (RESULTS_PATH, REPORT_PATH, *(str(Path(path).parent) for path in (PROBABILITIES_PATH, ZMAP_PATH, MASK_PATH)))


def segment(input_root: Path, output_root: Path, segmenter: Segmenter, options: Options | None = None) -> dict:
    """Write the mask and `results.json` of the case below `input_root`, and what else `options` ask for.

    What lies in their places moves aside first (see `Previous`): no earlier mask outlives a failure. When anything fails no
    file is left. Returns the results. Raises UserError when the output folder, the case or the weights cannot be used.
    """
    options = options or Options()
    place = Place(folder=output_root, work=output_root, mask=MASK_PATH, probabilities=PROBABILITIES_PATH, zmap=ZMAP_PATH)
    with only_run(output_root):
        with writable(output_root):
            remove_partial_folders(output_root)
            previous = Previous(output_root)
        with previous.replacing(*(output_root / entry for entry in reversed(ENTRIES))):
            require_writable(output_root)  # before the weights are loaded
            found = find_scan(input_root).for_options(estimate_z=options.estimate_z, use_mask=options.brain_mask)
            return run_case(found, segmenter, options, place, previous)


def run_case(
    found: FoundCase,
    segmenter: Segmenter,
    options: Options,
    place: Place,
    previous: Previous,
    require: Callable[[], None] = lambda: None,
    given: GivenReview | None = None,
) -> dict:
    """Read, segment and write one case; returns what `results.json` holds. Raises UserError.

    found: as `for_options` gave it. require: see `write_case`. given: the case's review, which is taken.
    """
    started = time.perf_counter()
    case = read_found(found, options)
    if place.dicom:
        from model.report.dicom.objects import require_objects

        require_objects(case)  # before the segmentation
    review = read_given(given, case) if given else None  # before the segmentation
    segmentation, draft = segmenter.segment_case(case, options.empty_below), None
    if given and review:
        segmentation, draft = with_review(segmentation, review, given, found.name)
    results = segmentation.results | {"seconds": round(time.perf_counter() - started, 2)}
    return write_case(place, found.name, segmentation, results, options, previous, require, draft)


def read_found(found: FoundCase, options: Options) -> Case:
    """Read and check the files of a case. Raises UserError, also for a case that cannot be run with these options."""
    arguments = (options.adc_unit, options.series, found.brain_mask, options.smallest_brain_ml)
    try:
        case = read_case(found.adc_map, found.zadc, *arguments)
    except NotOneGrid as error:
        raise UserError(f"{error}{of_other_grid(error, found.converted)}") from None
    remarks = [*found.remarks, *of_converted(case.adc, found.converted), *case.remarks]
    if options.brain_mask and not found.brain_mask:
        number = segmentations(found.adc_map) if is_dicom_path(found.adc_map) else 0
        others = "; ".join(
            filter(None, [found.other_masks, f"DICOM segmentations are not read: {number}" if number else ""])
        )
        said = f" ({others})" if others else ""
        remarks.append(f"No brain mask was found for {found.adc_map.name}{said}: it was used as it is (--brain-mask).")
    return replace(case, remarks=tuple(remarks))


def write_case(
    place: Place,
    name: str,
    segmentation: Segmentation,
    results: dict,
    options: Options,
    previous: Previous,
    require: Callable[[], None] = lambda: None,
    draft: Draft | None = None,
) -> dict:
    """Write what `options` ask for, all or nothing; what lies there moves aside. Returns the results with their record.

    require: raises where that may not be, and is asked when all is written, right before it takes its place: while a case is
    run, its reader may correct a mask. draft: of a reviewed case. Raises UserError when files cannot be written.
    """
    case = segmentation.case
    with staged_for(place.folder, place.work) as staged:
        _write_images(place, staged, segmentation, options, draft)
        if options.report:
            from model.report.case_page import write_report  # and its libraries only where it is asked for

            write_report(staged / REPORT_PATH, name, case, segmentation.answer, results, draft)
        if place.dicom:
            from model.report.dicom.objects import write_objects

            write_objects(staged / SEGMENTATION_PATH, staged / CAPTURE_PATH, case, segmentation.mask, results)
        names = place.written(options, estimated=case.estimated, reviewed=bool(draft))
        for name in names:
            if name in place.sidecars:
                write_results(place.sidecars[name](results), staged / sidecar_of(name))
        results = with_record(results, staged)
        write_results(results, staged / RESULTS_PATH)
        require()
        before = read_own_results(place.folder / RESULTS_PATH) or {FILES: ()}
        with undisturbed():
            previous.put(staged, place.folder, place.in_order(results[FILES]), older=before[FILES])
    return results


def _write_images(
    place: Place, folder: Path, segmentation: Segmentation, options: Options, draft: Draft | None = None
) -> None:
    case = segmentation.case
    maps = {place.probabilities: (segmentation.probabilities, PROBABILITIES)} if options.probabilities else {}
    if options.probabilities and case.estimated:
        maps[place.zmap] = (segmentation.zmap, ESTIMATED_Z)
    for name, (voxels, what) in maps.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_probabilities(voxels, case.grid, folder / name, what)
    masks = {place.mask: segmentation.mask} | ({place.draft: draft.answer.mask} if draft else {})
    for name, mask in masks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_mask(mask, case.grid, folder / name)
