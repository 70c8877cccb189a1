"""Trains one network on the training cases of one fold and writes its weights. Read from top to bottom.

    python -m training.train --data data/packed --fold 0 --run runs/fold0

A killed run continues from its last epoch when the same command is given again. No epoch is chosen by its score: the
weights written are the moving average after the last epoch, so the validation fold has no say in them.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import pickle
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import monai
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model.errors import UserError
from model.files import only_run, whole_file
from model.networks.config import InferenceConfig, ModelConfig, from_json, to_json
from model.networks.torch_engine import pick_device, round_to_disk_precision, save_weights
from training.common.cli import run
from training.data.dataset import Batch, PackedCase, Sample, collate, epoch_batches, load_cases
from training.data.splits import read_fold
from training.learning.losses import LOSSES
from training.learning.protocols import PROTOCOLS, Native, Paper
from training.learning.train_config import TrainConfig, add_config_options, config_from, options, protocol_defaults
from training.scores.metrics import Scores, mean_scores, score

INNER_EVERY = 8
LICENCE = "trained on BONBID-HIE (Zenodo 10602767), whose licence statements conflict: treat as non-commercial"


class Training:
    """Everything that changes from step to step."""

    def __init__(self, config: TrainConfig, protocol: Native | Paper, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.network = protocol.network().to(device)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.commit = git_commit()  # of this process; the code on disk may change under it
        self.history: list[dict] = []  # one entry per finished epoch
        self.best: dict | None = None  # with early stopping: the average's state at the best epoch

    def save(self, path: Path, config: dict) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        with whole_file(path) as partial:
            torch.save({**parts, "history": self.history, "best": self.best, "config": config}, partial)

    def restore(self, path: Path, config: dict) -> None:
        """Continue from a checkpoint. Raises UserError when it is damaged or of another configuration."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: damaged checkpoint ({reason}); remove it to start over") from None
        if state["config"] != config:
            differing = sorted(k for k in config.keys() | state["config"] if config.get(k) != state["config"].get(k))
            raise UserError(f"{path}: belongs to a run with another {', '.join(differing)}; choose another --run folder")
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.history, self.best = state["history"], state["best"]


def learning_rate(epoch: float, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine to zero or an exponential decay. `epoch` counts from 0 and may be a fraction."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 0.1) / (config.warmup_epochs + 0.1)
    if config.schedule == "exponential":
        return config.learning_rate * config.decay ** int(epoch - config.warmup_epochs)
    done = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def train_epoch(training: Training, samples: list[Sample], config: TrainConfig, protocol: Native | Paper) -> torch.Tensor:
    """One pass over all samples; returns the mean loss, still on the device."""
    epoch = len(training.history)
    seed = int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])  # so that a resumed run is the same
    torch.manual_seed(seed)
    device = samples[0].inputs.device
    augment = protocol.augmentation(seed, device, config.patch)
    losses = []
    training.network.train()
    batches = [batch for view in range(config.views) for batch in epoch_batches(samples, config.batch_size, seed + view)]
    for step, chosen in enumerate(tqdm(batches, desc=f"epoch {epoch + 1}", unit="step", leave=False, disable=None)):
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(epoch + step / len(batches), config)
        batch = collate([augment(sample) for sample in chosen], protocol.divisor)
        loss = batch_loss(training.network, batch, config)
        training.optimizer.zero_grad(set_to_none=True)
        (loss + config.l1_penalty * l1_norm(training.network) if config.l1_penalty else loss).backward()
        torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
        training.optimizer.step()
        training.average.update_parameters(training.network)
        losses.append(loss.detach())
    return torch.stack(losses).mean()


def l1_norm(network: torch.nn.Module) -> torch.Tensor:
    """The sum of all parameters' absolute values."""
    return torch.stack([parameter.abs().sum() for parameter in network.parameters()]).sum()


