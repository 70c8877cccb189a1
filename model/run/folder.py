"""Many cases in one go: from a folder or a CSV to a folder for each case, `summary.csv` and, on demand, `index.html`."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

import model
from model.errors import UserError, lacks_memory, reason_of
from model.files import only_run, remove, remove_partial_folders, whole_folder, writable
from model.images.case import read_case
from model.images.formats import digest, suffix_of
from model.images.volume import read_volume
from model.run.contents import visible_in
from model.run.find_cases import INDEX, MASK_STEM, SUMMARY, find_cases
from model.run.found_case import FoundCase
from model.run.one_case import Options, segment_case, write_case
from model.run.platform_paths import REPORT_PATH, RESULTS_PATH
from model.run.summary import (
    DONE,
    DONE_BEFORE,
    FAILED,
    NUMBERS,
    Outcome,
    announce,
    index_entry,
    write_summary,
)

if TYPE_CHECKING:
    from model.networks.predict import Predictor


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Options):
    """What is wanted of every case; the format is the ADC map's own unless `suffix` names another."""

    suffix: str = ""
    overwrite: bool = False


def segment_folder(
    root: Path,
    output: Path,
    load_predictor: Callable[[], Predictor],
    options: FolderOptions,
    table: Path | None = None,
) -> list[Outcome]:
    """Segment every case below `root`, or those of `table`, into a folder of its own below `output`.

    A case that is done already, from the same files by the same weights, is not run again. A case that cannot be used is
    listed with the reason, and the others are done. Raises UserError, before anything is written, when no cases are found
    or the output folder cannot be used or holds something else.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such input folder, or not open to this user")
    if table is None and output.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{output}: expected an output folder outside the input folder {root}")
    cases = find_cases(root, table)
    require_apart(root, cases, output)
    with only_run(output):
        predictor = load_predictor()
        earlier = {case.name: earlier_results(case, output, predictor.ensemble.id, options) for case in cases}
        prepare(output, earlier, options.overwrite)
        outcomes: list[Outcome] = []
        try:
            for case in progress(cases):
                outcomes.append(outcome_of(case, output, predictor, options, earlier[case.name]))
                announce(outcomes[-1])
        finally:  # a stopped run says what it has done, and what is there of the others
            outcomes += [unreached(case, output, options, earlier[case.name]) for case in cases[len(outcomes) :]]
            write_summary(outcomes, output / SUMMARY)
            if options.report or (output / INDEX).exists():  # an older one would link to what is no more
                from model.report.folder_page import write_index

                write_index(output / INDEX, [index_entry(outcome) for outcome in outcomes])
    return outcomes


def require_apart(root: Path, cases: list[FoundCase], output: Path) -> None:
    """Raise UserError when the input, or a file of a case, lies where a case's results would take its place."""
    inputs = [root, *(path for case in cases for path in (case.adc, case.zadc) if path)]
    taken = {(output / case.name).resolve(): case.name for case in cases if not case.problem}
    for path in map(Path.resolve, inputs):
        for place in (path, *path.parents):
            if place in taken:
                raise UserError(f"{output}: expected another folder, the results of {taken[place]} would replace {path}")


def prepare(output: Path, earlier: dict[str, dict | None], overwrite: bool) -> None:
    """Remove what a killed run left. Raises UserError when the folder holds anything but results of these very cases."""
    with writable(output):
        names = [path.name for path in visible_in(output)]
    foreign = [name for name in names if name not in (SUMMARY, INDEX) and not earlier.get(name)]
    if foreign and not overwrite:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise UserError(
            f"{output}: expected an empty folder, or results of the same files by the same weights,"
            f" found {', '.join(foreign[:5])}{more}; name another folder, or say --overwrite"
        )
    with writable(output):
        remove_partial_folders(output)


