"""The network of the study (arXiv 2502.09148). Published is its shape, not its widths and dropout rates."""

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional

from model.networks.config import INPUT_CHANNELS


@dataclass(frozen=True)
class PaperNetConfig:
    """Level by level: the encoder's three, then the bottleneck. Neither widths nor rates are published; these are ours."""

    channels: tuple[int, ...] = (16, 32, 64, 128)  # feature maps: the usual doubling
    dropout: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)  # "growing with depth"; a decoder block has its level's rate


class PaperNet(nn.Module):
    """A 3D U-Net: max-pooling down, transposed convolutions up, skip connections, a 1x1x1 head.

    Input: float (batch, 2, z, y, x), Z map and ADC, each axis a multiple of 2 for each level below the first.
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
        x = x.contiguous(memory_format=torch.channels_last_3d)  # on a CPU half the time of a step
        features, skips = self.down[0](x), []
        for block in self.down[1:]:
            skips.append(features)
            features = block(functional.max_pool3d(features, 2))
        for upsample, block in zip(self.upsample, self.up, strict=True):
            features = block(torch.cat([skips.pop(), upsample(features)], dim=1))
        return self.head(features)


def _block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Twice: 3x3x3 convolution, batch norm (which makes the convolution's bias void), LeakyReLU, dropout."""
    kinds: dict[str, Any] = {"adn_ordering": "NAD", "norm": "batch", "act": "leakyrelu", "dropout": dropout, "bias": False}
    return nn.Sequential(*(Convolution(3, width, outputs, **kinds) for width in (inputs, outputs)))
