"""Crop, put back, network input: numbers derived on paper, on shapes whose axes differ."""

import dataclasses

import numpy as np
import pytest
from inference_helpers import TINY, random_maps

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
        (box_of((2, 3), (3, 4), (5, 6)), 0, box_of((2, 3), (3, 4), (5, 6))),
        (box_of((2, 3), (3, 4), (5, 6)), 1, box_of((1, 4), (2, 5), (4, 7))),
        (box_of((2, 3), (3, 4), (5, 6)), 2, box_of((0, 5), (1, 6), (3, 8))),
        (box_of((1, 5), (2, 7), (3, 8)), 0, box_of((1, 5), (2, 7), (3, 8))),
        (box_of((1, 5), (2, 7), (3, 8)), 2, box_of((0, 6), (0, 8), (1, 10))),  # cut at the border
        (box_of((0, 2), (0, 3), (0, 4)), 1, box_of((0, 3), (0, 4), (0, 5))),  # touches the first voxels
        (box_of((4, 6), (5, 8), (7, 11)), 1, box_of((3, 6), (4, 8), (6, 11))),  # touches the last ones
        (box_of((0, 6), (0, 8), (0, 11)), 3, box_of((0, 6), (0, 8), (0, 11))),
    ],
)
def test_box_holds_the_brain_and_its_margin(brain, margin, expected):
    mask = np.zeros(SHAPE, bool)
    mask[brain] = True
    assert brain_box(mask, margin) == expected


def test_box_spans_all_parts_of_a_brain():
    mask = np.zeros(SHAPE, bool)
    mask[1, 6, 2] = mask[4, 1, 9] = mask[2, 3, 4] = True
    assert brain_box(mask, 0) == box_of((1, 5), (1, 7), (2, 10))


def test_an_empty_brain_has_no_box():
    with pytest.raises(ValueError, match="empty"):
        brain_box(np.zeros(SHAPE, bool), 2)


@pytest.mark.parametrize("margin", [0, 1, 2, 50])
@pytest.mark.parametrize(
    "brain", [box_of((1, 5), (2, 7), (3, 8)), box_of((0, 2), (5, 8), (0, 11)), box_of((5, 6), (0, 1), (10, 11))]
)
def test_crop_put_back_is_the_brain_exactly(brain, margin):
    values = np.random.default_rng(0).integers(1, 1000, SHAPE)
    volume = np.zeros(SHAPE, values.dtype)
    volume[brain] = values[brain]
    box = brain_box(volume > 0, margin)
    np.testing.assert_array_equal(uncrop(volume[box], box, SHAPE), volume)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_put_back_keeps_the_type_and_is_zero_elsewhere(kind):
    box = box_of((1, 3), (2, 3), (4, 7))
    whole = uncrop(np.ones((2, 1, 3), kind), box, SHAPE)
    assert whole.shape == SHAPE
    assert whole.dtype == kind
    assert whole[box].all()
    assert whole.sum() == 6


def test_network_input_on_paper():
    adc = np.float32([[[-50, 0, 500, 1000], [2500, 1, 0, 4095]]])
    zadc = np.float32([[[-3, -3, -3.5, 12], [-25, 0.25, 10, 10]]])
    inputs = network_input(adc, zadc, TINY)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs[0], [[[0, 0, -3.5, 10], [-10, 0.25, 0, 10]]])
    np.testing.assert_array_equal(inputs[1], np.float32([[[0, 0, 0.5, 1], [2.5, 0.001, 0, 4.095]]]))


def test_network_input_takes_its_constants_from_the_configuration():
    config = dataclasses.replace(TINY, adc_scale=500.0, zadc_clip=4.0)
    inputs = network_input(np.float32([[[1000, 1000]]]), np.float32([[[-5, 5]]]), config)
    np.testing.assert_array_equal(inputs, [[[[-4, 4]]], [[[2, 2]]]])


def test_network_input_leaves_the_maps_alone():
    adc, zadc = random_maps()
    before = adc.copy(), zadc.copy()
    network_input(adc, zadc, TINY)
    np.testing.assert_array_equal((adc, zadc), before)
