"""Trains one network on the training cases of one fold and writes its weights. Read from top to bottom.

    python -m training.train --data data/packed --fold 0 --run runs/fold0

A killed run continues from its last epoch when the same command is given again. No epoch is chosen by its score: the
weights written are the moving average after the last epoch, so the validation fold has no say in them.
"""

import argparse
import dataclasses
import json
import math
import os
import pickle
import platform
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import monai
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from model.config import InferenceConfig, ModelConfig, from_json, to_json
from model.errors import UserError
from model.files import whole_file
from model.network import LesionNet
from model.predict import Predictor, pick_device
from model.weights import Ensemble, round_to_disk_precision, save_weights
from training.augment import Augmentation
from training.cli import run
from training.dataset import PackedCase, Sample, collate, epoch_batches, load_cases, to_sample
from training.losses import LOSSES
from training.metrics import Scores, mean_scores, score
from training.splits import read_fold

LICENCE = "trained on BONBID-HIE (Zenodo 10602767), whose licence statements conflict: treat as non-commercial"


@dataclass(frozen=True)
class TrainConfig:
    """What a run is. A run folder of another configuration is refused."""

    fold: int = 0
    loss: str = "tversky-hausdorffdt"
    seed: int = 0
    epochs: int = 40
    batch_size: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_epochs: int = 2
    ema_decay: float = 0.99  # per step
    bfloat16: bool = True  # autocast of the network; the loss is always float32

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UserError(f"--loss {self.loss}: unknown, expected one of {', '.join(LOSSES)}")
        smallest = {"fold": 0, "seed": 0, "epochs": 1, "batch_size": 1, "warmup_epochs": 0}
        smallest |= {"learning_rate": 1e-12, "weight_decay": 0.0}
        for name, limit in smallest.items():
            value = getattr(self, name)
            if not limit <= value < math.inf:
                raise UserError(f"--{name.replace('_', '-')} {value}: expected {limit} or more")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"--ema-decay {self.ema_decay}: expected a number from 0 to below 1")


class Training:
    """Everything that changes from step to step."""

    def __init__(self, config: TrainConfig, model: ModelConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.network = LesionNet(model).to(device)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.history: list[dict] = []  # one entry per finished epoch

    def save(self, path: Path, config: dict) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        with whole_file(path) as partial:
            torch.save({**parts, "history": self.history, "config": config}, partial)

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
        self.history = state["history"]


def learning_rate(epoch: float, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine to zero. `epoch` counts from 0 and may be a fraction."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 0.1) / (config.warmup_epochs + 0.1)
    done = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def train_epoch(training: Training, samples: list[Sample], config: TrainConfig, model: ModelConfig) -> torch.Tensor:
    """One pass over all samples; returns the mean loss, still on the device."""
    epoch = len(training.history)
    seed = int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])  # so that a resumed run is the same
    torch.manual_seed(seed)
    device = samples[0].inputs.device
    augment = Augmentation(seed, device)
    losses = []
    training.network.train()
    batches = list(epoch_batches(samples, config.batch_size, seed))
    for step, chosen in enumerate(tqdm(batches, desc=f"epoch {epoch + 1}", unit="step", leave=False)):
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(epoch + step / len(batches), config)
        batch = collate([augment(sample) for sample in chosen], model.divisor)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
            logits = training.network(batch.inputs)
        loss = LOSSES[config.loss](logits, batch.target, batch.spacing_mm)
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
        training.optimizer.step()
        training.average.update_parameters(training.network)
        losses.append(loss.detach())
    return torch.stack(losses).mean()


def validate(network: torch.nn.Module, cases: list[PackedCase], model: ModelConfig, device: torch.device) -> list[Scores]:
    """Score whole cases on the patient's grid, on the code path of inference."""
    predictor = Predictor(Ensemble([network.eval()], [model], InferenceConfig(), id="in training"), device)
    masks = (predictor.mask(case.adc, case.zadc, float(np.prod(case.spacing_mm))) for case in cases)
    return [score(mask, case.label, case.spacing_mm) for mask, case in zip(masks, cases, strict=True)]


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
    return commit + ("-dirty" if git("status", "--porcelain", "--", "model", "training", ":!model/weights") else "")


def provenance(
    config: TrainConfig, device: torch.device, names: dict[str, list[str]], scores: list[Scores], history: list[dict]
) -> dict:
    """What the sidecar says about how the weights were made. The commits are those that trained, in order."""
    versions = {module.__name__: module.__version__ for module in (torch, monai, np)}
    return {
        "command": shlex.join(["python", "-m", "training.train", *sys.argv[1:]]),
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
    Raises UserError for data, a fold or a run folder that cannot be used, and when the loss is no longer finite.
    """
    model = model or ModelConfig()
    commit = git_commit()
    names = dict(zip(("training", "validation"), read_fold(config.fold), strict=True))
    samples = [to_sample(case, model, device) for case in load_cases(data, names["training"])]
    validation = load_cases(data, names["validation"])

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    identity = dataclasses.asdict(config) | {"model": to_json(model), "cases": names}
    training = Training(config, model, device)
    if checkpoint.exists():
        training.restore(checkpoint, identity)

    progress = tqdm(total=config.epochs, initial=len(training.history), desc=folder.name, unit="epoch")
    while len(training.history) < config.epochs:
        started = time.perf_counter()
        loss = float(train_epoch(training, samples, config, model))
        if not math.isfinite(loss):
            raise UserError(f"epoch {len(training.history) + 1}: the loss is {loss}; try a lower --learning-rate")
        seconds = time.perf_counter() - started
        entry = {"epoch": len(training.history) + 1, "loss": loss, "seconds": seconds, "commit": commit}
        if validate_every and entry["epoch"] % validate_every == 0:
            mean = mean_scores(validate(training.average.module, validation, model, device))
            entry |= dataclasses.asdict(mean)
            progress.write(f"epoch {entry['epoch']:3d}  loss {loss:.4f}  Dice {mean.dice:.4f}  NSD {mean.nsd:.4f}")
        training.history.append(entry)
        training.save(checkpoint, identity)
        progress.update()
        progress.set_postfix(loss=f"{loss:.4f}")
    progress.close()

    network = training.average.module
    round_to_disk_precision(network)
    scores = validate(network, validation, model, device)
    path = folder / f"fold{config.fold}.safetensors"
    save_weights(path, network, model, InferenceConfig(), provenance(config, device, names, scores, training.history))
    return path


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
        "--model", type=Path, help="JSON of another architecture, as 'model' in a sidecar (default: model/config.py)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    for field in dataclasses.fields(TrainConfig):
        flag = "--" + field.name.replace("_", "-")
        kind = argparse.BooleanOptionalAction if isinstance(field.default, bool) else None
        extra = {"action": kind} if kind else {"type": type(field.default)}
        parser.add_argument(flag, default=field.default, help="default: %(default)s", **extra)
    args = parser.parse_args()
    config = TrainConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)})
    device, note = pick_device(args.device)
    if note:
        print(note)
    model = read_model(args.model) if args.model else None
    print(train(config, args.data, args.run, device, model=model))


if __name__ == "__main__":
    run(main)
