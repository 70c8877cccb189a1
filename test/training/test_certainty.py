"""How sure a mask is: what is measured of its lesions, and the fit of the chance that they are real."""

import dataclasses
import math

import numpy as np
import pytest

from training.data.dataset import PackedCase
from training.data.twins import has_twin, healthy_twin, replaced, sham
from training.lesions.fit_certainty import Marked
from training.lesions.held_out import HeldOut
from training.scores.rows import CASE, SHAM, TWIN, MarkedCase, MarkedLesion, as_frame


def test_the_lesions_of_a_mask_on_paper():
    """One of three voxels, which touch by a corner too, with one that the reader marked; and one of a single voxel."""
    nothing = np.zeros((3, 5, 6), np.float32)
    probabilities, label = nothing.copy(), nothing > 0
    for voxel in ((0, 1, 1), (1, 2, 2), (1, 2, 3), (2, 4, 5)):
        probabilities[voxel] = 0.75
    label[1, 2, 3] = label[1, 2, 4] = True
    case = PackedCase("one", nothing + 900, nothing, label, (4.0, 2.0, 0.75))  # 0.006 ml a voxel
    marked = Marked.of([HeldOut(case, 3, nothing, nothing)], {"one": probabilities})
    assert marked.lesions[["case", "fold", "number"]].to_numpy().tolist() == [["one", 3, 1], ["one", 3, 2]]
    np.testing.assert_allclose(marked.lesions[["volume_ml", "marked_share"]], [(0.018, 1 / 3), (0.006, 0)])


def lesions_of(case: str, fold: int, *lesions: tuple[float, float]) -> list[MarkedLesion]:
    """lesions: volume in ml, share that the reader marked."""
    return [MarkedLesion(case, fold, number, *lesion, math.nan) for number, lesion in enumerate(lesions, 1)]


def marked_of(lesions: list[MarkedLesion], cases: list[MarkedCase] = ()) -> Marked:
    return Marked(as_frame(lesions, MarkedLesion), as_frame(cases, MarkedCase))


def test_every_case_has_the_same_weight():
    """All lesions look the same: the chance is the mean over the cases of the share that is real, (1 + 1/4) / 2."""
    alike = [*lesions_of("a", 0, (0.5, 0.2)), *lesions_of("b", 0, (0.5, 0.9), *[(0.5, 0.19)] * 3)]
    assert marked_of(alike).fit().chance_real(np.array([0.5])) == pytest.approx(5 / 8, abs=1e-3)


