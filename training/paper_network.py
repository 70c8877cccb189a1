"""The network of the study (arXiv 2502.09148) and the constants of its optimisation.

Published are the shape of the network, not its widths and dropout rates, and every constant below but the decay's rate.
"""

from dataclasses import dataclass

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional

from model.preprocess import INPUT_CHANNELS


@dataclass(frozen=True)
class PaperRecipe:
    """How the study trains. Beside AdamW's weight decay it penalises the absolute weights: `l1_penalty`."""

    learning_rate: float = 1e-3  # AdamW
    weight_decay: float = 1e-3  # AdamW
    decay_per_epoch: float = 0.98  # exponential decay of the learning rate; the rate is not published, this is ours
    l1: float = 1e-4
    clip_norm: float = 1.0  # of the gradient over all parameters
    batch_size: int = 4
    epochs: int = 100  # at most
    patience: int = 10  # epochs without a better validation score before the early stop


@dataclass(frozen=True)
class PaperNetConfig:
    """Level by level: the encoder's three, then the bottleneck. Neither widths nor rates are published; these are ours."""

    channels: tuple[int, ...] = (16, 32, 64, 128)  # feature maps, the usual doubling
    dropout: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)  # "growing with depth"; a decoder block has its level's rate

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or min(self.channels) < 1:
            raise ValueError(f"channels cannot be {self.channels!r}")
        if len(self.dropout) != len(self.channels) or not all(0 <= rate < 1 for rate in self.dropout):
            raise ValueError(f"dropout cannot be {self.dropout!r}, expected {len(self.channels)} rates from 0 to below 1")

    @property
    def divisor(self) -> int:
        """Every axis of the input must be a multiple of this."""
        return 2 ** (len(self.channels) - 1)


class PaperNet(nn.Module):
    """A 3D U-Net: max-pooling down, transposed convolutions up, skip connections, a 1x1x1 head.

    Input: float (batch, 2, z, y, x), Z map and ADC, each axis a multiple of `PaperNetConfig.divisor`.
    Output: logits (batch, 1, z, y, x).
    """

    def __init__(self, config: PaperNetConfig) -> None:
        super().__init__()
        widths, rates = config.channels, config.dropout
        levels = range(len(widths))
        inputs = (INPUT_CHANNELS, *widths)
        self.down = nn.ModuleList(_block(inputs[i], widths[i], rates[i]) for i in levels)
        self.upsample = nn.ModuleList(nn.ConvTranspose3d(widths[i], widths[i - 1], 2, 2) for i in reversed(levels[1:]))
        self.up = nn.ModuleList(_block(2 * widths[i], widths[i], rates[i]) for i in reversed(levels[:-1]))
        self.head = nn.Conv3d(widths[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, 1, z, y, x)."""
        features, skips = self.down[0](x), []
        for block in self.down[1:]:
            skips.append(features)
            features = block(functional.max_pool3d(features, 2))
        for upsample, block in zip(self.upsample, self.up, strict=True):
            features = block(torch.cat([skips.pop(), upsample(features)], dim=1))
        return self.head(features)


def _block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Twice: 3x3x3 convolution, batch norm (which makes the convolution's bias void), LeakyReLU, dropout."""
    kinds = {"adn_ordering": "NAD", "norm": "batch", "act": "leakyrelu", "dropout": dropout, "bias": False}
    return nn.Sequential(*(Convolution(3, width, outputs, **kinds) for width in (inputs, outputs)))


def l1_penalty(network: nn.Module, weight: float = PaperRecipe.l1) -> torch.Tensor:
    """What to add to the loss: `weight` times the sum, not the mean, of all parameters' absolute values; a scalar.

    Parameters means every trainable one, norms and biases included.
    """
    return weight * torch.stack([p.abs().sum() for p in network.parameters() if p.requires_grad]).sum()
