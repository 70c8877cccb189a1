"""Maps that are no pair: refused or told with the figure; `test/pair_variants.py` counts over the published cases."""

import dataclasses
import re

import numpy as np
import pytest
from phantom import make_phantom
from test_checks import case

from model.errors import UserError
from model.images.case import Case, require_usable
from model.images.checks import warnings_of
from model.images.pair import better_fit, pair_of
from model.images.volume import Grid

PHANTOM = make_phantom()
ADC, Z, BRAIN = PHANTOM.adc, PHANTOM.zadc, PHANTOM.adc > 0
VOXEL_ML = 3.0 * 1.6 * 1.5 / 1000


def in_brain(values: np.ndarray) -> np.ndarray:
    return np.where(BRAIN, values, 0)


def said(odd: Case) -> str:
    require_usable(odd)
    return " ".join(warnings_of(odd))


def test_the_phantom_is_a_pair():
    assert said(case()) == ""


@pytest.mark.parametrize(
    ("adc", "zadc", "words"),
    [
        (ADC, -Z, "Z falls where ADC rises"),
        (in_brain(4000 * np.exp(-ADC / 1000)), Z, "diffusion-weighted images in place of the ADC map"),
        (ADC, np.abs(Z), "Z is between 0 and 10 in the brain, |Z|, p-values, probabilities or a mask?"),
        (ADC, in_brain(np.exp(-np.abs(Z))), "and 1 in the brain, |Z|, p-values, probabilities or a mask?"),
        (ADC, Z < -2, "Expected the signed Z map, below 0 in lesions, or no file and --estimate-z"),
        (ADC, in_brain(np.full_like(Z, 1.5)), "Z is 1.5 in all of the brain"),
        (ADC, np.zeros_like(Z), "Z is 0 in all of the brain"),
        (ADC, ADC, "are the same image"),
        (Z, ADC, "look swapped"),
        (ADC, np.roll(Z, 44, 1), "do not belong together: only"),
    ],
)
def test_what_makes_no_sense_is_refused_by_both_names(adc, zadc, words):
    with pytest.raises(UserError, match=re.escape(words)) as refusal:
        require_usable(case(adc, zadc))
    assert str(refusal.value).startswith("a.nii and z.nii")
    assert "\n" not in str(refusal.value)


def test_how_far_apart_the_two_lie_is_said():
    """Brains of 40 and 60 slices of one voxel thickness that share 10: a quarter of the smaller one."""
    adc, zadc = np.zeros((120, 12, 12), np.float32), np.zeros((120, 12, 12), np.float32)
    adc[:40] = 1000 + 100 * np.random.default_rng(0).normal(size=(40, 12, 12))
    zadc[30:90] = np.random.default_rng(1).normal(size=(60, 12, 12)) * 3
    assert pair_of(adc, zadc).overlap == 0.25
    with pytest.raises(UserError, match="only 25% of the Z map lies in the brain"):
        require_usable(case(adc, zadc, Grid(adc.shape, (2.0, 2.0, 2.0), (0, 0, 0), PHANTOM.grid.direction)))


@pytest.mark.parametrize(
    ("adc", "zadc", "words"),
    [
        (ADC * 3, Z, f"median ADC is {3 * np.median(ADC[BRAIN]):.0f} in 1e-6 mm2/s, usually 900 to 1600"),
        (ADC * 0.4, Z, f"median ADC is {0.4 * np.median(ADC[BRAIN]):.0f} in"),
        (np.minimum(ADC, 2000), Z, "The ADC map ends at 2000"),
        (ADC, Z[::-1], "flipped top to bottom."),
        (ADC, Z[:, ::-1], "flipped front to back."),
        (ADC, Z[:, :, ::-1], "flipped left to right."),
        (ADC, Z[:, ::-1, ::-1], "flipped front to back and left to right."),
        (ADC, np.roll(Z, 1, 2), "shifted by 1 voxel left to right."),
        (ADC, np.roll(Z, (3, 3), (1, 2)), "is it the Z map of another case"),
        (ADC, np.minimum(Z, 0), "above in 0.0%"),
        (ADC, Z * 0.4, "between -3.2 and 4, usually from below -3 to 10"),
        (ADC, np.clip(Z, -5, 5), "between -5 and 5, usually"),
        (ADC, np.clip(Z * 1.5, -10, 10), "is one of the two maps scaled?"),
        (ADC, in_brain(Z - Z[BRAIN].mean(dtype=float)), "was the mean subtracted?"),
        (ADC, in_brain((ADC - 1500) / 200).clip(-10, 10), "is almost the ADC map itself"),
    ],
)
def test_what_may_be_meant_gets_a_sentence_with_the_figure(adc, zadc, words):
    assert words in said(case(adc, zadc))


