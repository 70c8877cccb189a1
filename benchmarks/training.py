"""Where a training step's time goes: augmentation, network, loss, update; and how many cases a second train.

Example:

    python -m benchmarks.training --data data/packed
    python -m benchmarks.training --size 24 48 40 --steps 3

Without --data the cases are invented. The parts of a step are timed apart, on batches of two as in the study; on a GPU the
device is idle before and after each. Medians over the steps, the first one left out.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.cases import SPACING_MM, invented_maps
from model.networks.torch_engine import pick_device
from training.data.dataset import PackedCase, collate, load_cases
from training.learning.losses import LOSSES
from training.learning.protocols import Native
from training.learning.train_config import TrainConfig
from training.learning.training_loop import Training
from training.scores.rule import rule_mask


def invented_case(size: tuple[int, int, int], seed: int) -> PackedCase:
    """Invented maps of `size` voxels (z, y, x); the label is what the rule marks."""
    adc, zadc = invented_maps(size, seed=seed)
    return PackedCase(f"case{seed}", adc, zadc, rule_mask(adc, zadc), SPACING_MM)


class Clock:
    """Seconds by part; each step adds one number to each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds[name].append(time.perf_counter() - started)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure(cases: list[PackedCase], config: TrainConfig, device: torch.device, steps: int) -> dict[str, float]:
    """Median seconds of a step by part."""
    protocol, clock = Native(), Clock(device)
    training = Training(config, protocol, device)
    samples = [protocol.sample(case, device) for case in cases]
    augment = protocol.augmentation(0, device, config.patch)
    training.network.train()
    for step in range(steps + 1):
        chosen = [samples[(config.batch_size * step + n) % len(samples)] for n in range(config.batch_size)]
        with clock.part("augmentation"):
            batch = collate([augment(sample) for sample in chosen], protocol.divisor)
        with clock.part("network, forward"), torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
            logits = training.network(batch.inputs)
        leaf = logits.detach().requires_grad_()  # so that the loss's own backward is told from the network's
        with clock.part(f"loss, {config.loss}"):
            LOSSES[config.loss](leaf, batch.target, batch.spacing_mm).backward()
        with clock.part("network, backward"):
            training.optimizer.zero_grad(set_to_none=True)
            logits.backward(leaf.grad)
        with clock.part("update"):
            torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
            training.optimizer.step()
            training.average.update_parameters(training.network)
    return {name: statistics.median(seconds[1:]) for name, seconds in clock.seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of packed cases (default: invented ones)")
    parser.add_argument(
        "--size", type=int, nargs=3, default=(54, 128, 128), metavar=("Z", "Y", "X"), help="of invented cases"
    )
    parser.add_argument("--loss", choices=tuple(LOSSES), default=TrainConfig.loss, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--bfloat16", action="store_true", help="autocast of the network, for GPUs")
    args = parser.parse_args()
    device, note = pick_device(args.device)
    if note:
        print(note)
    cases = load_cases(args.data) if args.data else [invented_case(args.size, seed) for seed in range(4)]
    config = TrainConfig(loss=args.loss, bfloat16=args.bfloat16)
    medians = measure(cases, config, device, args.steps)
    total = sum(medians.values())
    print(f"{device}, {torch.get_num_threads()} threads, {len(cases)} cases, batches of {config.batch_size}\n")
    print("| part of a step | ms | share |\n|---|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {1000 * seconds:.1f} | {seconds / total:.0%} |")
    print(f"\n{config.batch_size / total:.2f} cases a second")


if __name__ == "__main__":
    main()
