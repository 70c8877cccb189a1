"""Kills training jobs with SIGKILL at random moments, continues them, and compares them with a job never killed.

    .venv/bin/python test/kill/kill_training.py --kills 100 --seed 1

A small network on seven invented cases, on the CPU with one thread. A job is killed and started anew, with the same command,
until it comes to its end; further jobs follow until there were enough kills. Every job's weights must be the same file, and
the network, its moving average and the optimizer in its checkpoint the same bits, as those of the job never killed.
"""

import argparse
import functools
import random
import sys
import tempfile
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[n]) for n in (1, 2))

import forked
import torch
from training_helpers import SMALL, tensors, write_study

from training.learning import training_run as module
from training.learning.protocols import Native
from training.learning.train_config import TrainConfig
from training.learning.training_run import train

CONFIG = TrainConfig(epochs=6, warmup_epochs=1, batch_size=2)


def job(data: Path, folder: Path) -> None:
    module.PROTOCOLS = {"native": lambda: Native(SMALL)}
    torch.set_num_threads(1)
    train(CONFIG, data, folder, torch.device("cpu"), validate_every=2)


def require_same(folder: Path, reference: Path) -> None:
    """Raises AssertionError when the two jobs differ in one bit of the weights or the checkpoint."""
    name = "fold0.safetensors"
    assert (folder / name).read_bytes() == (reference / name).read_bytes(), "the weights differ"
    states = [tensors(torch.load(path / "checkpoint.pt", weights_only=True)) for path in (folder, reference)]
    assert states[0].keys() == states[1].keys()
    differing = [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
    assert not differing, differing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="at least so many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    args = parser.parse_args()
    rng, kills, jobs = random.Random(args.seed), 0, 0
    with tempfile.TemporaryDirectory() as place:
        data, reference = Path(place, "data"), Path(place, "reference")
        data.mkdir()
        write_study(data)
        seconds = forked.timed(functools.partial(job, data, reference))
        while kills < args.kills:
            folder = Path(place, f"job{jobs}")
            code = -1
            for _ in range(1000):
                # from the very start to the very end of an undisturbed job
                code = forked.kill_after(forked.start(functools.partial(job, data, folder)), rng.random() * seconds)
                if code == 0:
                    break
                assert code == -9, code
                assert not list(folder.glob("*.safetensors")) or (folder / "fold0.safetensors").is_file()
                kills += 1
            assert code == 0, "the job has no end"
            require_same(folder, reference)
            jobs += 1
    print(f"{kills} kills of {jobs} jobs of {CONFIG.epochs} epochs, {seconds:.1f} s undisturbed, seed {args.seed}:")
    print("every job ended with the weights of the job never killed, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
