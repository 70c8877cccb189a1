"""Finds HIE lesions in newborns' diffusion MRI: reads /input, writes /output, as grand-challenge.org runs it.

One case, outside the container:

    python process.py --input test/case/input --output out

A folder of cases, each with its ADC and Z map, with a page for each to look at:

    python process.py --cases --input scans --output lesions --report

ADC maps alone, those that are not skull-stripped with a brain mask beside them:

    python process.py --cases --input scans --output lesions --report --estimate-z --brain-mask
"""

from __future__ import annotations

from model.command import exit_code, prepare

if __name__ == "__main__":
    prepare()  # before the imports

import argparse
import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model.cores import cores, threads
from model.images.case import ADC_UNIT, ADC_UNITS
from model.images.formats.names import DEFAULT, WRITTEN
from model.images.limits import SMALLEST_BRAIN_ML
from model.inputs.cases import LAYOUTS
from model.names.bids_names import SUFFIX
from model.names.output_names import INDEX, SUMMARY
from model.names.platform_paths import MASK_PATH, PORT, PROBABILITIES_PATH, REPORT_PATH, ZMAP_PATH
from model.outputs.place import Options
from model.run.one_case import segment
from model.segmenter import DEVICES, ENGINES, NETWORKS, Segmenter

if TYPE_CHECKING:
    from model.outputs.summary import Outcome

STARTED = time.perf_counter()
# of a case on two cores of a CPU, from the process's start, and for each million voxels where all are brain: "Growth" in
# benchmarks/README.md
CPU_START_S, CPU_S_A_MILLION = 0.8, 5.0

say = functools.partial(print, flush=True)


def parse_arguments(words: list[str] | None) -> argparse.Namespace:
    usage, raw = "%(prog)s [options]; --help lists them", argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, usage=usage, formatter_class=raw)
    parser.add_argument(
        "--input", type=Path, default=Path("/input"), help="folder of the case or the cases (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("/output"), help="folder of what is written (default: %(default)s)"
    )
    add_about_computing(parser)
    add_about_input(parser)
    parser.add_argument(
        "--empty-below",
        type=chance,
        default=0.0,
        metavar="CHANCE",
        help="leave the mask empty where the chance of a lesion is below this, 0 to 1; a case on an estimated Z map has no"
        " such chance and fails then (default: none is left empty)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="also write report.html, a page to look at, for every case, and with --cases index.html for all",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write the probability of lesion, 0 to 1, of every voxel, and the Z map where it is estimated",
    )
    add_ways_to_run(parser)
    args = parser.parse_args(words)
    if args.cases is None and (args.format or args.overwrite or args.bids or args.series or args.reviews):
        parser.error("--bids, --reviews, --series, --format and --overwrite go with --cases")
    if args.atlas and not args.estimate_z:
        parser.error("--atlas goes with --estimate-z")
    if args.smallest_brain_ml != SMALLEST_BRAIN_ML and not args.brain_mask:
        parser.error("--smallest-brain goes with --brain-mask")
    if args.bids and args.format not in (None, SUFFIX):
        parser.error(f"--bids writes {SUFFIX}")
    return args


def add_about_computing(parser: argparse.ArgumentParser) -> None:
    """What computes, and what is asked."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto takes CUDA where it can be used, else the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="auto takes torch on CUDA and openvino on the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", type=Path, help="folder of .safetensors files (default: /opt/ml/model, else the built-in ones)"
    )
    parser.add_argument(
        "--networks",
        type=int,
        choices=NETWORKS,
        help="how many networks are run beside the trees; 0 needs no engine (default: all that the weights have)",
    )


def add_about_input(parser: argparse.ArgumentParser) -> None:
    """What the maps are, and what is done where they are not as the challenge has them."""
    parser.add_argument(
        "--adc-unit",
        choices=ADC_UNITS,
        default=ADC_UNIT,
        help="what the ADC maps are in; another unit than the default is converted (default: %(default)s)",
    )
    parser.add_argument(
        "--estimate-z",
        action="store_true",
        help="segment cases without a Z map on one that is estimated from the ADC map; a given one is used as usual;"
        " the column zadc of cases.csv may be missing then",
    )
    parser.add_argument(
        "--atlas",
        nargs=2,
        type=Path,
        metavar=("MEAN", "SD"),
        help="with --estimate-z: your own atlas of normal newborns in place of the built-in one, two images of the mean ADC"
        " and its standard deviation in 1e-6 mm2/s, 0 outside the brain",
    )
    parser.add_argument(
        "--brain-mask",
        action="store_true",
        help="set the maps to 0 outside the brain mask beside the ADC map (`mask` in its name), where there is one",
    )
    parser.add_argument(
        "--smallest-brain",
        type=millilitres,
        default=SMALLEST_BRAIN_ML,
        dest="smallest_brain_ml",
        metavar="ML",
        help="refuse a brain mask that leaves less, in ml; lower it for preterm babies (default: %(default)g)",
    )


def chance(word: str) -> float:
    """A chance, 0 to 1."""
    return _number(word, 1.0, "a chance from 0 to 1")


def millilitres(word: str) -> float:
    """A volume of 0 or more, in ml."""
    return _number(word, sys.float_info.max, "a volume in ml, 0 or more")


def _number(word: str, highest: float, expected: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value <= highest:
        raise argparse.ArgumentTypeError(f"expected {expected}, found {word}")
    return value


def add_ways_to_run(parser: argparse.ArgumentParser) -> None:
    """Other than one case: a server or a folder of cases, with the options of the latter."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--serve", action="store_true", help=f"answer /health and /invoke on port {PORT} instead of running once"
    )
    how.add_argument(
        "--cases",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="CSV",
        help=f"segment every case of the input folder: {LAYOUTS}; CSV: such a file, relative to the input folder",
    )
    folder = parser.add_argument_group("with --cases")
    folder.add_argument(
        "--series",
        nargs="+",
        default=(),
        metavar="UID",
        help="of the DICOM series to take where a study has several ADC maps",
    )
    folder.add_argument(
        "--format",
        type=suffix,
        help=f"of the masks: {', '.join(WRITTEN)} (default: that of each ADC map, or {DEFAULT} where it is only read)",
    )
    folder.add_argument(
        "--bids", action="store_true", help="write a BIDS derivative; the cases are a BIDS data set's or are called sub-..."
    )
    folder.add_argument(
        "--reviews",
        type=Path,
        metavar="FOLDER",
        help="take what readers made of the drafts: NAME.review.json of a case's page, or a mask called NAME[-reviewed]",
    )
    folder.add_argument(
        "--overwrite", action="store_true", help="do outdated and changed cases again; what is there moves to previous/"
    )


