"""Packed cases, samples and batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import SMALL, invented_case, write_packed

from model.errors import UserError
from model.images.brain import brain_box
from model.networks.inputs import network_input
from training.data.dataset import PackedCase, Sample, collate, epoch_batches, load_case, load_cases, to_sample

CPU = torch.device("cpu")


def sample(shape: tuple[int, int, int], spacing_z_mm: float = 2.0) -> Sample:
    """Values above 0 everywhere, so that padding shows."""
    generator = torch.Generator().manual_seed(sum(shape))
    inputs = 1 + torch.rand((2, *shape), generator=generator)
    return Sample(inputs, torch.ones(1, *shape), torch.tensor([spacing_z_mm, 1.5, 1.25]))


# --- files ---


def test_load_case_gives_back_what_was_packed(tmp_path: Path) -> None:
    case = invented_case(3)
    write_packed(case, tmp_path)
    loaded = load_case(tmp_path / "case3.npz")
    for name in ("adc", "zadc", "label"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(case, name), strict=True)
    assert (loaded.name, loaded.spacing_mm) == ("case3", (2.75, 1.5, 1.25))


def test_load_cases_by_name_and_all(tmp_path: Path) -> None:
    for number in (2, 1, 3):
        write_packed(invented_case(number), tmp_path)
    assert [case.name for case in load_cases(tmp_path, ["case3", "case1"])] == ["case3", "case1"]
    assert [case.name for case in load_cases(tmp_path)] == ["case1", "case2", "case3"]


def test_a_folder_without_cases(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no packed case.*training\.cases"):
        load_cases(tmp_path)


def test_a_missing_case_is_named(tmp_path: Path) -> None:
    write_packed(invented_case(1), tmp_path)
    with pytest.raises(UserError, match=r"case2\.npz: not a packed case"):
        load_cases(tmp_path, ["case1", "case2"])


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
    "label 0.5": (lambda a: {"label": put(a["label"], 0.5)}, r"the label holds 0\.5, expected"),
    "label NaN": (lambda a: {"label": put(a["label"], np.nan)}, "the label holds nan, expected"),
    "label -1": (lambda a: {"label": put(a["label"], -1)}, "the label holds -1, expected"),
    "spacing 0": (
        lambda a: {"spacing_mm": np.array([2.0, 0, 1])},
        r"a spacing of 0\.2 to 100\.0 mm, found \[2\.0, 0\.0, 1\.0\]",
    ),
    "spacing < 0": (lambda a: {"spacing_mm": np.array([-2.0, 1, 1])}, r"found \[-2\.0, 1\.0, 1\.0\]"),
    "spacing NaN": (lambda a: {"spacing_mm": np.array([np.nan, 1, 1])}, r"found \[nan, 1\.0, 1\.0\]"),
    "spacing inf": (lambda a: {"spacing_mm": np.array([1, 1, np.inf])}, r"found \[1\.0, 1\.0, inf\]"),
    "spacing of two axes": (lambda a: {"spacing_mm": np.array([1.0, 1])}, r"spacing of three axes, found \[1\.0, 1\.0\]"),
    "spacing of words": (lambda a: {"spacing_mm": np.array(["2", "1", "1"])}, "spacing_mm holds <U1, expected numbers"),
    "ADC in 1e-3 mm2/s": (
        lambda a: {"adc": a["adc"] / 1e3},
        r"another unit than 1e-6 mm2/s: its median in the brain is 1\.[12]",
    ),
    "ADC in mm2/s": (lambda a: {"adc": a["adc"] / 1e6}, r"its median in the brain is 0\.001[12]"),
    "ADC tenfold": (lambda a: {"adc": a["adc"] * 10}, r"its median in the brain is 1\.[12]\d+e\+04"),
    "ADC NaN": (lambda a: {"adc": put(a["adc"], np.nan)}, "1 of 3840 voxels of ADC are NaN or infinite"),
    "Z infinite": (lambda a: {"zadc": put(a["zadc"], -np.inf)}, "1 of 3840 voxels of Z are NaN or infinite"),
    "Z not clipped": (lambda a: {"zadc": put(a["zadc"], 1000)}, "Z reaches 1000, expected it clipped at 10"),
    "no brain": (lambda a: {"adc": np.zeros_like(a["adc"])}, "no brain, expected voxels with ADC above 0"),
    "no voxels": (lambda a: {name: a[name][:0] for name in ("adc", "zadc", "label")}, "no brain"),
    "other shape": (lambda a: {"zadc": a["zadc"][:, 1:]}, r"zadc \(8, 23, 20\)"),
    "transposed": (lambda a: {"label": a["label"].T}, r"label \(20, 24, 8\)"),
    "four axes": (lambda a: {name: a[name][None] for name in ("adc", "zadc", "label")}, r"adc \(1, 8, 24, 20\)"),
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
    loaded = load_case(tmp_path / "case1.npz")
    for name in ("adc", "zadc", "label"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(case, name), strict=True)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no folder of packed cases"):
        load_cases(tmp_path / "nowhere", ["case1"])


# --- samples ---


def test_lesion_load_is_the_share_of_the_brain() -> None:
    adc = np.zeros((3, 4, 5), np.float32)
    adc[:2] = 900  # 40 voxels of brain
    label = np.zeros(adc.shape, bool)
    label[1, 2, 1:4] = True
    assert PackedCase("a", adc, adc, label, (3.0, 1.0, 1.0)).lesion_load == pytest.approx(3 / 40)


def test_to_sample_is_the_preprocessed_crop() -> None:
    case = invented_case(5)
    made = to_sample(case, SMALL, CPU)
    box = brain_box(case.adc > 0, SMALL.margin)
    np.testing.assert_array_equal(made.inputs, network_input(case.adc[box], case.zadc[box], SMALL), strict=True)
    np.testing.assert_array_equal(made.target[0].numpy().astype(bool), case.label[box])
    assert made.spacing_mm.tolist() == [3.25, 1.5, 1.25]


def test_to_sample_keeps_the_margin_inside_the_volume() -> None:
    made = to_sample(invented_case(5), SMALL, CPU)  # (8, 24, 20), brain [1:7, 4:22, 3:15], margin 2
    assert made.inputs.shape == (2, 8, 22, 16)
    assert made.target.shape == (1, 8, 22, 16)
    assert made.inputs.dtype == made.target.dtype == torch.float32


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


def test_collate_leaves_a_fitting_sample_alone() -> None:
    only = sample((4, 8, 6))
    batch = collate([only], (2, 4, 3))
    assert torch.equal(batch.inputs[0], only.inputs)
    assert torch.equal(batch.target[0], only.target)


def epoch_order(samples: list[Sample], size: int, seed: int) -> list[list[int]]:
    return [[samples.index(chosen) for chosen in batch] for batch in epoch_batches(samples, size, seed)]


@pytest.mark.parametrize(("count", "size"), [(7, 2), (6, 3), (5, 1), (2, 4)])
def test_an_epoch_has_every_sample_once(count: int, size: int) -> None:
    samples = [sample((6 if i % 3 else 40, 3, 4)) for i in range(count)]
    for seed in range(5):
        batches = epoch_order(samples, size, seed)
        assert sorted(i for batch in batches for i in batch) == list(range(count))
        assert all(len(batch) <= size for batch in batches)
        assert len(batches) == -(-count // size)


def test_epochs_differ_by_their_seed_only() -> None:
    samples = [sample((6, 3, 4)) for _ in range(8)]
    assert epoch_order(samples, 2, 5) == epoch_order(samples, 2, 5)
    assert len({str(epoch_order(samples, 2, seed)) for seed in range(10)}) == 10


def test_thin_and_thick_slices_are_batched_apart() -> None:
    samples = [sample((slices, 3, 4)) for slices in (8, 40, 9, 41, 10, 42, 11, 43)]
    for seed in range(5):
        for batch in epoch_order(samples, 2, seed):
            assert len({samples[i].inputs.shape[1] >= 32 for i in batch}) == 1
