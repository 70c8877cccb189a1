"""The shipped architecture keeps its budget: five networks fit in the repository, and a case takes seconds on a CPU."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.networks.config import ModelConfig
from model.networks.network import LesionNet


def test_budget():
    network = LesionNet(ModelConfig())
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.to("meta")(torch.zeros(1, 2, 64, 128, 128))
    assert sum(parameter.numel() for parameter in network.parameters()) <= 6e6
    assert counter.get_total_flops() <= 120e9