def suffix(word: str) -> str:
    """The suffix that a format's name means, with or without the dot."""
    wanted = f".{word.lower().removeprefix('.')}"
    if wanted not in WRITTEN:
        raise argparse.ArgumentTypeError(f"masks are not written as {word}, expected {', '.join(WRITTEN)}")
    return wanted


def serve(job: Callable[[], dict], port: int = PORT) -> None:
    """Serve cases until stopped; imports what a single case does not need."""
    from model.services import serve as server

    server.serve(job, port)


def run(args: argparse.Namespace) -> None:
    """Segment one case or a folder of them, or serve cases until stopped."""
    if args.cases is not None:
        run_folder(args)
        return
    segmenter = Segmenter(**segmenter_options(args))
    job = functools.partial(segment, args.input, args.output, segmenter, Options(**case_options(args)))
    if args.serve:
        for estimated in {False, args.estimate_z}:
            segmenter.predictors.of(estimated=estimated)  # before the port opens: /health means ready
        serve(job)
        return
    results = job()
    if args.device == "auto" and results["device"] != "cpu":
        from model.images.volume import read_volume

        voxels = math.prod(read_volume(args.output / MASK_PATH).grid.size)
        if note := sooner_on_cpu(time.perf_counter() - STARTED, voxels):
            print(note)
    print(f"mask: {args.output / MASK_PATH}")
    if args.probabilities:
        print(f"probabilities: {args.output / PROBABILITIES_PATH}")
        if ZMAP_PATH in results["files"]:
            print(f"estimated Z map: {args.output / ZMAP_PATH}")
    if args.report:
        print(f"report: {args.output / REPORT_PATH}")
    for warning in results["warnings"]:
        print(f"warning: {warning}")
    print(f"lesion volume: {results['lesion_volume_ml']} ml in {results['lesions']} lesion(s), {results['seconds']} s")


def sooner_on_cpu(seconds: float, voxels: int) -> str:
    """A line where two cores would have been done with a single case sooner than CUDA; empty where not, or not surely.

    seconds: that CUDA took, from the process's start. voxels: of the case's grid.
    """
    on_cpu = CPU_START_S + CPU_S_A_MILLION * voxels / 1e6
    times = f"at most {on_cpu:.1f} s on two cores, CUDA took {seconds:.1f} s"
    return f"--device cpu would have been faster for this case: {times}" if on_cpu <= seconds else ""


def segmenter_options(args: argparse.Namespace) -> dict:
    """With what cases are segmented."""
    return {name: getattr(args, name) for name in ("weights", "device", "engine", "atlas", "networks")} | {"say": say}


def case_options(args: argparse.Namespace) -> dict:
    """The options for every case."""
    return {field.name: getattr(args, field.name) for field in dataclasses.fields(Options)} | {"series": tuple(args.series)}


def run_folder(args: argparse.Namespace) -> None:
    """Segment every case; raises UserError at the end when one failed."""
    from model.outputs.summary import require_success

    outcomes = outcomes_of_folder(args)
    print(f"summary: {args.output / SUMMARY}")
    if args.report:
        print(f"pages: {args.output / INDEX}")
    require_success(outcomes)


def outcomes_of_folder(args: argparse.Namespace) -> list[Outcome]:
    """Segment every case; what became of each."""
    from model.run.at_once import cases_at_once
    from model.run.folder import FolderOptions, segment_folder  # brings what a single case does not need

    own = {"suffix": args.format or "", "overwrite": args.overwrite, "bids": args.bids, "reviews": args.reviews}
    options = FolderOptions(**case_options(args), **own)
    table = args.input / args.cases if args.cases != Path() else None
    segmenter = Segmenter(**segmenter_options(args), at_once=cases_at_once(threads(), cores()))
    return segment_folder(args.input, args.output, segmenter, options, table)


def main(words: list[str] | None = None) -> int:
    """Exit code 0: done; 2: something given is not usable; 1: an unexpected error. The last line on stderr says why."""
    return exit_code(lambda: run(parse_arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
