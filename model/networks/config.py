"""Every constant that must be the same in training and inference. Travels beside the weights as JSON."""

import contextlib
import dataclasses
import json
import math
import typing
from dataclasses import dataclass

from model.errors import UserError

Triple = tuple[int, int, int]

INPUT_CHANNELS = 2  # Z map, ADC


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and preprocessing. All triples are (z, y, x).

    The defaults suit BONBID-HIE, whose slices are up to 4.4 times thicker than a pixel is wide: the first level sees
    one slice at a time and the first pooling leaves the slices alone.
    """

    pixel_unshuffle: int = 2  # in-plane blocks of this width become channels, and voxels again at the end
    channels: tuple[int, ...] = (16, 32, 64, 64)  # feature maps per level
    kernel_sizes: tuple[Triple, ...] = ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    strides: tuple[Triple, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    dropout: float = 0.0
    z_threshold: float = -2.0  # the rule the untrained network equals: lesion where Z < z_threshold
    z_slope: float = 2.0  # steepness of that rule in logits per unit of Z
    adc_scale: float = 1000.0  # ADC in 1e-6 mm2/s is divided by this
    zadc_clip: float = 10.0  # the published Z maps are clipped here
    margin: int = 2  # voxels kept around the brain

    def __post_init__(self) -> None:
        levels = len(self.channels)
        _require(
            self,
            pixel_unshuffle=self.pixel_unshuffle in (1, 2, 4),
            channels=levels >= 2 and all(0 < n <= 1024 for n in self.channels),
            kernel_sizes=len(self.kernel_sizes) == levels and _are_triples(self.kernel_sizes, of=(1, 3, 5, 7)),
            strides=len(self.strides) == levels and _are_triples(self.strides, of=(1, 2)) and self.strides[0] == (1, 1, 1),
            dropout=0 <= self.dropout < 1,
            z_threshold=math.isfinite(self.z_threshold),
            z_slope=math.isfinite(self.z_slope),
            adc_scale=0 < self.adc_scale < math.inf,
            zadc_clip=0 < self.zadc_clip < math.inf,
            margin=0 <= self.margin <= 100,
        )

    @property
    def divisor(self) -> Triple:
        """A patch must be a multiple of this, per axis."""
        z, y, x = (1, self.pixel_unshuffle, self.pixel_unshuffle)
        for stride in self.strides:
            z, y, x = z * stride[0], y * stride[1], x * stride[2]
        return z, y, x


@dataclass(frozen=True)
class InferenceConfig:
    """How a network is asked and, where no lesion decision lies beside it, how its probabilities become a mask."""

    max_patch: Triple = (64, 128, 128)  # a brain that fits is predicted in one window
    overlap: float = 0.5  # share of a window that its neighbour covers too
    flip_axes: tuple[int, ...] = ()  # 0 = z, 1 = y, 2 = x; the mean over every combination of these flips is taken
    threshold: float = 0.5  # lesion where the mean probability is above this; without a decision

    def __post_init__(self) -> None:
        _require(
            self,
            max_patch=len(self.max_patch) == 3 and min(self.max_patch) > 0,
            overlap=0 <= self.overlap < 1,
            flip_axes=len({0, 1, 2} & {*self.flip_axes}) == len(self.flip_axes),
            threshold=0 <= self.threshold < 1,
        )


def _require(config: object, **fits: bool) -> None:
    """Raise ValueError, which names the first field that does not fit."""
    for name, holds in fits.items():
        if not holds:
            raise ValueError(f"{name} cannot be {getattr(config, name)!r}")


def _are_triples(values: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> bool:
    return all(len(value) == 3 and set(value) <= set(of) for value in values)


Config = typing.TypeVar("Config", ModelConfig, InferenceConfig)


def to_json(config: ModelConfig | InferenceConfig) -> dict:
    """The configuration as JSON types: what reading it back from a file gives."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(kind: type[Config], values: object, source: str) -> Config:
    """Rebuild a configuration. `source` names the file in errors.

    Raises UserError when a field is missing, unknown or of another type: a sidecar is never completed by defaults.
    """
    if not isinstance(values, dict):
        raise UserError(f"{source}: expected a table of {kind.__name__} fields, found {type(values).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if values.keys() != fields.keys():
        wrong = sorted(values.keys() ^ fields.keys())
        raise UserError(f"{source}: {kind.__name__} has missing or unknown fields: {', '.join(wrong)}")
    typed = {name: _same_type(values[name], fields[name].default, f"{source}: {name}") for name in fields}
    try:
        return kind(**typed)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None


def _same_type(value: typing.Any, example: object, name: str) -> typing.Any:
    if isinstance(example, tuple) and isinstance(value, list):
        inner = example[0] if example else 0
        return tuple(_same_type(item, inner, name) for item in value)
    if isinstance(example, float) and type(value) is int:
        with contextlib.suppress(OverflowError):
            return float(value)
    if type(value) is type(example):
        return value
    raise UserError(f"{name}: expected something like {example!r}, found {value!r}")


# Of the shipped networks: with left-right flips, as in training; the study's are asked without.
SHIPPED_INFERENCE = InferenceConfig(flip_axes=(2,))
