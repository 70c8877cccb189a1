"""The network's floating point operations per second, beside what this machine reaches in a large matrix product.

Example:

    python -m benchmarks.limit
    python -m benchmarks.limit --window 16 32 32 --runs 2

Float32, the threads of OMP_NUM_THREADS or else all cores. The fastest of the runs counts, which go in turn.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.cores import threads
from model.networks.config import ModelConfig
from model.networks.graph_engines import OpenvinoEngine
from model.networks.network import LesionNet
from model.networks.stored import IMAGE_WEIGHTS, read_networks
from model.networks.torch_engine import TorchEngine

MATRIX = 3072


def count_flops(model: ModelConfig, shape: tuple[int, ...]) -> int:
    """Of the convolutions, which are all but a few percent: a multiplication and an addition are two."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        LesionNet(model).to("meta")(torch.zeros(shape))
    return counter.get_total_flops()


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, nargs=3, default=(48, 80, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--runs", type=int, default=20, help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(threads())
    stored = read_networks(IMAGE_WEIGHTS)[0]
    rng = np.random.default_rng(0)
    batch = rng.normal(-1, 2, (2, 2, *args.window)).astype(np.float32)  # two flips
    a, b = rng.normal(size=(2, MATRIX, MATRIX)).astype(np.float32)
    openvino, reference = OpenvinoEngine().load(stored), TorchEngine(torch.device("cpu")).load(stored)
    product, network = 2 * MATRIX**3, count_flops(stored.model, batch.shape)
    work = {
        "matrix product, numpy": (product, lambda: a @ b),
        "matrix product, torch": (product, lambda: torch.from_numpy(a) @ torch.from_numpy(b)),
        "network, openvino": (network, lambda: openvino(batch)),
        "network, torch": (network, lambda: reference(batch)),
    }
    best = {name: np.inf for name in work}
    for _ in range(args.runs + 1):  # the first one warms up and is never the fastest
        for name, (_, function) in work.items():
            best[name] = min(best[name], seconds(function))
    speeds = {name: flops / best[name] / 1e9 for name, (flops, _) in work.items()}
    peak = max(speeds.values())
    print(
        f"{threads()} threads, a batch of 2 x {args.window[0]}x{args.window[1]}x{args.window[2]}: {network / 1e9:.1f} GFLOP"
    )
    print("\n| | GFLOP | seconds | GFLOP/s | of the peak |\n|---|---|---|---|---|")
    for name, (flops, _) in work.items():
        print(f"| {name} | {flops / 1e9:.1f} | {best[name]:.3f} | {speeds[name]:.0f} | {speeds[name] / peak:.0%} |")


if __name__ == "__main__":
    main()
