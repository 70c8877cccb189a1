"""Many cases in one go: from a folder or a CSV to a folder for each case, `summary.csv` and, on demand, `index.html`."""

from __future__ import annotations

import csv
import os
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from model.command import loading
from model.errors import UserError, is_users, lacks_memory, reason_of
from model.files import only_run, remove_partial_folders, require_writable, writable
from model.images.formats.names import is_dicom_path, mask_suffix
from model.images.volume import load_libraries
from model.inputs.bids import DESCRIPTION
from model.inputs.cases import find_cases
from model.inputs.contents import is_of_the_system, visible_in
from model.inputs.found_case import FoundCase
from model.inputs.shared_voxels import without_shared_voxels
from model.names.output_names import INDEX, MASK_STEM, PROBABILITIES_STEM, SUMMARY, ZMAP_STEM
from model.names.platform_paths import RESULTS_PATH
from model.outputs.bids_output import as_bids, begin_data_set, bids_place, is_own_description, require_outside
from model.outputs.earlier import Earlier, earlier_run, is_output_of_a_run, places_of_cases, with_extras
from model.outputs.names_apart import is_one_of, plain, require_names_apart
from model.outputs.own_files import ChangedFiles, read_own_results
from model.outputs.place import Options, Place
from model.outputs.same_maps import has_warning, warnings_to_have, with_warning
from model.outputs.summary import (
    CHANGED,
    COLUMNS,
    DONE,
    DONE_BEFORE,
    ENCODING,
    FAILED,
    GONE,
    Outcome,
    announce,
    index_entry,
    write_summary,
)
from model.run.at_once import AtOnce, Job, has_ended
from model.run.one_case import run_case

if TYPE_CHECKING:
    from model.networks.predictors import Predictors
    from model.segmenter import Segmenter

PlannedCase = tuple[FoundCase, Place, Earlier]  # with where its files are written, and what an earlier run left there
INDEX_TITLE = b"<title>Cases</title>"  # of the page of a folder


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Options):
    """What is wanted of every case; the format is the one of `mask_suffix` unless `suffix` names another.

    bids: write a BIDS derivative.
    """

    suffix: str = ""
    overwrite: bool = False
    bids: bool = False


def segment_folder(
    root: Path,
    output: Path,
    segmenter: Segmenter,
    options: FolderOptions,
    table: Path | None = None,
) -> list[Outcome]:
    """Segment every case below `root`, or those of `table`, into a folder of its own below `output`.

    A case that is done already, from the same files by the same weights, is not run again; one whose files, weights or
    options changed since, or whose mask did, only with `overwrite`. A case that cannot be used is listed with the reason,
    and the others are done. Raises UserError, before anything is written, when no cases are found or the output folder
    cannot be used or holds something else.
    """
    if not root.is_dir():
        hint = "" if table is None else f"; {table} was taken for the table of cases, --input names the folder"
        raise UserError(f"{root}: no such input folder, or not open to this user{hint}")
    if table is None:
        require_outside(root, output)
    found = find_cases(root, table, estimate_z=options.estimate_z)
    usable = [case.for_options(estimate_z=options.estimate_z, use_mask=options.brain_mask) for case in found]
    usable = without_shared_voxels(usable)
    cases = as_bids(usable) if options.bids else usable
    require_apart(root, cases, output)
    with only_run(output):
        require_writable(output)  # before the weights are loaded
        require_names_apart(cases, output)
        weights = weights_of(cases, segmenter.predictors)
        prepare(output, options)
        if options.bids:
            begin_data_set(root, output, ", ".join(weights.values()))
        places = [place_of(case, root, output, options) for case in cases]
        earlier = [
            earlier_run(case, place, weights.get(not case.zadc, ""), options)
            for case, place in zip(cases, places, strict=True)
        ]
        with loading():  # `results.json` names what is loaded, whichever case came first
            load_libraries([*(path for case in cases for path in case.files), *(Path(place.mask) for place in places)])
        outcomes: list[Outcome] = []
        each = list(zip(cases, places, earlier, strict=True))
        try:
            outcomes_of(each, segmenter, options, outcomes)
            with_same_maps(each, segmenter, options, outcomes)
        finally:
            gone = scans_gone(output, cases)
            for outcome in gone:
                announce(outcome)
            outcomes += gone
            write_overviews(outcomes, output, page=options.report)
    return outcomes


