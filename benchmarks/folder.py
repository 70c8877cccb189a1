"""A folder of cases in one process: seconds per case, one at a time and several at once, beside the networks' own part.

Example:

    python -m benchmarks.folder --data data/BONBID2023_Train
    python -m benchmarks.folder --cases 3 --grid 27 64 64 --engine torch

Without --data the cases are invented, with brains of different sizes. The networks' own part is measured while cases are run
one at a time, and nothing waits for them to be compiled.
"""

from model.command import prepare

if __name__ == "__main__":
    prepare()  # as in process.py: before numpy is imported

import argparse
import contextlib
import dataclasses
import io
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.cases import write_case
from model.networks.engines import pick_engine
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble
from model.networks.windows import Network
from model.run.folder import FolderOptions, segment_folder
from model.segmenter import Segmenter

SEVERAL = 3  # cases at a time, on however many cores


class Timed:
    """A network that adds up the seconds it takes."""

    def __init__(self, network: Network) -> None:
        self.network, self.seconds = network, 0.0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        answer = self.network(batch)
        self.seconds += time.perf_counter() - started
        return answer


def time_folder(root: Path, output: Path, engine: str, cases: int) -> tuple[float, float, int]:
    """Seconds of the folder with so many cases at once, of its networks (if one at a time), and the number of cases."""
    ensemble = load_ensemble(IMAGE_WEIGHTS, pick_engine(engine, "cpu", IMAGE_WEIGHTS, cases)[0])
    networks = [Timed(network) for network in ensemble.networks]
    predictor = Predictor(dataclasses.replace(ensemble, networks=networks))
    predictor.mask(np.ones((4, 16, 16), np.float32), np.ones((4, 16, 16), np.float32), (2.0, 2.0, 2.0))  # compiled now
    before, started = sum(network.seconds for network in networks), time.perf_counter()
    segmenter = Segmenter(at_once=cases)
    segmenter.predictors.given = predictor
    with contextlib.redirect_stdout(io.StringIO()):
        outcomes = segment_folder(root, output, segmenter, FolderOptions())
    seconds = time.perf_counter() - started
    return seconds, sum(network.seconds for network in networks) - before, len(outcomes)


def write_folder(root: Path, grid: tuple[int, int, int], count: int) -> Path:
    for number in range(count):
        size = (grid[0] - number % 3, grid[1] - 2 * (number % 5), grid[2])
        files = sorted(write_case(root / "maps" / str(number), size, seed=number).rglob("*.mha"))
        (root / "scans" / f"case{number}").mkdir(parents=True)
        for name, path in zip(("adc.mha", "zadc.mha"), files, strict=True):
            path.rename(root / "scans" / f"case{number}" / name)
    return root / "scans"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of cases")
    parser.add_argument("--cases", type=int, default=20, help="invented ones (default: %(default)s)")
    parser.add_argument("--grid", type=int, nargs=3, default=(54, 128, 128), metavar=("Z", "Y", "X"))
    parser.add_argument("--engine", choices=("openvino", "torch"), default="openvino", help="default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.data or write_folder(Path(folder), tuple(args.grid), args.cases)
        one, networks, count = time_folder(root, Path(folder, "one"), args.engine, 1)
        several, _, _ = time_folder(root, Path(folder, "several"), args.engine, SEVERAL)
    print("| engine | cases | networks s a case | one at a time s | ratio | several at once s | ratio |")
    print("|---|---|---|---|---|---|---|")
    cells = [f"{seconds / count:.3f} | {seconds / networks:.2f}" for seconds in (one, several)]
    print(f"| {args.engine} | {count} | {networks / count:.3f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
