"""The label through the paper protocol's grid and back."""

import numpy as np
from training_helpers import invented_case, write_packed

from training import resampling
from training.data.dataset import PackedCase
from training.scores.metrics import score


def test_a_blob_comes_back_and_stays_where_it_was() -> None:
    case = invented_case(0)
    back = resampling.there_and_back(case)
    assert back.shape == case.label.shape
    assert score(back, case.label, case.spacing_mm).dice > 0.9
    assert score(np.roll(back, 3, axis=2), case.label, case.spacing_mm).dice < 0.5


def test_what_is_finer_than_the_grid_is_lost() -> None:
    """48 slices become 32: of single-voxel lesions in every slice some vanish."""
    adc = np.full((48, 8, 8), 1000, np.float32)
    adc[0] = 0
    label = np.zeros(adc.shape, bool)
    label[::4, 4, 4] = True
    case = PackedCase("case", adc, np.arange(adc.size, dtype=np.float32).reshape(adc.shape) / 1e4, label, (2.0, 2.0, 2.0))
    assert score(resampling.there_and_back(case), label, case.spacing_mm).dice < 0.9


def test_the_command_prints_every_class(tmp_path, command) -> None:
    write_packed(invented_case(1), tmp_path)
    out = command(resampling.main, "--data", tmp_path)
    case = invented_case(1)
    dice = score(resampling.there_and_back(case), case.label, case.spacing_mm).dice
    assert f"all with lesion      1 cases  Dice {dice:.3f}" in out
    assert "1-5 %" not in out
    assert "0 of 1 labels vanish" in out
