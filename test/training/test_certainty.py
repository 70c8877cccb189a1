"""How sure a mask is: what is measured of its lesions, and the fit of the chance that they are real."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from model.images.case import Case
from model.images.grid import Grid, Volume
from model.networks.predict import Segmentation
from model.report.results import describe
from training.data.dataset import PackedCase
from training.lesions.fit_certainty import fit_certainty, marked_lesions, with_nested_chances
from training.lesions.held_out import HeldOut
from training.scores.rows import MarkedLesion

GRID = Grid((3, 5, 6), (4.0, 2.0, 0.5), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))  # 0.004 ml a voxel


def marked_case() -> tuple[HeldOut, np.ndarray, dict[str, np.ndarray]]:
    """A lesion of three voxels, which touch by a corner too, with one that the reader marked; and one of a single voxel."""
    mask = np.zeros(GRID.size, bool)
    mask[0, 1, 1] = mask[1, 2, 2] = mask[1, 2, 3] = mask[2, 4, 5] = True
    label = np.zeros(GRID.size, bool)
    label[1, 2, 3] = label[1, 2, 4] = True
    zadc = -np.arange(90, dtype=np.float32).reshape(GRID.size) / 16
    case = PackedCase("one", np.full(GRID.size, 900, np.float32), zadc, label, GRID.spacing_mm)
    nothing = np.zeros(GRID.size, np.float32)
    return HeldOut(case, 3, nothing, nothing), mask, {"one": np.where(mask, np.float32(0.75), 0)}


def test_the_lesions_of_a_mask_on_paper():
    part, _, answers = marked_case()
    first, second = ((lesion.case, lesion.fold, lesion.number) for lesion in marked_lesions([part], answers))
    assert (first, second) == (("one", 3, 1), ("one", 3, 2))
    found = [(lesion.volume_ml, lesion.marked_share) for lesion in marked_lesions([part], answers)]
    assert found == [pytest.approx((0.012, 1 / 3)), pytest.approx((0.004, 0))]


def test_a_lesion_is_measured_in_training_as_in_results():
    part, mask, answers = marked_case()
    case = Case(*(Volume(voxels, GRID, Path("invented")) for voxels in (part.case.adc, part.case.zadc)))
    said = describe(Segmentation(mask, mask.astype(np.float32)), case)["lesion_list"]
    fitted = marked_lesions([part], answers)
    assert [one["volume_ml"] for one in said] == pytest.approx([one.volume_ml for one in fitted])


def lesions_of(case: str, fold: int, *lesions: tuple[float, float]) -> list[MarkedLesion]:
    """lesions: volume in ml, share that the reader marked."""
    return [MarkedLesion(case, fold, number, *lesion, math.nan) for number, lesion in enumerate(lesions, 1)]


def test_every_case_has_the_same_weight():
    """All lesions look the same: the chance is the mean over the cases of the share that is real, (1 + 1/4) / 2."""
    alike = [*lesions_of("a", 0, (0.5, 0.2)), *lesions_of("b", 0, (0.5, 0.9), *[(0.5, 0.19)] * 3)]
    assert fit_certainty(alike).chance_real(np.array([0.5])) == pytest.approx(5 / 8, abs=1e-3)


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
    small, large = fit_certainty(cohort()).chance_real(np.array([0.01, 10.0]))
    assert small < 0.2 < 0.8 < large


@pytest.mark.parametrize("fold", range(5))
def test_no_lesion_has_a_say_in_the_chances_of_its_own_fold(fold):
    lesions = cohort()
    other = [dataclasses.replace(one, marked_share=1 - one.marked_share) if one.fold == fold else one for one in lesions]
    before, after = ({one.number: one for one in with_nested_chances(some) if one.fold == fold} for some in (lesions, other))
    assert [one.chance_real for one in before.values()] == [one.chance_real for one in after.values()]
    elsewhere = [[one.chance_real for one in with_nested_chances(some) if one.fold != fold] for some in (lesions, other)]
    assert elsewhere[0] != elsewhere[1]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_lesions_are_real_or_none_there_is_nothing_to_fit(share):
    lesions = [*lesions_of("a", 0, (0.5, share)), *lesions_of("b", 1, (0.1, share))]
    assert fit_certainty(lesions).chance_real(np.ones(1)) is None
    assert all(math.isnan(one.chance_real) for one in with_nested_chances(lesions))
