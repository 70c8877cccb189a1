"""Packed cases, samples and batches."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import OTHER_DATA, SMALL, invented_case, write_packed

from model.errors import UserError
from model.networks.inputs import network_input
from training.data.dataset import PackedCase, Sample, collate, epoch_batches, load_case, load_cases, to_sample

CPU = torch.device("cpu")
CASE = invented_case(1)  # 8 x 24 x 20 voxels


def sample(shape: tuple[int, int, int], spacing_z_mm: float = 2.0) -> Sample:
    """Values above 0 everywhere, so that padding shows."""
    generator = torch.Generator().manual_seed(sum(shape))
    inputs = 1 + torch.rand((2, *shape), generator=generator)
    return Sample(inputs, torch.ones(1, *shape), torch.tensor([spacing_z_mm, 1.5, 1.25]))


# --- files ---


def test_cases_come_back_as_packed_by_name_and_all(tmp_path: Path) -> None:
    cases = {f"case{number}": invented_case(number) for number in (2, 1, 3)}
    for case in cases.values():
        write_packed(case, tmp_path)
    for names in (["case3", "case1"], None):
        loaded = load_cases(tmp_path, names)
        assert [case.name for case in loaded] == (names or ["case1", "case2", "case3"])
        for case in loaded:
            require_same(case, cases[case.name])
            assert case.spacing_mm == cases[case.name].spacing_mm


def require_same(case: PackedCase, expected: PackedCase) -> None:
    for name in ("adc", "zadc", "label"):
        np.testing.assert_array_equal(getattr(case, name), getattr(expected, name), strict=True)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    np.savez(tmp_path / "some" / "case1.npz", adc=CASE.adc)
    for folder, names, reason in (
        (tmp_path, None, r"no packed case.*training\.cases"),
        (tmp_path / "some", ["case1"], r"case1\.npz: not a packed case"),
        (tmp_path / "some", ["case2"], r"case2\.npz: not a packed case"),
        (tmp_path / "nowhere", ["case1"], "nowhere: no folder of packed cases"),
    ):
        with pytest.raises(UserError, match=reason):
            load_cases(folder, names)


DAMAGE = {
    "empty": lambda data: b"",
    "not a zip": lambda data: b"adc" * 50,
    "cut in half": lambda data: data[: len(data) // 2],
    "one byte altered": lambda data: data[:80] + bytes([data[80] ^ 0xFF]) + data[81:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_case_is_named(tmp_path: Path, kind: str) -> None:
    write_packed(CASE, tmp_path)
    path = tmp_path / "case1.npz"
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.raises(UserError, match=r"case1\.npz: not a packed case"):
        load_case(path)


def put(array: np.ndarray, value: float) -> np.ndarray:
    """The array as floats, with one voxel of another value."""
    changed = array.astype(float)
    changed[3, 7, 6] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": CASE.label.astype(np.uint8) * 255}, "the label holds 255, expected 0 and 1 alone"),
        ({"label": put(CASE.label, np.nan)}, "the label holds nan, expected"),
        ({"label": CASE.label.T}, r"label \(20, 24, 8\)"),
        ({"spacing_mm": np.array([2.0, 0, 1])}, r"spacings z y x of 0\.2 to 100\.0 mm, found \[2\.0, 0\.0, 1\.0\]"),
        ({"spacing_mm": np.array([np.nan, 1, 1])}, r"found \[nan, 1\.0, 1\.0\]"),
        # uniform between 600 and 1800 before
        ({"adc": CASE.adc / 1e3}, r"another unit than 1e-6 mm2/s: its median in the brain is 1\.[12]"),
        ({"adc": put(CASE.adc, np.nan)}, "1 of 3840 voxels of ADC are NaN or infinite"),
        ({"adc": CASE.adc * 0}, "no brain, expected voxels with ADC above 0"),
        ({"zadc": put(CASE.zadc, -np.inf)}, "1 of 3840 voxels of Z are NaN or infinite"),
        ({"zadc": put(CASE.zadc, 1000)}, "Z reaches 1000, expected it clipped at 10"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_case_that_would_be_trained_on_wrongly_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    write_packed(CASE, tmp_path, **changes)
    with pytest.raises(UserError, match=rf"case1\.npz: .*{reason}.*training\.cases"):
        load_case(tmp_path / "case1.npz")


def test_a_label_of_numbers_and_maps_of_other_precision_are_the_same_case(tmp_path: Path) -> None:
    other = {"adc": CASE.adc.astype(float), "label": CASE.label.astype(np.uint8), "spacing_mm": np.array([2, 1, 1])}
    write_packed(CASE, tmp_path, **other)
    require_same(load_case(tmp_path / "case1.npz"), CASE)


# --- samples ---


@pytest.mark.parametrize("kind", OTHER_DATA)
def test_the_digest_is_of_the_data_whatever_the_name(kind: str) -> None:
    assert dataclasses.replace(CASE, name="other").digest == CASE.digest
    assert dataclasses.replace(CASE, **OTHER_DATA[kind](CASE)).digest != CASE.digest


def test_to_sample_is_the_preprocessed_crop() -> None:
    case = invented_case(5)  # (8, 24, 20), brain [1:7, 4:22, 3:15]; the margin of 2 stays inside the volume
    made, box = to_sample(case, SMALL, CPU), np.s_[0:8, 2:24, 1:17]
    np.testing.assert_array_equal(made.inputs, network_input(case.adc[box], case.zadc[box], SMALL), strict=True)
    np.testing.assert_array_equal(made.target[0], case.label[box].astype(np.float32), strict=True)
    assert made.spacing_mm.tolist() == [3.25, 1.5, 1.25]


# --- batches ---


def test_collate_pads_with_zeros_at_the_end() -> None:
    samples = [sample((5, 9, 6), 3.0), sample((6, 4, 11), 2.0)]
    batch = collate(samples, (4, 8, 16))
    assert batch.inputs.shape == (2, 2, 8, 16, 16)
    assert batch.target.shape == (2, 1, 8, 16, 16)
    assert batch.spacing_mm.tolist() == [[3.0, 1.5, 1.25], [2.0, 1.5, 1.25]]
    for i, (z, y, x) in enumerate([(5, 9, 6), (6, 4, 11)]):
        assert torch.equal(batch.inputs[i, :, :z, :y, :x], samples[i].inputs)
        assert torch.equal(batch.target[i, :, :z, :y, :x], samples[i].target)
        for padded in (batch.inputs[i], batch.target[i]):
            assert padded.count_nonzero() == padded.shape[0] * z * y * x


@pytest.mark.parametrize(("thin", "thick", "size"), [(4, 4, 2), (3, 6, 3), (2, 3, 1), (2, 0, 4), (0, 7, 2)])
def test_an_epoch_has_every_sample_once_thin_and_thick_slices_apart(thin: int, thick: int, size: int) -> None:
    samples = [sample((slices, 3, 4)) for slices in [40] * thin + [8] * thick]
    for seed in range(5):
        batches = [[samples.index(chosen) for chosen in batch] for batch in epoch_batches(samples, size, seed)]
        assert sorted(i for batch in batches for i in batch) == list(range(thin + thick))
        assert len(batches) == -(-(thin + thick) // size)
        assert all(len({i < thin for i in batch}) == 1 for batch in batches if thin % size == thick % size == 0)
