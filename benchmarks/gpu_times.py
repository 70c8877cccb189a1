"""Cold, warm and folder times of the torch engine, with memory, from packed arrays.

Example:

    python -m benchmarks.gpu_times --data data/packed --device cuda

Cold: a process of its own from its start to the first mask. Warm: later cases of one process, the median, beside the
networks' own part of it. Folder: all cases of that process. Reading and writing image files is not in these times.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.gpu_masks import make_predictor
from benchmarks.processes import KEEP_MEMORY, measure
from training.common.cli import run
from training.data.dataset import PackedCase, load_case, load_cases


def device_memory(device: str) -> str:
    """Peak MiB of tensors and of what torch has taken for them; empty without CUDA."""
    if device != "cuda":
        return ""
    import torch

    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return f"device memory, peak MiB: {peaks[0] / 2**20:.0f} in tensors, {peaks[1] / 2**20:.0f} reserved"


def cold(data: Path, device: str, runs: int) -> str:
    """One row: median seconds and the largest peak memory of whole processes, after one that does not count."""
    words = ["-m", "benchmarks.gpu_times", "--data", str(data), "--device", device, "--first"]
    finished = [measure([sys.executable, *words], KEEP_MEMORY) for _ in range(runs + 1)][1:]
    seconds = statistics.median(one.seconds for one in finished)
    return f"| cold, process start to mask | {seconds:.2f} | | {max(one.peak_mib for one in finished):.0f} |"


def warm(cases: list[PackedCase], device: str) -> str:
    """Rows of one process over all cases."""
    import torch

    predictor = make_predictor("torch", device)
    whole, networks = [], []
    for case in cases:
        started = time.perf_counter()
        predictor.mask(case.adc, case.zadc, case.spacing_mm)
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        predictor.network_probabilities(case.adc, case.zadc)  # ends with the answer on the host
        networks.append(time.perf_counter() - started)
    later = whole[1:] or whole
    rows = [
        f"| first case of a process | {whole[0]:.2f} | | |",
        f"| warm, later cases | {statistics.median(later):.3f} | {statistics.median(networks[1:] or networks):.3f} | |",
        f"| folder, {len(cases)} cases | {sum(whole):.2f} | {sum(networks):.2f} | |",
    ]
    return "\n".join([*rows, "", f"{torch.get_num_threads()} threads. {device_memory(device)}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="cold processes after one that does not count; 0: no cold row")
    parser.add_argument("--cases", type=int, help="only the first ones (default: all)")
    parser.add_argument("--first", action="store_true", help="only the first case, without printing: a cold run")
    args = parser.parse_args()
    if args.first:
        case = load_case(min(args.data.glob("*.npz")))
        make_predictor("torch", args.device).mask(case.adc, case.zadc, case.spacing_mm)
        return
    print("| torch on " + args.device + " | seconds | networks s | peak MiB |\n|---|---|---|---|")
    if args.runs:
        print(cold(args.data, args.device, args.runs), flush=True)
    print(warm(load_cases(args.data)[: args.cases], args.device))


if __name__ == "__main__":
    run(main)
