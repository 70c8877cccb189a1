"""What a training run is: one frozen configuration, its defaults by protocol, its options on a command line."""

import argparse
import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

from model.errors import UserError
from training.losses import LOSSES
from training.protocols import PROTOCOLS


@dataclass(frozen=True)
class TrainConfig:
    """What a run is. A run folder of another configuration is refused. The defaults are the native protocol's."""

    protocol: str = "native"
    fold: int = 0
    loss: str = "tversky-hausdorffdt"
    seed: int = 0
    epochs: int = 30
    batch_size: int = 2
    patch: tuple[int, ...] = ()  # (z, y, x) voxels; () trains on whole brains
    views: int = 1  # how often an epoch shows each case
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_epochs: int = 2
    schedule: str = "cosine"  # to zero; or exponential
    decay: float = 0.98  # of the exponential schedule, per epoch
    ema_decay: float = 0.99  # per step; 0: no averaging
    l1_penalty: float = 0.0  # times the sum of the weights' absolute values
    patience: int = 0  # epochs without progress on the inner cases before the run ends; 0: all epochs, no inner cases
    bfloat16: bool = False  # autocast of the network; the loss is always float32. Very slow on a CPU without bfloat16 units

    def __post_init__(self) -> None:
        for name, table in (("protocol", PROTOCOLS), ("loss", LOSSES), ("schedule", SCHEDULES)):
            if getattr(self, name) not in table:
                raise UserError(f"--{name} {getattr(self, name)}: unknown, expected one of {', '.join(table)}")
        smallest = {"fold": 0, "seed": 0, "epochs": 1, "batch_size": 1, "views": 1, "warmup_epochs": 0, "patience": 0}
        smallest |= {"learning_rate": 1e-12, "weight_decay": 0.0, "decay": 1e-3, "l1_penalty": 0.0}
        for name, limit in smallest.items():
            value = getattr(self, name)
            if not limit <= value < math.inf:
                raise UserError(f"--{name.replace('_', '-')} {value}: expected {limit} or more")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"--ema-decay {self.ema_decay}: expected a number from 0 to below 1")
        if self.patch and (len(self.patch) != 3 or min(self.patch) < 1):
            raise UserError(f"--patch {' '.join(map(str, self.patch))}: expected three sizes in voxels: z y x")


SCHEDULES = ("cosine", "exponential")
PAPER = {  # as published, but for the decay, whose rate is not
    "protocol": "paper",
    "epochs": 100,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "weight_decay": 1e-3,
    "warmup_epochs": 0,
    "schedule": "exponential",
    "ema_decay": 0.0,
    "l1_penalty": 1e-4,
    "patience": 10,
}
DEFAULTS = {"native": {}, "paper": PAPER}  # by protocol, where they differ from TrainConfig's


def default_config(protocol: str, **changes: object) -> TrainConfig:
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
        kinds = {bool: {"action": argparse.BooleanOptionalAction}, tuple: {"type": int, "nargs": "*"}}
        kind = kinds.get(type(default), {"type": type(default)})
        parser.add_argument("--" + field.name.replace("_", "-"), default=default, help="default: %(default)s", **kind)


def options(config: TrainConfig) -> list[str]:
    """The command line words that give this configuration: protocol, fold, loss, seed, and what is not the default."""
    defaults = dataclasses.asdict(default_config(config.protocol))
    words = []
    for name, value in dataclasses.asdict(config).items():
        if name not in ("protocol", "fold", "loss", "seed") and value == defaults[name]:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else [value])]
    return words


def config_from(args: argparse.Namespace) -> TrainConfig:
    """The configuration that the options of `add_config_options` say."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)}
    return TrainConfig(**values | {"patch": tuple(values["patch"])})
