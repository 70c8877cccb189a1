"""Where a command of training writes: into this repository with the committed folds, else beside the data."""

import argparse
from pathlib import Path

from model.files import require_writable
from model.networks.stored import IMAGE_WEIGHTS
from training.data.dataset import require_packed
from training.data.splits import folds_of, is_committed
from training.scores.rows import RESULTS, read_records

HELP = "default: {}, or {} in --data where that has folds of its own"


def add_results_option(parser: argparse.ArgumentParser) -> None:
    """The option for the folder of rows; see `results_of`."""
    parser.add_argument("--results", type=Path, help="folder of the rows, " + HELP.format("training/results", "results"))


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """The option for the folder of weights; see `weights_of`."""
    parser.add_argument("--weights", type=Path, help="folder of the weights, " + HELP.format("model/weights", "weights"))


def open_results(args: argparse.Namespace, **kinds: type) -> Path:
    """The folder of rows for a command that will write there; kinds: of the rows, by their files' names without the suffix.

    Raises UserError where the data are not packed, nothing can be written, or a table of something else lies.
    """
    require_packed(args.data)
    results = results_of(args)
    require_writable(results)
    for name, kind in kinds.items():
        read_records(results / f"{name}.csv", kind)
    return results


def results_of(args: argparse.Namespace) -> Path:
    """The folder that is given, or the default one for `args.data`."""
    return args.results or (RESULTS if _is_ours(args.data) else args.data / "results")


def weights_of(args: argparse.Namespace) -> Path:
    """The folder that is given, or the default one for `args.data`."""
    return args.weights or (IMAGE_WEIGHTS if _is_ours(args.data) else args.data / "weights")


def _is_ours(data: Path) -> bool:
    return is_committed(folds_of(data).held_out)
