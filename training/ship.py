"""Replaces the networks in a folder of weights by runs of the study, exports their graphs, and fits a lesion decision.

Example, for the networks that are shipped:

    python -m training.ship --data data/packed --runs runs/study/native --losses tversky-hausdorffdt

The networks are called `fold<k>-<loss>.safetensors` there. --seed takes the runs of another training seed, into a --weights
folder of its own: those may be scored (`training.crossval`) but not shipped.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from model.errors import UserError
from model.files import files_below, files_into, require_writable
from model.networks.config import SHIPPED_INFERENCE, to_json
from model.networks.stored import IMAGE_WEIGHTS, read_sidecar, write_sidecar
from model.networks.torch_engine import pick_device
from training.common.cli import add_data_option, add_device_option, command_parser, run
from training.common.loss_names import LOSS_NAMES
from training.data.dataset import PackedCase, load_folds, require_packed
from training.data.seen import require_held_out, require_same_data
from training.data.splits import numbers_of_folds
from training.learning.onnx_graph import export
from training.learning.study_runs import run_folder
from training.lesions.networks import DECISION_FILES, fit_decision, require_lesions, require_sidecars
from training.scores.places import add_weights_option, weights_of

REPLACED = ("fold*.safetensors", "fold*.onnx", "fold*.json", *DECISION_FILES)


def copy_networks(runs: Path, losses: list[str], weights: Path, cases: Collection[PackedCase], seed: int = 0) -> None:
    """Replace the networks in `weights` by the study's runs of these losses and seed, all folds; a decision goes too.

    cases: all, each with its fold. Raises UserError, and replaces nothing, when a run is missing or was trained on other
    data, or on a case that its fold holds out.
    """
    pairs = [(fold, loss) for fold in numbers_of_folds(cases) for loss in losses]
    sources = {(fold, loss): run_folder(runs, loss, fold, seed) / f"fold{fold}.safetensors" for fold, loss in pairs}
    missing = [path for path in sources.values() if not (path.exists() and path.with_suffix(".json").exists())]
    if missing:  # before anything is removed
        raise UserError(f"{missing[0]}: not trained yet ({len(missing)} of {len(sources)} runs are missing)")
    require_same_data((path.with_suffix(".json") for path in sources.values()), cases)
    weights.parent.mkdir(parents=True, exist_ok=True)
    with files_into(weights, weights.parent) as staged:  # nothing is replaced before all of it is there and usable
        for (fold, loss), path in sources.items():
            target = staged / f"fold{fold}-{loss}.safetensors"
            shutil.copyfile(path, target)
            sidecar = read_sidecar(path.with_suffix(".json")) | {"inference": to_json(SHIPPED_INFERENCE)}
            write_sidecar(target.with_suffix(".json"), sidecar)
        export(staged)  # also proves that the networks are usable
        require_held_out(staged, cases)
        taken = set(files_below(staged))
    for name in REPLACED:
        for path in weights.glob(name):
            if path.name not in taken:
                path.unlink()


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the study's runs, with its protocol")
    parser.add_argument("--losses", nargs="+", choices=LOSS_NAMES, required=True, help="whose runs")
    parser.add_argument("--seed", type=int, default=0, help="training seed of the runs (default: %(default)s)")
    add_weights_option(parser)
    add_device_option(parser)
    args = parser.parse_args()
    weights = weights_of(args)
    if args.seed and weights.resolve() == IMAGE_WEIGHTS.resolve():
        raise UserError("--seed goes with another --weights folder: seed 0 is what is shipped")
    require_packed(args.data)
    require_writable(weights)
    require_sidecars(weights, REPLACED)
    cases = load_folds(args.data)
    require_lesions(cases)  # before a decision is removed
    copy_networks(args.runs, args.losses, weights, cases.values(), args.seed)
    fit_decision(weights, cases, pick_device(args.device)[0], "training.ship")


if __name__ == "__main__":
    run(main)
