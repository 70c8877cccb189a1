"""One epoch's steps, and validation, of a small network on invented cases on the CPU."""

import itertools

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_helpers import SMALL, invented_case

from model.networks.network import LesionNet
from training.data.dataset import to_sample
from training.learning.losses import LOSSES
from training.learning.paper_network import PaperNet, PaperNetConfig
from training.learning.protocols import Native
from training.learning.train_config import TrainConfig
from training.learning.training_loop import Average, Training, learning_rate, train_epoch, validate
from training.scores.metrics import score

CPU = torch.device("cpu")
NATIVE = Native(SMALL)


def test_the_average_follows_each_step_and_the_steps_their_schedule(replace_loss) -> None:
    """Three steps down a steep loss: the rate of each, gradients clipped to norm 1, the average after the last."""
    tversky, steps, rates, norms = LOSSES["tversky"], [], [], []

    def before(optimizer: torch.optim.Optimizer, *_: object) -> None:
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        norms.append(torch.nn.utils.get_total_norm([parameter.grad for parameter in group["params"]]).item())

    replace_loss("tversky", lambda *arguments: 1e4 * tversky(*arguments))
    config = TrainConfig(loss="tversky", batch_size=1, ema_decay=0.75, weight_decay=0.125)
    training = Training(config, NATIVE, CPU)
    training.optimizer.register_step_pre_hook(before)
    training.optimizer.register_step_post_hook(
        lambda *_: steps.append({name: tensor.clone() for name, tensor in training.network.state_dict().items()})
    )
    train_epoch(training, [to_sample(invented_case(number), SMALL, CPU) for number in range(3)], config, NATIVE)
    assert rates == [learning_rate(step / 3, config) for step in range(3)]
    assert norms == [pytest.approx(1, rel=1e-3)] * 3
    assert training.optimizer.param_groups[0]["weight_decay"] == 0.125
    expected = steps[0]
    for network in steps[1:]:
        expected = {name: 0.75 * expected[name] + 0.25 * network[name] for name in network}
    average = training.average.module.state_dict()
    torch.testing.assert_close(average, expected)
    assert not torch.equal(average["threshold"], steps[-1]["threshold"])


def test_another_seed_starts_from_other_weights() -> None:
    seeds = (0, 1, 1)
    networks = [Training(TrainConfig(seed=seed), NATIVE, CPU).network.parameters() for seed in seeds]
    first, other, again = (torch.cat([weights.detach().ravel() for weights in network]) for network in networks)
    assert (torch.equal(first, other), torch.equal(other, again)) == (False, True)


def test_a_large_l1_penalty_leaves_the_signs_of_the_weights_as_gradient() -> None:
    config, found = TrainConfig(l1_penalty=1e6), []
    training = Training(config, NATIVE, CPU)
    training.optimizer.register_step_pre_hook(
        lambda *_: found.extend((weight.grad.clone(), weight.detach().sign()) for weight in training.network.parameters())
    )
    train_epoch(training, [to_sample(invented_case(0), SMALL, CPU)], config, NATIVE)
    largest = max(gradient.max() for gradient, _ in found)  # all are clipped together
    for gradient, sign in found:
        torch.testing.assert_close(gradient / largest, sign, rtol=0, atol=1e-3)


@pytest.mark.parametrize("decay", [0.0, 0.75])
def test_the_average_is_torch_s_with_the_buffers_of_batch_norm(decay: float) -> None:
    torch.manual_seed(0)
    network = PaperNet(PaperNetConfig(channels=(2, 4), dropout=(0.1, 0.1)))
    ours, theirs = Average(network, decay), AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for _ in range(3):
        network(torch.randn(2, 2, 4, 4, 4))  # changes the running means
        for parameter in network.parameters():
            parameter.data += torch.randn_like(parameter)
        ours.update_parameters(network)
        theirs.update_parameters(network)
    assert dict(ours.named_buffers()).keys() > {"n_averaged"}
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_learning_rate_rises_then_falls_to_zero() -> None:
    config = TrainConfig(epochs=20, warmup_epochs=2, learning_rate=1e-3)
    rates = [learning_rate(step / 10, config) for step in range(200)]
    assert rates[0] == pytest.approx(1e-3 * 0.1 / 2.1)
    assert max(rates) == rates[20] == pytest.approx(1e-3)
    assert rates[110] == pytest.approx(0.5e-3)  # half of the cosine
    assert all(low < high for low, high in itertools.pairwise(rates[:21]))
    assert all(high > low for high, low in itertools.pairwise(rates[20:]))
    assert 0 < rates[-1] < 1e-6


def test_the_exponential_schedule_falls_by_whole_epochs() -> None:
    config = TrainConfig(schedule="exponential", warmup_epochs=1, decay=0.5, learning_rate=1e-3)
    assert [learning_rate(epoch, config) for epoch in (1.0, 1.9, 2.0, 4.0)] == pytest.approx([1e-3, 1e-3, 5e-4, 1.25e-4])


# --- validation ---


def test_the_untrained_network_scores_as_the_rule() -> None:
    cases = [invented_case(number) for number in (0, 1)]
    scores = validate(LesionNet(SMALL), cases, NATIVE, CPU)
    for case, found in zip(cases, scores, strict=True):
        rule = (case.zadc < -2) & (case.adc > 0)
        assert found == score(rule, case.label, case.spacing_mm)
        assert found.dice == pytest.approx(2 * (rule & case.label).sum() / (rule.sum() + case.label.sum()))
        assert 0.2 < found.dice < 0.9
