"""However a case is stored, the networks see one array, and the answer comes back; SimpleITK's DICOMOrient is the oracle."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import load, random_maps, random_network, save_ensemble, stump
from test_geometry import ORIENTATIONS

from model.images.case import Case
from model.images.orientation import reordered, turn_to_canonical
from model.images.volume import Grid, Volume
from model.lesions.decision import Calibration
from model.networks.canonical_orientation import segment_canonical
from model.networks.predict import Predictor
from model.networks.stored import save_decision

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# Slices of 6 mm, 46 degrees between axial and coronal, upside down, as one published case is stored.
BETWEEN = (1.0, 0.0, 0.0, 0.0, -0.6946583704589973, 0.7193398003386512, 0.0, -0.7193398003386512, -0.6946583704589973)
SLICES, EVEN = (3.0, 1.25, 0.8), (2.0, 2.0, 2.0)


def rotation(rng: np.random.Generator) -> tuple[float, ...]:
    """An orthonormal matrix, every second one a reflection, row by row."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return tuple((q * np.sign(np.diag(r))).ravel().tolist())


def image_of(voxels: np.ndarray, spacing_mm: tuple[float, float, float], direction: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm[::-1])
    image.SetOrigin((-31.25, 12.5, -70.75))
    image.SetDirection(direction)
    return image


def grid_of(image: sitk.Image) -> Grid:
    return Grid(image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())


def storages(image: sitk.Image) -> list[sitk.Image]:
    """All 48, by SimpleITK's permutations and flips of the axes, which keep each voxel's place in space."""
    return [
        sitk.Flip(sitk.PermuteAxes(image, order), flips)
        for order in itertools.permutations(range(3))
        for flips in itertools.product((False, True), repeat=3)
    ]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_storage_is_turned_to_lps_and_back(orientation):
    """Arrays with an axis before the three, too."""
    marked = image_of(np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3), (3.0, 1.25, 0.8), LPS)
    stored = sitk.DICOMOrient(marked, orientation)
    voxels, turn = sitk.GetArrayFromImage(stored), turn_to_canonical(grid_of(stored))
    turned = turn.to_canonical(voxels)
    np.testing.assert_array_equal(turned, sitk.GetArrayFromImage(marked))
    assert turned.flags.c_contiguous
    assert turn.spacing_mm(grid_of(stored)) == (3.0, 1.25, 0.8)
    np.testing.assert_array_equal(turn.from_canonical(turned), voxels)
    groups = np.stack([voxels, -voxels])
    np.testing.assert_array_equal(turn.from_canonical(turn.to_canonical(groups)), groups)


NUMBERS = np.arange(60, dtype=np.int32).reshape(5, 4, 3)
H = 0.5**0.5
TIES = {  # columns of cosines; two or three orders fit equally well
    "45 degrees about x": (1, 0, 0, 0, H, -H, 0, H, H),
    "45 degrees about y": (H, 0, H, 0, 1, 0, -H, 0, H),
    "45 degrees about z": (H, -H, 0, H, H, 0, 0, 0, 1),
    "45 degrees about x, then about y": (H, 0.5, 0.5, 0, H, -H, -H, 0.5, 0.5),
    "180 degrees about (1, 1, 1)": (-1 / 3, 2 / 3, 2 / 3, 2 / 3, -1 / 3, 2 / 3, 2 / 3, 2 / 3, -1 / 3),
}


@pytest.mark.parametrize("spacing_mm", [SLICES, SLICES[::-1], EVEN, (1.2, 1.0, 1.0)])
@pytest.mark.parametrize("name", TIES)
def test_48_storages_are_one_array_at_45_degrees_whatever_the_last_bits(name, spacing_mm):
    """Each storage has header noise of its own, as float64 leaves it and as float32 quaternions do."""
    rng, arrays = np.random.default_rng(7), set()
    for noise, image in zip(24 * [1e-9, 1e-6], storages(image_of(NUMBERS, spacing_mm, TIES[name])), strict=True):
        header = np.array([*image.GetDirection(), *image.GetSpacing()[::-1]])
        header += noise * rng.normal(size=12)
        turn = turn_to_canonical(Grid(image.GetSize()[::-1], tuple(header[9:]), (0, 0, 0), tuple(header[:9])))
        turned = turn.to_canonical(sitk.GetArrayFromImage(image))
        arrays.add((turned.shape, turned.tobytes()))
    assert len(arrays) == 1


