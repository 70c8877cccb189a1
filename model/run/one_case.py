"""One case from its files to a folder: read, segment, write. Both ways to run go through `run_case`.

Does not import torch by itself, so that a bad case is refused at once.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError
from model.files import files_into, only_run, remove_partial_folders, remove_partials, require_writable, writable
from model.images.case import Case, read_case
from model.images.converted import of_converted, of_other_grid
from model.images.dicom.files import segmentations
from model.images.formats.names import is_dicom_path
from model.images.grid import NotOneGrid
from model.images.mark import ESTIMATED_Z, PROBABILITIES, is_signed
from model.images.volume import write_mask, write_probabilities
from model.inputs.platform import find_scan
from model.names.platform_paths import (
    CAPTURE_PATH,
    MASK_PATH,
    PROBABILITIES_PATH,
    SEGMENTATION_PATH,
    ZMAP_PATH,
)
from model.outputs.own_files import (
    FILES,
    REPLACED,
    ChangedFiles,
    foreign_files,
    is_cut_off,
    is_own,
    outdated,
    read_own_results,
    state_of,
    with_record,
    with_replaced,
)
from model.outputs.place import Options, Place, sidecar_of
from model.report.results import write_results

if TYPE_CHECKING:
    from model.inputs.found_case import FoundCase
    from model.segmenter import Segmentation, Segmenter


def segment(input_root: Path, output_root: Path, segmenter: Segmenter, options: Options | None = None) -> dict:
    """Write the mask and `results.json` of the case below `input_root`, and what else `options` ask for.

    What an earlier case left in the output folder is removed first, and when anything fails no file is left. Returns the
    results. Raises UserError when the output folder, the case or the weights cannot be used, and when a file that is not
    this program's lies where one would be written.
    """
    options = options or Options()
    place = Place(folder=output_root, work=output_root, mask=MASK_PATH, probabilities=PROBABILITIES_PATH, zmap=ZMAP_PATH)
    with only_run(output_root):
        clear_output(place, options)
        found = find_scan(input_root).for_options(estimate_z=options.estimate_z, use_mask=options.brain_mask)
        try:
            return run_case(found, segmenter, options, place)
        except BaseException:
            for name in own_files(place):
                (output_root / name).unlink(missing_ok=True)
            raise


def run_case(
    found: FoundCase,
    segmenter: Segmenter,
    options: Options,
    place: Place,
    replaces: dict[str, str] | None = None,
) -> dict:
    """Read, segment and write one case; returns what `results.json` holds. Raises UserError.

    found: as `for_options` gave it. replaces: see `write_case`.
    """
    started = time.perf_counter()
    case = read_found(found, options)
    if place.dicom:
        from model.report.dicom.objects import require_objects

        require_objects(case)  # before the segmentation
    segmentation = segmenter.segment_case(case, options.empty_below)
    results = segmentation.results | {"seconds": round(time.perf_counter() - started, 2)}
    return write_case(place, found.name, segmentation, results, options, replaces)


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
    replaces: dict[str, str] | None = None,
) -> dict:
    """Write what `options` ask for, the mask last: where there is one, everything is there.

    Returns the results with the record of the files. Files of an earlier run that are not written again are removed.
    replaces: files that someone changed and that are replaced all the same, with their `state_of`. Raises ChangedFiles when
    others than these and an earlier run's lie there by now, UserError when files cannot be written.
    """
    case = segmentation.case
    before = read_own_results(place.folder / place.results)
    with files_into(place.folder, place.work, first=place.results, last=place.mask) as staged:
        _write_images(place, staged, segmentation, options)
        if options.report:
            from model.report.case_page import write_report  # and its libraries only where it is asked for

            write_report(staged / place.report, name, case, segmentation.answer, results)
        if place.dicom:
            from model.report.dicom.objects import write_objects

            write_objects(staged / SEGMENTATION_PATH, staged / CAPTURE_PATH, case, segmentation.mask, results)
        for name in place.written(options, estimated=case.estimated):
            if name in place.sidecars:
                write_results(place.sidecars[name](results), staged / sidecar_of(name))
        results = with_record(results, staged)
        while_replacing = with_replaced(results, place.folder, before)
        write_results(while_replacing, staged / place.results)
        require_unchanged(place, [place.results, *results[FILES]], before, replaces or {})
    for outdated_name in outdated(place.folder, before, results):
        (place.folder / outdated_name).unlink()
        _remove_empty_folder(place.folder, outdated_name)
    if REPLACED in while_replacing:
        write_results(results, place.folder / place.results)
    return results


def _write_images(place: Place, folder: Path, segmentation: Segmentation, options: Options) -> None:
    case = segmentation.case
    mask = folder / place.mask
    maps = {place.probabilities: (segmentation.probabilities, PROBABILITIES)} if options.probabilities else {}
    if options.probabilities and case.estimated:
        maps[place.zmap] = (segmentation.zmap, ESTIMATED_Z)
    for name, (voxels, what) in maps.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_probabilities(voxels, case.grid, folder / name, what)
    mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(segmentation.mask, case.grid, mask)


def require_unchanged(place: Place, names: list[str], before: dict | None, replaces: dict[str, str]) -> None:
    """Raise ChangedFiles when something else than an earlier run's files, or `replaces`, lies where files are to be written.

    Looked at right before they are moved there: while a case is run, its reader may correct a mask.
    """
    if obstacle := place.obstacle:
        raise ChangedFiles(obstacle)
    foreign = foreign_files(place.folder, names, before, place.results)
    if made := [name for name in foreign if replaces.get(name) != state_of(place.folder / name)]:
        paths = ", ".join(str(place.folder / name) for name in made)
        raise ChangedFiles(f"{paths}: made or changed by someone while the case was run; it stays")


def own_files(place: Place) -> list[str]:
    """The files of an earlier run where a case's are written, `results.json` last: it says which of the others are own.

    Without a `results.json` of this program it is a mask that has the mark of this program in its header.
    """
    results = read_own_results(place.folder / place.results)
    if results is None:
        return [place.mask] if is_signed(place.folder / place.mask) else []
    names = (place.mask, place.probabilities, place.zmap, place.report, *place.objects)
    is_ours = [is_own(place.folder, name, results) or is_cut_off(place.folder, name, results) for name in names]
    return [*itertools.compress(names, is_ours), place.results]


def _remove_empty_folder(folder: Path, name: str) -> None:
    """Remove the folder of a file that was removed from it, unless something else lies there or it is the output folder."""
    parent = (folder / name).parent
    if parent != folder and not parent.is_symlink() and not any(parent.iterdir()):
        parent.rmdir()


def clear_output(place: Place, options: Options) -> None:
    """Make the output folders, and remove an earlier run's files, cut-off ones too; no earlier mask outlives a failure.

    Raises UserError when that is not possible, or when something else lies where a file is written, or when a file of the
    earlier run was changed since, all of them before anything is removed; and when the mask's folder holds more, where the
    platform allows the mask alone.
    """
    folder = place.folder
    with writable(folder):
        own = own_files(place)
        recorded = (read_own_results(folder / place.results) or {FILES: ()})[FILES]
        names = [*place.written(options, estimated=options.estimate_z), *recorded]
        foreign = [name for name in dict.fromkeys(names) if os.path.lexists(folder / name) and name not in own]
    if foreign:
        paths = ", ".join(str(folder / name) for name in foreign)
        raise UserError(f"{paths}: not written by this program, or changed since; it stays, so name another output folder")
    with writable(folder):
        for name in own:
            (folder / name).unlink()
            _remove_empty_folder(folder, name)
        for name in (place.mask, place.probabilities, place.zmap, place.report, place.results):
            remove_partials(folder / name)
        remove_partial_folders(folder)
        _make_folders(place, options)
        beside = sorted(path.name for path in (folder / place.mask).parent.iterdir())
    require_writable((folder / place.mask).parent)  # before the weights are loaded
    if beside:
        where = (folder / place.mask).parent
        raise UserError(f"{where}: expected an empty folder for the mask, found {', '.join(beside)}")


def _make_folders(place: Place, options: Options) -> None:
    (place.folder / place.mask).parent.mkdir(parents=True, exist_ok=True)
    if options.probabilities:
        (place.folder / place.probabilities).parent.mkdir(parents=True, exist_ok=True)
