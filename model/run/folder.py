"""Many cases in one go: from a folder or a CSV to a folder for each case, `summary.csv` and, on demand, `index.html`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from model.errors import UserError, listed
from model.files import only_run, remove_partial_folders, require_writable, writable
from model.images.formats.names import DEFAULT, is_dicom_path, mask_suffix
from model.images.volume import load_libraries
from model.inputs.bids import DESCRIPTION
from model.inputs.cases import find_cases
from model.inputs.contents import is_of_the_system, visible_in
from model.inputs.found_case import FoundCase
from model.inputs.shared_voxels import without_shared_voxels
from model.names.output_names import DRAFT_STEM, INDEX, MASK_STEM, PROBABILITIES_STEM, SUMMARY, ZMAP_STEM
from model.names.platform_paths import RESULTS_PATH
from model.outputs.bids_output import as_bids, begin_data_set, bids_place, is_own_description, require_outside
from model.outputs.earlier import ChangedFiles, Earlier, changed_files, earlier_run, is_output_of_a_run, with_extras
from model.outputs.place import Options, Place
from model.outputs.previous import Previous
from model.outputs.record import FILES, read_own_results
from model.outputs.same_maps import has_warning, warnings_to_have, with_warning
from model.outputs.summary import FAILED, Outcome, announce, index_entry, is_summary, write_summary
from model.report.results import REVIEW, VOXELS
from model.reviews.find import find_reviews
from model.run.at_once import AtOnce, Job, Stopped, has_ended
from model.run.one_case import run_case
from model.run.outcomes import outcome_of, scans_gone, unreached
from model.run.reviewed import RefusedReview

if TYPE_CHECKING:
    from model.networks.predictors import Predictors
    from model.networks.stored import Ensemble
    from model.reviews.find import GivenReview
    from model.segmenter import Segmenter

PlannedCase = tuple[FoundCase, Place, Earlier]  # with where its files are written, and what an earlier run left there


@dataclass(frozen=True)
class Run:
    """What the cases of a folder are run with."""

    segmenter: Segmenter
    options: FolderOptions
    previous: Previous
    reviews: dict[str, GivenReview]  # by the case's name


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Options):
    """What is wanted of every case; the format is the one of `mask_suffix` unless `suffix` names another.

    bids: write a BIDS derivative. reviews: a folder of reviews, which are taken.
    """

    suffix: str = ""
    overwrite: bool = False
    bids: bool = False
    reviews: Path | None = None


def segment_folder(
    root: Path, output: Path, segmenter: Segmenter, options: FolderOptions, table: Path | None = None
) -> list[Outcome]:
    """Segment every case below `root`, or those of `table`, into a folder of its own below `output`.

    A case that is done already, from the same files by the same weights, is not run again; one whose files, weights or
    options changed since, or whose mask did, only with `overwrite`; one with a new review, always. A case that cannot be
    used is listed with the reason, and the others are done. What lies in the way of anything moves aside: see `Previous`.
    Raises UserError, before anything is written, when no cases are found or the output folder cannot be used or holds
    something else.
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
    require_apart([root, *filter(None, [options.reviews])], cases, output)
    reviews = find_reviews(options.reviews, [case.name for case in cases]) if options.reviews else {}
    with only_run(output):
        require_writable(output)  # before the weights are loaded
        ensembles = ensembles_of(cases, segmenter.predictors)
        atlas = segmenter.predictors.atlas if True in ensembles else ""
        prepare(output, options)
        run = Run(segmenter, options, Previous(output), reviews)
        if options.bids:
            begin_data_set(root, output, ", ".join(ensemble.id for ensemble in ensembles.values()), run.previous)
        places = [place_of(case, root, output, options) for case in cases]
        earlier = [
            earlier_run(case, place, ensembles.get(not case.zadc), options, atlas, reviews.get(case.name))
            for case, place in zip(cases, places, strict=True)
        ]
        # `results.json` names what is loaded, whichever case came first
        pages = [Path(DEFAULT)] if options.report else []  # which hold maps in that format
        load_libraries([*(path for case in cases for path in case.files), *(Path(place.mask) for place in places), *pages])
        outcomes: list[Outcome] = []
        each = list(zip(cases, places, earlier, strict=True))
        try:
            outcomes_of(each, run, outcomes)
            with_same_maps(each, run, outcomes)
        finally:
            outcomes += scans_gone(output, cases)
            write_overviews(outcomes, output, run.previous, page=options.report)
    return outcomes


def outcomes_of(each: list[PlannedCase], run: Run, outcomes: list[Outcome]) -> None:
    """Run the cases, several at once, and tell in their order what became of each; a stopped run, of all there are."""
    at_once = AtOnce([job_of(*one, run) for one in each], run.segmenter.at_once)
    try:
        with at_once:
            told = list(zip(each, at_once.begun, strict=True))  # with a bar on a terminal alone: each case has its line
            for (case, place, earlier), job in tqdm(told, unit="case", file=sys.stdout, disable=not sys.stdout.isatty()):
                outcomes.append(outcome_of(case, place, earlier, job, run.previous))
                announce(outcomes[-1])
    finally:
        for one, job in list(zip(each, at_once.begun, strict=True))[len(outcomes) :]:
            outcomes.append(outcome_of(*one, job, run.previous) if has_ended(job) else unreached(*one))
            if has_ended(job):
                announce(outcomes[-1])


