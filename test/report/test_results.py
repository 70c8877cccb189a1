"""What results.json says of the lesions, by numbers that can be derived on paper."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from model.images.case import Case
from model.images.volume import Grid, Volume
from model.lesions.certainty import NOT_FITTED, Certainty
from model.networks.predict import Segmentation
from model.report.results import describe

STRAIGHT = Grid((2, 3, 4), (2.0, 1.0, 0.5), (10.0, 20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def lesions_of(grid: Grid, *places: tuple[int, int, int], certainty: Certainty = NOT_FITTED) -> list[dict]:
    """The lesion list of a mask of these voxels. All of the grid is brain, and Z falls by 1 from voxel to voxel."""
    mask = np.zeros(grid.size, bool)
    mask[tuple(np.transpose(places))] = True
    adc, zadc = np.full(grid.size, 900, np.float32), -np.arange(mask.size, dtype=np.float32).reshape(grid.size)
    case = Case(*(Volume(voxels, grid, Path("invented")) for voxels in (adc, zadc)))
    return describe(Segmentation(mask, mask.astype(np.float32), certainty), case)["lesion_list"]


def test_lesion_list_on_paper():
    """Log odds that a lesion is real are 2 + 0.5 log10 ml, of one voxel of 0.001 ml 0.5."""
    certainty = Certainty({"chance_real": {"intercept": 2.0, "log10_ml": 0.5}})
    chances = [round(float(1 / (1 + np.exp(-log_odds))), 4) for log_odds in (0.5 + 0.5 * np.log10(2), 0.5)]
    places = (0, 0, 0), (1, 1, 3), (1, 2, 2)
    table = {
        "volume_ml": (0.002, 0.001),
        "lowest_z": (-22, 0),
        "centre_mm": ([11.25, 21.5, 32], [10, 20, 30]),
        "inside_mm": ([11.5, 21, 32], [10, 20, 30]),
        "from_brain_centre_mm": ([0.5, 0.5, 1], [-0.8, -1, -1]),
        "side": ("midline", "midline"),
        "slice": (2, 1),
        "chance_real": chances,
    }
    expected = [{name: values[n] for name, values in table.items()} for n in (0, 1)]
    assert lesions_of(STRAIGHT, *places, certainty=certainty) == expected
    assert lesions_of(STRAIGHT, *places) == [lesion | {"chance_real": None} for lesion in expected]
    of_one_size = lesions_of(STRAIGHT, (0, 0, 3), (0, 0, 0), (1, 2, 0))  # in the array's order
    assert [lesion["lowest_z"] for lesion in of_one_size] == [0, -3, -20]


def test_the_place_inside_a_bent_lesion_is_its_voxel_nearest_to_the_centre():
    """A ring of eight voxels of 2 x 1 mm: nearest are the two beside the hole along the short side; the first counts."""
    grid = Grid((3, 5, 6), (4.0, 2.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ring = [(1, y, x) for y in (1, 2, 3) for x in (2, 3, 4) if (y, x) != (2, 3)]
    (lesion,) = lesions_of(grid, *ring)
    assert (lesion["centre_mm"], lesion["inside_mm"], lesion["slice"]) == ([3, 4, 4], [2, 4, 4], 2)


def two_sides(orientation: str) -> tuple[Case, np.ndarray]:
    """A brain of x from 0 to 58 mm, middle 29, a lesion at 10 (right), one at 29 to 34 and one at 50 (left), as stored."""
    adc = np.full((4, 6, 30), 900, np.float32)
    mask = np.zeros(adc.shape, np.uint8)
    mask[0, 0:3, 25] = mask[1, 4, 15:18] = mask[3, 0:2, 5] = 1
    images = []
    for voxels in (adc, mask):
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing((2.0, 3.0, 4.0))
        images.append(sitk.DICOMOrient(image, orientation))
    image = images[0]
    grid = Grid(image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())
    adc, mask = map(sitk.GetArrayFromImage, images)
    return Case(*(Volume(voxels, grid, Path("invented")) for voxels in (adc, -adc / 300))), mask.astype(bool)


PLACES = {50: ("left", [21, -4.5, -6]), 32: ("midline", [3, 4.5, -2]), 10: ("right", [-19, -6, 6])}


def found_at(case: Case, mask: np.ndarray) -> dict[float, tuple[str | None, list[float] | None]]:
    """Side and place in the brain, by x of the centre in mm."""
    lesions = describe(Segmentation(mask, mask.astype(np.float32)), case)["lesion_list"]
    return {lesion["centre_mm"][0]: (lesion["side"], lesion["from_brain_centre_mm"]) for lesion in lesions}


STORAGES = ["".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)]


@pytest.mark.parametrize("orientation", STORAGES)
def test_sides_and_places_are_the_patients_in_whatever_order_the_voxels_are_stored(orientation):
    """The brain's centre is at x 29, y 7.5 and z 6 mm; y and z of the lesions are 3, 12, 1.5 and 0, 4, 12."""
    assert found_at(*two_sides(orientation)) == PLACES


def test_the_place_in_the_brain_is_along_the_images_axes():
    """A head that is turned by 30 degrees in the scanner, and scanned along its own axes."""
    case, mask = two_sides("LPS")
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    grid = replace(case.grid, direction=(c, -s, 0, s, c, 0, 0, 0, 1))
    case = Case(replace(case.adc, grid=grid), replace(case.zadc, grid=grid))
    assert sorted(found_at(case, mask).values()) == sorted(PLACES.values())


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (range(2, 26), "both sides"),  # 4 to 50 mm: 10 voxels of 24 below 24 mm, 8 above 34 mm
        (range(9, 21), "both sides"),  # 3 of 12 on each side
        (range(11, 19), "midline"),  # 1 of 8 on each side
        (range(13, 17), "midline"),
        (range(2, 21), "right"),  # 10 of 19 below, 3 above
    ],
)
def test_a_lesion_that_reaches_far_to_both_sides_is_on_both(columns, words):
    """A fifth has to lie beyond 5 mm on each side of the brain's middle at 29 mm. Columns are 2 mm apart."""
    case, mask = two_sides("LPS")
    mask = np.zeros_like(mask)
    mask[1, 2, list(columns)] = True
    assert {side for side, _ in found_at(case, mask).values()} == {words}
