"""One cold case, process start to mask, beside a process that only imports torch and MONAI.

Example:

    python -m benchmarks.inference test/case/input
    python -m benchmarks.inference --grid 64 256 256

CASE is an input folder as the platform lays it out; --grid makes one of noise, all of it brain, which needs several windows.
The variants run in turn; median seconds, their ratios and the largest peak memory are printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from model.sockets import ADC_SLUG, DEFAULT_PATHS, ZADC_SLUG

ROOT = Path(__file__).parent.parent
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
IMPORTS = [sys.executable, "-c", "import torch, monai.inferers"]


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    peak_mb: float


def measure(command: list[str], environment: dict[str, str]) -> Run:
    """Run a process to its end; its wall-clock seconds and peak resident memory.

    Raises subprocess.CalledProcessError when it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, usage.ru_maxrss / 1024)


def write_noise(root: Path, size: tuple[int, int, int]) -> Path:
    """An input folder with a constant ADC map and a Z map of noise, `size` voxels (z, y, x) of 1 mm."""
    z_scores = np.random.default_rng(0).normal(size=size).astype(np.float32)
    for slug, voxels in ((ADC_SLUG, np.full(size, 1200, np.float32)), (ZADC_SLUG, z_scores)):
        folder = root / DEFAULT_PATHS[slug]
        folder.mkdir(parents=True)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / "map.mha"), useCompression=True)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("case", type=Path, nargs="?", help="input folder of one case")
    what.add_argument("--grid", type=int, nargs=3, metavar=("Z", "Y", "X"), help="voxels of a case made of noise")
    parser.add_argument("--runs", type=int, default=5, help="of each variant, after one that does not count")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = args.case.resolve() if args.case else write_noise(Path(folder, "input"), tuple(args.grid))
        paths = ["--input", str(case), "--output", str(Path(folder, "output"))]
        segment = [sys.executable, "process.py", *paths, "--device", "cpu"]
        variants = {
            "import torch, monai": (IMPORTS, {}),
            "process.py": (segment, {}),
            "process.py, memory kept": (segment, KEEP_MEMORY),
        }
        runs: dict[str, list[Run]] = {name: [] for name in variants}
        for _ in range(args.runs + 1):
            for name, (command, environment) in variants.items():
                runs[name].append(measure(command, environment))
    report({name: finished[1:] for name, finished in runs.items()})


def report(runs: dict[str, list[Run]]) -> None:
    """Print median seconds, each as a ratio to the first variant's, and the largest peak memory."""
    medians = {name: statistics.median(run.seconds for run in finished) for name, finished in runs.items()}
    first = next(iter(medians.values()))
    print(f"{os.cpu_count()} CPU cores, median of {len(next(iter(runs.values())))} runs")
    print(f"{'':26}seconds  ratio  peak MiB")
    for name, finished in runs.items():
        peak = max(run.peak_mb for run in finished)
        print(f"{name:26}{medians[name]:7.2f}  {medians[name] / first:5.2f}  {peak:8.0f}")


if __name__ == "__main__":
    main()
