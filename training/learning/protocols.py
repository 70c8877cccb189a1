"""The protocols: what a network sees, what it is, what it learns from, and how its answer becomes a mask.

`native` is this project's in the study of losses, and the one of the shipped networks: the brain on the patient's own grid.
`trees-first` networks also see the answer of boosted trees, and start from it; none is shipped. `paper` is arXiv
2502.09148's: whole volumes resampled to one grid. Everything else about training, seeds and scores is shared
(`training.train`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from model.lesions.decision import Decision
from model.networks.config import INPUT_CHANNELS, InferenceConfig, ModelConfig
from model.networks.network import LesionNet
from model.networks.predict import Predictor
from model.networks.stored import Ensemble
from model.networks.torch_engine import TorchNetwork
from training.data.augment import Augmentation
from training.data.dataset import Batch, PackedCase, Sample, to_sample
from training.learning import paper, paper_network
from training.learning.losses import LOSSES
from training.lesions.first_stage import FirstStage
from training.scores.case_row import Prediction

CANDIDATE_WEIGHT = 20.0  # of the cross-entropy over candidates, beside a loss of the study


class Native:
    """Brain crops on the patient's grid, on the code path of inference."""

    def __init__(self, model: ModelConfig | None = None) -> None:
        self.model = model or ModelConfig()
        self.divisor = self.model.divisor

    def network(self) -> nn.Module:
        """An untrained network."""
        return LesionNet(self.model)

    def prepare(self, cases: list[PackedCase]) -> None:
        """Take the cases that this run may learn from; nothing to do."""

    @property
    def decision(self) -> Decision | None:
        """What belongs beside the network's weights; nothing."""
        return None

    def sample(self, case: PackedCase, device: torch.device) -> Sample:
        """What training sees of a case."""
        return to_sample(case, self.model, device)

    def augmentation(self, seed: int, device: torch.device, patch: tuple[int, ...]) -> Callable[[Sample], Sample]:
        """Random changes, the same for the same seed."""
        return Augmentation(seed, device, patch)

    def loss(self, name: str, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """One of the six losses, over the batch."""
        return LOSSES[name](logits, batch.target, batch.spacing_mm)

    def predict(self, network: nn.Module, case: PackedCase, device: torch.device) -> Prediction:
        """The mask of a case: p > 0.5, without flips or a smallest lesion; where there is a decision, by that."""
        networks = [TorchNetwork(network, device)]
        ensemble = Ensemble(networks, [self.model], InferenceConfig(), id="in training", decision=self.decision)
        return Prediction(Predictor(ensemble).mask(case.adc, case.zadc, case.spacing_mm))


class TreesFirst(Native):
    """As native, but the network sees the log odds of boosted trees, too, and starts from them.

    The loss is taken case by case, because a batch is ruled by its largest lesion and the scores are not; and the
    cross-entropy over the candidates is added, which keeps probabilities calibrated.
    """

    def __init__(self, model: ModelConfig | None = None) -> None:
        super().__init__(dataclasses.replace(model or ModelConfig(), start="trees"))
        self._first_stage = FirstStage([])

    def prepare(self, cases: list[PackedCase]) -> None:
        """Take the cases that trees may be fitted to; they are fitted when they are first asked."""
        self._first_stage = FirstStage(cases)

    @property
    def decision(self) -> Decision:
        """The trees, fitted to all cases of the run, and a calibration that leaves the network's answer as it is."""
        return self._first_stage.decision

    def sample(self, case: PackedCase, device: torch.device) -> Sample:
        """What training sees of a case; its trees did not see it."""
        return to_sample(case, self.model, device, self._first_stage.log_odds(case))

    def loss(self, name: str, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """One of the six losses plus CANDIDATE_WEIGHT times the cross-entropy over candidates; the mean over cases."""
        cases = [tuple(part[i : i + 1] for part in (logits, batch.target, batch.spacing_mm)) for i in range(len(logits))]
        candidates = (batch.inputs[:, INPUT_CHANNELS:] > 0) | (batch.target > 0)
        entropy = functional.binary_cross_entropy_with_logits(logits.float(), batch.target, reduction="none") * candidates
        entropy = entropy.flatten(1).sum(1) / candidates.flatten(1).sum(1).clamp(min=1)
        return torch.stack([LOSSES[name](*case) for case in cases]).mean() + CANDIDATE_WEIGHT * entropy.mean()


class Paper:
    """Whole volumes on a grid of 32 x 192 x 192 voxels, its own network and augmentation."""

    def __init__(self, model: paper_network.PaperNetConfig | None = None) -> None:
        self.model = model or paper_network.PaperNetConfig()
        self.divisor = (1, 1, 1)  # every sample has the same shape

    def network(self) -> nn.Module:
        """An untrained network."""
        return paper_network.PaperNet(self.model).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    decision = None

    def prepare(self, cases: list[PackedCase]) -> None:
        """Take the cases that this run may learn from; nothing to do."""

    def sample(self, case: PackedCase, device: torch.device) -> Sample:
        """What training sees of a case."""
        return paper.to_paper_sample(case, device)

    def augmentation(self, seed: int, device: torch.device, patch: tuple[int, ...]) -> Callable[[Sample], Sample]:
        """Random changes, the same for the same seed. There are no patches."""
        return paper.PaperAugmentation(seed, device)

    def loss(self, name: str, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """One of the six losses, over the batch."""
        return LOSSES[name](logits, batch.target, batch.spacing_mm)

    def predict(self, network: nn.Module, case: PackedCase, device: torch.device) -> Prediction:
        """The mask resampled back to the patient's grid, and the one on the resampled grid beside its label."""
        mask, grid_mask = paper.paper_mask(network, case, device)
        sample = paper.to_paper_sample(case, torch.device("cpu"))
        return Prediction(mask, grid_mask, sample.target[0].numpy() > 0, tuple(sample.spacing_mm.tolist()))


PROTOCOLS: dict[str, Callable[..., Any]] = {
    "native": Native,
    "paper": Paper,
    "trees-first": TreesFirst,
}
