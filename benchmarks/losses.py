"""Forward and backward of the six losses, ours and MONAI's in turn, at two patch sizes.

Example:

    python -m benchmarks.losses --device cpu

Masks are synthetic: a few blobs, and a prediction that half agrees. Medians in ms and ours as a ratio to MONAI's.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from monai.losses import DiceFocalLoss, DiceLoss, HausdorffDTLoss, LogHausdorffDTLoss, TverskyLoss
from torch.nn import functional

from model.predict import pick_device
from training.losses import BOUNDARY_WEIGHT, LOSSES, REGION_WEIGHT

SHAPES = ((2, 1, 96, 96, 32), (2, 1, 128, 128, 48))
SPACING_MM = (2.0, 2.0, 2.0)

_dice_focal = DiceFocalLoss(sigmoid=True, gamma=2.0)
_tversky = TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7)
_log_hausdorff = LogHausdorffDTLoss(sigmoid=True)
PEERS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "dice": DiceLoss(sigmoid=True),
    "dice-focal": _dice_focal,
    "tversky": _tversky,
    "hausdorffdt": HausdorffDTLoss(sigmoid=True),
    "dice-focal-hausdorffdt": lambda x, y: REGION_WEIGHT * _dice_focal(x, y) + BOUNDARY_WEIGHT * _log_hausdorff(x, y),
    "tversky-hausdorffdt": lambda x, y: REGION_WEIGHT * _tversky(x, y) + BOUNDARY_WEIGHT * _log_hausdorff(x, y),
}


def make_masks(shape: tuple[int, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and target of `shape`: smoothed noise, cut so that about 5 % is lesion."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, *shape), generator=generator)
    smooth = [functional.avg_pool3d(part, 9, stride=1, padding=4) for part in noise]
    target = (smooth[0] > smooth[0].flatten().quantile(0.95)).float()
    logits = 200 * (0.5 * smooth[0] + 0.5 * smooth[1] - 0.04)
    return logits.to(device), target.to(device)


def milliseconds(step: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor) -> float:
    """Wall-clock time of one forward and backward, the device idle before and after."""
    leaf = logits.clone().requires_grad_()
    if leaf.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    step(leaf).backward()
    if leaf.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=7, help="of each loss, after one that does not count (default: 7)")
    parser.add_argument("--small", action="store_true", help="one small shape, to see that it works")
    args = parser.parse_args()
    device, _ = pick_device(args.device)
    print(f"{device}, {torch.get_num_threads()} threads, median of {args.runs} runs, forward + backward")
    for shape in [(2, 1, 24, 24, 16)] if args.small else SHAPES:
        compare(shape, device, args.runs)


def compare(shape: tuple[int, ...], device: torch.device, runs: int) -> None:
    """Print one row per loss for one shape."""
    logits, target = make_masks(shape, device)
    spacing_mm = torch.tensor([SPACING_MM] * shape[0])
    print(f"\n{shape}\n{'loss':26}{'ours ms':>9}{'MONAI ms':>10}{'MONAI / ours':>14}")
    for name, loss in LOSSES.items():
        steps = {"ours": lambda x, loss=loss: loss(x, target, spacing_mm), "MONAI": lambda x, n=name: PEERS[n](x, target)}
        times = {who: [milliseconds(step, logits) for _ in range(1)] for who, step in steps.items()}
        for _ in range(runs):
            for who, step in steps.items():
                times[who].append(milliseconds(step, logits))
        ours, peer = (statistics.median(times[who][1:]) for who in ("ours", "MONAI"))
        print(f"{name:26}{ours:9.1f}{peer:10.1f}{peer / ours:14.1f}")


if __name__ == "__main__":
    main()