def batch_loss(network: torch.nn.Module, batch: Batch, config: TrainConfig) -> torch.Tensor:
    """The configured loss of one batch, without penalties."""
    with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=config.bfloat16):
        logits = network(batch.inputs)
    return LOSSES[config.loss](logits, batch.target, batch.spacing_mm)


@torch.no_grad()
def inner_loss(training: Training, inner: list[Sample], config: TrainConfig, protocol: Native | Paper) -> float:
    """Mean loss over the inner cases, one at a time, without augmentation."""
    network = training.average.module.eval()
    return float(np.mean([float(batch_loss(network, collate([sample], protocol.divisor), config)) for sample in inner]))


def validate(
    network: torch.nn.Module, cases: list[PackedCase], protocol: Native | Paper, device: torch.device
) -> list[Scores]:
    """Score whole cases on the patient's grid."""
    masks = (protocol.predict(network, case, device).mask for case in cases)
    return [score(mask, case.label, case.spacing_mm) for mask, case in zip(masks, cases, strict=True)]


def hold_out(cases: list[PackedCase], patience: int) -> tuple[list[PackedCase], list[PackedCase]]:
    """(training, inner) cases: with early stopping every eighth training case, by lesion load, is not trained on.

    The published study stopped on the cases it reports; here those have no say.
    """
    if not patience:
        return cases, []
    ordered = sorted(cases, key=lambda case: (case.lesion_load, case.name))
    inner = ordered[INNER_EVERY // 2 :: INNER_EVERY]
    return [case for case in ordered if case not in inner], inner


def git_commit() -> str:
    """The commit of this code, "-dirty" where model/ or training/ differ from it.

    Without git or a repository, as on a machine that was sent the bare files: $GIT_COMMIT, or "unknown".
    """

    def git(*words: str) -> str:
        root = Path(__file__).parents[1]
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "HEAD") if shutil.which("git") else ""
    if not commit:
        return os.environ.get("GIT_COMMIT", "unknown")
    code = ("model", "training", ":!model/weights", ":!training/results")
    return commit + ("-dirty" if git("status", "--porcelain", "--", *code) else "")


def provenance(
    config: TrainConfig, device: torch.device, names: dict[str, list[str]], scores: list[Scores], history: list[dict]
) -> dict:
    """What the sidecar says about how the weights were made. The commits are those that trained, in order."""
    versions = {module.__name__: module.__version__ for module in (torch, monai, np)}
    return {
        "command": shlex.join(["python", "-m", "training.train", *options(config)]),
        "git_commits": list(dict.fromkeys(entry["commit"] for entry in history)),
        "versions": {"python": platform.python_version()} | versions,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "training": dataclasses.asdict(config),
        "seconds": round(sum(entry["seconds"] for entry in history)),
        "cases": names,
        "validation_scores": {name: _as_json(s) for name, s in zip(names["validation"], scores, strict=True)},
        "validation_mean": _as_json(mean_scores(scores)),
        "data_licence": LICENCE,
    }


