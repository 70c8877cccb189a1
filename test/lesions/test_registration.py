"""Registration to an atlas: an invented brain that was moved in a known way is found again."""

import numpy as np
import pytest
import SimpleITK as sitk
from atlas_helpers import CENTRE, HALF_MM, adc_at, invented_atlas, scan
from scipy.spatial.transform import Rotation

from model.images.registered import GRID_MM, corners, sampled
from model.lesions.atlas import ATLAS_FEATURES, atlas_features
from model.lesions.brain_map import BrainMap

ATLAS = invented_atlas()


def turned(axis: str) -> np.ndarray:
    """By 30 degrees around the first ("x") or the second axis ("y") of the array."""
    return Rotation.from_euler(axis, 30, degrees=True).as_matrix()


@pytest.mark.parametrize(
    ("matrix", "spacing_mm"),
    [
        (np.diag([0.8, 0.7, 0.75]), (2.0, 1.6, 1.5)),  # a preterm brain
        (turned("y"), (3.0, 2.0, 1.8)),
        (turned("x") @ np.diag([1.0, 1.1, 0.95]), (6.0, 1.5, 1.6)),
    ],
)
def test_moved_brain_is_found_again(matrix, spacing_mm):
    (adc, expected), template = scan(spacing_mm, matrix), ATLAS.template.copy()
    found = ATLAS.register(adc, spacing_mm)
    np.testing.assert_array_equal(ATLAS.template, template)
    error_mm = np.linalg.norm(found.places - expected, axis=1) * GRID_MM
    assert np.median(error_mm) < 2.5
    assert np.percentile(error_mm, 95) < 6
    assert found.correlation > 0.8
    assert found.usable
    np.testing.assert_allclose(np.prod(found.scale), 1 / np.linalg.det(matrix), rtol=0.15)


def test_bent_brain_is_found_again():
    """Its middle slices lie up to 8 mm further along x, which no affine map can say."""
    spacing_mm = np.array([3.0, 2.0, 1.8])
    reach = HALF_MM + 12
    places_mm = np.moveaxis(np.indices(np.ceil(2 * reach / spacing_mm).astype(int)), 0, -1) * spacing_mm - reach
    bend = 8 * np.exp(-((places_mm[..., 0] / 14) ** 2))
    tissue_mm = places_mm + bend[..., None] * [0, 0, 1]
    adc = adc_at(tissue_mm)
    found = ATLAS.register(adc, tuple(spacing_mm))
    brain = adc > 0
    middle = np.abs(places_mm[..., 0][brain]) < 6
    error_mm = np.abs((found.places - CENTRE) * GRID_MM - tissue_mm[brain])[middle]
    assert (np.median(error_mm, axis=0) < (0.4, 0.4, 3.5)).all()  # the field is smooth: it follows half of it, along x alone


def test_low_lesions_do_not_pull_and_threads_change_no_bit():
    """Two thirds of the brain are lesion."""
    adc, expected = scan((3.0, 2.0, 1.8))
    lesion = np.zeros(adc.shape, bool)
    lesion[:, : int(adc.shape[1] * 0.62)] = True
    spoiled, threads, places = np.where(lesion, adc * 0.5, adc), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), []
    for number in (1, 3):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(number)
        places.append(ATLAS.register(spoiled, (3.0, 2.0, 1.8)).places)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    np.testing.assert_array_equal(*places)
    assert np.median(np.linalg.norm(places[0] - expected, axis=1)) * GRID_MM < 3


def test_a_few_voxels_are_no_failure():
    adc = np.zeros((4, 5, 6), np.float32)
    adc[1:3, 1:4, 2:4] = np.arange(12).reshape(2, 3, 2) * 50 + 900
    assert ATLAS.register(adc, (3.0, 1.5, 1.25)).places.shape == (12, 3)


def test_sampling_is_linear_and_stays_inside():
    values = np.arange(24.0).reshape(2, 3, 4, 1)
    places = np.array([[0.5, 1.25, 2.5], [1, 2, 3], [-4, 0, 9]])
    np.testing.assert_allclose(sampled(values, places)[:, 0], [6 + 5 + 2.5, 23, 3])
    _, weights = corners(places, values.shape)
    np.testing.assert_allclose(weights.sum(0), 1)


def test_far_from_what_an_atlas_knows_the_whole_brain_counts():
    atlas = invented_atlas(150.0)
    mean, sd = atlas.at(np.array([[0.0, 0.0, 0.0]]))
    np.testing.assert_allclose((mean[0], sd[0]), (atlas.mean[atlas.mean > 0].mean(), 150), rtol=1e-5)


def test_features_of_a_place_are_its_own_along_each_axis():
    brain_map = BrainMap(scan((3.0, 2.0, 1.8))[0], (3.0, 2.0, 1.8))
    low, high = ATLAS.box / GRID_MM
    place = np.array([low[0], high[1], (low[2] + high[2]) / 2])
    columns = atlas_features(brain_map, ATLAS, np.tile(place, (np.count_nonzero(brain_map.brain), 1)))
    features = dict(zip(ATLAS_FEATURES, columns, strict=True))
    names = ("atlas_place_z", "atlas_place_y", "atlas_off_middle")
    np.testing.assert_allclose([np.unique(features[name])[0] for name in names], (0, 1, 0), atol=1e-6)
