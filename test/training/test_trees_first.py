"""The protocol that starts from the trees: what its trees saw, where the network starts, and the loss on paper."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from training_helpers import CASES, SMALL

from model.lesions.candidates import CaseMaps
from model.lesions.decision import LOWEST_LOG_ODDS, Calibration
from model.networks.torch_engine import round_to_disk_precision
from training.data.augment import Augmentation
from training.data.dataset import Batch, collate
from training.learning.losses import LOSSES
from training.learning.protocols import CANDIDATE_WEIGHT, TreesFirst
from training.lesions import first_stage as module
from training.lesions.first_stage import PARTS, FirstStage

CPU = torch.device("cpu")
TRAINING = [CASES[f"case{number}"] for number in range(6)]
HELD_OUT = CASES["case6"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Whose candidates each fit saw, in order."""
    seen = []
    whole = module.fit_trees

    def fit(tables: list) -> object:
        seen.append({table.name for table in tables})
        return whole(tables)

    monkeypatch.setattr(module, "fit_trees", fit)
    return seen


def test_no_case_is_answered_by_trees_that_saw_it(fits):
    stage, names = FirstStage(TRAINING), {case.name for case in TRAINING}
    for case in TRAINING:
        before = len(fits)
        stage.log_odds(case)
        if len(fits) > before:
            assert fits[-1] == {name for name in names if stage.part_of[name] != stage.part_of[case.name]}
    assert len(fits) == PARTS == len(set(stage.part_of.values()))
    held_out = stage.log_odds(HELD_OUT)
    assert fits[PARTS:] == [names]
    maps = CaseMaps(HELD_OUT.adc, HELD_OUT.zadc, HELD_OUT.spacing_mm)
    np.testing.assert_array_equal(held_out, stage.decision.first_stage(maps))
    assert stage.decision.calibration == Calibration(0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def protocol() -> TreesFirst:
    made = TreesFirst(SMALL)
    made.prepare(TRAINING)
    return made


def test_the_untrained_network_answers_what_the_trees_say(protocol):
    sample = protocol.sample(HELD_OUT, CPU)
    assert sample.inputs.shape[0] == 3
    network = protocol.network().eval()
    round_to_disk_precision(network)
    batch = collate([sample], protocol.divisor)
    logits = network(batch.inputs)
    assert torch.equal(logits, batch.inputs[:, 2:3] + LOWEST_LOG_ODDS)
    outside = batch.inputs[:, 1:2] == 0
    assert (logits[outside] == LOWEST_LOG_ODDS).all()


def test_the_mask_is_the_one_of_most_dice_by_the_trees(protocol):
    found = protocol.predict(protocol.network(), HELD_OUT, CPU).mask
    dice = 2 * (found & HELD_OUT.label).sum() / (found.sum() + HELD_OUT.label.sum())
    assert dice > 0.7
    trees = protocol.decision.first_stage(CaseMaps(HELD_OUT.adc, HELD_OUT.zadc, HELD_OUT.spacing_mm))
    assert trees[found].min() > trees[~found].max()


def test_augmentation_moves_the_trees_answer_with_the_maps(protocol):
    """In the sample the third channel is a copy of the ADC, which the augmentation of intensity changes."""
    sample = protocol.sample(HELD_OUT, CPU)
    sample = dataclasses.replace(sample, inputs=sample.inputs[[0, 1, 1]])
    moved = 0
    for seed in range(8):
        after = Augmentation(seed)(sample).inputs
        factor = after[1].sum() / after[2].sum()
        assert torch.allclose(after[1], factor * after[2], atol=1e-5)
        assert 0.89 < factor < 1.11
        moved += not torch.equal(after[2], sample.inputs[2])
    assert moved > 3


def test_loss_on_paper(protocol):
    """Cross-entropy: two candidates in the first case, one and a lesion that is none in the second; others do not count."""
    inputs = torch.zeros(2, 3, 1, 1, 4)
    inputs[0, 2, 0, 0, :2], inputs[1, 2, 0, 0, 0] = 5.0, 1.0
    target = torch.zeros(2, 1, 1, 1, 4)
    target[0, 0, 0, 0, 0] = target[1, 0, 0, 0, 3] = 1
    logits = torch.tensor([[0.0, math.log(3), 9, 9], [0.0, 9, 9, -math.log(3)]]).view(2, 1, 1, 1, 4)
    batch = Batch(inputs, target, torch.ones(2, 3))
    entropy = ((math.log(2) + math.log(4)) / 2 + (math.log(2) + math.log(4)) / 2) / 2
    alone = [LOSSES["tversky"](logits[i : i + 1], target[i : i + 1], batch.spacing_mm[i : i + 1]) for i in (0, 1)]
    expected = float(sum(alone) / 2) + CANDIDATE_WEIGHT * entropy
    assert float(protocol.loss("tversky", logits, batch)) == pytest.approx(expected, rel=1e-6)
    together = float(LOSSES["tversky"](logits, target, batch.spacing_mm)) + CANDIDATE_WEIGHT * entropy
    assert abs(together - expected) > 1e-3