def with_same_maps(each: list[PlannedCase], run: Run, outcomes: list[Outcome]) -> None:
    """Run cases again whose results do not say rightly which other cases have the same ADC map. There are few.

    That two are the same is known once both were read. Pages, DICOM objects and sidecars hold the warnings too, and each has
    its checksum in the record: to write them all again is less code than to change them in place. Where that fails, and
    where a mask was reviewed and the review is not given again, the overviews say it.
    """
    warnings = warnings_to_have(outcomes, [earlier for _, _, earlier in each])
    again = []
    for n, outcome in enumerate(outcomes):
        if outcome.results and not has_warning(outcome, warnings[n]):
            if REVIEW in outcome.results and outcome.case.name not in run.reviews:
                outcomes[n] = with_warning(outcome, warnings[n])
            else:
                again.append(n)
    remarks = {n: (*each[n][0].remarks, *filter(None, [warnings[n]])) for n in again}
    cases = [(replace(each[n][0], remarks=remarks[n]), each[n][1]) for n in again]
    told: list[Outcome] = []
    try:
        before = [Earlier(read_own_results(place.folder / RESULTS_PATH), holds=True) for _, place in cases]
        outcomes_of([(*one, earlier) for one, earlier in zip(cases, before, strict=True)], run, told)
    finally:
        for n, outcome in zip(again, told, strict=False):
            outcomes[n] = with_warning(outcomes[n], warnings[n]) if outcome.status == FAILED else outcome


def ensembles_of(cases: list[FoundCase], predictors: Predictors) -> dict[bool, Ensemble]:
    """What cases with an estimated Z map are asked of (True), and those with a given one, where there are any.

    Loads them, so that a run with weights that cannot be used is refused before anything is written.
    """
    kinds = {not case.zadc for case in cases if not case.problem}
    return {estimated: predictors.of(estimated=estimated).ensemble for estimated in sorted(kinds)}


def write_overviews(outcomes: list[Outcome], output: Path, previous: Previous, *, page: bool) -> None:
    """Write `summary.csv`, and on demand `index.html`; also where there is one, which would link to what is no more."""
    page = page or os.path.lexists(output / INDEX)
    with previous.replacing(output / SUMMARY):
        write_summary(outcomes, output / SUMMARY)
    if page:
        from model.report.folder_page import write_index

        with previous.replacing(output / INDEX):
            write_index(output / INDEX, [index_entry(outcome) for outcome in outcomes])


def require_apart(folders: list[Path], cases: list[FoundCase], output: Path) -> None:
    """Raise UserError when a folder of the input, or a file of a case, lies where a case's results would take its place."""
    inputs = [*folders, *(path for case in cases for path in case.files)]
    taken = {(output / case.place).resolve(): case.name for case in cases if not case.problem}
    for path in map(Path.resolve, inputs):
        for place in (path, *path.parents):
            if place in taken:
                raise UserError(
                    f"{output}: expected another folder, the results of {taken[place]} would replace {path}, which is read"
                )


def prepare(output: Path, options: FolderOptions) -> None:
    """Remove what a killed run left.

    Raises UserError when the folder is not empty and no run's output, unless `overwrite`; and when it is a BIDS data set of
    something else.
    """
    with writable(output):
        there = [path.name for path in visible_in(output) if not is_of_the_system(path)]
        if options.bids and DESCRIPTION in there and not is_own_description(output / DESCRIPTION):
            raise UserError(f"{output}: found {DESCRIPTION} of something else, which stays; name another folder")
        if there and not (options.overwrite or is_summary(output / SUMMARY) or is_output_of_a_run(output)):
            raise UserError(
                f"{output}: expected an empty folder, or one of an earlier run, found {listed(there)}; name another folder,"
                " or say --overwrite"
            )
        remove_partial_folders(output)


def place_of(case: FoundCase, root: Path, output: Path, options: FolderOptions) -> Place:
    """Where a case's files are written."""
    if options.bids and not case.problem:
        return bids_place(case, root, output)
    suffix = options.suffix or (mask_suffix(case.adc) if case.adc else "")
    mask, draft, probabilities, zmap = (f"{stem}{suffix}" for stem in (MASK_STEM, DRAFT_STEM, PROBABILITIES_STEM, ZMAP_STEM))
    dicom = case.adc is not None and is_dicom_path(case.adc)
    where = output / case.place
    return Place(folder=where, work=output, mask=mask, draft=draft, probabilities=probabilities, zmap=zmap, dicom=dicom)


def job_of(case: FoundCase, place: Place, earlier: Earlier, run: Run) -> Job | None:
    """What is to be done for a case; None where that was done before, or may not be done.

    A case that fails has no result: one of other files or options, or of files that cannot be used now, moves aside, unless
    someone changed it and `overwrite` was not said. A reviewed one stays, and so does all where a review is refused.
    """
    overwrite, given = run.options.overwrite, taken_before(run.reviews.get(case.name), earlier)
    if earlier.stays or (earlier.status and not overwrite):
        return None
    options = run.options if earlier.status else with_extras(run.options, earlier, place)

    def require() -> None:
        if not overwrite and (changed := changed_files(case, place, options, reviewed=bool(given))):
            raise ChangedFiles(f"{changed}, while the case was run; it stays")

    def job() -> dict:
        try:
            return run_case(case, run.segmenter, options, place, run.previous, require, given)
        except (ChangedFiles, RefusedReview, Stopped):
            raise
        except Exception:
            if not earlier.holds and not earlier.review and (overwrite or not changed_files(case, place, options)):
                own = {*place.written(options, estimated=not case.zadc), *(earlier.results or {FILES: ()})[FILES]}
                with run.previous.replacing(*(place.folder / name for name in own)):
                    pass
            raise

    return job


def taken_before(given: GivenReview | None, earlier: Earlier) -> GivenReview | None:
    """A case's review, with the scan for which an earlier run took the very same file, if one did."""
    if given and earlier.results and earlier.review and earlier.review["sha256"] == given.sha256:
        return replace(given, scan=earlier.results["inputs"]["adc"][VOXELS])
    return given
