"""Fits the lesion decision to the networks in a folder, and writes it beside them: `decision.safetensors`.

Example, for the networks that are shipped:

    python -m training.fit --data data/packed

A weights folder holds `fold<k>-<name>.safetensors`. The trees are fitted to all cases; the calibration to what trees and
networks say about the cases that they did not see. --trees-alone fits a decision for a folder without networks.
"""

from model.errors import UserError
from model.files import require_writable
from model.networks.stored import network_files
from model.networks.torch_engine import pick_device
from training.common.cli import add_data_option, add_device_option, command_parser, run
from training.data.dataset import load_folds, require_packed
from training.lesions.networks import DECISION_FILES, fit_decision, require_sidecars
from training.scores.places import add_weights_option, weights_of


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_weights_option(parser)
    parser.add_argument("--trees-alone", action="store_true", help="without networks: weights of trees alone")
    add_device_option(parser)
    args = parser.parse_args()
    require_packed(args.data)
    weights = weights_of(args)
    require_writable(weights)
    if not args.trees_alone and not network_files(weights):
        raise UserError(f"{weights}: no networks; name the folder that has them, or say --trees-alone")
    require_sidecars(weights, DECISION_FILES)
    device = None if args.trees_alone else pick_device(args.device)[0]
    fit_decision(weights, load_folds(args.data), device, "training.fit")


if __name__ == "__main__":
    run(main)
