"""What a device has to show. The steps run on the CPU, too, so that a mistake in this file is seen without CUDA.

Without SimpleITK or fixtures: `pytest --noconftest` on a machine that only trains.
"""

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from training_helpers import SMALL, invented_case

from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble
from model.networks.torch_engine import TorchNetwork
from training.data.augment import Augmentation
from training.data.dataset import collate, to_sample
from training.learning.losses import LOSSES
from training.learning.paper import PaperAugmentation, to_paper_sample
from training.learning.protocols import Native
from training.learning.train_config import TrainConfig
from training.learning.training_loop import Training, batch_loss

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
DEVICES = ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)]


def random_network(seed: int) -> LesionNet:
    """A network whose U-Net has a say, unlike an untrained one's."""
    torch.manual_seed(seed)
    network = LesionNet(SMALL)
    torch.nn.init.normal_(network.get_parameter("head.conv.conv.weight"))
    return network


def probabilities(device: str) -> list[np.ndarray]:
    """Of one case, computed twice."""
    networks = [TorchNetwork(random_network(seed), torch.device(device)) for seed in (1, 2)]
    predictor, case = Predictor(Ensemble(networks, [SMALL, SMALL], InferenceConfig(), "test")), invented_case(0)
    return [predictor.segment(case.adc, case.zadc, case.spacing_mm).probabilities for _ in range(2)]


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_answers_as_the_cpu_and_twice_the_same(device: str) -> None:
    first, second = probabilities(device)
    assert first.tobytes() == second.tobytes()
    np.testing.assert_allclose(first, probabilities("cpu")[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("device_name", "augmentation", "to_a_sample"),
    [
        ("cpu", Augmentation, lambda case, device: to_sample(case, SMALL, device)),
        pytest.param("cuda", Augmentation, lambda case, device: to_sample(case, SMALL, device), marks=NEEDS_CUDA),
        pytest.param("cuda", PaperAugmentation, to_paper_sample, marks=NEEDS_CUDA),
    ],
)
def test_augmentation_is_of_its_seed_and_leaves_the_sample_as_it_was(device_name, augmentation, to_a_sample) -> None:
    device = torch.device(device_name)
    sample, before = to_a_sample(invented_case(0), device), to_a_sample(invented_case(0), device)
    first, again = augmentation(5, device), augmentation(5, device)
    inputs = []
    for _ in range(6):
        a, b = first(sample), again(sample)
        assert a.inputs.device.type == a.target.device.type == device_name
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.target, b.target)
        assert type(a.inputs) is type(a.target) is torch.Tensor
        assert (a.inputs.shape, a.target.shape) == (before.inputs.shape, before.target.shape)
        assert a.inputs.dtype == a.target.dtype == torch.float32
        assert a.inputs.isfinite().all()
        assert a.target.unique().tolist() == [0, 1]
        assert torch.equal(a.spacing_mm, before.spacing_mm)
        inputs.append(a.inputs)
    assert torch.equal(sample.inputs, before.inputs)
    assert torch.equal(sample.target, before.target)
    changed = [one for one in inputs if not torch.equal(one, before.inputs)]  # the paper's leaves one in 32 alone
    assert len(changed) > 2
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(changed, 2))
    assert not torch.equal(augmentation(6, device)(sample).inputs, inputs[0])


@contextlib.contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """On CUDA, torch raises where the host waits for the device."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("device_name", "loss"), [("cpu", "dice"), *(pytest.param("cuda", loss, marks=NEEDS_CUDA) for loss in LOSSES)]
)
def test_a_step_changes_the_network_and_does_not_wait_for_the_device(device_name: str, loss: str) -> None:
    """From the batch to the new weights nothing is read back."""
    device, config, protocol = torch.device(device_name), TrainConfig(loss=loss), Native(SMALL)
    training = Training(config, protocol, device)
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    batch = collate([to_sample(invented_case(number), SMALL, device) for number in (0, 1)], SMALL.divisor)

    def step() -> None:
        training.optimizer.zero_grad(set_to_none=True)
        batch_loss(training.network, batch, config).backward()
        torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
        training.optimizer.step()
        training.average.update_parameters(training.network)

    step()  # compiles the distance kernel
    with no_waiting(device):
        step()
    after = training.network.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    for name in ("slope", "threshold", "head.conv.conv.weight", "head.conv.conv.bias"):
        assert not torch.equal(before[name], after[name]), name
