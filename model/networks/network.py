"""The 3D U-Net, built from one frozen configuration out of MONAI's nnU-Net blocks."""

import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetUpBlock
from torch import nn

from model.networks.config import INPUT_CHANNELS, ModelConfig

NORM = ("instance", {"affine": True})


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
        dropout = config.dropout or None
        self.down = nn.ModuleList(
            UnetBasicBlock(3, channels[i], channels[i + 1], config.kernel_sizes[i], config.strides[i], NORM, dropout=dropout)
            for i in levels
        )
        self.up = nn.ModuleList(
            UnetUpBlock(
                3,
                config.channels[i],
                config.channels[i - 1],
                kernel_size=config.kernel_sizes[i - 1],
                stride=1,
                upsample_kernel_size=config.strides[i],
                norm_name=NORM,
                dropout=dropout,
            )
            for i in reversed(levels[1:])
        )
        self.head = UnetOutBlock(3, config.channels[0], self.block**2)
        nn.init.zeros_(self.head.conv.conv.weight)
        nn.init.zeros_(self.head.conv.conv.bias)
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
