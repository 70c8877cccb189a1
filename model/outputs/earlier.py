"""What an earlier run left of a case of a folder, and whether it still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import model
from model.errors import UserError
from model.images.formats.names import digest, suffix_of
from model.images.space import space_in_name
from model.inputs.contents import visible_in
from model.names.platform_paths import RESULTS_PATH
from model.outputs.own_files import FILES, REPLACED, foreign_files, is_current, is_mask, is_own, read_own_results, state_of
from model.outputs.summary import CHANGED, DONE_BEFORE, FAILED, OUTDATED
from model.report.results import ESTIMATED

if TYPE_CHECKING:
    from model.inputs.found_case import FoundCase
    from model.outputs.place import Options, Place


@dataclass(frozen=True)
class Earlier:
    """An earlier run of a case: `results` where its record is there, and why the case is not run again, if it is not.

    stays: `--overwrite` changes nothing about that. changed: by name, the `state_of` files that someone changed since.
    """

    results: dict | None = None
    status: str = ""
    reason: str = ""
    stays: bool = False
    changed: dict[str, str] = field(default_factory=dict)

    @property
    def mask(self) -> str:
        """The mask's path in the case's folder; empty without a record."""
        names = (self.results or {FILES: {}})[FILES]
        return next(filter(is_mask, names), "")


def earlier_run(case: FoundCase, place: Place, weights: str, options: Options) -> Earlier:
    """Look at what lies where the case's files are written. weights: the id of those that would run now."""
    results = read_own_results(place.folder / place.results)
    earlier = Earlier(results)
    if case.problem:
        return earlier
    if obstacle := place.obstacle:
        return Earlier(None, FAILED, obstacle, stays=True)
    written = place.written(options, estimated=not case.zadc)
    if foreign := foreign_files(place.folder, written, results, place.results):
        return _changed(place, results, foreign)
    if results is None:
        return earlier
    try:
        reason = difference(case, earlier, weights, options, place)
    except (OSError, ValueError, UserError):  # running the case will say what is wrong with its files
        return earlier
    if reason:
        return Earlier(results, OUTDATED, f"{reason} since; --overwrite does the case again")
    wanted = [name for name in written if name != place.results]
    if REPLACED not in results and all(is_current(place.folder, name, results) for name in wanted):
        return Earlier(results, DONE_BEFORE)
    return earlier


def _changed(place: Place, results: dict | None, foreign: list[str]) -> Earlier:
    """A case with files of others: what a run wrote once is replaced on demand, what none wrote stays."""
    stays = any(name not in (results or {FILES: ()})[FILES] for name in foreign)
    names = ", ".join(str(place.folder / name) for name in foreign)
    what = "it stays, so move it or name another folder" if stays else "--overwrite replaces it"
    reason = f"{names}: changed since it was written, or not of this program; {what}"
    return Earlier(results, CHANGED, reason, stays, {name: state_of(place.folder / name) for name in foreign})


def with_extras(options: Options, earlier: Earlier, place: Place) -> Options:
    """The options, with what an earlier run of the same files was asked for."""
    return replace(
        options,
        probabilities=options.probabilities or is_own(place.folder, place.probabilities, earlier.results),
        report=options.report or is_own(place.folder, place.report, earlier.results),
    )


def difference(case: FoundCase, earlier: Earlier, weights: str, options: Options, place: Place) -> str:
    """What changed since an earlier run of the case; empty where nothing did.

    Raises OSError, ValueError or UserError when a map cannot be read.
    """
    results = earlier.results or {}
    renamed = earlier.mask != place.mask and suffix_of(Path(earlier.mask)) == suffix_of(Path(place.mask))
    try:
        estimated, sums = results["z_map"] == ESTIMATED, results["inputs"]
        differences = {
            **_difference_of("ADC map", sums["adc"], case.adc_map, options.series, adc=True),
            **_difference_of("Z map", sums.get("zadc"), case.zadc, options.series),
            **_difference_of("brain mask", sums.get("brain_mask"), case.brain_mask),
            "the weights were replaced": results["weights"] != weights and estimated == (not case.zadc),
            "the version of this program changed": results["software"]["hie-lesions"] != model.__version__,
            f"the ADC unit (--adc-unit) changed from {results['adc_unit']}": results["adc_unit"] != options.adc_unit,
            f"--empty-below changed from {results['empty_below']:g}": results["empty_below"] != options.empty_below,
            f"the masks' format changed from {suffix_of(Path(earlier.mask))}": earlier.mask != place.mask and not renamed,
            f"the mask's name changed from {earlier.mask}": renamed,
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
    folders = [path for path in visible_in(output) if path.is_dir()]
    return [path.relative_to(output).as_posix() for path in (*folders, *sorted(output.glob("sub-*/ses-*")))]
