"""The pages of reviewed cases: the numbers are the reviewed mask's, and the viewer begins with the review."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page
from report_helpers import Tags, found_in, phantom_case, results_of, wait_for_viewer

from model.report.case_page import write_report
from model.report.folder_page import write_index
from model.reviews.find import MASK, PAGE, GivenReview
from model.reviews.review_file import AddedRegion, Review, ReviewedLesion, read_review
from model.run.reviewed import Draft, with_review
from model.segmenter import Segmentation

HOSTILE = "</script><script>document.title='x'</script>"
TIME = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def drafted() -> Segmentation:
    """The invented case with its label as the draft."""
    case, label = phantom_case()
    case = replace(case, adc=replace(case.adc, sha256="a" * 64))
    return Segmentation(case, found_in(case, label), results_of(case, label))


def reviewed(drafted: Segmentation, kind: str) -> tuple[Segmentation, Draft, np.ndarray]:
    """Without the largest lesion, with a box elsewhere in the brain; and the mask that was asked for."""
    mask = drafted.mask.copy()
    numbers = [np.rint(drafted.case.grid.to_index(lesion["inside_mm"])) for lesion in drafted.lesions]
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    mask[labels == labels[tuple(numbers[0].astype(int))]] = False
    free = np.argwhere(ndimage.binary_erosion(drafted.case.brain & ~drafted.mask, iterations=3))[0]
    mask[tuple(slice(n - 1, n + 2) for n in free)] = True
    review = Review(
        case="baby",
        time=TIME,
        initials=HOSTILE[:20] if kind == PAGE else "",
        remark=HOSTILE if kind == PAGE else "",
        software="1",
        weights="w",
        adc_sha256="",
        adc_voxels_sha256="0" * 64,
        draft_sha256="",
        grid=drafted.case.grid,
        size=0,
        lesions=(),
        added=(),
        mask=mask,
        sha256="b" * 64,
    )
    from model.report.results import voxel_digest
    from model.reviews.review_file import mask_digest

    decisions = ("reject", *["keep"] * (len(drafted.lesions) - 1))
    review = replace(review, adc_voxels_sha256=voxel_digest(drafted.case))
    if kind == PAGE:
        lesions = tuple(ReviewedLesion(decision, None) for decision in decisions)
        review = replace(review, draft_sha256=mask_digest(drafted.mask), lesions=lesions)
    return (*with_review(drafted, review, GivenReview(Path("r"), kind, TIME, "b" * 64), "baby"), mask)


@pytest.mark.parametrize("kind", [PAGE, MASK])
def test_a_page_begins_with_the_review_and_saves_the_same_mask(page, tmp_path, drafted, kind):
    segmentation, draft, mask = reviewed(drafted, kind)
    path = tmp_path / "report.html"
    write_report(path, "baby", segmentation.case, segmentation.answer, segmentation.results, draft)
    page.goto(path.as_uri())
    wait_for_viewer(page)
    page.wait_for_selector("#review-notice:has-text('This case was reviewed')")
    ml = mask.sum() * segmentation.case.grid.voxel_mm3 / 1000
    assert page.inner_text("#lesion_volume_ml") == f"{ml:.1f} ml"
    assert page.inner_text("#lesions_number") == str(len(drafted.lesions))  # one went, one came
    assert page.is_hidden("#reviewed-facts")
    assert page.locator("#lesions tbody tr").count() == len(drafted.lesions)
    assert page.locator("#lesions tbody tr[data-decision=reject]").count() == 1
    again = saved(page, tmp_path)
    assert np.array_equal(again.mask, mask)
    assert again.numbers_of("reject") == (1,)
    if kind == PAGE:
        assert page.inner_text("#reviewed") == f"Mask reviewed: 2026-03-01 12:30+00:00 {HOSTILE[:20]}. Remark: {HOSTILE}"
        assert (page.input_value("#initials"), page.input_value("#remark"), page.title()) == (
            HOSTILE[:20],
            HOSTILE,
            "baby: report",
        )
    page.click("#undo")
    draft_ml = drafted.mask.sum() * segmentation.case.grid.voxel_mm3 / 1000
    assert page.inner_text("#lesion_volume_ml") == f"{draft_ml:.1f} ml"
    assert page.is_visible("#reviewed-facts")
    assert np.array_equal(saved(page, tmp_path).mask, drafted.mask)


def saved(page: Page, folder: Path) -> Review:
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(folder / "saved.json")
    return read_review(folder / "saved.json")


def test_a_review_that_the_page_cannot_show_leaves_the_draft_and_says_so(page, tmp_path, drafted):
    segmentation, draft, _ = reviewed(drafted, PAGE)
    outside = AddedRegion((0, 0, 0), 0)
    draft = replace(draft, review=replace(draft.review, added=(outside,)))
    write_report(tmp_path / "report.html", "baby", segmentation.case, segmentation.answer, segmentation.results, draft)
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    page.wait_for_selector("#review-notice.failed:has-text('cannot be shown here: this is the draft')")
    shown = page.inner_text("#lesion_volume_ml")
    assert shown == f"{segmentation.results['lesion_volume_ml']:.1f} ml"


def test_picture_and_slices_are_of_the_reviewed_mask_and_the_table_of_the_draft(tmp_path, drafted):
    segmentation, draft, mask = reviewed(drafted, MASK)
    write_report(tmp_path / "report.html", "baby", segmentation.case, segmentation.answer, segmentation.results, draft)
    tags = Tags(tmp_path / "report.html")
    figures = [a["id"] for tag, a in tags.elements if tag == "figure"]
    assert figures == [f"slice-{index + 1}" for index in np.flatnonzero(mask.any((1, 2)))]
    picture = next(a["alt"] for _, a in tags.elements if a.get("id") == "key-slice")
    assert picture.startswith(f"Slice {int(mask.sum((1, 2)).argmax()) + 1} of ")
    assert sum("data-mm" in a for _, a in tags.elements) == len(drafted.lesions)


def test_the_index_counts_what_is_reviewed_and_shows_what_is_not(page, tmp_path, drafted):
    segmentation, _, _ = reviewed(drafted, PAGE)
    part = segmentation.results | {"review": segmentation.results["review"] | {"undecided": [2]}}
    results = {"a": segmentation.results, "b": drafted.results, "c": None, "d": part}
    entries = [
        {"case": name, "status": "done" if found else "failed", "reason": "", "results": found, "report": None}
        for name, found in results.items()
    ]
    write_index(tmp_path / "index.html", entries)
    page.goto((tmp_path / "index.html").as_uri())
    assert page.inner_text("#totals").endswith("1 of 3 reviewed.")
    badges = page.locator(".badge.reviewed")
    titles = [badge.get_attribute("title") for badge in badges.all()]
    assert titles == [f"2026-03-01 12:30+00:00 {HOSTILE[:20]}", f"2026-03-01 12:30+00:00 {HOSTILE[:20]} (1 undecided)"]
    rows = page.locator("#cases tbody tr:visible th")
    assert rows.all_inner_texts() == ["c", "a reviewed", "b", "d reviewed in part"]
    page.check("#to-review")
    assert (rows.all_inner_texts(), page.inner_text("#shown")) == (["b", "d reviewed in part"], "2 of 4 shown")
    page.fill("#filter", "a")
    assert (rows.all_inner_texts(), page.inner_text("#shown")) == ([], "0 of 4 shown")
    page.uncheck("#to-review")
    assert rows.all_inner_texts() == ["a reviewed"]
    write_index(tmp_path / "index.html", entries[1:3])
    assert "to-review" not in {a.get("id") for _, a in Tags(tmp_path / "index.html").elements}
    assert json.dumps(HOSTILE) not in (tmp_path / "index.html").read_text(encoding="utf-8")
