"""What an ADC map says by itself: figures on paper, the phantom, and images that are no newborn's skull-stripped ADC map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pair_variants import OF_ADC
from phantom import make_grid, make_phantom, write_image

from model.errors import UserError
from model.images.adc_only_checks import adc_doubts, adc_figures, adc_misfit
from model.images.case import Case, read_case, require_usable
from model.images.checks import warnings_of
from model.images.grid import Grid
from model.images.volume import Volume

PHANTOM, GRID = make_phantom(), make_grid()
BRAIN = PHANTOM.adc > 0


def case(adc: np.ndarray, grid: Grid = GRID) -> Case:
    """A case of an ADC map alone."""
    return Case(Volume(adc.astype(np.float32), grid, Path("a.nii")), None)


def larger(factor: float) -> Grid:
    """The phantom's grid with a brain of so many times the volume."""
    return replace(GRID, spacing_mm=tuple(mm * factor ** (1 / 3) for mm in GRID.spacing_mm))


def spoiled(way: str) -> np.ndarray:
    """The phantom's ADC map as `pair_variants` spoils published ones."""
    return OF_ADC[way](PHANTOM.adc, PHANTOM.zadc, GRID.spacing_mm)


def test_figures_on_paper():
    """A box of 10 x 20 x 16 voxels whose ADC runs from 0.5 to 1.5 of 1000, a hole of 8 voxels, one voxel apart."""
    adc = np.zeros((14, 26, 24), np.float32)
    adc[2:12, 3:23, 4:20] = np.linspace(500, 1500, 3200).reshape(10, 20, 16)
    adc[5:7, 8:10, 9:11] = 0
    adc[2, 24, 4], adc[0, 0, :3] = 3000, -5
    found = adc_figures(adc, (4.0, 1.5, 2.0))
    count = 3200 - 8 + 1
    assert found is not None
    assert found.volume_ml == pytest.approx(count * 12 / 1000)
    assert found.median == pytest.approx(1000, abs=2)
    assert found.negative == pytest.approx(3 / count)
    assert found.contrast == pytest.approx(0.5, abs=2e-3)
    assert found.skew == pytest.approx(1, abs=0.01)
    assert found.fluid == pytest.approx(1 / count)
    assert found.holes == pytest.approx(8 / count)
    assert found.largest_part == pytest.approx((count - 1) / count)
    assert found.width == pytest.approx(16 * 2 / (22 * 1.5))
    assert found.height == pytest.approx(10 * 4 / (22 * 1.5))


def test_nothing_is_estimated_in_a_brain_of_a_few_voxels():
    """Of less than 2000 there are no figures, though there may be an estimate."""
    adc = np.zeros(BRAIN.shape)
    adc.flat[:1999] = 1200
    assert case(adc).adc_figures is None
    require_usable(case(adc))
    adc.flat[499:] = 0
    with pytest.raises(UserError, match=r"^a\.nii: a brain \(ADC above 0\) of 499 voxels, .* expected at least 500"):
        require_usable(case(adc))


def test_phantom_is_an_adc_map():
    found = case(PHANTOM.adc).adc_figures
    assert found is not None
    assert (adc_misfit(found), adc_doubts(found)) == ("", [])


