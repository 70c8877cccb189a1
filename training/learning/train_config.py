"""What a training run is: one frozen configuration, its defaults by protocol, its options on a command line."""

import argparse
import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from model.errors import UserError
from training.learning.losses import LOSSES
from training.learning.protocols import PROTOCOLS


def option(default: Any, text: str, least: float | None = None) -> Any:
    """A field whose meaning `--help` tells, and its smallest value."""
    return dataclasses.field(default=default, metadata={"help": text, "least": least})


@dataclass(frozen=True)
class TrainConfig:
    """What a run is. A run folder of another configuration is refused. The defaults are the native protocol's."""

    protocol: str = option("native", "native: the patient's grid; paper: as published")
    fold: int = option(0, "whose cases are held out, from 0 on", 0)
    loss: str = option("tversky-hausdorffdt", "one of " + ", ".join(LOSSES))
    seed: int = option(0, "of weights, order and augmentation", 0)
    epochs: int = option(30, "passes over the training cases", 1)
    batch_size: int = option(2, "cases in a step", 1)
    patch: tuple[int, ...] = option((), "z y x voxels to cut out, around a lesion every other time; none: whole brains")
    views: int = option(1, "how often an epoch shows each case", 1)
    learning_rate: float = option(1e-3, "of AdamW, after the warm-up", 1e-12)
    weight_decay: float = option(1e-2, "of AdamW", 0)
    warmup_epochs: int = option(2, "over which the learning rate rises from zero", 0)
    schedule: str = option("cosine", "of the learning rate after that: cosine, to zero; or exponential")
    decay: float = option(0.98, "of the exponential schedule, per epoch", 1e-3)
    ema_decay: float = option(0.99, "of the weights' moving average, per step; 0: no averaging", 0)
    l1_penalty: float = option(0.0, "times the sum of the weights' absolute values", 0)
    patience: int = option(0, "epochs without progress on inner cases before the run ends; 0: all epochs, no inner cases", 0)
    bfloat16: bool = option(False, "autocast of the network, for GPUs; the loss is always float32. Very slow on most CPUs")

    def __post_init__(self) -> None:
        for name, table in (("protocol", PROTOCOLS), ("loss", LOSSES), ("schedule", SCHEDULES)):
            if getattr(self, name) not in table:
                raise UserError(f"--{name} {getattr(self, name)}: unknown, expected one of {', '.join(table)}")
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), field.metadata["least"]
            if least is not None and not least <= value < math.inf:
                raise UserError(f"{_flag(field.name)} {value}: expected {least} or more")
        if self.ema_decay >= 1:
            raise UserError(f"--ema-decay {self.ema_decay}: expected a number from 0 to below 1")
        if self.patch and (len(self.patch) != 3 or min(self.patch) < 1):
            raise UserError(f"--patch {' '.join(map(str, self.patch))}: expected three sizes in voxels: z y x")


SCHEDULES = ("cosine", "exponential")
DEFAULTS: dict[str, dict[str, Any]] = {  # by protocol, where they differ from TrainConfig's
    "native": {},
    "paper": {  # as published, but for the decay, whose rate is not
        "epochs": 100,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "weight_decay": 1e-3,
        "warmup_epochs": 0,
        "schedule": "exponential",
        "ema_decay": 0.0,
        "l1_penalty": 1e-4,
        "patience": 10,
    },
}


def _flag(name: str) -> str:
    """The option of a field."""
    return "--" + name.replace("_", "-")


def default_config(protocol: str, **changes: Any) -> TrainConfig:
    """The configuration of a protocol. Raises UserError for an unknown one."""
    return TrainConfig(**{"protocol": protocol} | DEFAULTS.get(protocol, {}) | changes)


def protocol_defaults() -> TrainConfig:
    """The defaults of the protocol that the command line names, which the other options start from."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--protocol", default=TrainConfig.protocol)
    return default_config(parser.parse_known_args()[0].protocol)


def add_config_options(parser: argparse.ArgumentParser, defaults: TrainConfig, leave_out: Collection[str] = ()) -> None:
    """One option per field of TrainConfig; a field that is left out keeps its default."""
    for field in dataclasses.fields(TrainConfig):
        default = getattr(defaults, field.name)
        if field.name in leave_out:
            parser.set_defaults(**{field.name: default})
            continue
        kinds: dict[type, dict[str, Any]] = {bool: {"action": "store_true"}, tuple: {"type": int, "nargs": "*"}}
        kind = kinds.get(type(default), {"type": type(default)})
        text = f"{field.metadata['help']} (default: {'none' if default == () else '%(default)s'})"
        parser.add_argument(_flag(field.name), default=default, help=text, **kind)


def options(config: TrainConfig) -> list[str]:
    """The command line words that give this configuration: protocol, fold, loss, seed, and what is not the default."""
    defaults = dataclasses.asdict(default_config(config.protocol))
    words = []
    for name, value in dataclasses.asdict(config).items():
        if name not in ("protocol", "fold", "loss", "seed") and value == defaults[name]:
            continue
        if isinstance(value, bool):
            words.append(_flag(name))
        else:
            words += [_flag(name), *map(str, value if isinstance(value, tuple) else [value])]
    return words


def config_from(args: argparse.Namespace) -> TrainConfig:
    """The configuration that the options of `add_config_options` say."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)}
    return TrainConfig(**values | {"patch": tuple(values["patch"])})
