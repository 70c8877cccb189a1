"""The pages of reviewed cases: the numbers are the reviewed mask's, and the viewer begins with the review."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from report_helpers import Tags, found_in, open_page, phantom_case, results_of, saved
from scipy import ndimage

from model.lesions.certainty import NOT_FITTED
from model.report.case_page import write_report
from model.report.results import voxel_digest
from model.reviews.find import MASK, PAGE, GivenReview
from model.reviews.review_file import AddedRegion, Review, ReviewedLesion, mask_digest, read_review
from model.run.reviewed import Draft, with_review
from model.segmenter import Segmentation

HOSTILE = "</script><script>document.title='x'</script>"
TIME = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def drafted() -> Segmentation:
    """The invented case with its label as the draft, of weights that do not say which lesions are real."""
    case, label = phantom_case()
    case = replace(case, adc=replace(case.adc, sha256="a" * 64))
    results = results_of(case, label)
    results["lesion_list"] = [lesion | {"chance_real": None} for lesion in results["lesion_list"]]
    return Segmentation(case, replace(found_in(case, label), certainty=NOT_FITTED), results)


def reviewed(drafted: Segmentation, kind: str) -> tuple[Segmentation, Draft, np.ndarray]:
    """Without the largest lesion, with a box elsewhere in the brain; and the mask that was asked for."""
    case, mask = drafted.case, drafted.mask.copy()
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    largest = np.rint(case.grid.to_index(drafted.lesions[0]["inside_mm"])).astype(int)
    mask[labels == labels[tuple(largest)]] = False
    free = np.argwhere(ndimage.binary_erosion(case.brain & ~drafted.mask, iterations=3))[0]
    mask[tuple(slice(n - 1, n + 2) for n in free)] = True
    made = {"case": "baby", "time": TIME, "software": "1", "adc_sha256": "", "adc_voxels_sha256": voxel_digest(case)}
    if kind == PAGE:
        lesions = tuple(ReviewedLesion(decision, None) for decision in ("reject", *["keep"] * (len(drafted.lesions) - 1)))
        made |= {"initials": HOSTILE[:20], "remark": HOSTILE, "draft_sha256": mask_digest(drafted.mask), "lesions": lesions}
    review = Review(**made, grid=case.grid, mask=mask, sha256="b" * 64)
    return (*with_review(drafted, review, GivenReview(Path("r"), kind, TIME, "b" * 64), "baby"), mask)


def written(folder: Path, segmentation: Segmentation, draft: Draft) -> Path:
    path = folder / "report.html"
    write_report(path, "baby", segmentation.case, segmentation.answer, segmentation.results, draft)
    return path


def test_a_page_begins_with_the_review_and_saves_the_same_mask(page, tmp_path, drafted):
    segmentation, draft, mask = reviewed(drafted, PAGE)
    open_page(page, written(tmp_path, segmentation, draft))
    page.wait_for_selector("#review-notice:has-text('This case was reviewed')")
    ml = mask.sum() * segmentation.case.grid.voxel_mm3 / 1000
    assert page.inner_text("#lesion_volume_ml") == f"{ml:.1f} ml"
    assert page.inner_text("#lesions_number") == str(len(drafted.lesions))  # one went, one came
    assert page.is_hidden("#reviewed-facts")
    assert page.inner_text("#review-next").startswith("Saved.")
    assert page.locator("#lesions tbody tr").count() == len(drafted.lesions)
    assert page.locator("#lesions tbody tr[data-decision=reject]").count() == 1
    again = read_review(saved(page, tmp_path))
    assert np.array_equal(again.mask, mask)
    assert again.numbers_of("reject") == (1,)
    assert page.inner_text("#reviewed") == f"Mask reviewed: 2026-03-01 12:30+00:00 {HOSTILE[:20]}. Remark: {HOSTILE}"
    found = page.input_value("#initials"), page.input_value("#remark"), page.title()
    assert found == (HOSTILE[:20], HOSTILE, "baby: report")
    page.click("#undo")
    draft_ml = drafted.mask.sum() * segmentation.case.grid.voxel_mm3 / 1000
    assert page.inner_text("#lesion_volume_ml") == f"{draft_ml:.1f} ml"
    assert page.is_visible("#reviewed-facts")
    assert np.array_equal(read_review(saved(page, tmp_path)).mask, drafted.mask)
    page.click("#lesions tbody tr:nth-child(2) button")
    assert page.inner_text("#chosen-name").startswith("Lesion 2 · ")
    assert "real" not in page.inner_text("#chosen-name")


def test_a_mask_that_was_reviewed_elsewhere_is_told_as_decisions_on_the_draft(drafted):
    _, draft, mask = reviewed(drafted, MASK)
    assert np.array_equal(draft.review.mask, mask)
    assert draft.review.numbers_of("reject") == (1,)
    assert draft.review.draft_sha256 == mask_digest(drafted.mask)


def test_a_review_that_the_page_cannot_show_leaves_the_draft_and_says_so(page, tmp_path, drafted):
    segmentation, draft, _ = reviewed(drafted, PAGE)
    draft = replace(draft, review=replace(draft.review, added=(AddedRegion((0, 0, 0), 0),)))
    open_page(page, written(tmp_path, segmentation, draft))
    page.wait_for_selector("#review-notice.failed:has-text('cannot be shown here: this is the draft')")
    assert page.inner_text("#lesion_volume_ml") == f"{segmentation.results['lesion_volume_ml']:.1f} ml"


def test_picture_and_slices_are_of_the_reviewed_mask_and_the_table_of_the_draft(tmp_path, drafted):
    segmentation, draft, mask = reviewed(drafted, MASK)
    tags = Tags(written(tmp_path, segmentation, draft))
    figures = [a["id"] for tag, a in tags.elements if tag == "figure"]
    assert figures == [f"slice-{index + 1}" for index in np.flatnonzero(mask.any((1, 2)))]
    picture = next(a["alt"] for _, a in tags.elements if a.get("id") == "key-slice")
    assert picture.startswith(f"Slice {int(mask.sum((1, 2)).argmax()) + 1} of ")
    assert sum(a.get("aria-label", "").endswith("show in the viewer") for _, a in tags.elements) == len(drafted.lesions)