def test_lesions_cut_out_of_the_adc_map_are_measured():
    """What is cut out in ml, counted from the label; what the phantom's dark edge adds is counted, too."""
    lesion, edge = PHANTOM.label, (ADC < 0) & (Z != 0)
    sentence = said(case(np.where(lesion, 0, ADC)))
    assert f"values in {np.count_nonzero((lesion & (Z != 0)) | edge) * VOXEL_ML:.2f} ml where ADC is not above 0" in sentence
    assert f"below -2 in {np.count_nonzero((lesion | edge) & (Z < -2)) * VOXEL_ML:.2f} ml" in sentence


def test_a_small_lesion_cut_out_is_noticed():
    """Six voxels: more than the four that are let pass."""
    places = np.argwhere(PHANTOM.label & (Z < -3))[:6]
    adc = ADC.copy()
    adc[tuple(places.T)] = 0
    assert f"below -2 in {6 * VOXEL_ML:.2f} ml" in said(case(adc))


def test_a_hole_in_both_maps_is_measured():
    """A box of 9 x 11 x 11 voxels in the brain's middle."""
    box = np.s_[10:19, 38:49, 30:41]
    assert BRAIN[box].all()
    adc, zadc = ADC.copy(), Z.copy()
    adc[box] = zadc[box] = 0
    before = pair_of(ADC, Z).holes
    assert f"has holes of {(before + 9 * 11 * 11) * VOXEL_ML:.1f} ml" in said(case(adc, zadc))


def test_the_hint_names_the_patients_axes_however_the_case_is_stored():
    """Stored sagittally, from right to left: the file's first axis is the patient's left to right."""
    adc, zadc = (np.ascontiguousarray(voxels.transpose(2, 0, 1)) for voxels in (ADC, Z[:, :, ::-1]))
    cosines = np.reshape(PHANTOM.grid.direction, (3, 3))[:, [1, 2, 0]].ravel()  # columns: the file's x, y and z
    grid = dataclasses.replace(PHANTOM.grid, size=adc.shape, spacing_mm=(1.5, 3.0, 1.6), direction=tuple(cosines.tolist()))
    assert "flipped left to right." in said(case(adc, zadc, grid))


@pytest.mark.parametrize("turns", [1, 3])
def test_what_a_hint_says_undoes_a_quarter_turn(turns):
    """Z turned in the slices, as numpy turns; the flip that is named, after the exchange, brings it back."""
    sides = [(0, 0), (0, 0), (6, 6)]
    adc, zadc = np.pad(ADC, sides), np.pad(Z, sides)
    turned = np.rot90(zadc, turns, (1, 2))
    words, _ = better_fit(adc, np.ascontiguousarray(turned))
    (way,) = (axis for axis in (1, 2) if np.array_equal(np.flip(turned.transpose(0, 2, 1), axis), zadc))
    named = {1: "front to back", 2: "left to right"}[way]
    assert words == f"with rows and columns exchanged and then flipped {named}, which is a quarter turn"


def test_the_detail_is_numpys_correlation():
    """Of all second differences along rows and columns; none is so large that it is cut off."""
    rng = np.random.default_rng(0)
    adc = (1000 + rng.normal(0, 10, (30, 90, 3))).astype(np.float32)
    zadc = rng.normal(0, 0.1, adc.shape).astype(np.float32)
    maps = (adc.astype(float), (zadc + adc / 100).astype(float))
    a, z = (np.concatenate([np.diff(values, 2, axis).ravel() for axis in (1, 2)]) for values in maps)
    pair = pair_of(adc, zadc + adc / 100)
    assert pair.detail == pytest.approx((a @ z) / np.sqrt((a @ a) * (z @ z)), abs=1e-4)
    assert pair.spread == pytest.approx(1000 * np.median(np.abs(z)) / np.median(np.abs(a)), rel=1e-3)


def test_figures_about_a_few_voxels_are_not_drawn():
    adc = np.zeros((9, 20, 20), np.float32)
    adc[2:7, 2:18, 2:18] = 1000  # 1280 voxels
    require_usable(case(adc, adc / 1000, Grid(adc.shape, (2.0, 2.0, 2.0), (0, 0, 0), PHANTOM.grid.direction)))
    assert pair_of(adc, adc / 1000) is None
