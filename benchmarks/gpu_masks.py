"""The shipped networks by torch, on CUDA or another device, against masks that were computed elsewhere.

Example:

    python -m benchmarks.gpu_masks --data data/packed --write expected.npz --engine openvino
    python -m benchmarks.gpu_masks --data data/packed --expected expected.npz --device cuda

The first command writes the masks of all packed cases, the second compares with them and fails when a case differs by more
than LARGEST_DIFFERENCE voxels, or when one case computed twice is not the same. Neither reads image files.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.without_simpleitk import stand_in
from model.errors import UserError
from model.files import whole_file
from model.networks.engines import pick_engine
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble
from training.common.cli import run
from training.common.outputs import require_new
from training.data.dataset import PackedCase, load_cases

LARGEST_DIFFERENCE = 10  # voxels, as between two engines or two machines


def make_predictor(engine: str, device: str) -> Predictor:
    """The ensemble of the image. Raises UserError for an engine or a device that is not there."""
    stand_in()
    return Predictor(load_ensemble(IMAGE_WEIGHTS, pick_engine(engine, device, IMAGE_WEIGHTS)[0]))


def masks_of(cases: list[PackedCase], predictor: Predictor) -> dict[str, np.ndarray]:
    """Boolean (z, y, x) by case."""
    return {case.name: predictor.mask(case.adc, case.zadc, case.spacing_mm) for case in cases}


def write_masks(masks: dict[str, np.ndarray], path: Path) -> None:
    """One compressed .npz, whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **masks)


def differing_voxels(masks: dict[str, np.ndarray], expected: Path) -> dict[str, int]:
    """By case. Raises UserError when the file has no mask of a case, or one of another shape."""
    found = {}
    with np.load(expected, allow_pickle=False) as known:
        for name, mask in masks.items():
            if name not in known or known[name].shape != mask.shape:
                raise UserError(f"{expected}: expected a mask of {name} with shape {mask.shape}, make it anew with --write")
            found[name] = int(np.count_nonzero(known[name] != mask))
    return found


def report(masks: dict[str, np.ndarray], differing: dict[str, int]) -> str:
    """Markdown: how far the masks are apart, and the cases that differ."""
    changed = {name: voxels for name, voxels in differing.items() if voxels}
    total = sum(int(mask.sum()) for mask in masks.values())
    lines = [
        "| cases | lesion voxels | cases that differ | differing voxels | in the worst case |",
        "|---|---|---|---|---|",
        f"| {len(masks)} | {total} | {len(changed)} | {sum(changed.values())} | {max(differing.values())} |",
        *(f"- {name}: {voxels} of {int(masks[name].sum())}" for name, voxels in changed.items()),
    ]
    return "\n".join(lines)


def compare(cases: list[PackedCase], predictor: Predictor, expected: Path) -> None:
    """Print the report. Raises UserError for masks that are too far apart, or not the same twice."""
    started = time.perf_counter()
    masks = masks_of(cases, predictor)
    print(f"{predictor.ensemble.engine} on {predictor.device}, {len(cases)} cases, {time.perf_counter() - started:.1f} s\n")
    differing = differing_voxels(masks, expected)
    print(report(masks, differing), flush=True)
    (again,) = masks_of(cases[:1], predictor).values()
    if not np.array_equal(again, masks[cases[0].name]):
        raise UserError(f"{cases[0].name}: computed twice, the masks differ")
    worst = max(differing, key=differing.__getitem__)
    if differing[worst] > LARGEST_DIFFERENCE:
        raise UserError(f"{worst}: {differing[worst]} voxels differ, expected {LARGEST_DIFFERENCE} at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--engine", choices=("openvino", "torch"), default="torch", help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--cases", type=int, help="only the first ones (default: all)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--expected", type=Path, help=".npz to compare with")
    what.add_argument("--write", type=Path, help=".npz to write")
    args = parser.parse_args()
    if args.write:
        require_new(args.write)
    cases, predictor = load_cases(args.data)[: args.cases], make_predictor(args.engine, args.device)
    if args.write:
        write_masks(masks_of(cases, predictor), args.write)
    else:
        compare(cases, predictor, args.expected)


if __name__ == "__main__":
    run(main)
