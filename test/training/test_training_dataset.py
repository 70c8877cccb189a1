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
    for folder, names, reason in (
        (tmp_path, None, r"no packed case.*training\.cases"),
        (tmp_path, ["case2"], r"case2\.npz: not a packed case"),
        (tmp_path / "nowhere", ["case1"], "nowhere: no folder of packed cases"),
    ):
        with pytest.raises(UserError, match=reason):
            load_cases(folder, names)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    if kind == "an array missing":
        np.savez_compressed(path, adc=np.ones((2, 3, 4), np.float32))
    elif kind == "one byte altered":
        path.write_bytes(data[:80] + bytes([data[80] ^ 0xFF]) + data[81:])
    else:
        path.write_bytes({"empty": b"", "not a zip": b"adc" * 50, "cut in half": data[: len(data) // 2]}[kind])


@pytest.mark.parametrize("kind", ["empty", "not a zip", "cut in half", "an array missing", "one byte altered"])
def test_a_damaged_case_is_named(tmp_path: Path, kind: str) -> None:
    write_packed(invented_case(1), tmp_path)
    damage(tmp_path / "case1.npz", kind)
    with pytest.raises(UserError, match=r"case1\.npz: not a packed case"):
        load_case(tmp_path / "case1.npz")


def put(array: np.ndarray, value: float) -> np.ndarray:
    """The array as floats, with one voxel of another value."""
    changed = array.astype(float)
    changed[3, 7, 6] = value
    return changed


# of a case of 8 x 24 x 20 voxels = 3840; the brain's ADC is uniform between 600 and 1800, so its median is near 1200
WRONG = {
    "label 255": (lambda a: {"label": a["label"].astype(np.uint8) * 255}, "the label holds 255, expected 0 and 1 alone"),
    "label NaN": (lambda a: {"label": put(a["label"], np.nan)}, "the label holds nan, expected"),
    "spacing 0": (
        lambda a: {"spacing_mm": np.array([2.0, 0, 1])},
        r"spacings z y x of 0\.2 to 100\.0 mm, found \[2\.0, 0\.0, 1\.0\]",
    ),
    "spacing NaN": (lambda a: {"spacing_mm": np.array([np.nan, 1, 1])}, r"found \[nan, 1\.0, 1\.0\]"),
    "ADC in 1e-3 mm2/s": (
        lambda a: {"adc": a["adc"] / 1e3},
        r"another unit than 1e-6 mm2/s: its median in the brain is 1\.[12]",
    ),
    "ADC NaN": (lambda a: {"adc": put(a["adc"], np.nan)}, "1 of 3840 voxels of ADC are NaN or infinite"),
    "Z infinite": (lambda a: {"zadc": put(a["zadc"], -np.inf)}, "1 of 3840 voxels of Z are NaN or infinite"),
    "Z not clipped": (lambda a: {"zadc": put(a["zadc"], 1000)}, "Z reaches 1000, expected it clipped at 10"),
    "no brain": (lambda a: {"adc": np.zeros_like(a["adc"])}, "no brain, expected voxels with ADC above 0"),
    "transposed": (lambda a: {"label": a["label"].T}, r"label \(20, 24, 8\)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_case_that_would_be_trained_on_wrongly_is_refused(tmp_path: Path, kind: str) -> None:
    change, reason = WRONG[kind]
    case = invented_case(1)
    arrays = {"adc": case.adc, "zadc": case.zadc, "label": case.label, "spacing_mm": np.array(case.spacing_mm)}
    np.savez_compressed(tmp_path / "case1.npz", **arrays | change(arrays))
    with pytest.raises(UserError, match=rf"case1\.npz: .*{reason}.*training\.cases"):
        load_case(tmp_path / "case1.npz")


def test_a_label_of_numbers_and_maps_of_other_precision_are_the_same_case(tmp_path: Path) -> None:
    case = invented_case(1)
    arrays = {"adc": case.adc.astype(float), "zadc": case.zadc, "label": case.label.astype(np.uint8)}
    np.savez_compressed(tmp_path / "case1.npz", **arrays, spacing_mm=np.array([2, 1, 1]))
    require_same(load_case(tmp_path / "case1.npz"), case)


# --- samples ---


@pytest.mark.parametrize("kind", OTHER_DATA)
def test_the_digest_is_of_the_data_whatever_the_name(kind: str) -> None:
    case = invented_case(1)
    assert dataclasses.replace(case, name="other").digest == case.digest
    assert dataclasses.replace(case, **OTHER_DATA[kind](case)).digest != case.digest


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


def epoch_order(samples: list[Sample], size: int, seed: int) -> list[list[int]]:
    return [[samples.index(chosen) for chosen in batch] for batch in epoch_batches(samples, size, seed)]


@pytest.mark.parametrize(("thin", "thick", "size"), [(4, 4, 2), (3, 6, 3), (2, 3, 1), (2, 0, 4), (0, 7, 2)])
def test_an_epoch_has_every_sample_once_thin_and_thick_slices_apart(thin: int, thick: int, size: int) -> None:
    samples = [sample((slices, 3, 4)) for slices in [40] * thin + [8] * thick]
    for seed in range(5):
        batches = epoch_order(samples, size, seed)
        assert sorted(i for batch in batches for i in batch) == list(range(thin + thick))
        assert len(batches) == -(-(thin + thick) // size)
        assert all(len({i < thin for i in batch}) == 1 for batch in batches if thin % size == thick % size == 0)


def test_epochs_differ_by_their_seed_only() -> None:
    samples = [sample((6, 3, 4)) for _ in range(8)]
    assert epoch_order(samples, 2, 5) == epoch_order(samples, 2, 5)
    assert len({str(epoch_order(samples, 2, seed)) for seed in range(10)}) == 10