def _as_json(scores: Scores) -> dict[str, float | None]:
    """JSON has no NaN: a MASD that does not exist is null."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(scores).items()}


def train(
    config: TrainConfig,
    data: Path,
    folder: Path,
    device: torch.device,
    validate_every: int = 5,
    model: ModelConfig | None = None,
) -> Path:
    """Run or continue the training in `folder`; returns the path of the weights.

    data: folder of packed cases; validate_every: epochs between scores in the log, 0 for none; model: default ModelConfig().
    Raises UserError for data, a fold or a run folder that cannot be used, while another process trains in the folder, and
    when the loss is no longer finite.
    """
    protocol = PROTOCOLS[config.protocol](model)
    names = dict(zip(("training", "validation"), read_fold(config.fold), strict=True))
    chosen, inner = hold_out(load_cases(data, names["training"]), config.patience)
    samples, inner_samples = ([protocol.sample(case, device) for case in cases] for cases in (chosen, inner))
    validation = load_cases(data, names["validation"])
    identity = dataclasses.asdict(config) | {"model": to_json(protocol.model), "cases": names}
    identity = json.loads(json.dumps(identity))  # tuples become lists, as in a checkpoint
    training = Training(config, protocol, device)

    with only_run(folder):
        checkpoint = folder / "checkpoint.pt"
        if checkpoint.exists():
            training.restore(checkpoint, identity)
        with run_log(folder, training, config) as log:
            while not finished(training, config):
                entry = next_epoch(training, samples, inner_samples, config, protocol)
                if validate_every and entry["epoch"] % validate_every == 0:
                    entry |= dataclasses.asdict(mean_scores(validate(training.average.module, validation, protocol, device)))
                training.history.append(entry)
                training.save(checkpoint, identity)
                log(entry)

        network = training.average.module
        if training.best:
            network.load_state_dict(training.best)
        round_to_disk_precision(network)
        scores = validate(network, validation, protocol, device)
        names |= {"inner": [case.name for case in inner]} if inner else {}
        path = folder / f"fold{config.fold}.safetensors"
        description = provenance(config, device, names, scores, training.history)
        save_weights(path, network, protocol.model, InferenceConfig(), description)
    return path


def next_epoch(
    training: Training, samples: list[Sample], inner: list[Sample], config: TrainConfig, protocol: Native | Paper
) -> dict:
    """Train one epoch; what the history will say about it. Raises UserError when the loss is not finite."""
    started = time.perf_counter()
    loss = float(train_epoch(training, samples, config, protocol))
    if not math.isfinite(loss):
        raise UserError(f"epoch {len(training.history) + 1}: the loss is {loss}; try a lower --learning-rate")
    seconds = time.perf_counter() - started
    entry = {"epoch": len(training.history) + 1, "loss": loss, "seconds": seconds, "commit": training.commit}
    if inner:
        entry["inner_loss"] = inner_loss(training, inner, config, protocol)
        if entry["inner_loss"] < min((past["inner_loss"] for past in training.history), default=math.inf):
            training.best = {name: tensor.clone() for name, tensor in training.average.module.state_dict().items()}
    return entry


@contextlib.contextmanager
def run_log(folder: Path, training: Training, config: TrainConfig) -> Iterator[Callable[[dict], None]]:
    """Yields what reports an epoch: on the terminal, and to TensorBoard in `folder`/tensorboard."""
    done = len(training.history)
    board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
    progress = tqdm(total=config.epochs, initial=done, desc=folder.name, unit="epoch", disable=None)

    def report(entry: dict) -> None:
        for name in entry.keys() - {"epoch", "commit"}:
            board.add_scalar(name, entry[name], entry["epoch"])
        progress.update()
        progress.set_postfix(loss=f"{entry['loss']:.4f}", Dice=f"{entry.get('dice', math.nan):.4f}")

    with contextlib.closing(board), progress:
        yield report


def finished(training: Training, config: TrainConfig) -> bool:
    """All epochs are done or, with early stopping, the last `patience` of them brought no progress."""
    history = training.history
    if len(history) >= config.epochs or not config.patience or not history:
        return len(history) >= config.epochs
    best = min(history, key=lambda entry: entry["inner_loss"])
    return len(history) - best["epoch"] >= config.patience


def read_model(path: Path) -> ModelConfig:
    """An architecture from a JSON file. Raises UserError when it cannot be used."""
    try:
        return from_json(ModelConfig, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run: checkpoint and weights")
    parser.add_argument(
        "--model",
        type=Path,
        help="JSON of another architecture, as 'model' in a sidecar (default: ModelConfig's)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    add_config_options(parser, protocol_defaults())
    args = parser.parse_args()
    if args.model and args.protocol != "native":
        raise UserError(f"--model {args.model}: only the native protocol's network can be changed")
    device, note = pick_device(args.device)
    if note:
        print(note)
    model = read_model(args.model) if args.model else None
    print(train(config_from(args), args.data, args.run, device, model=model))


if __name__ == "__main__":
    run(main)
