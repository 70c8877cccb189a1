"""What an earlier run left of a case of a folder, and whether it still holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import model
from model.errors import UserError
from model.images.formats.names import digest
from model.images.space import space_in_name
from model.inputs.contents import is_of_the_system, visible_in
from model.names.output_names import PREVIOUS
from model.names.platform_paths import REPORT_PATH, RESULTS_PATH
from model.outputs.previous import obstacle
from model.outputs.record import FILES, is_current, read_own_results
from model.outputs.summary import CHANGED, DONE_BEFORE, FAILED, OUTDATED
from model.report.results import ESTIMATED, REVIEW

if TYPE_CHECKING:
    from model.inputs.found_case import FoundCase
    from model.networks.stored import Ensemble
    from model.outputs.place import Options, Place
    from model.reviews.find import GivenReview

REVIEWED_STAYS = "a reviewed mask is replaced by a newer review alone (--reviews), or when its folder is moved away"
ON_DEMAND = f"--overwrite does the case again and moves what is there to {PREVIOUS}/"


class ChangedFiles(UserError):
    """Files that someone made or changed lie where a run's would be written."""


@dataclass(frozen=True)
class Earlier:
    """An earlier run of a case: `results` where its record is there, and why the case is not run again, if it is not.

    holds: the results are those of the case's files, with these weights and options. stays: `--overwrite` does not do the
    case again either.
    """

    results: dict | None = None
    status: str = ""
    reason: str = ""
    holds: bool = False
    stays: bool = False

    @property
    def review(self) -> dict | None:
        """What the results say of the review that the mask is from; None where it is a draft."""
        return (self.results or {}).get(REVIEW)


def earlier_run(
    case: FoundCase,
    place: Place,
    ensemble: Ensemble | None,
    options: Options,
    atlas: str = "",
    given: GivenReview | None = None,
) -> Earlier:
    """Look at what lies where the case's files are written.

    ensemble: what would be asked now, None where the case has a problem; atlas: the name of the one beside which Z would be
    estimated; given: the case's review. A newer one than that which was taken lets the case be done again; without one a
    reviewed mask stays.
    """
    found = _earlier_run(case, place, ensemble, options, atlas, reviewed=bool(given))
    taken = found.review
    if given and given.problem:
        return replace(found, status=FAILED, reason=given.problem, stays=True)
    if given and not (taken and taken["sha256"] == given.sha256):
        if taken and given.time <= datetime.fromisoformat(taken["time"]):
            older = f"{given.path}: of {said(given.time)}, not newer than {taken['file']} of {said(taken['time'])}"
            return replace(found, status=FAILED, reason=f"{older}, which was taken; {REVIEWED_STAYS}", stays=True)
        return found if found.status == CHANGED else replace(found, status="", reason="", stays=False)
    if taken and not given and found.status != DONE_BEFORE and not case.problem:
        reason = found.reason.removesuffix(f"; {ON_DEMAND}") or "its files are not all there as wanted"
        return replace(found, status=found.status or OUTDATED, reason=f"{reason}; {REVIEWED_STAYS}", stays=True)
    return found


def said(time: datetime | str) -> str:
    """A time, given or as ISO 8601, in UTC to the second."""
    given = datetime.fromisoformat(time) if isinstance(time, str) else time
    return given.astimezone(UTC).isoformat(" ", "seconds")


def _earlier_run(
    case: FoundCase, place: Place, ensemble: Ensemble | None, options: Options, atlas: str, *, reviewed: bool
) -> Earlier:
    """What there is to say without a look at the reviews. reviewed: the case has one now."""
    results = read_own_results(place.folder / RESULTS_PATH)
    if case.problem or not ensemble:
        return Earlier(results)
    try:
        reason = difference(case, results, ensemble, options, place, atlas) if results else ""
    except (OSError, ValueError, UserError):  # running the case will say what is wrong with its files
        return Earlier(results)
    holds = bool(results) and not reason
    written = place.written(options, estimated=not case.zadc, reviewed=bool(results and results.get(REVIEW)))
    names = [name for name in written if name != RESULTS_PATH]
    if results and holds and all(is_current(place.folder, name, results) for name in names):
        return Earlier(results, DONE_BEFORE, holds=True, stays=True)
    if changed := changed_files(case, place, options, reviewed=reviewed):
        return Earlier(results, CHANGED, f"{changed}; {ON_DEMAND}", holds)
    if reason:
        return Earlier(results, OUTDATED, f"{reason} since; {ON_DEMAND}")
    return Earlier(results, holds=holds)


