"""Finds HIE lesions in one newborn's diffusion MRI: reads /input, writes /output, as grand-challenge.org runs it.

Example, outside the container:

    python process.py --input test/case/input --output out
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import UserError
from model.segment import segment
from model.serve import PORT, serve
from model.sockets import MASK_PATH, PROBABILITIES_PATH

if TYPE_CHECKING:
    from model.predict import Predictor


@functools.cache
def load_predictor(device: str, weights: Path | None, engine: str = "auto") -> Predictor:
    """The ensemble on its engine, loaded once. Imports engines only now: a bad case is refused before."""
    from model.engines import pick_engine
    from model.predict import Predictor
    from model.weights import default_folder, load_ensemble

    folder = weights or default_folder()
    picked, notes = pick_engine(engine, device, folder)
    for note in notes:
        print(note, flush=True)
    predictor = Predictor(load_ensemble(folder, picked))
    print(f"weights: {predictor.ensemble.id} from {folder}", flush=True)
    return predictor


def parse_arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=Path("/input"), help="folder of the case (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("/output"), help="folder of the mask (default: %(default)s)")
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
        "--probabilities",
        action="store_true",
        help=f"also write the probability of lesion of every voxel, to {PROBABILITIES_PATH} in the output folder",
    )
    parser.add_argument(
        "--serve", action="store_true", help=f"answer /health and /invoke on port {PORT} instead of running once"
    )
    return parser.parse_args(words)


def run(args: argparse.Namespace) -> None:
    """Segment one case, or serve cases until stopped."""
    predictor = functools.partial(load_predictor, args.device, args.weights, args.engine)
    job = functools.partial(segment, args.input, args.output, predictor, args.probabilities)
    if args.serve:
        predictor()  # before the port opens: /health means ready
        serve(job)
        return
    results = job()
    print(f"mask: {args.output / MASK_PATH}")
    if args.probabilities:
        print(f"probabilities: {args.output / PROBABILITIES_PATH}")
    print(f"lesion volume: {results['lesion_volume_ml']} ml in {results['lesions']} lesions, {results['seconds']} s")


def stop(number: int, frame: object) -> None:
    """SIGTERM ends the process like an exception would, so that nothing half-written stays behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, a second one would end Python's own shutdown
    print("error: stopped by SIGTERM", file=sys.stderr, flush=True)
    sys.exit(128 + number)


def main(words: list[str] | None = None) -> int:
    """Exit code 0: done; 2: something given is not usable; 1: an unexpected error. The last line on stderr says why."""
    signal.signal(signal.SIGTERM, stop)
    try:
        run(parse_arguments(words))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Exception as error:
        traceback.print_exc()
        print(f"error: unexpected {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
