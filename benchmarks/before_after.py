"""This version beside an earlier one and the peer, in turn in one run: a cold case, the largest grid, growth, a folder.

Example:

    git worktree add ../before COMMIT && ln -s "$PWD/.venv" ../before/.venv
    python -m benchmarks.before_after --before ../before --data data/BONBID2023_Train

Ten minutes on two cores that do nothing else. --parts names those wanted; --small is for seeing that it runs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import write_case
from benchmarks.growth import GRIDS, line
from benchmarks.inference import one_network
from benchmarks.processes import KEEP_MEMORY, ROOT, Run, in_turn, measure, print_table
from model.run.find.cases import find_cases
from model.run.find.platform import ADC_SLUG, DEFAULT_PATHS, ZADC_SLUG

PARTS = ("cold", "largest", "folder", "growth")


class Versions:
    """The commands that are compared."""

    def __init__(self, before: Path, work: Path) -> None:
        self.folders = {"before": before.resolve(), "after": ROOT}
        self.work = work

    def each(self, case: Path, *words: str) -> dict[str, list[str]]:
        """Both versions on a case, or a folder of them."""
        commands = {}
        for name, folder in self.folders.items():
            places = ["--input", str(case), "--output", str(self.work / f"out-{name}")]
            commands[name] = [sys.executable, str(folder / "process.py"), "--device", "cpu", *places, *words]
        return commands

    def with_peer(self, case: Path) -> dict[str, list[str]]:
        peer = [sys.executable, "-m", "benchmarks.peer_torch_monai", str(case), str(self.work / "peer.mha")]
        return {"script of torch and MONAI": peer, **self.each(case)}


def as_platform(data: Path, root: Path) -> Path:
    """The first published case of 128x128x54 voxels or so, laid out as the platform does."""
    found = next(case for case in find_cases(data, None) if case.name.startswith("MGHNICU_299"))
    for slug, path in zip((ADC_SLUG, ZADC_SLUG), found.maps, strict=True):
        (root / DEFAULT_PATHS[slug]).mkdir(parents=True)
        (root / DEFAULT_PATHS[slug] / path.name).symlink_to(path.resolve())
    return root


def cold(versions: Versions, data: Path, runs: int) -> None:
    case = as_platform(data, versions.work / "published")
    print_table("a published case, cold", in_turn(versions.with_peer(case), runs))
    single = one_network(versions.work / "single")
    print_table("one network, cold", in_turn(versions.each(case, "--weights", str(single)), runs))


def largest(versions: Versions, grid: tuple[int, int, int]) -> None:
    case = write_case(versions.work / "largest", grid)
    print_table("x".join(map(str, grid[::-1])), in_turn(versions.with_peer(case), 1))


def folder(versions: Versions, data: Path, runs: int) -> None:
    commands = versions.each(data, "--cases")
    finished: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            shutil.rmtree(versions.work / f"out-{name}", ignore_errors=True)  # so that every case is done again
            finished[name].append(measure(command, KEEP_MEMORY))
    count = len(find_cases(data, None))
    print_table(f"a folder of {count} published cases, whole processes", finished)
    own = subprocess.run([sys.executable, "-m", "benchmarks.folder", "--data", str(data)], cwd=ROOT, capture_output=True)
    print(f"\n{own.stdout.decode()}{own.stderr.decode()}", flush=True)


def growth(versions: Versions, grids: tuple[tuple[int, int, int], ...]) -> None:
    millions, seconds = [float(np.prod(grid)) / 1e6 for grid in grids], {name: [] for name in versions.folders}
    print("\n| million voxels | before s | after s | before s a million | after s a million | before MiB | after MiB |")
    print("|---|---|---|---|---|---|---|")
    for grid, size in zip(grids, millions, strict=True):
        case = write_case(versions.work / f"full-{size}", grid, full=True)
        runs = {name: measure(command, KEEP_MEMORY) for name, command in versions.each(case).items()}
        times = [run.seconds for run in runs.values()]
        for name, run in runs.items():
            seconds[name].append(run.seconds)
        cells = [*(f"{s:.2f}" for s in times), *(f"{s / size:.2f}" for s in times)]
        print(f"| {size:.2f} | {' | '.join([*cells, *(f'{run.peak_mib:.0f}' for run in runs.values())])} |", flush=True)
    for name, values in seconds.items():
        print(f"\n{name}: {line(millions, values, 'million')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="folder of the earlier version")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published cases")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--small", action="store_true", help="small grids, one run")
    args = parser.parse_args()
    runs = 1 if args.small else 3
    data = args.data.resolve()
    with tempfile.TemporaryDirectory() as work:
        versions = Versions(args.before, Path(work))
        parts = {
            "cold": lambda: cold(versions, data, runs),
            "largest": lambda: largest(versions, (16, 144, 144) if args.small else (64, 256, 256)),
            "folder": lambda: folder(versions, data, 1 if args.small else 2),
            "growth": lambda: growth(versions, ((8, 32, 32), (16, 32, 32)) if args.small else GRIDS),
        }
        for name in args.parts:
            parts[name]()


if __name__ == "__main__":
    main()
