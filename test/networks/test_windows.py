"""The sliding window against MONAI's, with predictors whose answer is known, on odd shapes that are not cubes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from model.networks.windows import in_windows

SHAPES = [(11, 13, 9), (3, 9, 17), (40, 1, 6)]
WINDOWS = [(4, 7, 6), (12, 24, 18)]


def plus_one(batch: np.ndarray) -> np.ndarray:
    return batch[:, :1] + 1


def place(batch: np.ndarray) -> np.ndarray:
    """0.5 z + 0.2 y + 0.1 x, from the voxel's place in the window, and 10 times the voxel."""
    z, y, x = np.indices(batch.shape[2:])
    return (0.5 * z + 0.2 * y + 0.1 * x + 10 * batch[:, :1]).astype(np.float32)


def monais(network: Callable, batch: np.ndarray, window: tuple[int, int, int], overlap: float) -> np.ndarray:
    def predictor(part: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(network(part.numpy()))

    whole = torch.from_numpy(batch)
    return sliding_window_inference(whole, window, len(batch), predictor, overlap=overlap, mode="gaussian").numpy()[:, 0]


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_answers_are_monais(shape, window, overlap):
    batch = np.random.default_rng(0).normal(size=(2, 2, *shape)).astype(np.float32)
    for network in (plus_one, place):
        found = in_windows(network, batch, window, overlap)
        assert (found.shape, found.dtype) == ((2, *shape), np.float32)
        np.testing.assert_allclose(found, monais(network, batch, window, overlap), rtol=1e-5, atol=1e-5)