def changed_files(case: FoundCase, place: Place, options: Options, *, reviewed: bool = False) -> str:
    """Which files where a case's are written are not, or no longer, this program's; empty where there are none.

    reviewed: a review of the case is taken.
    """
    if found := obstacle(place.folder, place.work):
        return f"{found}: expected a folder, found a link or a file"
    results = read_own_results(place.folder / RESULTS_PATH)
    known = {RESULTS_PATH} if results else set()
    names = {*place.written(options, estimated=not case.zadc, reviewed=reviewed), *(results or {FILES: ()})[FILES]} - known
    there = [name for name in sorted(names) if os.path.lexists(place.folder / name)]
    changed = [str(place.folder / name) for name in there if not (results and is_current(place.folder, name, results))]
    return f"{', '.join(changed)}: changed since it was written, or not of this program" if changed else ""


def with_extras(options: Options, earlier: Earlier, place: Place) -> Options:
    """The options, with what an earlier run of the same files was asked for."""
    files = (earlier.results or {FILES: ()})[FILES]
    return replace(
        options,
        probabilities=options.probabilities or place.probabilities in files,
        report=options.report or REPORT_PATH in files,
    )


def difference(case: FoundCase, results: dict, ensemble: Ensemble, options: Options, place: Place, atlas: str = "") -> str:
    """What changed since an earlier run of the case; empty where nothing did.

    A reviewed mask is a reader's: weights, networks, atlas, version and `--empty-below` made its draft alone, and do not
    count. The weights' id is of the atlas, too. Raises OSError, ValueError or UserError when a map cannot be read.
    """
    try:
        estimated, sums = results["z_map"] == ESTIMATED, results["inputs"]
        same_kind, networks = estimated == (not case.zadc), len(ensemble.networks)
        replaced = results["weights"].split("-")[0] != ensemble.id.split("-")[0]  # behind it: how many networks of how many
        before = results["registration"]["atlas"] if atlas and same_kind and "registration" in results else atlas
        of_draft = {
            "the weights were replaced": replaced and same_kind and before == atlas,
            f"the networks (--networks) changed from {results['networks']}": results["networks"] != networks
            and not replaced,
            f"the atlas (--atlas) changed from {before}": before != atlas,
            "the version of this program changed": results["software"]["hie-lesions"] != model.__version__,
            f"--empty-below changed from {results['empty_below']:g}": results["empty_below"] != options.empty_below,
        }
        differences = {
            **_difference_of("ADC map", sums["adc"], case.adc_map, options.series, adc=True),
            **_difference_of("Z map", sums.get("zadc"), case.zadc, options.series),
            **_difference_of("brain mask", sums.get("brain_mask"), case.brain_mask),
            **({} if REVIEW in results else of_draft),
            f"the ADC unit (--adc-unit) changed from {results['adc_unit']}": results["adc_unit"] != options.adc_unit,
            f"the mask's name or format changed to {place.mask}": place.mask not in results[FILES],
        }
    except (KeyError, TypeError):
        return "the version of this program changed"
    return " and ".join(what for what, differs in differences.items() if differs)


def _difference_of(
    what: str, before: dict | None, now: Path | None, series: Sequence[str] = (), *, adc: bool = False
) -> dict[str, bool]:
    """Whether a file that a case may have was added, removed or replaced; before: its entry in the earlier results.

    A file whose name says another space counts as another.
    """
    if before and now:
        same_space = space_in_name(before["file"]) == space_in_name(now.name)
        return {f"the {what} was replaced": not same_space or before["sha256"] != digest(now, series, adc=adc)}
    return {f"the {what} was {'added' if now else 'removed'}": bool(before or now)}


def is_output_of_a_run(output: Path) -> bool:
    """Whether a folder holds results of this program for any case."""
    return any(read_own_results(output / place / RESULTS_PATH) for place in places_of_cases(output))


def places_of_cases(output: Path) -> list[str]:
    """What can be folders of cases in an output folder, as paths from there on, sorted. Raises OSError."""
    folders = [path for path in visible_in(output) if path.is_dir() and not is_of_the_system(path)]
    return [path.relative_to(output).as_posix() for path in (*folders, *sorted(output.glob("sub-*/ses-*")))]