WRONG = {
    "diffusion-weighted, b = 1000": (
        spoiled("diffusion-weighted, b = 1000"),
        GRID,
        "far brighter than tissue: is it diffusion-w",
    ),
    "the same, as scanned": (spoiled("the same, as scanned"), GRID, "has a median of 244 in the brain"),
    "one number": (spoiled("one number"), GRID, "is nearly the same everywhere in the brain (quartiles 0.0%"),
    "Z map in place of ADC": (
        spoiled("Z map in place of ADC"),
        GRID,
        "voxels below 0 as above, an ADC map has next to none",
    ),
    "skull, a gap before it": (spoiled("skull, a gap before it"), GRID, "--brain-mask"),
    "an adult's": (PHANTOM.adc, larger(3.5), "holds a brain of 1196 ml, newborns have 300 to 600 ml"),
    "other unit": (PHANTOM.adc / 1000, GRID, "looks like 1e-3mm2/s; if it is, say --adc-unit 1e-3mm2/s"),
    "scaled": (PHANTOM.adc * 2, GRID, "or scaled by a factor of the vendor's?"),
    "a head in low noise": (np.maximum(PHANTOM.adc, 30), GRID, "1445 ml: is the map skull-stripped (--brain-mask)?"),
    "all of a head, and its noise": (np.maximum(PHANTOM.adc, 300), GRID, "holds a brain of 1445 ml"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_nothing_is_estimated_from_what_is_no_newborns_adc_map(kind):
    adc, grid, words = WRONG[kind]
    with pytest.raises(UserError, match=r"^a\.nii") as error:
        require_usable(case(adc, grid))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_where_a_mask_was_applied_it_is_named_and_none_is_advised():
    ring = case(spoiled("skull, a gap before it"))
    mask = Volume(np.ones(BRAIN.shape, np.float32), GRID, Path("mask.nii"))
    with pytest.raises(UserError, match=r"The brain mask mask\.nii was applied: is it right\?$") as error:
        require_usable(replace(ring, brain_mask=mask))
    assert "--brain-mask" not in str(error.value)


DOUBTFUL = {
    "left half": (spoiled("left half"), "is it a whole brain?"),
    "cut off at 2000": (spoiled("cut off at 2000"), "0.0% of the brain has an ADC above 2500, usually 1 to 7 %"),
    "b0": (np.where(BRAIN, 500 + PHANTOM.adc / 2, 0), "of the brain has an ADC above 2500"),
    "scaled a little": (PHANTOM.adc * 1.4, "median ADC is 1977 in 1e-6 mm2/s, usually 900 to 1600"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_unusual_is_said_where_it_is_estimated(kind):
    adc, words = DOUBTFUL[kind]
    doubtful = case(adc)
    require_usable(doubtful)
    said = warnings_of(doubtful.with_estimate(np.zeros(adc.shape, np.float32)))
    assert any(words in sentence for sentence in said), said
    assert not any("\n" in sentence for sentence in said)


def test_an_estimated_case_says_so_and_lies_on_the_adc_maps_grid():
    alone = case(PHANTOM.adc)
    with pytest.raises(ValueError, match="not estimated yet"):
        _ = alone.zadc
    found = alone.with_estimate(PHANTOM.zadc)
    assert (found.zadc.grid, found.estimated, found.pair) == (GRID, True, None)
    np.testing.assert_array_equal(found.zadc.voxels, PHANTOM.zadc)
    np.testing.assert_allclose(found.brain_centre, np.argwhere(BRAIN).mean(0))
    (said,) = warnings_of(found)
    assert said.startswith("The Z map was estimated from the ADC map (--estimate-z)")


def test_given_z_map_asks_no_more_of_the_adc_map():
    """What is refused where a Z map is estimated is at most told where one is given."""
    given = Case(Volume(PHANTOM.adc, larger(3.5), Path("a.nii")), Volume(PHANTOM.zadc, larger(3.5), Path("z.nii")))
    require_usable(given)
    assert given.adc_figures is None


def test_missing_values_around_the_brain_without_a_z_map(tmp_path):
    adc = np.where(BRAIN, PHANTOM.adc, np.nan).astype(np.float32)
    write_image(adc, GRID, tmp_path / "adc.mha")
    found = read_case(tmp_path / "adc.mha", None)
    np.testing.assert_array_equal(found.adc.voxels, np.where(BRAIN, PHANTOM.adc, 0))
    assert any("NaN or infinite voxels outside the brain were taken as 0" in remark for remark in found.remarks)
    adc[tuple(np.argwhere(BRAIN).mean(0).astype(int))] = np.inf  # in its middle, but small as the holes of real ones
    adc[tuple(slice(int(n) - 4, int(n) + 4) for n in np.argwhere(BRAIN).mean(0))] = np.nan
    write_image(adc, GRID, tmp_path / "adc.mha")
    with pytest.raises(UserError, match="NaN or infinite inside the brain"):
        read_case(tmp_path / "adc.mha", None)


def test_published_adc_maps_are_adc_maps(real_cases):
    for files in real_cases:
        found = read_case(files.adc, None)
        assert found.adc_figures is not None
        assert adc_doubts(found.adc_figures) == [], files.name
