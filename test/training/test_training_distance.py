"""Squared distances against scipy, on anisotropic grids that differ within one batch.

The CUDA kernel is compared on a GPU, or on the CPU through Triton's interpreter, which takes a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from training.learning import distance
from training.learning.distance import EMPTY_DISTANCE_MM, squared_distance

SPACING_MM = torch.tensor([[6.0, 1.5, 1.0], [2.0, 0.5, 3.0]])
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def random_masks(shape: tuple[int, ...], *shares: float) -> torch.Tensor:
    """A boolean mask (z, y, x) for each share of voxels."""
    noise = torch.rand((len(shares), *shape), generator=torch.Generator().manual_seed(3))
    return noise < torch.tensor(shares).view(-1, 1, 1, 1)


def scipy_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> np.ndarray:
    """To the nearest voxel of the other label: scipy measures to the nearest zero, once for each label."""
    both = []
    for mask, sampling in zip(masks.numpy(), spacing_mm.tolist(), strict=True):
        inside, outside = distance_transform_edt(mask, sampling), distance_transform_edt(~mask, sampling)
        both.append(np.where(mask, inside, outside) ** 2)
    return np.stack(both)


@pytest.mark.parametrize("x_is_slowest", [False, True])
def test_equals_scipy(x_is_slowest: bool) -> None:
    masks = random_masks((7, 11, 9), 0.02, 0.97)
    masks = masks.transpose(1, 3).contiguous().transpose(1, 3) if x_is_slowest else masks
    np.testing.assert_allclose(squared_distance(masks, SPACING_MM), scipy_field(masks, SPACING_MM), rtol=1e-5)


def test_without_a_boundary_the_distance_is_a_constant() -> None:
    masks, spacing_mm = random_masks((4, 6, 5), 0.2, 0, 1), SPACING_MM[[1, 0, 1]]
    squared = squared_distance(masks, spacing_mm)
    assert squared.dtype == torch.float32
    np.testing.assert_allclose(squared[:1], scipy_field(masks[:1], SPACING_MM[1:]), rtol=1e-5)
    assert (squared[1:] == EMPTY_DISTANCE_MM**2).all()


# --- on a GPU ---


def require_kernel_equals_scipy(device: str) -> None:
    """On lines of several lengths, and where there is no boundary."""
    for x in (1, 7, 33):
        masks, spacing_mm = random_masks((3, 2, x), 0.4, 0.6, 0), SPACING_MM[[0, 1, 1]]
        field = distance._min_plus_field(masks.to(device), spacing_mm).cpu()
        np.testing.assert_allclose(field[:2], scipy_field(masks[:2], spacing_mm[:2]), rtol=1e-5)
        assert field[2].isposinf().all()


def test_the_kernel_in_tritons_interpreter() -> None:
    code = "import test_training_distance as test; test.require_kernel_equals_scipy('cpu'); print('equal')"
    here = Path(__file__).parent
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": f"{here.parents[1]}:{here}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stderr


@CUDA
@pytest.mark.parametrize("shape", [(7, 11, 9), (48, 128, 128), (3, 256, 200)])
def test_cuda_equals_the_cpu(shape: tuple[int, ...]) -> None:
    require_kernel_equals_scipy("cuda")
    masks = random_masks(shape, 0.001, 0)
    assert distance._kernel_runs(masks.cuda().device)
    squared = squared_distance(masks.cuda(), SPACING_MM)
    assert squared.is_cuda
    np.testing.assert_allclose(squared.cpu(), squared_distance(masks, SPACING_MM), rtol=1e-5)


def test_where_the_kernel_does_not_run_it_is_said() -> None:
    """As on a CPU, whatever is installed."""
    with pytest.warns(UserWarning, match=r"distances on the CPU, not by the Triton kernel \(.+\)"):
        assert not distance._kernel_runs.__wrapped__(torch.device("cpu"))
