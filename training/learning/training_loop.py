"""What a training run does epoch by epoch: its state, the learning rate, one pass over the cases, when it ends."""

import math
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from model.errors import UserError
from model.files import whole_file
from model.networks.torch_engine import round_to_disk_precision
from training.common.provenance import git_commit
from training.data.dataset import Batch, PackedCase, Sample, collate, epoch_batches
from training.data.seen import differing
from training.learning.losses import LOSSES
from training.learning.protocols import Native, Paper
from training.learning.train_config import TrainConfig
from training.scores.metrics import Scores, score


class Average(AveragedModel):
    """The weights' moving average, as torch's AveragedModel computes it, but with the step counter kept on the CPU.

    AveragedModel copies its counter to the device at every step, for which the host waits.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        super().__init__(network)
        self._towards = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update_parameters(self, model: torch.nn.Module) -> None:
        """One step: the network's weights the first time, later the average towards them; buffers are copied."""
        if self.n_averaged:  # a counter on the CPU
            self._towards(list(self.module.parameters()), list(model.parameters()), self.n_averaged)
            for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                ours.copy_(theirs)
        else:
            self.module.load_state_dict(model.state_dict())
        self.n_averaged += 1


class Training:
    """Everything that changes from step to step."""

    def __init__(self, config: TrainConfig, protocol: Native | Paper, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.network = protocol.network().to(device)
        self.average = Average(self.network, config.ema_decay)
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
            raise UserError(f"{path}: belongs to a run {_other(state['config'], config)}; choose another --run folder")
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.history, self.best = state["history"], state["best"]


def _other(known: dict, config: dict) -> str:
    """In words, how the run of a checkpoint differs from this one."""
    names = sorted(k for k in config.keys() | known if k != "data" and config.get(k) != known.get(k))
    words = [f"of another configuration ({', '.join(names)})"] if names else []
    cases = differing(known.get("data"), config.get("data", {}))
    return " ".join([*words, f"on other data ({cases})"] if cases else words)


def learning_rate(epoch: float, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine to zero or an exponential decay. `epoch` counts from 0 and may be a fraction."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 0.1) / (config.warmup_epochs + 0.1)
    if config.schedule == "exponential":
        return config.learning_rate * config.decay ** int(epoch - config.warmup_epochs)
    done = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def next_epoch(
    training: Training, samples: list[Sample], inner: list[Sample], config: TrainConfig, protocol: Native | Paper
) -> dict:
    """Train one epoch; what the history will say about it. Raises UserError when the loss is not finite."""
    started = time.perf_counter()
    loss = float(train_epoch(training, samples, config, protocol))
    if not math.isfinite(loss):
        raise UserError(f"epoch {len(training.history) + 1}: the loss is {loss}; try a lower --learning-rate")
    seconds = time.perf_counter() - started
    entry: dict[str, Any] = {"epoch": len(training.history) + 1, "loss": loss, "seconds": seconds, "commit": training.commit}
    if inner:
        entry["inner_loss"] = inner_loss(training, inner, config, protocol)
        if entry["inner_loss"] < min((past["inner_loss"] for past in training.history), default=math.inf):
            training.best = {name: tensor.clone() for name, tensor in training.average.module.state_dict().items()}
    return entry


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
    batches = (collate([sample], protocol.divisor) for sample in inner)
    return float(np.mean([float(batch_loss(network, batch, config)) for batch in batches]))


def validate(
    network: torch.nn.Module, cases: list[PackedCase], protocol: Native | Paper, device: torch.device
) -> list[Scores]:
    """Score whole cases on the patient's grid."""
    masks = (protocol.predict(network, case, device).mask for case in cases)
    return [score(mask, case.label, case.spacing_mm) for mask, case in zip(masks, cases, strict=True)]


def finished(training: Training, config: TrainConfig) -> bool:
    """All epochs are done or, with early stopping, the last `patience` of them brought no progress."""
    history = training.history
    if len(history) >= config.epochs or not config.patience or not history:
        return len(history) >= config.epochs
    best = min(history, key=lambda entry: entry["inner_loss"])
    return len(history) - best["epoch"] >= config.patience


def final_network(training: Training) -> torch.nn.Module:
    """The average after the last epoch, with early stopping after the best, rounded as on disk."""
    network = training.average.module
    if training.best:
        network.load_state_dict(training.best)
    round_to_disk_precision(network)
    return network
