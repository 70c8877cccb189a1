"""The protocols: what a network sees, what it is, what it learns from, and how its answer becomes a mask.

`native` is this project's in the study of losses, and the one of the shipped networks: the brain on the patient's own grid.
`paper` is arXiv 2502.09148's: whole volumes resampled to one grid. Everything else about training, seeds and scores is
shared (`training.train`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from model.networks.config import InferenceConfig, ModelConfig
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble
from model.networks.torch_engine import TorchNetwork
from training.data.augment import Augmentation
from training.data.dataset import PackedCase, Sample, to_sample
from training.learning import paper, paper_network
from training.scores.case_row import Prediction


class Native:
    """Brain crops on the patient's grid, on the code path of inference."""

    def __init__(self, model: ModelConfig | None = None) -> None:
        self.model = model or ModelConfig()
        self.divisor = self.model.divisor

    def network(self) -> nn.Module:
        """An untrained network."""
        return LesionNet(self.model)

    def sample(self, case: PackedCase, device: torch.device) -> Sample:
        """What training sees of a case."""
        return to_sample(case, self.model, device)

    def augmentation(self, seed: int, device: torch.device, patch: tuple[int, ...]) -> Callable[[Sample], Sample]:
        """Random changes, the same for the same seed."""
        return Augmentation(seed, device, patch)

    def predict(self, network: nn.Module, case: PackedCase, device: torch.device) -> Prediction:
        """The mask of a case: p > 0.5, without flips."""
        networks = [TorchNetwork(network, device)]
        ensemble = Ensemble(networks, [self.model], InferenceConfig(), id="in training")
        return Prediction(Predictor(ensemble).mask(case.adc, case.zadc, case.spacing_mm))


class Paper:
    """Whole volumes on a grid of 32 x 192 x 192 voxels, its own network and augmentation; methods as `Native`'s."""

    divisor = (1, 1, 1)  # every sample has the same shape

    def __init__(self) -> None:
        self.model = paper_network.PaperNetConfig()

    def network(self) -> nn.Module:
        return paper_network.PaperNet(self.model).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def sample(self, case: PackedCase, device: torch.device) -> Sample:
        return paper.to_paper_sample(case, device)

    def augmentation(self, seed: int, device: torch.device, patch: tuple[int, ...]) -> Callable[[Sample], Sample]:
        """Random changes, the same for the same seed. There are no patches."""
        return paper.PaperAugmentation(seed, device)

    def predict(self, network: nn.Module, case: PackedCase, device: torch.device) -> Prediction:
        """The mask resampled back to the patient's grid, and the one on the resampled grid beside its label."""
        mask, grid_mask = paper.paper_mask(network, case, device)
        sample = paper.to_paper_sample(case, torch.device("cpu"))
        return Prediction(mask, (grid_mask, sample.target[0].numpy() > 0, tuple(sample.spacing_mm.tolist())))


PROTOCOLS: dict[str, Callable[..., Any]] = {"native": Native, "paper": Paper}
