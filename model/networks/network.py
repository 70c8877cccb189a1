"""The 3D U-Net, built from one frozen configuration out of torch's own modules.

Its blocks are MONAI's of nnU-Net (`monai.networks.blocks.dynunet_block`), with the same names of weights and the same first
weights. They stand here again because an import of one part of MONAI is one of nearly all, and takes longer than a case.
"""

from collections import OrderedDict

import torch
from torch import nn

from model.networks.config import INPUT_CHANNELS, ModelConfig, Triple


def convolution(conv: nn.Conv3d | nn.ConvTranspose3d, dropout: float = 0.0) -> nn.Sequential:
    """One convolution and, in training, dropout after it. MONAI's `Convolution` without norm and activation."""
    return nn.Sequential(OrderedDict(conv=conv, dropout=nn.Dropout(dropout)))


class Block(nn.Module):
    """Convolution, instance norm, leaky ReLU, twice; the first one may halve axes. MONAI's `UnetBasicBlock`."""

    def __init__(self, before: int, after: int, kernel: Triple, stride: Triple, dropout: float) -> None:
        super().__init__()
        z, y, x = kernel
        padding = z // 2, y // 2, x // 2
        self.conv1 = convolution(nn.Conv3d(before, after, kernel, stride, padding, bias=False), dropout)
        self.conv2 = convolution(nn.Conv3d(after, after, kernel, 1, padding, bias=False), dropout)
        self.norm1 = nn.InstanceNorm3d(after, affine=True)
        self.norm2 = nn.InstanceNorm3d(after, affine=True)
        self.lrelu = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (batch, before, z, y, x) -> (batch, after, z, y, x), each axis divided by its stride."""
        x = self.lrelu(self.norm1(self.conv1(x)))
        return self.lrelu(self.norm2(self.conv2(x)))


class UpBlock(nn.Module):
    """A transposed convolution to the skip's size, and a `Block` of both. MONAI's `UnetUpBlock`."""

    def __init__(self, before: int, after: int, kernel: Triple, stride: Triple, dropout: float) -> None:
        super().__init__()
        self.transp_conv = convolution(nn.ConvTranspose3d(before, after, stride, stride, bias=False), dropout)
        self.conv_block = Block(2 * after, after, kernel, (1, 1, 1), dropout)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Features of the level below and the skip's (batch, after, z, y, x) -> (batch, after, z, y, x)."""
        return self.conv_block(torch.cat((self.transp_conv(x), skip), dim=1))


class LesionNet(nn.Module):
    """A U-Net that corrects a learnable threshold on the Z map.

    logit = unet(x) - slope * (Z - threshold). The U-Net's last layer starts at zero, so the untrained network is the rule
    Z < threshold itself, and training starts from there. The U-Net works on in-plane blocks of voxels (arXiv 1609.05158):
    most of its time would go into the finest level, where the Z map says nearly all there is to say.

    Input: float (batch, INPUT_CHANNELS, z, y, x), channels as in `model.networks.inputs.network_input`, each
    axis a multiple of `ModelConfig.divisor`. Output: logits (batch, 1, z, y, x).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.block = config.pixel_unshuffle
        channels = (INPUT_CHANNELS * self.block**2, *config.channels)
        levels = range(len(config.channels))
        self.down = nn.ModuleList(
            Block(channels[i], channels[i + 1], config.kernel_sizes[i], config.strides[i], config.dropout) for i in levels
        )
        self.up = nn.ModuleList(
            UpBlock(
                config.channels[i], config.channels[i - 1], config.kernel_sizes[i - 1], config.strides[i], config.dropout
            )
            for i in reversed(levels[1:])
        )
        self.head = nn.Sequential(OrderedDict(conv=convolution(nn.Conv3d(config.channels[0], self.block**2, 1))))
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.slope = nn.Parameter(torch.tensor(config.z_slope))
        self.threshold = nn.Parameter(torch.tensor(config.z_threshold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, 1, z, y, x)."""
        features, skips = pixel_unshuffle(x, self.block), []
        for block in self.down:
            features = block(features)
            skips.append(features)
        skips.pop()
        for block in self.up:
            features = block(features, skips.pop())
        correction = pixel_shuffle(self.head(features), self.block)
        return correction - self.slope * (x[:, :1] - self.threshold)


def pixel_unshuffle(x: torch.Tensor, block: int) -> torch.Tensor:
    """In-plane blocks into channels: (batch, c, z, y, x) -> (batch, c block^2, z, y / block, x / block)."""
    batch, channels, depth, height, width = x.shape
    x = x.view(batch, channels, depth, height // block, block, width // block, block)
    return x.permute(0, 1, 4, 6, 2, 3, 5).reshape(batch, channels * block**2, depth, height // block, width // block)


def pixel_shuffle(x: torch.Tensor, block: int) -> torch.Tensor:
    """The inverse of `pixel_unshuffle`."""
    batch, channels, depth, height, width = x.shape
    x = x.view(batch, channels // block**2, block, block, depth, height, width)
    return x.permute(0, 1, 4, 5, 2, 6, 3).reshape(batch, channels // block**2, depth, height * block, width * block)