def cohort() -> list[MarkedLesion]:
    """Five folds of two cases; large lesions are real more often."""
    rng = np.random.default_rng(0)
    lesions = []
    for number in range(10):
        volumes = 10.0 ** rng.uniform(-2, 1, 12)
        shares = np.where(rng.random(12) < 1 / (1 + np.exp(-2 * np.log10(volumes))), 0.7, 0.1)
        lesions += lesions_of(f"case{number}", number // 2, *zip(volumes.tolist(), shares.tolist(), strict=True))
    return lesions


def test_a_larger_lesion_is_surer():
    small, large = marked_of(cohort()).fit().chance_real(np.array([0.01, 10.0]))
    assert small < 0.2 < 0.8 < large


def made_cases() -> list[MarkedCase]:
    """Of ten cases, each with a twin and a sham: masks of uneven size and number, of which those of twins are smaller."""
    rng = np.random.default_rng(1)
    return [
        MarkedCase(f"case{n}", kind, n // 2, 2.0 * (kind != TWIN), *mask_of(rng, kind == TWIN), math.nan, math.nan)
        for n in range(10)
        for kind in (CASE, TWIN, SHAM)
    ]


def mask_of(rng: np.random.Generator, twin: bool) -> tuple[float, int, float, float]:
    """Volume in ml, lesions, Dice and the expected Dice."""
    expected = rng.uniform(0.2, 0.8)
    return 10 ** rng.normal(-0.5 * twin, 0.5), int(rng.integers(1, 9)), 0.0 if twin else 0.9 * expected, expected


@pytest.mark.parametrize("fold", [0, 3])
def test_nothing_of_a_fold_has_a_say_in_its_own_figures(fold):
    """Its reader says the opposite of everything."""
    marked = marked_of(cohort(), made_cases())
    lesions, cases = marked.lesions.copy(), marked.cases.copy()
    for frame, column, whole in ((lesions, "marked_share", 1), (cases, "true_ml", 2), (cases, "dice", 1)):
        frame.loc[frame["fold"] == fold, column] = whole - frame[column]
    before, after = marked.nested(), Marked(lesions, cases).nested()
    for name, figure in (("lesions", "chance_real"), ("cases", "expected_dice"), ("cases", "chance_of_lesion")):
        same = getattr(before, name)[figure] == getattr(after, name)[figure]
        own = getattr(before, name)["fold"] == fold
        assert same[own].all()
        assert not same[~own].any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_lesions_are_real_or_none_there_is_nothing_to_fit(share):
    lesions = [*lesions_of("a", 0, (0.5, share)), *lesions_of("b", 1, (0.1, share))]
    assert marked_of(lesions).fit().chance_real(np.ones(1)) is None


def test_shams_have_no_say():
    cases = made_cases()
    assert marked_of(cohort(), cases).fit() == marked_of(cohort(), [one for one in cases if one.kind != SHAM]).fit()


def test_twins_have_no_say_in_the_expected_dice():
    cases = made_cases()
    alone = [one for one in cases if one.kind == CASE]
    expected = np.array([0.3, 0.7])
    both, without = (marked_of(cohort(), some).fit().expected_dice(expected) for some in (cases, alone))
    np.testing.assert_array_equal(both, without)
    np.testing.assert_allclose(both, 0.9 * expected, atol=0.02)


def test_half_of_all_brains_have_a_lesion_however_many_twins_there_are():
    """All masks look the same: the chance is 1/2, of 10 cases and 3 twins too."""
    cases = [dataclasses.replace(one, mask_ml=1.0, lesions=3) for one in made_cases()]
    some = [one for one in cases if one.kind == CASE or one.fold == 0]
    chance = marked_of(cohort(), some).fit().chance_of_lesion(np.array(1.0), np.array(3))
    assert chance == pytest.approx(0.5, abs=1e-3)


def test_without_twins_no_chance_of_a_lesion_is_fitted():
    cases = [one for one in made_cases() if one.kind == CASE]
    cases = [dataclasses.replace(one, true_ml=0.0) if one.fold == 0 else one for one in cases]
    assert marked_of(cohort(), cases).fit().chance_of_lesion(np.array(1.0), np.array(3)) is None


# --- twins ---


def brain_with_a_lesion() -> PackedCase:
    """A brain off the middle of the array, of uneven tissue that is the same on both sides, with a lesion on one side."""
    rng = np.random.default_rng(2)
    adc, label = np.zeros((7, 20, 31), np.float32), np.zeros((7, 20, 31), bool)
    half = rng.uniform(900, 1500, (5, 16, 12))
    adc[1:6, 2:18, 3:27] = np.concatenate([half, half[..., ::-1]], axis=2)
    label[3:5, 6:9, 6:10] = True
    zadc = np.where(adc > 0, (adc - 1200) / 200, 0).astype(np.float32)
    zadc[label] -= 4
    adc[label] *= 0.5
    return PackedCase("one", adc, zadc, label, (3.0, 1.25, 1.0))


def test_a_twin_has_no_lesion_and_differs_near_it_alone():
    case = brain_with_a_lesion()
    twin = healthy_twin(case)
    assert has_twin(case)
    assert not twin.label.any()
    np.testing.assert_array_equal(twin.brain, case.brain)
    far = np.ones(case.adc.shape, bool)
    far[1:7, 2:13, 1:15] = False  # 4 mm to all sides: 1, 3 and 4 voxels, and no more
    for name in ("adc", "zadc"):
        np.testing.assert_array_equal(getattr(twin, name)[far], getattr(case, name)[far])
    assert twin.zadc[case.label].min() > -2.5 > case.zadc[case.label].max()
    assert case.label.any()  # the case itself stays as it was


def test_what_replaces_a_lesion_is_the_other_sides_texture_on_the_mean_around():
    """The brain is the same on both sides: what comes from the other side differs by the mean around alone.

    Both maps get it from the same places.
    """
    case = brain_with_a_lesion()
    twin = healthy_twin(case)
    mirrored = case.adc[..., 29 - np.arange(24)]  # about the middle of 3 to 26
    here = case.label[..., :24]
    new, other = twin.adc[..., :24][here], mirrored[here]
    assert np.corrcoef(new, other)[0, 1] > 0.95
    assert new.mean() == pytest.approx(other.mean(), rel=0.05)
    assert np.corrcoef(twin.adc[case.label], twin.zadc[case.label])[0, 1] > 0.95


def test_healthy_tissue_is_replaced_by_such_of_the_same_mean_and_spread():
    case = dataclasses.replace(brain_with_a_lesion(), label=np.zeros((7, 20, 31), bool))
    case.adc[...] = np.where(case.brain, np.random.default_rng(3).normal(1200, 100, case.adc.shape), 0)
    region = np.zeros(case.adc.shape, bool)
    region[2:5, 4:15, 12:18] = True  # across the middle: its other side is in the region too
    new = replaced(case, region).adc[region]
    assert (new.mean(), new.std()) == (pytest.approx(1200, abs=25), pytest.approx(100, abs=15))
    assert np.abs(new - case.adc[region]).mean() > 50


def test_a_sham_leaves_the_lesions_and_replaces_healthy_brain_by_such():
    case = brain_with_a_lesion()
    other = sham(case)
    np.testing.assert_array_equal(other.label, case.label)
    np.testing.assert_array_equal(other.zadc[case.label], case.zadc[case.label])
    changed = other.zadc != case.zadc
    assert changed.sum() > case.label.sum()
    assert other.zadc[changed].min() > -2.5  # nothing of the lesion was copied
    np.testing.assert_array_equal(other.brain, case.brain)


def test_a_twin_has_a_lesion_below_5_percent():
    """Of 1920 voxels of the brain: none, 95 and 96."""
    case = brain_with_a_lesion()
    for count, expected in ((0, False), (95, True), (96, False)):
        label = np.zeros(case.adc.size, bool)
        label[np.flatnonzero(case.brain)[:count]] = True
        assert has_twin(dataclasses.replace(case, label=label.reshape(case.adc.shape))) == expected
