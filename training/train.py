"""Trains one network on the training cases of one fold and writes its weights.

    python -m training.train --data data/packed --fold 0 --run runs/fold0

A killed run continues from its last epoch when the same command is given again. No epoch is chosen by its score: the
weights written are the moving average after the last epoch, so the validation fold has no say in them.
"""

import functools
import sys
from pathlib import Path

from model.files import require_writable
from model.networks.stored import read_sidecar
from model.networks.torch_engine import pick_device
from training.common.cli import add_data_option, add_device_option, command_parser, run
from training.data.dataset import folds_of_packed
from training.learning.train_config import add_config_options, config_from, protocol_defaults
from training.learning.training_run import train


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--run", type=Path, required=True, help="folder of this run: checkpoint and weights")
    add_device_option(parser)
    add_config_options(parser, protocol_defaults())
    args = parser.parse_args()
    device, note = pick_device(args.device)
    if note:
        print(note)
    say = None if sys.stdout.isatty() else functools.partial(print, flush=True)  # a terminal has the progress bar
    require_writable(args.run)
    print(folds_of_packed(args.data)[1], flush=True)
    path = train(config_from(args), args.data, args.run, device, say=say)
    mean = read_sidecar(path.with_suffix(".json"))["provenance"]["validation_mean"]
    print(f"held-out cases: Dice {mean['dice']:.4f}, NSD {mean['nsd']:.4f}; each one's scores are in {path.stem}.json")
    print(path)


if __name__ == "__main__":
    run(main)
