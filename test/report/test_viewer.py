"""The volumes and settings that a report gives its viewer."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from report_helpers import DIRECTIONS, found_in, left_front_upper_case, phantom_case, small_case

from model.images.volume import GRID_TOLERANCE, read_volume
from model.report.results import from_brain_centre
from model.report.viewer import viewer_settings, viewer_volumes


def test_the_viewers_volumes_lie_where_the_case_lies(tmp_path):
    case, label = phantom_case()
    found = found_in(case, label)
    volumes = {}
    for name, content in viewer_volumes(case, found).items():
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
        volumes[name] = read_volume(tmp_path / f"{name}.nii.gz")
    place, adc = np.argwhere(label)[-1], volumes["adc"]
    off_centre_mm = ((place - np.argwhere(case.brain).mean(axis=0)) * case.grid.spacing_mm)[::-1]  # to the left, back, top
    there = tuple(np.rint((off_centre_mm - adc.grid.origin_mm)[::-1] / adc.grid.spacing_mm).astype(int))
    assert np.allclose(adc.grid.to_mm(np.array(there)), off_centre_mm, atol=GRID_TOLERANCE)
    assert adc.voxels[there] == case.adc.voxels[tuple(place)]
    assert volumes["mask"].voxels[there] == 1
    assert volumes["mask"].voxels.sum() == label.sum()
    assert (volumes["z"].voxels[there] - 128) / 10 == pytest.approx(case.zadc.voxels[tuple(place)], abs=0.051)
    assert (volumes["probability"].voxels[there] - 1) / 200 == found.probabilities[tuple(place)] == 0.75
    for name in ("z", "probability"):
        assert np.array_equal(volumes[name].voxels == 0, volumes["adc"].voxels <= 0)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_viewer_shows_one_picture_however_a_scan_is_stored(tmp_path, order, direction):
    """On paper: voxels of 1.5 x 1.75 x 4 mm, the brain's centre at index 10, 11.5, 4.5 and the lesion's at 13.5, 6, 6.5."""
    for number, flips in enumerate(itertools.product((False, True), repeat=3)):
        case, mask = left_front_upper_case(direction, order, flips)
        path = tmp_path / f"{number}.nii.gz"
        path.write_bytes(viewer_volumes(case, found_in(case, mask))["mask"])
        shown = read_volume(path)
        assert np.allclose(shown.grid.direction, np.eye(3).ravel(), atol=1e-6)
        centre_mm = np.mean([shown.grid.to_mm(place) for place in np.argwhere(shown.voxels)], axis=0)
        assert centre_mm == pytest.approx([3.5 * 1.5, -5.5 * 1.75, 2 * 4], abs=1e-4)  # to the left, the front and the top
        settings = viewer_settings(case)
        at_centre, per_mm = settings["slice"]
        first = np.argwhere(mask)[0]
        place = from_brain_centre(first[None], case)[0]
        assert at_centre + per_mm * place[settings["stack"]] == pytest.approx(first[0] + 1, abs=1e-3)


def test_values_beyond_what_is_stored_stay_at_its_end(tmp_path):
    case = small_case()
    case.adc.voxels[1, 2, 2], case.zadc.voxels[1, 2, 2:4] = 9e4, (-40, 40)
    for name, content in viewer_volumes(case, found_in(case, np.zeros(case.grid.size, bool))).items():
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
    assert read_volume(tmp_path / "adc.nii.gz").voxels.max() == 32767
    z = read_volume(tmp_path / "z.nii.gz").voxels
    assert (z[z > 0].min(), z.max()) == (28, 228)  # 10 standard deviations below and above 128, in tenths


def test_colours_of_stored_values_and_the_name_of_an_estimated_z():
    """NiiVue draws between the given values: nothing outside the brain, white at Z 0, nothing below 5 %."""
    settings = viewer_settings(small_case())
    assert (settings["zName"], viewer_settings(replace(small_case(), estimated=True))["zName"]) == ("Z", "estimated Z")
    colours = settings["colours"]
    assert {name: channels["I"] for name, channels in colours.items()} == {
        "drawing": [0, 1, 2, 3, 4],
        "z": [0, 1, 68, 98, 128, 158, 188, 255],
        "probability": [0, 10, 11, 51, 101, 151, 201, 255],
    }
    z = colours["z"]
    assert [z[channel][4] for channel in "RGBA"] == [0xF7, 0xF7, 0xF7, 255]
    assert z["A"] == [0] + [255] * 7
    assert colours["probability"]["A"] == [0, 0] + [255] * 6
