"""What only a CUDA device can show. Without SimpleITK or fixtures: `pytest --noconftest` on a machine that only trains."""

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
from training.learning.train_config import TrainConfig
from training.learning.training_loop import Training, batch_loss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def random_network(seed: int) -> LesionNet:
    """A network whose U-Net has a say, unlike an untrained one's."""
    torch.manual_seed(seed)
    network = LesionNet(SMALL)
    torch.nn.init.normal_(network.head.conv.conv.weight)
    return network


def probabilities(device: str) -> list[np.ndarray]:
    """Of one case, computed twice."""
    networks = [TorchNetwork(random_network(seed), torch.device(device)) for seed in (1, 2)]
    predictor, case = Predictor(Ensemble(networks, [SMALL, SMALL], InferenceConfig(), "test")), invented_case(0)
    return [predictor.probabilities(case.adc, case.zadc, case.spacing_mm) for _ in range(2)]


def test_cuda_answers_as_the_cpu_and_twice_the_same() -> None:
    first, second = probabilities("cuda")
    assert first.tobytes() == second.tobytes()
    np.testing.assert_allclose(first, probabilities("cpu")[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("augmentation", "to_a_sample"),
    [(Augmentation, lambda case, device: to_sample(case, SMALL, device)), (PaperAugmentation, to_paper_sample)],
)
def test_augmentation_stays_on_the_device_and_one_seed_is_one_result(augmentation, to_a_sample) -> None:
    device = torch.device("cuda")
    sample = to_a_sample(invented_case(0), device)
    first, again = augmentation(5, device), augmentation(5, device)
    for _ in range(8):
        a, b = first(sample), again(sample)
        assert a.inputs.is_cuda
        assert a.target.is_cuda
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.target, b.target)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_does_not_wait_for_the_device(loss: str) -> None:
    """From the batch to the new weights nothing is read back: torch raises where the host waits."""
    device, config = torch.device("cuda"), TrainConfig(loss=loss)
    training = Training(config, type("Protocol", (), {"network": lambda self: LesionNet(SMALL)})(), device)
    batch = collate([to_sample(invented_case(number), SMALL, device) for number in (0, 1)], SMALL.divisor)

    def step() -> None:
        training.optimizer.zero_grad(set_to_none=True)
        batch_loss(training.network, batch, config).backward()
        torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
        training.optimizer.step()
        training.average.update_parameters(training.network)

    step()  # compiles the distance kernel
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
