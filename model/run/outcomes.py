"""What became of each case of a run: done now or before, not done and why, or not in the input any more."""

from __future__ import annotations

import os
import traceback
from concurrent.futures import Future
from pathlib import Path

from model.errors import is_users, lacks_memory, reason_of
from model.inputs.found_case import FoundCase, plain
from model.names.platform_paths import RESULTS_PATH
from model.outputs.earlier import ChangedFiles, Earlier, places_of_cases
from model.outputs.place import Place
from model.outputs.previous import Previous
from model.outputs.record import read_own_results
from model.outputs.summary import CHANGED, DONE, DONE_BEFORE, FAILED, GONE, Outcome, announce


def outcome_of(case: FoundCase, place: Place, earlier: Earlier, job: Future[dict] | None, previous: Previous) -> Outcome:
    """What became of a case. The reason of one that fails says where an earlier run's results are."""
    if job is None:
        return outcome_before(case, place, earlier)
    try:
        results = job.result()
    except ChangedFiles as error:
        return Outcome(case, CHANGED, reason=reason_of(error))
    except Exception as error:
        if not is_users(error) and not lacks_memory(error):
            traceback.print_exc()
        return Outcome(case, FAILED, reason=reason_of(error) + of_an_earlier_run(place, earlier, previous))
    return Outcome(case, DONE, results, mask=place.folder / place.mask)


def of_an_earlier_run(place: Place, earlier: Earlier, previous: Previous | None = None) -> str:
    """Says that a case which failed now has results from before, and where; empty where it has none."""
    if previous and (moved := previous.moved(place.folder)):
        return f"; earlier results are in {moved}"
    there = os.path.lexists(place.folder / RESULTS_PATH)
    return f"; {place.folder} is of an earlier run" if earlier.results and there else ""


def outcome_before(case: FoundCase, place: Place, earlier: Earlier) -> Outcome:
    """The outcome of a case that is not run again: done before, or why what is there does not hold."""
    if earlier.status == DONE_BEFORE:
        return Outcome(case, DONE_BEFORE, earlier.results, mask=place.folder / place.mask)
    of_earlier = of_an_earlier_run(place, earlier) if earlier.status == FAILED else ""
    return Outcome(case, earlier.status, reason=earlier.reason + of_earlier)


def unreached(case: FoundCase, place: Place, earlier: Earlier) -> Outcome:
    """What to say of a case when the run was stopped before it."""
    if earlier.status == DONE_BEFORE:
        return outcome_before(case, place, earlier)
    return Outcome(case, FAILED, reason="the run was stopped before this case" + of_an_earlier_run(place, earlier))


def scans_gone(output: Path, cases: list[FoundCase]) -> list[Outcome]:
    """Announce and return results in the output folder of cases that the input does not have."""
    known = {plain(case.place) for case in cases}
    gone = [
        place
        for place in places_of_cases(output)
        if plain(place) not in known and read_own_results(output / place / RESULTS_PATH)
    ]
    reason = "an earlier run's results stay, their scan is not in the input any more"
    outcomes = [Outcome(FoundCase(place.replace("/", "_"), folder=place), GONE, reason=reason) for place in gone]
    for outcome in outcomes:
        announce(outcome)
    return outcomes
