"""Finds HIE lesions in newborns' diffusion MRI: reads /input, writes /output, as grand-challenge.org runs it.

One case, outside the container:

    python process.py --input test/case/input --output out

A folder of cases, each with its ADC and Z map, with a page for each to look at:

    python process.py --cases --input scans --output lesions --report
"""

from __future__ import annotations

from model.command import exit_code, loading, prepare

if __name__ == "__main__":
    prepare()  # before the imports

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model.images.case import ADC_UNIT, ADC_UNITS
from model.images.formats import SUFFIXES
from model.run.bids_names import SUFFIX
from model.run.find_cases import INDEX, LAYOUTS, SUMMARY
from model.run.one_case import Options, segment
from model.run.platform_paths import MASK_PATH, PROBABILITIES_PATH, REPORT_PATH
from model.run.serve import PORT, serve

if TYPE_CHECKING:
    from model.networks.predict import Predictor


@functools.cache
def load_predictor(device: str, weights: Path | None, engine: str = "auto") -> Predictor:
    """The ensemble on its engine, loaded once. Imports engines only now: a bad case is refused before."""
    with loading():
        from model.networks.engines import pick_engine
        from model.networks.predict import Predictor
        from model.networks.stored import default_folder, load_ensemble

        folder = weights or default_folder()
        picked, notes = pick_engine(engine, device, folder)
        for note in notes:
            print(note, flush=True)
        predictor = Predictor(load_ensemble(folder, picked))
    print(f"weights: {predictor.ensemble.id} from {folder}", flush=True)
    return predictor


def parse_arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", type=Path, default=Path("/input"), help="folder of the case or the cases (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("/output"), help="folder of what is written (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto takes CUDA where it can be used, else the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino", "onnx"),
        default="auto",
        help="auto takes torch on CUDA and openvino on the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", type=Path, help="folder of .safetensors files (default: /opt/ml/model, else the ones that came along)"
    )
    parser.add_argument(
        "--adc-unit",
        choices=ADC_UNITS,
        default=ADC_UNIT,
        help="what the ADC maps are in; another unit than the default is converted (default: %(default)s)",
    )
    parser.add_argument(
        "--series", nargs="+", default=(), metavar="UID", help="of DICOM series, taken where a study has more than one"
    )
    parser.add_argument("--report", action="store_true", help="also write report.html, a page to look at, for every case")
    parser.add_argument(
        "--probabilities", action="store_true", help="also write the probability of lesion, 0 to 1, of every voxel"
    )
    add_ways_to_run(parser)
    args = parser.parse_args(words)
    if args.cases is None and (args.format or args.overwrite or args.bids):
        parser.error("--bids, --format and --overwrite go with --cases")
    if args.bids and args.format not in (None, SUFFIX):
        parser.error(f"--bids writes {SUFFIX}")
    return args


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
    folder.add_argument("--format", type=suffix, help=f"of the masks: {', '.join(SUFFIXES)} (default: that of each ADC map)")
    folder.add_argument(
        "--bids", action="store_true", help="write a BIDS derivative; the cases are a BIDS data set's or are called sub-..."
    )
    folder.add_argument(
        "--overwrite", action="store_true", help="do outdated and changed cases again; current ones and files of others stay"
    )


def suffix(word: str) -> str:
    """The suffix that a format's name means, with or without the dot."""
    wanted = f".{word.lower().removeprefix('.')}"
    if wanted not in SUFFIXES:
        raise argparse.ArgumentTypeError(
            f"{word} cannot hold where a mask lies in the patient, expected {', '.join(SUFFIXES)}"
        )
    return wanted


def run(args: argparse.Namespace) -> None:
    """Segment one case or a folder of them, or serve cases until stopped."""
    predictor = functools.partial(load_predictor, args.device, args.weights, args.engine)
    if args.cases is not None:
        run_folder(args, predictor)
        return
    options = Options(
        probabilities=args.probabilities, report=args.report, adc_unit=args.adc_unit, series=tuple(args.series)
    )
    job = functools.partial(segment, args.input, args.output, predictor, options)
    if args.serve:
        predictor()  # before the port opens: /health means ready
        serve(job)
        return
    results = job()
    print(f"mask: {args.output / MASK_PATH}")
    if args.probabilities:
        print(f"probabilities: {args.output / PROBABILITIES_PATH}")
    if args.report:
        print(f"report: {args.output / REPORT_PATH}")
    for warning in results["warnings"]:
        print(f"warning: {warning}")
    print(f"lesion volume: {results['lesion_volume_ml']} ml in {results['lesions']} lesion(s), {results['seconds']} s")


def run_folder(args: argparse.Namespace, predictor: Callable[[], Predictor]) -> None:
    """Segment every case; raises UserError at the end when one failed."""
    from model.run.folder import FolderOptions, segment_folder  # brings what a single case does not need
    from model.run.summary import require_success

    options = FolderOptions(
        probabilities=args.probabilities,
        report=args.report,
        adc_unit=args.adc_unit,
        series=tuple(args.series),
        suffix=args.format or "",
        overwrite=args.overwrite,
        bids=args.bids,
    )
    table = args.input / args.cases if args.cases != Path() else None
    outcomes = segment_folder(args.input, args.output, predictor, options, table)
    print(f"summary: {args.output / SUMMARY}")
    if args.report:
        print(f"pages: {args.output / INDEX}")
    require_success(outcomes)


def main(words: list[str] | None = None) -> int:
    """Exit code 0: done; 2: something given is not usable; 1: an unexpected error. The last line on stderr says why."""
    return exit_code(lambda: run(parse_arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
