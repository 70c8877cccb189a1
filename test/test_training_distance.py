"""Squared distances against scipy, on anisotropic grids that differ within one batch."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from training import distance
from training.distance import EMPTY_DISTANCE_MM, squared_distance

SPACING_MM = torch.tensor([[6.0, 1.5, 1.0], [2.0, 0.5, 3.0]])
FIELDS = pytest.mark.parametrize("field", [distance._edt_field, distance._torch_field])


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_equals_the_cpu() -> None:
    masks = random_masks((2, 7, 11, 9), 0.1)
    squared = squared_distance(masks.cuda(), SPACING_MM)
    assert squared.is_cuda
    np.testing.assert_allclose(squared.cpu(), squared_distance(masks, SPACING_MM), rtol=1e-5)
