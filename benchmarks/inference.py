"""One cold case on the CPU, process start to mask: our engines beside a plain script of torch and MONAI.

Example:

    python -m benchmarks.inference
    python -m benchmarks.inference --grid 64 256 256 --full --runs 1
    python -m benchmarks.inference --case test/case/input

Without arguments, invented cases of three sizes. --full makes all of a case brain: the worst case of its size. The variants
run in turn; printed are median seconds, their ratios to the peer's, median processor seconds, and the largest peak memory.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.cases import write_case
from benchmarks.processes import in_turn, print_table
from model.cores import cores
from model.inputs.platform import find_scan
from model.networks.stored import IMAGE_WEIGHTS, network_files

GRIDS = ((54, 128, 128), (20, 160, 160), (64, 256, 256))  # (z, y, x)


def one_network(folder: Path) -> Path:
    """The first of the shipped networks alone, without a lesion decision."""
    folder.mkdir()
    for path in IMAGE_WEIGHTS.glob(f"{network_files(IMAGE_WEIGHTS)[0].stem}.*"):
        shutil.copy(path, folder)
    return folder


def adc_alone(case: Path, work: Path) -> Path:
    """The case without its Z map."""
    found, folder = find_scan(case).adc_map, work / f"{case.name}-adc-alone"
    place = folder / found.parent.relative_to(case)
    place.mkdir(parents=True)
    shutil.copy(found, place)
    return folder


def commands(case: Path, work: Path, single: Path, nnunet: str | None) -> dict[str, list[str]]:
    """What is compared, the peer first."""
    ours = [sys.executable, "process.py", "--input", str(case), "--output", str(work / "output"), "--device", "cpu"]
    peer = [sys.executable, "-m", "benchmarks.peer_torch_monai", str(case), str(work / "peer.mha")]
    field = {"nnU-Net v2's predictor": [nnunet, "-m", "benchmarks.peer_nnunet", *peer[3:]]} if nnunet else {}
    return {
        "script of torch and MONAI": peer,
        **field,
        **{f"process.py --engine {engine}": [*ours, "--engine", engine] for engine in ("openvino", "torch")},
        "process.py, one network": [*ours, "--weights", str(single)],
        "process.py --networks 0": [*ours, "--networks", "0"],
        "process.py --estimate-z, the ADC map alone": [*ours, "--input", str(adc_alone(case, work)), "--estimate-z"],
        "import torch, monai": [sys.executable, "-c", "import torch, monai.inferers"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--case", type=Path, help="input folder of one case, as the platform lays it out")
    what.add_argument("--grid", type=int, nargs=3, metavar=("Z", "Y", "X"), help="voxels of an invented case")
    parser.add_argument("--full", action="store_true", help="invented cases are nothing but brain")
    parser.add_argument("--runs", type=int, default=5, help="of each variant, after one that does not count")
    parser.add_argument("--nnunet", help="Python interpreter that has nnunetv2, to compare with its predictor too")
    args = parser.parse_args()
    print(f"{cores()} CPU cores, median of {args.runs} runs", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        single = one_network(work / "single")
        for size in [None] if args.case else [tuple(args.grid)] if args.grid else GRIDS:
            title = args.case.name if args.case else "x".join(map(str, size[::-1]))
            case = args.case.resolve() if args.case else write_case(work / title, size, args.full)
            print_table(title, in_turn(commands(case, work, single, args.nnunet), args.runs))


if __name__ == "__main__":
    main()
