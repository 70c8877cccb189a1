"""Where the time of a case goes: seconds and processor seconds of its parts, in one process that has its networks ready.

Example:

    python -m benchmarks.parts --grid 64 256 256
    python -m benchmarks.parts --data data/BONBID2023_Train --every 4

Processor seconds are those of all threads: on a machine that does other work they are the ones to look at.
"""

from model.command import prepare

if __name__ == "__main__":
    prepare()  # as in process.py: before numpy is imported

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.folder import write_folder
from model import segmenter
from model.inputs.cases import find_cases
from model.lesions import candidates, decision, trees
from model.networks import predict
from model.outputs.place import Options, Place
from model.outputs.previous import Previous
from model.run import one_case

# name, where it is looked up, and how far it is a part of the one above
PARTS: tuple[tuple[str, Any, str, int], ...] = (
    ("reading and checks", one_case, "read_found", 0),
    ("segmentation", segmenter, "segment_canonical", 0),
    ("trees first", decision.Decision, "first_stage", 1),
    ("features", decision, "candidate_features", 2),
    ("components", candidates, "_component", 3),
    ("answers of the trees", trees.Trees, "answers", 2),
    ("networks, flips, windows", predict, "predict_crop", 1),
    ("calibration", decision.Decision, "calibrate", 1),
    ("mask of most Dice", predict, "most_dice", 1),
    ("numbers of results.json", segmenter, "describe", 0),
    ("warnings", segmenter, "describe_files", 0),
    ("writing", one_case, "write_case", 0),
)


class Clock:
    """Adds up what each part takes."""

    def __init__(self) -> None:
        self.seconds = {name: [0.0, 0.0] for name, *_ in PARTS}

    def timed(self, name: str, work: Callable) -> Callable:
        def measured(*args: object, **options: object) -> object:
            started = time.perf_counter(), time.process_time()
            answer = work(*args, **options)
            answer = iter(list(answer)) if isinstance(answer, Iterator) else answer
            self.seconds[name][0] += time.perf_counter() - started[0]
            self.seconds[name][1] += time.process_time() - started[1]
            return answer

        return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--grid", type=int, nargs=3, metavar=("Z", "Y", "X"), help="voxels of an invented case")
    what.add_argument("--data", type=Path, help="a folder of cases")
    parser.add_argument("--every", type=int, default=1, help="of the folder, each n-th case (default: %(default)s)")
    args = parser.parse_args()
    ours, clock = segmenter.Segmenter(device="cpu"), Clock()
    ours.predictors.given.mask(
        np.ones((4, 16, 16), np.float32), np.ones((4, 16, 16), np.float32), (2.0, 2.0, 2.0)
    )  # compiled
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as patches:
        cases = find_cases(args.data or write_folder(Path(folder), tuple(args.grid), 1), None)[:: args.every]
        for name, where, attribute, _ in PARTS:
            patches.enter_context(mock.patch.object(where, attribute, clock.timed(name, getattr(where, attribute))))
        for case in cases:
            place = Place(
                folder=Path(folder, case.name), work=Path(folder), mask="m.mha", probabilities="p.mha", zmap="z.mha"
            )
            one_case.run_case(case, ours, Options(), place, Previous(Path(folder)))
    whole = [sum(clock.seconds[name][n] for name, _, _, depth in PARTS if not depth) for n in (0, 1)]
    print(f"| {len(cases)} cases, each | seconds | processor s | share |\n|---|---|---|---|")
    for name, _, _, depth in PARTS:
        seconds, processor = clock.seconds[name]
        cells = f"{seconds / len(cases):.3f} | {processor / len(cases):.3f} | {processor / whole[1]:.0%}"
        print(f"| {'- ' * depth}{name} | {cells} |")
    print(f"| all | {whole[0] / len(cases):.3f} | {whole[1] / len(cases):.3f} | 100% |")


if __name__ == "__main__":
    main()
