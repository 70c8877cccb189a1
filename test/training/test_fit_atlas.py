"""The atlas that is got back from pairs of ADC and Z: known on paper, of an invented brain that was moved."""

import numpy as np
import pytest
from atlas_helpers import CENTRE, SIZE, adc_at, scan

from model.images.registered import GRID_MM, sampled
from model.lesions.atlas import MAPS, MAPS_MM
from training.atlas import atlas_case, own_lesion
from training.data.dataset import PackedCase
from training.lesions.fit_atlas import AtlasFit, fit_atlas, sums_of

SPACING_MM = (3.0, 2.0, 1.8)
SD = 240.0


def case_of(number: int, matrix: np.ndarray | None = None) -> tuple[PackedCase, np.ndarray]:
    """A brain whose ADC strays from the invented mean by twice SD, slowly from place to place; Z tells by how much."""
    mean, places = scan(SPACING_MM, matrix)
    rng = np.random.default_rng(number)
    strays = np.zeros(mean.shape)
    strays[mean > 0] = 2 * SD * rng.normal(size=np.count_nonzero(mean))
    adc = np.where(mean > 0, np.maximum(mean + strays, 1), 0).astype(np.float32)
    zadc = np.where(mean > 0, (adc - mean) / SD, 0).astype(np.float32)
    return PackedCase(f"case{number}", adc, zadc, adc < 0, SPACING_MM), places


def fit_of(cases: list[tuple[PackedCase, np.ndarray]]) -> AtlasFit:
    return AtlasFit(
        {case.name: places for case, places in cases}, {case.name: sums_of(case, places, SIZE) for case, places in cases}
    )


def test_mean_and_sd_are_found_again_where_places_are_known():
    atlas = fit_of([case_of(number) for number in range(12)]).atlas
    mean = adc_at((np.moveaxis(np.indices(SIZE), 0, -1) - CENTRE) * GRID_MM)
    both = (atlas.mean > 0) & (mean > 0)
    assert np.count_nonzero(both) > 0.85 * np.count_nonzero(mean)
    assert np.median(np.abs(atlas.mean - mean)[both]) < 25
    assert np.median(np.abs(atlas.sd[both] / SD - 1)) < 0.05
    assert not atlas.sd[atlas.mean == 0].any()


def test_maps_say_how_often_and_how_much_at_their_places():
    """Of five cases two have a lesion and one a low Z without one, each in a block; elsewhere Z is 0.5 and the ADC known."""
    adc, places = scan(SPACING_MM)
    brain = adc > 0
    from_centre = np.zeros((*adc.shape, 3))
    from_centre[brain] = (places - CENTRE) * GRID_MM
    blocks = [brain & (np.abs(from_centre - centre) < 14).all(-1) for centre in ((10, 25, -15), (-10, -20, 18))]
    cases = []
    for number in range(5):
        lesion, low = (block & (number < cases_with) for block, cases_with in zip(blocks, (2, 1), strict=True))
        zadc = np.where(brain, np.where(lesion, -4, np.where(low, -2.5, 0.5)), 0).astype(np.float32)
        values = np.where(brain, 1300 + 100 * (number - 2), 0).astype(np.float32)
        cases.append((PackedCase(f"case{number}", values, zadc, lesion, SPACING_MM), places))
    fit = fit_of(cases)
    np.testing.assert_allclose([own_lesion(name, fit) for name in fit.sums], [1 / 2, 1 / 2, *[np.nan] * 3])
    maps = fit.atlas.maps
    assert maps.shape == (26, 32, 27, len(MAPS))  # of 50, 62 and 53 voxels at half their number, both ends in it

    def at(centre: tuple[int, int, int]) -> np.ndarray:
        return sampled(maps, (np.array([centre]) / GRID_MM + CENTRE) * (GRID_MM / MAPS_MM))[0]

    sd = 0.1 * np.sqrt(2)  # of 1.1, 1.2, ... 1.5
    np.testing.assert_allclose(at((10, 25, -15)), (2 / 5, 0, 0.5, sd), atol=0.03)
    np.testing.assert_allclose(at((-10, -20, 18)), (0, 1 / 5, (4 * 0.5 - 2.5) / 5, sd), atol=0.05)
    np.testing.assert_allclose(at((0, 5, 35)), (0, 0, 0.5, sd), atol=0.03)
    far = (0.4, 0.2) * np.array([np.count_nonzero(block) for block in blocks]) / np.count_nonzero(brain)
    np.testing.assert_allclose(maps[0, 0, 0, :2], far, rtol=0.01)  # no brain is near: the whole brain's


def test_cut_z_has_no_say():
    case, places = case_of(0)
    cut = np.where(case.zadc > 1, 10, case.zadc).astype(np.float32)
    sums = sums_of(PackedCase("a", case.adc, cut, case.label, SPACING_MM), places, SIZE).sums.sum((1, 2, 3))
    voxel = np.prod(SPACING_MM) / GRID_MM**3
    kept = case.zadc[case.brain][case.zadc[case.brain] <= 1].astype(float)
    assert sums[0] == pytest.approx(voxel * np.count_nonzero(case.brain))
    assert sums[1] == pytest.approx(voxel * kept.size)
    assert sums[4] == pytest.approx(voxel * kept.sum(), rel=1e-4)
    assert sums[5] == pytest.approx(voxel * (kept**2).sum(), rel=1e-4)


def test_scaled_brains_come_to_lie_in_one_atlas_in_any_order():
    cases = [case_of(n, np.diag(scale))[0] for n, scale in enumerate([(1, 1, 1), (0.9, 1.1, 1), (1.1, 0.95, 0.9)])]
    fit, again = fit_atlas(cases, rounds=1), fit_atlas(cases[::-1], rounds=1)
    np.testing.assert_array_equal(fit.atlas.mean, again.atlas.mean)
    extents = [np.ptp(places, axis=0) for places in fit.places.values()]
    assert np.ptp(extents, axis=0).max() * GRID_MM < 6


def test_what_an_atlas_keeps_of_a_case():
    """Nearly nothing where Z says of each voxel how far it strays: without the case the same line is found."""
    found = atlas_case(case_of(0)[0], fit_of([case_of(number) for number in range(6)]))
    assert found.case == "case0"
    assert found.correlation > 0.2  # of an ADC that strays by twice the spread, voxel by voxel
    assert abs(found.scale_z - 1) < 0.05
    assert found.change < 5
    assert found.kept < 0.3
