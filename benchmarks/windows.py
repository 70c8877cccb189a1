"""What cutting a brain into windows changes: masks of windows of `max_patch`, and of the larger ones, against one window.

Example:

    python -m benchmarks.windows --data data/BONBID2023_Train --max-patch 24 48 32

Published brains fit into one window. So `max_patch` is made smaller here, until they are cut. Printed are mean and lowest
Dice against the answer of one window, of the masks and of the networks alone at 0.5, and the voxels of all windows together.
"""

import argparse
import dataclasses
import math
import statistics
from pathlib import Path
from unittest import mock

import numpy as np

from model.images.brain import brain_box
from model.images.case import Case, read_case
from model.images.orientation import turn_to_canonical
from model.inputs.cases import find_cases
from model.networks import predict
from model.networks.canonical_orientation import segment_canonical
from model.networks.config import InferenceConfig, Triple
from model.networks.engines import pick_engine
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble
from model.networks.windows import window_boxes

OVERLAPS = {False: InferenceConfig().overlap, True: predict.LARGER_WINDOW_OVERLAP}  # by whether windows are larger
Answer = tuple[np.ndarray, np.ndarray]  # the mask, and the networks alone at 0.5


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """1 for two empty masks."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def answer(predictor: predict.Predictor, case: Case) -> Answer:
    turn = turn_to_canonical(case.grid)
    maps = (turn.to_canonical(volume.voxels) for volume in (case.adc, case.zadc))
    networks = turn.from_canonical(predictor.network_probabilities(*maps))
    return segment_canonical(case, predictor).mask, networks > 0.5


def work(case: Case, predictor: predict.Predictor, larger: bool) -> float:
    """Voxels of all windows of one network over those of the brain's box."""
    model, inference = predictor.ensemble.models[0], predictor.ensemble.inference
    box = brain_box(case.brain, model.margin)
    shape = tuple(part.stop - part.start for part in box)
    choose = predict.larger_window if larger else patch_alone
    window = choose(shape, model.divisor, dataclasses.replace(inference, overlap=OVERLAPS[larger]))
    padded = tuple(map(max, shape, window))
    return len(window_boxes(padded, window, OVERLAPS[larger])) * math.prod(window) / math.prod(shape)


def patch_alone(shape: tuple[int, ...], divisor: Triple, inference: predict.InferenceConfig) -> Triple:
    """Windows of `max_patch`."""
    return predict.patch_size(shape, divisor, inference.max_patch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of cases")
    parser.add_argument("--max-patch", type=int, nargs=3, default=(24, 48, 32), metavar=("Z", "Y", "X"))
    parser.add_argument("--every", type=int, default=1, help="take each n-th case (default: %(default)s)")
    args = parser.parse_args()
    ensemble = load_ensemble(IMAGE_WEIGHTS, pick_engine("auto", "cpu", IMAGE_WEIGHTS)[0])
    cut = predict.Predictor(
        dataclasses.replace(ensemble, inference=dataclasses.replace(ensemble.inference, max_patch=tuple(args.max_patch)))
    )
    rows: dict[str, list[tuple[float, float, float]]] = {"of max_patch": [], "larger": []}
    for found in find_cases(args.data, None)[:: args.every]:
        case = read_case(*found.maps)
        whole = answer(predict.Predictor(ensemble), case)
        for name, larger in (("of max_patch", False), ("larger", True)):
            choose = predict.larger_window if larger else patch_alone
            with mock.patch.multiple(predict, larger_window=choose, LARGER_WINDOW_OVERLAP=OVERLAPS[larger]):
                masks = answer(cut, case)
            rows[name].append((*map(dice, whole, masks), work(case, cut, larger)))
    print(f"{len(rows['larger'])} cases, max_patch {'x'.join(map(str, args.max_patch))}\n")
    print("| windows | Dice, mask | lowest | Dice, networks alone | lowest | voxels of windows / of the box |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        masks, networks, share = zip(*row, strict=True)
        cells = [f"{value:.4f}" for of in (masks, networks) for value in (statistics.mean(of), min(of))]
        print(f"| {name} | {' | '.join(cells)} | {statistics.mean(share):.2f} |")


if __name__ == "__main__":
    main()