def outcomes_of(each: list[PlannedCase], segmenter: Segmenter, options: FolderOptions, outcomes: list[Outcome]) -> None:
    """Run the cases, several at once, and tell in their order what became of each; a stopped run, of all there are."""
    at_once = AtOnce([job_of(*one, segmenter, options) for one in each])
    try:
        with at_once:
            for (case, place, earlier), job in progress(list(zip(each, at_once.begun, strict=True))):
                outcomes.append(outcome_of(case, place, earlier, job))
                announce(outcomes[-1])
    finally:
        for one, job in list(zip(each, at_once.begun, strict=True))[len(outcomes) :]:
            outcomes.append(outcome_of(*one, job) if has_ended(job) else unreached(*one))
            if has_ended(job):
                announce(outcomes[-1])


def with_same_maps(each: list[PlannedCase], segmenter: Segmenter, options: FolderOptions, outcomes: list[Outcome]) -> None:
    """Run cases again whose results do not say rightly which other cases have the same ADC map. There are few.

    That two are the same is known once both were read. Pages, DICOM objects and sidecars hold the warnings too, and each has
    its checksum in the record: to write them all again is less code than to change them in place. Where that fails, the
    overviews say it.
    """
    warnings = warnings_to_have(outcomes, [earlier for _, _, earlier in each])
    again = [n for n, outcome in enumerate(outcomes) if outcome.results and not has_warning(outcome, warnings[n])]
    cases = [(_remarked(each[n][0], warnings[n]), each[n][1]) for n in again]
    told: list[Outcome] = []
    try:
        outcomes_of(
            [(case, place, Earlier(read_own_results(place.folder / place.results))) for case, place in cases],
            *(segmenter, options, told),
        )
    finally:
        for n, outcome in zip(again, told, strict=False):
            outcomes[n] = with_warning(outcomes[n], warnings[n]) if outcome.status == FAILED else outcome


def _remarked(case: FoundCase, warning: str) -> FoundCase:
    return replace(case, remarks=(*case.remarks, *filter(None, [warning])))


def weights_of(cases: list[FoundCase], predictors: Predictors) -> dict[bool, str]:
    """The id of the weights that cases with an estimated Z map get (True), and those with a given one, where there are any.

    Loads them, so that a run with weights that cannot be used is refused before anything is written.
    """
    kinds = {not case.zadc for case in cases if not case.problem}
    return {estimated: predictors.of(estimated=estimated).ensemble.id for estimated in sorted(kinds)}


def write_overviews(outcomes: list[Outcome], output: Path, *, page: bool) -> None:
    """Write `summary.csv`, and on demand `index.html`; an older one, which would link to what is no more, in any case."""
    write_summary(outcomes, output / SUMMARY)
    if page or (output / INDEX).exists():
        from model.report.folder_page import write_index

        write_index(output / INDEX, [index_entry(outcome) for outcome in outcomes])


def require_apart(root: Path, cases: list[FoundCase], output: Path) -> None:
    """Raise UserError when the input, or a file of a case, lies where a case's results would take its place."""
    inputs = [root, *(path for case in cases for path in case.files)]
    taken = {(output / case.place).resolve(): case.name for case in cases if not case.problem}
    for path in map(Path.resolve, inputs):
        for place in (path, *path.parents):
            if place in taken:
                raise UserError(f"{output}: expected another folder, the results of {taken[place]} would replace {path}")


def prepare(output: Path, options: FolderOptions) -> None:
    """Remove what a killed run left.

    Raises UserError when the folder is not empty and no run's output, unless `overwrite`; and when another file than a run's
    would be replaced.
    """
    with writable(output):
        names = [path.name for path in visible_in(output) if not is_of_the_system(path)]
        own = {SUMMARY: is_summary(output / SUMMARY), INDEX: is_index(output / INDEX)}
        if options.bids:
            own[DESCRIPTION] = is_own_description(output / DESCRIPTION)
        others = [name for name, is_own in own.items() if name in names and not is_own]
        if others:
            raise UserError(f"{output}: found {' and '.join(others)} of something else, which stays; name another folder")
        foreign = [name for name in names if name not in own]
        if foreign and not (options.overwrite or own[SUMMARY] or is_output_of_a_run(output)):
            more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
            raise UserError(
                f"{output}: expected an empty folder, or one of an earlier run,"
                f" found {', '.join(foreign[:5])}{more}; name another folder, or say --overwrite"
            )
        remove_partial_folders(output)