C, S = 0.8, 0.6
BETWEEN_TWO = TIES["45 degrees about x"]
TURNS = {  # spacing and columns of cosines, which stored axes become z, y and x, and which of these run against them
    # columns run to the back and a little down, rows down and a little to the front, slices to the right
    "the nearest axes": ((1.0, 1.0, 1.0), (0, 0, -1.0, C, -S, 0, -S, -C, 0), (1, 2, 0), (True, False, True)),
    "slices between axial and coronal": ((6.0, 1.375, 1.375), BETWEEN, (0, 1, 2), (True, True, False)),
    "no slices to keep: the nearest by 0.72 against 0.69": (EVEN, BETWEEN, (1, 0, 2), (True, False, False)),
    "thick slices at 45 degrees": ((6.0, 1.0, 1.0), BETWEEN_TWO, (0, 1, 2), (False, False, False)),
    "thick rows at 45 degrees": ((1.0, 6.0, 1.0), BETWEEN_TWO, (1, 0, 2), (False, True, False)),
    # of the two lines between top and back the one on which both rise together: the file's y, (0, H, H), not its z
    "no slices at 45 degrees": (EVEN, BETWEEN_TWO, (1, 0, 2), (False, True, False)),
}


@pytest.mark.parametrize("noise", [-1e-9, 1e-9])
@pytest.mark.parametrize("name", TURNS)
def test_which_axis_becomes_which(name, noise):
    spacing_mm, direction, axes, reversed_ = TURNS[name]
    noisy = np.array(direction) + noise * np.array((0, 0, 0, 0, 1, -1, 0, -1, 0))
    turn = turn_to_canonical(Grid((3, 4, 5), spacing_mm, (0, 0, 0), tuple(noisy)))
    assert (turn.axes, turn.reversed) == (axes, reversed_)


def test_48_storages_get_one_mask_voxel_for_voxel(tmp_path):
    """Of two networks that tell every axis and direction apart, with a decision that smooths over millimetres."""
    folder = save_ensemble(tmp_path / "uneven", random_network(1), random_network(2))
    save_decision(folder, stump("logit_smooth_6mm", -1, 0.2, 0.7, Calibration(0.0, 1.0, 1.0)), {})
    predictor, oblique = Predictor(load(folder)), rotation(np.random.default_rng(3))
    adc, zadc = (image_of(voxels, SLICES, oblique) for voxels in random_maps())
    numbers = image_of(np.arange(7 * 15 * 12, dtype=np.int32).reshape(7, 15, 12), SLICES, oblique)
    answers = []
    for a, z, n in zip(*map(storages, (adc, zadc, numbers)), strict=True):
        maps = (Volume(sitk.GetArrayFromImage(image), grid_of(image), Path("x.mha")) for image in (a, z))
        found, order = segment_canonical(Case(*maps), predictor), np.argsort(sitk.GetArrayFromImage(n), axis=None)
        answers.append([values.ravel()[order] for values in (found.mask, found.probabilities)])
    assert 0 < answers[0][0].sum() < answers[0][0].size
    for answer in answers[1:]:
        for one, first in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(one, first)
    adc, zadc = random_maps()
    straight = predictor.mask(adc, zadc, (2.0, 2.0, 2.0))
    for axis in range(3):  # otherwise all this would show nothing
        flipped = predictor.mask(np.flip(adc, axis), np.flip(zadc, axis), (2.0, 2.0, 2.0))
        assert (np.flip(flipped, axis) != straight).any()


def test_a_volume_of_one_slice_is_brought_into_another_order():
    """The slice's own axis has no second voxel that tells its direction."""
    voxels = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    adc = Volume(
        voxels, Grid(voxels.shape, (3.0, 1.5, 1.0), (7.0, -2.0, 5.0), tuple(np.eye(3).ravel().tolist())), Path("adc.mha")
    )
    turned = Grid(voxels.shape, (3.0, 1.5, 1.0), (7.0 + 4, -2.0, 5.0), (-1, 0, 0, 0, 1, 0, 0, 0, 1))
    found = reordered(adc, Volume(voxels[..., ::-1].copy(), turned, Path("zadc.mha")))
    np.testing.assert_array_equal(found.voxels, voxels)
    np.testing.assert_allclose(found.grid.direction, adc.grid.direction)
    assert found.grid.origin_mm == adc.grid.origin_mm
