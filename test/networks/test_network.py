"""The shipped architecture keeps its budget: five networks fit in the repository, and a case takes seconds on a CPU."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.networks.config import ModelConfig
from model.networks.inputs import estimate_input
from model.networks.network import HEALTHY_ADC, HEALTHY_GAIN, LesionNet


def test_budget():
    network = LesionNet(ModelConfig())
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.to("meta")(torch.zeros(1, 2, 64, 128, 128))
    assert sum(parameter.numel() for parameter in network.parameters()) <= 6e6
    assert counter.get_total_flops() <= 120e9


def test_untrained_estimate_is_a_line_through_the_adc():
    network = LesionNet(ModelConfig(start="adc")).eval()
    adc = np.random.default_rng(0).uniform(500, 3000, (4, 16, 32)).astype(np.float32)
    inputs = estimate_input(adc, ModelConfig(start="adc"))
    with torch.inference_mode():
        found = network(torch.from_numpy(inputs)[None])[0, 0].numpy()
    assert np.allclose(found, HEALTHY_GAIN * (adc / 1000 - HEALTHY_ADC), atol=1e-5)


def test_place_is_in_standard_deviations_and_alike_on_both_sides():
    adc = np.zeros((5, 3, 6), np.float32)
    adc[1:4, 1, 1:5] = 1000  # z 1 to 3: sd sqrt(2/3); x 1 to 4: centre 2.5, sd sqrt(5/4)
    inputs = estimate_input(adc, ModelConfig(start="adc"))
    assert inputs.shape == (5, 5, 3, 6)
    assert np.allclose(inputs[2, :, 1, 2], [0, -np.sqrt(1.5), 0, np.sqrt(1.5), 0])
    assert np.allclose(inputs[4, 2, 1], np.array([0, 1.5, 0.5, 0.5, 1.5, 0]) / np.sqrt(1.25))
    assert np.array_equal(inputs[..., ::-1], estimate_input(adc[..., ::-1], ModelConfig(start="adc")))
    assert not inputs[:, adc == 0].any()