def is_summary(path: Path) -> bool:
    """Whether a file is a summary as `write_summary` writes it, by its header. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open(newline="", encoding=ENCODING, errors="replace") as file:
        columns = next(csv.reader(file), [])
    return "case" in columns and "status" in columns and set(columns) <= set(COLUMNS)


def is_index(path: Path) -> bool:
    """Whether a file is the page of a folder. Raises OSError."""
    return path.is_file() and not path.is_symlink() and INDEX_TITLE in path.read_bytes()[:4096]


def place_of(case: FoundCase, root: Path, output: Path, options: FolderOptions) -> Place:
    """Where a case's files are written."""
    if options.bids and not case.problem:
        return bids_place(case, root, output)
    suffix = options.suffix or (mask_suffix(case.adc) if case.adc else "")
    mask, probabilities, zmap = (f"{stem}{suffix}" for stem in (MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM))
    dicom = case.adc is not None and is_dicom_path(case.adc)
    where = output / case.place
    return Place(folder=where, work=output, mask=mask, probabilities=probabilities, zmap=zmap, dicom=dicom)


def job_of(case: FoundCase, place: Place, earlier: Earlier, segmenter: Segmenter, options: FolderOptions) -> Job | None:
    """What is to be done for a case; None where that was done before, or nothing may be done."""
    again = options.overwrite and not earlier.stays and earlier.status != DONE_BEFORE
    if earlier.status and not again:
        return None

    def run() -> dict:
        wanted = options if earlier.status else with_extras(options, earlier, place)
        return run_case(case, segmenter, wanted, place, earlier.changed)

    return run


def outcome_of(case: FoundCase, place: Place, earlier: Earlier, job: Future[dict] | None) -> Outcome:
    """What became of a case. What an earlier run left of one that fails stays, and the reason says so."""
    if job is None:
        return outcome_before(case, place, earlier)
    try:
        results = job.result()
    except ChangedFiles as error:
        return Outcome(case, CHANGED, reason=reason_of(error))
    except Exception as error:
        if not is_users(error) and not lacks_memory(error):
            traceback.print_exc()
        return Outcome(case, FAILED, reason=reason_of(error) + of_an_earlier_run(place, earlier))
    return Outcome(case, DONE, results, mask=place.folder / place.mask)


def of_an_earlier_run(place: Place, earlier: Earlier) -> str:
    """Says that a case which failed now has a mask from before; empty where it has none."""
    mask = place.folder / earlier.mask
    return f"; {mask} is of an earlier run" if earlier.mask and os.path.lexists(mask) else ""


def outcome_before(case: FoundCase, place: Place, earlier: Earlier) -> Outcome:
    """The outcome of a case that is not run again: done before, or why what is there does not hold."""
    if earlier.status == DONE_BEFORE:
        return Outcome(case, DONE_BEFORE, earlier.results, mask=place.folder / place.mask)
    return Outcome(case, earlier.status, reason=earlier.reason)


def unreached(case: FoundCase, place: Place, earlier: Earlier) -> Outcome:
    """What to say of a case when the run was stopped before it."""
    if earlier.status == DONE_BEFORE:
        return outcome_before(case, place, earlier)
    return Outcome(case, FAILED, reason="the run was stopped before this case" + of_an_earlier_run(place, earlier))


def scans_gone(output: Path, cases: list[FoundCase]) -> list[Outcome]:
    """Results in the output folder of cases that the input does not have."""
    known = {case.place for case in cases}
    spelt = {plain(place): place for place in known}
    gone = [
        place
        for place in places_of_cases(output)
        if place not in known and not is_one_of(place, spelt, output) and read_own_results(output / place / RESULTS_PATH)
    ]
    reason = "an earlier run's results stay, their scan is not in the input any more"
    return [Outcome(FoundCase(place.replace("/", "_"), folder=place), GONE, reason=reason) for place in gone]


def progress(cases: list) -> Iterator:
    """A bar with the time left on a terminal; nothing else where there is none, since every case has its line."""
    return tqdm(cases, unit="case", file=sys.stdout, disable=not sys.stdout.isatty())