def outcome_of(case: FoundCase, output: Path, predictor: Predictor, options: FolderOptions, earlier: dict | None) -> Outcome:
    """Run a case that is not done; an earlier result of a case that fails now does not stay."""
    folder = output / case.name
    try:
        if earlier:  # what an earlier run was asked for stays
            paths = paths_of(case, folder, options)
            probabilities = options.probabilities or paths["probabilities"].is_file()
            options = replace(options, probabilities=probabilities, report=options.report or paths["report"].is_file())
        if done := done_before(case, folder, options, earlier):
            return done
        results = run_case(case, folder, predictor, options)
    except Exception as error:
        if (
            not earlier and not case.problem
        ):  # whole results of the same files stay, even if more of them could not be written now
            remove(folder)
        if not isinstance(error, UserError) and not lacks_memory(error):
            traceback.print_exc()
        return Outcome(case, FAILED, reason=reason_of(error))
    return Outcome(case, DONE, results, mask=paths_of(case, folder, options)["mask"])


def done_before(case: FoundCase, folder: Path, options: FolderOptions, earlier: dict | None) -> Outcome | None:
    """The outcome of a case that need not be run again, else None."""
    if not earlier or not is_complete(case, folder, options):
        return None
    return Outcome(case, DONE_BEFORE, earlier, mask=paths_of(case, folder, options)["mask"])


def run_case(case: FoundCase, folder: Path, predictor: Predictor, options: FolderOptions) -> dict:
    """Read, segment and write one case; the folder appears when all is in it. Raises UserError."""
    adc, zadc = case.maps
    started = time.perf_counter()
    maps = read_case(adc, zadc, options.adc_unit)
    found, results = segment_case(maps, predictor, started)
    try:
        with whole_folder(folder) as partial:
            write_case(paths_of(case, partial, options), case.name, maps, found, results, options)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return results


def paths_of(case: FoundCase, folder: Path, options: FolderOptions) -> dict[str, Path]:
    """Where what belongs to a case is written."""
    suffix = options.suffix or suffix_of(case.maps[0])
    names = {"results": RESULTS_PATH, "report": REPORT_PATH, "probabilities": f"probabilities{suffix}"}
    return {what: folder / name for what, name in (names | {"mask": f"{MASK_STEM}{suffix}"}).items()}


def earlier_results(case: FoundCase, output: Path, weights: str, options: FolderOptions) -> dict | None:
    """The results of an earlier run of the same files, by the same weights and version; None where there are none.

    None, too, where an earlier mask is in another format: it would be lost.
    """
    if case.problem:
        return None
    mask = paths_of(case, output / case.name, options)["mask"]
    if any(suffix_of(path) and path != mask for path in mask.parent.glob(f"{MASK_STEM}.*")):
        return None
    try:
        results = json.loads((output / case.name / RESULTS_PATH).read_text(encoding="utf-8"))
        same = (
            all(isinstance(results[name], (int, float)) for name in NUMBERS)
            and isinstance(results["warnings"], list)
            and results["weights"] == weights
            and results["adc_unit"] == options.adc_unit
            and results["software"]["hie-lesions"] == model.__version__
            and results["inputs"]["adc"]["sha256"] == digest(case.maps[0])
            and results["inputs"]["zadc"]["sha256"] == digest(case.maps[1])
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return results if same else None


def is_complete(case: FoundCase, folder: Path, options: FolderOptions) -> bool:
    """Whether everything that is wanted of a case lies in its folder, the images whole."""
    paths = paths_of(case, folder, options)
    try:
        for what in ("mask", "probabilities"):
            if what == "mask" or options.probabilities:
                read_volume(paths[what])
    except UserError:
        return False
    return paths["report"].is_file() or not options.report


def unreached(case: FoundCase, output: Path, options: FolderOptions, earlier: dict | None) -> Outcome:
    """What to say of a case when the run was stopped before it."""
    stopped = Outcome(case, FAILED, reason="the run was stopped before this case")
    return done_before(case, output / case.name, options, earlier) or stopped


def progress(cases: list[FoundCase]) -> Iterator[FoundCase]:
    """A bar with the time left on a terminal; nothing else where there is none, since every case has its line."""
    return tqdm(cases, unit="case", file=sys.stdout, disable=not sys.stdout.isatty())
