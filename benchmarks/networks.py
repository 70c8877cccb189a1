"""What networks cost beside the trees, and what they add: `process.py --networks` 0, 1 and 5.

Example:

    python -m benchmarks.networks --data data/BONBID2023_Train

Whole processes in turn, on the CPU: one case of the folder, and all of them. Scores are from the committed out-of-fold rows,
in which one network, the one that did not see it, is asked about each case. The mean of five has no such score: four of them
saw the case.
"""

import argparse
import importlib.metadata
import shlex
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import Run, in_turn
from model.cores import cores
from model.inputs.cases import find_cases
from model.networks.stored import IMAGE_WEIGHTS, network_files
from model.segmenter import NETWORKS
from training.pages.cells import interval
from training.scores.metrics import METRICS
from training.scores.rows import RESULTS, Row, read_frame
from training.scores.statistics import case_means, estimate, per_case

METHODS = {0: "trees", 1: "decision"}  # of crossval.csv, by number of networks


def commands(data: Path, work: Path) -> dict[str, list[str]]:
    """A folder with one case and the folder of all, with each number of networks."""
    case, *_ = find_cases(data, None)
    for path in case.files:
        (work / "one" / case.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, work / "one" / case.name)
    process = [sys.executable, "process.py", "--cases", "--device", "cpu", "--output", str(work / "output")]
    again = f"rm -rf {shlex.quote(process[-1])} && exec "  # or the cases would be done before
    return {
        f"{number} {what}": ["sh", "-c", again + shlex.join([*process, "--networks", str(number), "--input", str(folder)])]
        for number in NETWORKS
        for what, folder in (("one", work / "one"), ("all", data.resolve()))
    }


def installed_mb(number: int) -> float:
    """What lies on the disk for so many networks: OpenVINO and their files."""
    if not number:
        return 0.0
    package = [file.locate() for file in importlib.metadata.files("openvino") or ()]
    networks = [path for file in network_files(IMAGE_WEIGHTS)[:number] for path in file.parent.glob(f"{file.stem}.*")]
    return sum(Path(str(path)).stat().st_size for path in (*package, *networks) if Path(str(path)).exists()) / 1e6


def scores(number: int) -> list[str]:
    """Dice and NSD out of fold."""
    if number not in METHODS:
        return ["cannot be scored out of fold"] * 2
    rows = case_means(read_frame(RESULTS / "crossval.csv", Row))
    rows = rows[rows["method"] == METHODS[number]]
    return [interval(estimate(per_case(rows, field)), METRICS[field].digits) for field in ("dice", "nsd")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of cases")
    parser.add_argument("--runs", type=int, default=5, help="of each, after one that does not count (default: %(default)s)")
    args = parser.parse_args()
    count = len(find_cases(args.data, None))
    with tempfile.TemporaryDirectory() as folder:
        finished = in_turn(commands(args.data, Path(folder)), args.runs)

    def median(number: int, what: str, value: str) -> float:
        return statistics.median(getattr(run, value) for run in finished[f"{number} {what}"])

    def peak(runs: list[Run]) -> float:
        return max(run.peak_mib for run in runs)

    print(f"{cores()} CPU cores, median of {args.runs} runs\n")
    print(
        "| networks | one case, s | processor s | peak MiB | each of a folder, s | processor s | on disk MB | Dice | NSD |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for number in NETWORKS:
        one, one_cpu = (median(number, "one", value) for value in ("seconds", "processor_seconds"))
        each, each_cpu = (median(number, "all", value) / count for value in ("seconds", "processor_seconds"))
        cells = [f"{one:.2f}", f"{one_cpu:.2f}", f"{peak(finished[f'{number} one']):.0f}", f"{each:.3f}", f"{each_cpu:.3f}"]
        print(f"| {number} | {' | '.join([*cells, f'{installed_mb(number):.0f}', *scores(number)])} |")


if __name__ == "__main__":
    main()
