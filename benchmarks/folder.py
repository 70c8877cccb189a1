"""Several cases in one process: seconds per case, beside the networks' own part of them.

Example:

    python -m benchmarks.folder
    python -m benchmarks.folder --cases 3 --grid 27 64 64 --engine torch

The cases are invented, their brains differ in size. The first one, which also waits for the networks to be compiled, is
stated apart.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.cases import write_case
from model.networks.engines import pick_engine
from model.networks.estimate import Predictors
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble
from model.networks.windows import Network
from model.run.one_case import segment


class Timed:
    """A network that adds up the seconds it takes."""

    def __init__(self, network: Network) -> None:
        self.network, self.seconds = network, 0.0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        answer = self.network(batch)
        self.seconds += time.perf_counter() - started
        return answer


def time_cases(engine: str, grid: tuple[int, int, int], count: int, folder: Path) -> list[tuple[float, float]]:
    """Of each case: seconds from its files to its mask, and the networks' part of them."""
    ensemble = load_ensemble(IMAGE_WEIGHTS, pick_engine(engine, "cpu", IMAGE_WEIGHTS)[0])
    networks = [Timed(network) for network in ensemble.networks]
    predictors = Predictors(lambda: Predictor(dataclasses.replace(ensemble, networks=networks)))
    found = []
    for number in range(count):
        size = (grid[0] - number % 3, grid[1] - 2 * (number % 5), grid[2])
        case = write_case(folder / f"case{number}", size, seed=number)
        before, started = sum(network.seconds for network in networks), time.perf_counter()
        segment(case, folder / f"out{number}", lambda: predictors)
        found.append((time.perf_counter() - started, sum(network.seconds for network in networks) - before))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--grid", type=int, nargs=3, default=(54, 128, 128), metavar=("Z", "Y", "X"))
    parser.add_argument("--engine", choices=("openvino", "torch", "onnx"), default="openvino", help="default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (first, _), *others = time_cases(args.engine, tuple(args.grid), args.cases, Path(folder))
    whole, networks = (statistics.median(seconds) for seconds in zip(*others, strict=True))
    print("| engine | cases | first case s | later cases s | networks s | whole / networks |\n|---|---|---|---|---|---|")
    print(f"| {args.engine} | {args.cases} | {first:.2f} | {whole:.2f} | {networks:.2f} | {whole / networks:.2f} |")


if __name__ == "__main__":
    main()
