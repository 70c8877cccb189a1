"""Squared distances against scipy, on anisotropic grids that differ within one batch.

The tests of the CUDA kernel run on a GPU, or on the CPU through Triton's interpreter, which takes a process of its own.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from training.learning import distance
from training.learning.distance import EMPTY_DISTANCE_MM, squared_distance

SPACING_MM = torch.tensor([[6.0, 1.5, 1.0], [2.0, 0.5, 3.0]])
MIN_PLUS = partial(distance._min_plus_field, axis_pass=distance._torch_pass)
FIELDS = pytest.mark.parametrize("field", [distance._edt_field, MIN_PLUS], ids=["edt", "min-plus"])
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu")
KERNEL = pytest.mark.skipif(not INTERPRETED and DEVICE.type == "cpu", reason="needs CUDA or TRITON_INTERPRET=1")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def random_masks(shape: tuple[int, ...], share: float) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) < share


def scipy_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> np.ndarray:
    """To the nearest voxel of the other label: scipy measures to the nearest zero, once for each label."""
    both = []
    for mask, sampling in zip(masks.numpy(), spacing_mm.tolist(), strict=True):
        inside, outside = distance_transform_edt(mask, sampling), distance_transform_edt(~mask, sampling)
        both.append(np.where(mask, inside, outside) ** 2)
    return np.stack(both)


@FIELDS
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_equals_scipy(field, share: float) -> None:
    masks = random_masks((2, 7, 11, 9), share)
    np.testing.assert_allclose(field(masks, SPACING_MM), scipy_field(masks, SPACING_MM), rtol=1e-5)


@FIELDS
def test_equals_scipy_whatever_the_memory_order(field) -> None:
    masks = random_masks((2, 9, 11, 7), 0.1).transpose(1, 3)  # x is the slowest axis in memory
    np.testing.assert_allclose(field(masks, SPACING_MM), scipy_field(masks, SPACING_MM), rtol=1e-5)


@FIELDS
def test_the_border_is_no_boundary(field) -> None:
    masks = torch.zeros(1, 5, 2, 3, dtype=torch.bool)
    masks[:, :4] = True  # slices of 3 mm
    squared = field(masks, torch.tensor([[3.0, 0.5, 1.0]]))
    np.testing.assert_allclose(squared[0, :, 1, 1], [144, 81, 36, 9, 9])


@FIELDS
def test_without_a_boundary_the_distance_is_a_constant(field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "_edt_field", field)  # squared_distance fills what either field leaves open
    masks = torch.stack([torch.ones(4, 6, 5), torch.zeros(4, 6, 5)]).bool()
    squared = squared_distance(masks, SPACING_MM)
    assert squared.dtype == torch.float32
    assert torch.equal(squared, torch.full((2, 4, 6, 5), EMPTY_DISTANCE_MM**2))


def test_an_empty_mask_leaves_its_neighbour_alone() -> None:
    masks = random_masks((2, 4, 6, 5), 0.2)
    masks[1] = False
    squared = squared_distance(masks, SPACING_MM)
    np.testing.assert_allclose(squared[:1], scipy_field(masks[:1], SPACING_MM[:1]), rtol=1e-5)
    assert (squared[1] == EMPTY_DISTANCE_MM**2).all()


@FIELDS
@pytest.mark.parametrize("turned", [lambda t: t.flip(1), lambda t: t.flip(2, 3), lambda t: t.rot90(1, (2, 3))])
def test_flips_and_turns_of_the_mask_may_be_done_to_its_field(field, turned) -> None:
    masks, spacing_mm = random_masks((2, 7, 11, 9), 0.1), torch.tensor([[6.0, 1.5, 1.5], [2.0, 0.5, 0.5]])
    torch.testing.assert_close(field(turned(masks), spacing_mm), turned(field(masks, spacing_mm)))


# --- on a GPU ---


@KERNEL
@pytest.mark.parametrize("size", [1, 7, 32, 33, 150])
def test_kernel_pass_equals_the_plain_one(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    labels = torch.rand((2, 1, 2, size), generator=generator) < 0.4
    field = torch.randint(1, 50, labels.shape, generator=generator).float()
    field[:, :, 1, : size // 2] = torch.inf  # no boundary on earlier axes
    spacing_mm = torch.tensor([0.5, 3.0])
    out = distance._triton_pass(*(tensor.to(DEVICE) for tensor in (field, labels, spacing_mm)))
    torch.testing.assert_close(out.cpu(), distance._torch_pass(field, labels, spacing_mm), rtol=1e-6, atol=0)


@KERNEL
def test_kernel_field_equals_scipy() -> None:
    masks = random_masks((2, 3, 5, 4), 0.2)
    field = distance._min_plus_field(masks.to(DEVICE), SPACING_MM, distance._triton_pass)
    np.testing.assert_allclose(field.cpu(), scipy_field(masks, SPACING_MM), rtol=1e-5)


def test_the_kernel_in_tritons_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "kernel_pass or kernel_field", __file__]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
    assert "skipped" not in done.stdout


@CUDA
@pytest.mark.parametrize("shape", [(2, 7, 11, 9), (2, 48, 128, 128), (1, 3, 256, 200)])
def test_kernel_equals_plain_torch_on_cuda(shape: tuple[int, ...]) -> None:
    masks, spacing_mm = random_masks(shape, 0.001).cuda(), SPACING_MM[: shape[0]]
    assert distance._gpu_pass(masks.device) is distance._triton_pass
    plain, kernel = (
        distance._min_plus_field(masks, spacing_mm, one) for one in (distance._torch_pass, distance._triton_pass)
    )
    torch.testing.assert_close(kernel, plain, rtol=1e-6, atol=0)


@CUDA
def test_cuda_equals_the_cpu() -> None:
    masks = random_masks((2, 7, 11, 9), 0.1)
    masks[1] = False
    squared = squared_distance(masks.cuda(), SPACING_MM)
    assert squared.is_cuda
    np.testing.assert_allclose(squared.cpu(), squared_distance(masks, SPACING_MM), rtol=1e-5)


def test_without_triton_plain_torch_is_taken_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "triton", None)
    with pytest.warns(UserWarning, match="plain torch.*Triton is not installed"):
        assert distance._gpu_pass.__wrapped__(torch.device("cpu")) is distance._torch_pass


def test_a_kernel_that_fails_is_not_used_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: torch.Tensor) -> None:
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(distance, "triton", object())
    monkeypatch.setattr(distance, "_triton_pass", broken)
    with pytest.warns(UserWarning, match="RuntimeError: Failed to find C compiler"):
        assert distance._gpu_pass.__wrapped__(torch.device("cpu")) is distance._torch_pass
