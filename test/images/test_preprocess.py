"""Crop, put back, network input: numbers derived on paper, on shapes whose axes differ."""

import dataclasses

import numpy as np
import pytest
from inference_helpers import TINY

from model.images.brain import brain_box, brain_mask, uncrop
from model.networks.inputs import network_input

SHAPE = (6, 8, 11)


def box_of(*ranges: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in ranges)


def test_brain_is_where_the_adc_map_is_above_zero():
    np.testing.assert_array_equal(brain_mask(np.float32([-50, -0.0, 0, 1e-6, 1, 4095])), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("brain", "margin", "expected"),
    [
        (box_of((2, 3), (3, 4), (5, 6)), 2, box_of((0, 5), (1, 6), (3, 8))),
        (box_of((1, 5), (2, 7), (3, 8)), 0, box_of((1, 5), (2, 7), (3, 8))),
        (box_of((0, 2), (0, 3), (0, 4)), 1, box_of((0, 3), (0, 4), (0, 5))),  # touches the first voxels
        (box_of((4, 6), (5, 8), (7, 11)), 1, box_of((3, 6), (4, 8), (6, 11))),  # touches the last ones
        (box_of((0, 6), (0, 8), (0, 11)), 3, box_of((0, 6), (0, 8), (0, 11))),
    ],
)
def test_box_holds_the_brain_and_its_margin_and_a_crop_is_put_back(brain, margin, expected):
    volume = np.zeros(SHAPE, np.uint16)
    volume[brain] = np.random.default_rng(0).integers(1, 1000, volume[brain].shape)
    box = brain_box(volume > 0, margin)
    assert box == expected
    whole = uncrop(volume[box], box, SHAPE)
    np.testing.assert_array_equal(whole, volume)
    assert whole.dtype == np.uint16


def test_box_spans_all_parts_of_a_brain_and_an_empty_one_has_none():
    mask = np.zeros(SHAPE, bool)
    with pytest.raises(ValueError, match="empty"):
        brain_box(mask, 2)
    mask[1, 6, 2] = mask[4, 1, 9] = mask[2, 3, 4] = True
    assert brain_box(mask, 0) == box_of((1, 5), (1, 7), (2, 10))


def test_network_input_on_paper():
    adc = np.float32([[[-50, 0, 500, 1000], [2500, 1, 0, 4095]]])
    zadc = np.float32([[[-3, -3, -3.5, 12], [-25, 0.25, 10, 10]]])
    before = adc.copy(), zadc.copy()
    inputs = network_input(adc, zadc, TINY)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs[0], [[[0, 0, -3.5, 10], [-10, 0.25, 0, 10]]])
    np.testing.assert_array_equal(inputs[1], np.float32([[[0, 0, 0.5, 1], [2.5, 0.001, 0, 4.095]]]))
    np.testing.assert_array_equal((adc, zadc), before)
    config = dataclasses.replace(TINY, adc_scale=500.0, zadc_clip=4.0)
    inputs = network_input(np.float32([[[1000, 1000]]]), np.float32([[[-5, 5]]]), config)
    np.testing.assert_array_equal(inputs, [[[[-4, 4]]], [[[2, 2]]]])
