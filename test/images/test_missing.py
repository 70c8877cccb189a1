"""NaN and infinity: refused in the brain, 0 outside of it with one warning, the same in every format."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from phantom import make_phantom, write_image

from model.errors import UserError
from model.images.case import read_case
from model.images.checks import warnings_of
from model.images.missing import without_missing
from model.images.volume import Grid, Volume
from model.images.volume import read_volume as read_map
from training.scores.pairs import Pair

PHANTOM = make_phantom()
BRAIN = PHANTOM.adc > 0
LESION = PHANTOM.label & BRAIN


def write(voxels: np.ndarray, path: Path, grid: Grid = PHANTOM.grid) -> Path:
    """NaN too: ITK writes it in every format."""
    write_image(voxels.astype(np.float32), grid, path)
    return path


def case(folder: Path, adc: np.ndarray, zadc: np.ndarray, suffix: str = ".nii.gz", grid: Grid = PHANTOM.grid):
    return read_case(write(adc, folder / f"adc{suffix}", grid), write(zadc, folder / f"z{suffix}", grid))


def having(voxels: np.ndarray, where: np.ndarray, value: float) -> np.ndarray:
    return np.where(where, np.float32(value), voxels)


def one_voxel(place: tuple[int, int, int]) -> np.ndarray:
    where = np.zeros(BRAIN.shape, bool)
    where[place] = True
    return where


MIDDLE = one_voxel((15, 44, 45))
SURFACE = one_voxel((15, 11, 40))
PLACES = {"lesion": LESION, "middle": MIDDLE, "surface": SURFACE}


def spoiled(of: str, where: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray]:
    """Both maps, with the value there in one or both."""
    adc, zadc = (having(voxels, where, value) for voxels in (PHANTOM.adc, PHANTOM.zadc))
    return (adc if of != "z" else PHANTOM.adc), (zadc if of != "adc" else PHANTOM.zadc)


@pytest.mark.parametrize("of", ["adc", "z", "both"])
@pytest.mark.parametrize(
    ("suffix", "value", "where"), [(".mha", np.nan, "lesion"), (".nii.gz", np.inf, "middle"), (".nrrd", -np.inf, "surface")]
)
def test_in_the_brain_it_is_refused_with_its_count(tmp_path, suffix, value, where, of):
    where = PLACES[where]
    with pytest.raises(UserError, match=r"voxels are NaN or infinite inside the brain") as refusal:
        case(tmp_path, *spoiled(of, where, value), suffix)
    assert f"{'z' if of == 'z' else 'adc'}{suffix}: {where.sum()} of {where.size} voxels" in str(refusal.value)


@pytest.mark.parametrize("of", ["adc", "z", "both"])
@pytest.mark.parametrize(
    ("suffix", "where", "value"),
    [(".nii", ~BRAIN, np.nan), (".mha", one_voxel((0, 0, 0)), np.inf), (".mhd", ~BRAIN, -np.inf)],
)
def test_outside_it_is_0_with_one_warning(tmp_path, suffix, where, value, of):
    read = case(tmp_path, *spoiled(of, where, value), suffix)
    for volume, expected in zip((read.adc, read.zadc), spoiled(of, where, 0), strict=True):
        np.testing.assert_array_equal(volume.voxels, expected)
    (warning,) = warnings_of(read)
    files = [f"{where.sum()} in {name}{suffix}" for name in ("adc", "z") if of in (name, "both")]
    assert warning == f"NaN or infinite voxels outside the brain were taken as 0: {' and '.join(files)}."


LOWER = BRAIN & (np.arange(len(BRAIN))[:, None, None] < 9)  # one region with the background, which reaches the border
LARGE = np.zeros_like(BRAIN)  # 10 ml
LARGE[10:20, 40:56, 40:56] = True
MISSING = {  # of the ADC map, and the Z map, and what is said
    "all of Z": (None, np.full_like(PHANTOM.zadc, np.nan), rf"z\.nii\.gz: {BRAIN.sum()} of {BRAIN.size} voxels are NaN"),
    "all of the brain in ADC": (BRAIN, PHANTOM.zadc, r"adc\.nii\.gz: .*inside the brain"),
    "all of both maps": (np.ones_like(BRAIN), np.full_like(PHANTOM.zadc, np.nan), r"adc\.nii\.gz: .*no brain"),
    "the lesion where the background has none either; Z says that there is brain": (
        ~BRAIN | LESION,
        PHANTOM.zadc,
        "inside the brain",
    ),
    "a part of the brain as its background": (
        ~BRAIN | LOWER,
        np.where(BRAIN, PHANTOM.zadc, 0),
        f"{np.count_nonzero(LOWER)} of {BRAIN.size} voxels are NaN or infinite inside",
    ),
    "a large region of both maps": (~BRAIN | LARGE, having(PHANTOM.zadc, ~BRAIN | LARGE, np.nan), "inside the brain"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_missing_is_refused(tmp_path, kind):
    where, zadc, says = MISSING[kind]
    with pytest.raises(UserError, match=says):
        case(tmp_path, PHANTOM.adc if where is None else having(PHANTOM.adc, where, np.nan), zadc)


def test_a_hole_without_z_in_a_brain_whose_background_is_nan_is_background(tmp_path):
    """As 41 of the 44 labelled brains have them: their background is 0 and becomes NaN in other tools."""
    hole = one_voxel((15, 44, 45)) | one_voxel((15, 44, 46))
    adc, zadc = having(PHANTOM.adc, ~BRAIN | hole, np.nan), having(PHANTOM.zadc, ~BRAIN | hole, np.nan)
    for z in (zadc, having(PHANTOM.zadc, hole, 0)):
        read = case(tmp_path, adc, z)
        assert not read.brain[hole].any()
        assert len(warnings_of(read)) == 1


def test_a_brain_of_one_slice(tmp_path):
    flat = (slice(15, 16),)
    grid = dataclasses.replace(PHANTOM.grid, size=PHANTOM.adc[flat].shape)
    adc, zadc = PHANTOM.adc[flat], PHANTOM.zadc[flat]
    outside = having(adc, ~BRAIN[flat], np.nan)
    assert case(tmp_path, outside, zadc, grid=grid).brain.sum() == BRAIN[flat].sum()
    with pytest.raises(UserError, match=r"1 of .* inside the brain"):
        case(tmp_path, having(outside, MIDDLE[flat], np.nan), zadc, grid=grid)


def box() -> tuple[np.ndarray, np.ndarray]:
    """ADC and Z map of a brain that is a box of 8 x 12 x 14 voxels without one at its edge."""
    adc = np.zeros((30, 20, 20), np.float32)
    adc[2:10, 2:14, 2:16] = 1000
    adc[6, 2, 2] = 0
    return adc, np.where(adc > 0, np.float32(1), np.float32(0))


def refilled(adc: np.ndarray, zadc: np.ndarray) -> np.ndarray:
    """The ADC map with 0 where it is missing, on voxels of 1 mm3."""
    grid = Grid(adc.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return without_missing(Volume(adc, grid, Path("a.nii")), Volume(zadc, grid, Path("z.nii")))[0].voxels


def test_a_small_hole_without_z_that_touches_the_missing_background_at_an_edge():
    """It is background for itself; as a part of the large region around the brain it would be refused."""
    adc, zadc = box()
    brain = adc > 0
    brain[6, 3, 3] = False
    adc[~brain], zadc[6, 3, 3] = np.nan, 0
    np.testing.assert_array_equal(refilled(adc, zadc), np.where(brain, 1000, 0))
    zadc[6, 3, 3] = 1
    with pytest.raises(UserError, match=r"^a\.nii: 1 of 12000 voxels"):
        refilled(adc, zadc)


def test_a_hole_that_touches_the_background_at_an_edge_is_enclosed():
    """A pocket of ADC 0 with one missing voxel in its middle, whose faces touch no brain: the pocket's do."""
    adc, zadc = box()
    adc[5:8, 3:6, 3:6] = 0
    adc[6, 4, 4] = np.nan
    with pytest.raises(UserError, match=r"^a\.nii: 1 of 12000 voxels"):
        refilled(adc, zadc)
    adc[6, 2, 3] = 0  # which opens it
    assert refilled(adc, zadc)[6, 4, 4] == 0


