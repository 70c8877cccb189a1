"""How time and memory grow with the voxels of a case and with the number of cases, on the CPU.

Example:

    python -m benchmarks.growth
    python -m benchmarks.growth --small

Each row is a process of its own. The cases by size are nothing but brain, so that all of their voxels cost. Below the rows:
a line fitted to them, and how far they lie from it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import write_case
from benchmarks.processes import KEEP_MEMORY, Run, measure

Grid = tuple[int, int, int]
GRIDS: tuple[Grid, ...] = ((64, 128, 128), (64, 192, 192), (64, 256, 256), (128, 256, 256))
COUNTS = (5, 10, 20, 40)


def one_case(grid: Grid, runs: int) -> Run:
    """The fastest of several runs of process.py on a case of this size."""
    with tempfile.TemporaryDirectory() as folder:
        case = write_case(Path(folder, "input"), grid, full=True)
        words = ["--input", str(case), "--output", str(Path(folder, "output")), "--device", "cpu"]
        return fastest([sys.executable, "process.py", *words], runs)


def many_cases(count: int, runs: int) -> Run:
    """The fastest of several runs over a folder of small cases."""
    words = ["--cases", str(count), "--grid", "20", "64", "64"]
    return fastest([sys.executable, "-m", "benchmarks.folder", *words], runs)


def fastest(command: list[str], runs: int) -> Run:
    """The run that other load on the machine disturbed least."""
    return min((measure(command, KEEP_MEMORY) for _ in range(runs)), key=lambda run: run.seconds)


def table(title: str, unit: str, sizes: list[float], runs: list[Run]) -> None:
    print(f"\n| {title} | seconds | peak MiB |\n|---|---|---|")
    for size, run in zip(sizes, runs, strict=True):
        print(f"| {size:.2f} | {run.seconds:.2f} | {run.peak_mib:.0f} |")
    for name, value in (("seconds", lambda run: run.seconds), ("MiB", lambda run: run.peak_mib)):
        print(f"\n{name}: {line(sizes, [value(run) for run in runs], unit)}")


def line(sizes: list[float], values: list[float], unit: str) -> str:
    """The line by least squares, and the largest distance from it."""
    slope, start = np.polyfit(sizes, values, 1)
    away = np.abs(np.polyval((slope, start), sizes) - values) / values
    return f"{start:.2f} + {slope:.2f} for each {unit}; no row is further than {away.max():.0%} from that"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small cases and few of them, to see that it runs")
    parser.add_argument("--runs", type=int, default=2, help="of each row; the fastest counts (default: %(default)s)")
    args = parser.parse_args()
    grids = tuple((8 * n, 32, 32) for n in (1, 2, 4)) if args.small else GRIDS
    counts = (2, 3, 4) if args.small else COUNTS
    by_size, by_count = [one_case(grid, args.runs) for grid in grids], [many_cases(count, args.runs) for count in counts]
    table("million voxels", "million", [np.prod(grid) / 1e6 for grid in grids], by_size)
    table("cases", "case", list(counts), by_count)


if __name__ == "__main__":
    main()
