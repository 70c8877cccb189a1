"""Connected components on masks of two voxels, and depths beside scipy's."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from model.images.components import connected_components, depth_mm


@pytest.mark.parametrize("step", [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)])
def test_components_touch_at_faces_edges_and_corners(step):
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 3] = mask[tuple(np.add((2, 3, 3), step))] = True
    labels, count = connected_components(mask)
    assert count == 1
    np.testing.assert_array_equal(labels == 1, mask)
    share_a_face = sum(map(abs, step)) == 1
    labels, count = connected_components(mask, by_faces=True)
    assert count == (1 if share_a_face else 2)
    np.testing.assert_array_equal(labels > 0, mask)


def test_components_with_a_gap_are_apart_and_an_empty_mask_has_none():
    mask = np.zeros((5, 6, 7), bool)
    assert connected_components(mask)[1] == 0
    mask[0, 0, 0] = mask[0, 0, 2] = mask[0, 2, 0] = mask[2, 0, 0] = mask[4, 5, 5:] = True
    labels, count = connected_components(mask)
    assert count == 5
    assert sorted(np.bincount(labels.ravel())[1:]) == [1, 1, 1, 1, 2]
    np.testing.assert_array_equal(labels > 0, mask)


@pytest.mark.parametrize("deepest_mm", [math.inf, 4.0, 1.3])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("spacing_mm", [(3.0, 1.25, 0.8), (0.5, 2.0, 7.0)])
def test_depth_is_scipys_distance_to_the_outside(share, spacing_mm, deepest_mm):
    mask = np.random.default_rng(0).random((6, 11, 9)) < share
    found = depth_mm(mask, spacing_mm, deepest_mm)
    assert found.dtype == np.float32
    expected = np.minimum(ndimage.distance_transform_edt(mask, sampling=spacing_mm), deepest_mm)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_depth_where_everything_or_nothing_is_inside():
    assert np.isposinf(depth_mm(np.ones((2, 3, 4), bool), (1, 1, 1))).all()
    assert not depth_mm(np.zeros((2, 3, 4), bool), (1, 1, 1)).any()
