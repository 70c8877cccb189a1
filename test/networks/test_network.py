"""The shipped architecture: MONAI's blocks, and small enough that five fit in the repository and a case takes seconds."""

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetUpBlock
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.networks.config import INPUT_CHANNELS, ModelConfig
from model.networks.network import LesionNet

NORM = ("instance", {"affine": True})
UNEQUAL = ModelConfig(
    pixel_unshuffle=1,
    channels=(3, 5, 4),
    kernel_sizes=((1, 3, 3), (3, 5, 1), (3, 3, 7)),
    strides=((1, 1, 1), (1, 2, 2), (2, 1, 2)),
    dropout=0.3,
)


def of_monais_blocks(config: ModelConfig, seed: int = 1) -> LesionNet:
    """The network with MONAI's blocks in the places of ours, made in the same order."""
    network = LesionNet(config)
    torch.manual_seed(seed)
    channels, levels = (INPUT_CHANNELS * config.pixel_unshuffle**2, *config.channels), range(len(config.channels))
    dropout = config.dropout or None
    network.down = nn.ModuleList(
        UnetBasicBlock(3, channels[i], channels[i + 1], config.kernel_sizes[i], config.strides[i], NORM, dropout=dropout)
        for i in levels
    )
    network.up = nn.ModuleList(
        UnetUpBlock(3, channels[i + 1], channels[i], config.kernel_sizes[i - 1], 1, config.strides[i], NORM, dropout=dropout)
        for i in reversed(levels[1:])
    )
    network.head = UnetOutBlock(3, config.channels[0], config.pixel_unshuffle**2)
    return network


@pytest.mark.parametrize("config", [ModelConfig(), UNEQUAL], ids=["shipped", "unequal"])
@pytest.mark.parametrize("training", [False, True], ids=["asked", "trained"])
def test_the_blocks_are_monais(config, training):
    """The same weights by the same names, the same logits and gradients to the last bit, and the same dropout."""
    torch.manual_seed(1)
    ours, monais = LesionNet(config), of_monais_blocks(config)
    with torch.no_grad():  # every weight another number, those that start at 0 or 1 too
        for value in ours.parameters():
            value.normal_()
    monais.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, INPUT_CHANNELS, *(3 * side for side in config.divisor))
    answers, gradients = [], []
    for network in (ours, monais):
        torch.manual_seed(2)
        answer = network.train(training)(x)
        answer.square().sum().backward()
        answers.append(answer)
        gradients.append({name: value.grad for name, value in network.named_parameters()})
    assert torch.equal(*answers)
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0].keys() | gradients[1].keys())


def test_the_first_weights_are_those_of_monais_blocks():
    """So a seed means the training that it meant when the blocks were MONAI's. The head starts at 0."""
    torch.manual_seed(3)
    ours = LesionNet(UNEQUAL).state_dict()
    monais = of_monais_blocks(UNEQUAL, seed=3).state_dict()
    assert ours.keys() == monais.keys()
    assert all(torch.equal(ours[name], monais[name]) for name in ours if not name.startswith("head."))


def test_budget():
    network = LesionNet(ModelConfig())
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.to("meta")(torch.zeros(1, 2, 64, 128, 128))
    assert sum(parameter.numel() for parameter in network.parameters()) <= 6e6
    assert counter.get_total_flops() <= 120e9
