"""Forward and backward of the six losses, ours and MONAI's in turn, at two patch sizes, and their share of a training step.

Example:

    python -m benchmarks.losses --device cpu

Masks are synthetic: a few blobs, and a prediction that half agrees. Medians in ms and MONAI's as a multiple of ours. The
shares are of the default network's forward and backward, as in training, plus the loss.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import torch
from monai.losses import DiceFocalLoss, DiceLoss, HausdorffDTLoss, LogHausdorffDTLoss, TverskyLoss
from torch.nn import functional

from model.networks.config import ModelConfig
from model.networks.network import LesionNet
from model.networks.torch_engine import pick_device
from training.learning.losses import BOUNDARY_WEIGHT, LOSSES, REGION_WEIGHT

Step = Callable[[torch.Tensor], torch.Tensor]  # logits to loss
Clock = Callable[[], float]

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


def milliseconds(step: Step, logits: torch.Tensor, clock: Clock) -> float:
    """Time of one forward and backward by `clock`, the device idle before and after."""
    leaf = logits.clone().requires_grad_()
    if leaf.is_cuda:
        torch.cuda.synchronize()
    started = clock()
    step(leaf).backward()
    if leaf.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (clock() - started)


def network_step(device: torch.device) -> Step:
    """The default network, in bfloat16 autocast on CUDA; a sum stands for the loss."""
    network = LesionNet(ModelConfig()).to(device).train()

    def step(logits: torch.Tensor) -> torch.Tensor:
        images = logits.detach().movedim(-1, 2).repeat(1, 2, 1, 1, 1)  # the last axis is the short one: the slices
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network(images).float().sum()

    return step


def medians(steps: dict[str, Step], logits: torch.Tensor, runs: int, clock: Clock) -> dict[str, float]:
    """Median ms of each step, taken in turn after one round that does not count."""
    times = [{name: milliseconds(step, logits, clock) for name, step in steps.items()} for _ in range(runs + 1)]
    return {name: statistics.median(one[name] for one in times[1:]) for name in steps}


def compare(shape: tuple[int, ...], device: torch.device, runs: int, clock: Clock) -> None:
    logits, target = make_masks(shape, device)
    spacing_mm = torch.tensor([SPACING_MM] * shape[0])
    network = medians({"network": network_step(device)}, logits, runs, clock)["network"]
    print(f"\n{shape}, the network {network:.1f} ms")
    print(f"{'':26}{'ms':>19}{'MONAI':>8}{'share of a step, %':>20}")
    print(f"{'':26}{'ours':>9}{'MONAI':>10}{'/ ours':>8}{'ours':>12}{'MONAI':>8}")
    for name, loss in LOSSES.items():
        steps = {
            "ours": lambda x, loss=loss: loss(x, target, spacing_mm),
            "MONAI": lambda x, name=name: PEERS[name](x, target),
        }
        ms = medians(steps, logits, runs, clock)
        share = {who: 100 * ms[who] / (ms[who] + network) for who in steps}
        print(
            f"{name:26}{ms['ours']:9.1f}{ms['MONAI']:10.1f}{ms['MONAI'] / ms['ours']:8.1f}"
            f"{share['ours']:12.1f}{share['MONAI']:8.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=7, help="of each loss, after one that does not count (default: 7)")
    parser.add_argument("--small", action="store_true", help="one small shape, to see that it works")
    parser.add_argument(
        "--processor-time", action="store_true", help="instead of wall-clock time: for a busy CPU, one thread"
    )
    args = parser.parse_args()
    clock = time.process_time if args.processor_time else time.perf_counter
    device, _ = pick_device(args.device)
    transform = "cucim" if device.type == "cuda" and importlib.util.find_spec("cucim") else "scipy on the host"
    print(f"{device}, {torch.get_num_threads()} threads, median of {args.runs} runs of {clock.__name__}, forward + backward")
    print(f"MONAI's distance transform: {transform}")
    for shape in [(2, 1, 32, 32, 16)] if args.small else SHAPES:
        compare(shape, device, args.runs, clock)


if __name__ == "__main__":
    main()
