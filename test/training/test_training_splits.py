"""The committed folds and how they are dealt."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from training_helpers import invented_case, write_packed

from model.errors import UserError
from training import splits
from training.data.dataset import PackedCase
from training.data.splits import FOLDS, SPLITS, folds_of, read_folds
from training.splits import deal


def case(name: str, lesion_voxels: int, slice_mm: float) -> PackedCase:
    """A brain of 1000 voxels."""
    label = np.zeros(1000, bool)
    label[:lesion_voxels] = True
    brain = np.ones((10, 4, 25), np.float32)
    return PackedCase(name, brain, brain, label.reshape(brain.shape), (slice_mm, 1.0, 1.0))


def many_cases() -> list[PackedCase]:
    """47 cases: 4 empty, 13 below 1 %, 18 of 1-5 %, 12 above; a third with thick slices."""
    rng = np.random.default_rng(1)
    voxels = [0] * 4 + [*rng.integers(1, 10, 13)] + [*rng.integers(11, 50, 18)] + [*rng.integers(51, 600, 12)]
    return [case(f"case{i:02d}", int(n), 6.0 if i % 3 == 0 else 2.0) for i, n in enumerate(voxels)]


def test_the_committed_folds_hold_44_cases_once() -> None:
    folds = json.loads(SPLITS.read_text())["folds"]
    names = list(itertools.chain(*folds))
    assert sorted(len(fold) for fold in folds) == [8, 9, 9, 9, 9]
    assert len(names) == len(set(names)) == 44


def test_every_committed_case_validates_exactly_one_fold() -> None:
    everything = sorted(itertools.chain(*json.loads(SPLITS.read_text())["folds"]))
    pairs = [read_folds(SPLITS).of(fold) for fold in range(FOLDS)]
    assert sorted(name for _, validation in pairs for name in validation) == everything
    for training, validation in pairs:
        assert not set(training) & set(validation)
        assert sorted(training + validation) == everything


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_does_not_exist(fold: int) -> None:
    with pytest.raises(UserError, match=f"expected a fold from 0 to 4, found {fold}"):
        read_folds(SPLITS).of(fold)


@pytest.mark.parametrize(("voxels", "expected"), [(0, 0), (1, 1), (9, 1), (11, 2), (49, 2), (51, 3), (900, 3)])
def test_load_class(voxels: int, expected: int) -> None:
    assert case("a", voxels, 2.0).load_class == expected


def test_deal_spreads_every_stratum_evenly() -> None:
    cases = many_cases()
    folds = deal(cases)
    assert sorted(itertools.chain(*folds)) == sorted(c.name for c in cases)
    for stratum in {(c.load_class, c.spacing_mm[0]) for c in cases}:
        members = {c.name for c in cases if (c.load_class, c.spacing_mm[0]) == stratum}
        counts = [len(members & set(fold)) for fold in folds]
        assert max(counts) - min(counts) <= 1, stratum
    for load in range(4):
        members = {c.name for c in cases if c.load_class == load}
        counts = [len(members & set(fold)) for fold in folds]
        assert max(counts) - min(counts) <= 1, load


def test_deal_is_repeatable() -> None:
    assert deal(many_cases()) == deal(many_cases())


def test_the_command_writes_the_folds_of_the_data(tmp_path: Path, command) -> None:
    (tmp_path / "packed").mkdir()
    for number in range(7):
        write_packed(invented_case(number), tmp_path / "packed")
    command(splits.main, "--data", tmp_path / "packed")
    training, validation = folds_of(tmp_path / "packed").of(1)
    assert len(validation) == 2
    assert sorted(training + validation) == [f"case{number}" for number in range(7)]