@pytest.mark.parametrize("place", [(0, 9, 9), (29, 9, 9), (9, 0, 9), (9, 19, 9), (9, 9, 0), (9, 9, 19)])
def test_what_is_missing_at_a_side_is_background(place):
    adc, zadc = np.full((30, 20, 20), 1000, np.float32), np.ones((30, 20, 20), np.float32)
    adc[place] = np.nan
    assert refilled(adc, zadc)[place] == 0


def test_small_regions_with_z_that_touch_at_a_corner_are_no_large_one():
    """Outside the brain, of 125 mm3 each."""
    adc, zadc = box()
    for first in (14, 19):
        part = (slice(first, first + 5), slice(first - 10, first - 5), slice(first - 10, first - 5))
        adc[part], zadc[part] = np.nan, 1
    assert np.isnan(adc).sum() == 250
    np.testing.assert_array_equal(refilled(adc, zadc), box()[0])
    adc[18, 8, 9] = adc[18, 9, 9] = np.nan
    zadc[18, 8, 9] = zadc[18, 9, 9] = 1
    with pytest.raises(UserError, match=r"^a\.nii: 252 of 12000 voxels"):
        refilled(adc, zadc)


@pytest.mark.parametrize("wrong", ["label", "mask"])
def test_scored_masks_and_training_labels_hold_none(tmp_path, wrong):
    from training.data.published import read_label
    from training.scores.mask_score import score_pair

    label = PHANTOM.label.astype(np.float32)
    broken = having(label, LESION, np.inf)
    paths = {what: write(broken if what == wrong else label, tmp_path / f"{what}.nii.gz") for what in ("label", "mask")}
    with pytest.raises(UserError, match=rf"{wrong}.*: {LESION.sum()} of {LESION.size} voxels are NaN or infinite"):
        score_pair(Pair("case", **paths), tmp_path, tmp_path)
    with pytest.raises(UserError, match="NaN or infinite"):
        read_label(paths[wrong], read_map(write(PHANTOM.adc, tmp_path / "adc.mha")))
