"""The sliding window against MONAI's, with predictors whose answer is known, on odd shapes that are not cubes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference

from model.networks.windows import gaussian_weight, in_windows, window_boxes

SHAPES = [(11, 13, 9), (3, 9, 17), (40, 1, 6)]
WINDOWS = [(4, 8, 6), (12, 24, 18)]


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


def test_windows_on_paper():
    boxes = window_boxes((4, 7, 9), (4, 4, 4), 0.5)
    assert sorted({(box[1].start, box[2].start) for box in boxes}) == [(y, x) for y in (0, 2, 3) for x in (0, 2, 4, 5)]
    assert {(box[0].start, box[0].stop) for box in boxes} == {(0, 4)}


@pytest.mark.parametrize("window", [(4, 8, 6), (64, 128, 128), (1, 3, 40)])
def test_weights_are_monais(window):
    expected = compute_importance_map(window, mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(gaussian_weight(window), np.maximum(expected, 1e-3), rtol=1e-5)
