"""A case whose mask a reader finished: the review checked against scan and draft, and what the results say of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import model
from model.errors import UserError
from model.images.components import largest_first
from model.images.grid import ORDER, difference
from model.lesions.certainty import NOT_FITTED
from model.report.results import CHANCE, REVIEW, describe, voxel_digest
from model.reviews.find import PAGE, REVIEWED
from model.reviews.masks import read_mask
from model.reviews.review_file import Review, ReviewedLesion, mask_digest, read_review

if TYPE_CHECKING:
    from model.images.case import Case
    from model.networks.predict import Segmentation as Answer
    from model.reviews.find import GivenReview
    from model.segmenter import Segmentation

OF_DRAFT = ("lesion_volume_ml", "lesion_share_of_brain", "lesions", CHANCE, "expected_dice", "lesion_list")


class RefusedReview(UserError):
    """A review that does not fit the case."""


@dataclass(frozen=True, eq=False)
class Draft:
    """What a reader began with, and the review, whose mask lies in the brain, on the case's grid."""

    answer: Answer
    review: Review


def read_given(given: GivenReview, case: Case) -> Review:
    """A review of this case's scan; that of a mask has no lesions yet, see `with_review`. Raises RefusedReview."""
    try:
        return _of_page(given, case) if given.kind == PAGE else _of_mask(given, case)
    except UserError as error:
        raise RefusedReview(str(error)) from None


def _of_page(given: GivenReview, case: Case) -> Review:
    review = read_review(given.path)
    if review.adc_voxels_sha256 != voxel_digest(case):
        raise UserError(
            f"{given.path}: a review of another scan, or with another brain mask, expected one of {case.adc.path}"
        )
    if name := difference(review.grid, case.grid):
        raise UserError(f"{given.path} and {case.adc.path} are not on one grid: {name} ({ORDER[name]}) differs")
    return replace(review, grid=case.grid)


def _of_mask(given: GivenReview, case: Case) -> Review:
    scan = voxel_digest(case)
    if given.scan not in ("", scan):  # a mask does not say itself which scan it is of
        raise UserError(
            f"{given.path}: was taken for another scan, or with another brain mask, than {case.adc.path} is now; expected a"
            " mask that was made since, or the case's results moved away, if it fits"
        )
    mask, sha256 = read_mask(given.path, case)
    return Review(
        case="",
        time=given.time,
        software=model.__version__,
        adc_sha256=case.adc.sha256,
        adc_voxels_sha256=scan,
        grid=case.grid,
        mask=mask,
        sha256=sha256,
    )


def with_review(drafted: Segmentation, review: Review, given: GivenReview, name: str) -> tuple[Segmentation, Draft]:
    """The segmentation with the reviewed mask, and results that describe it, beside what it began with.

    name: of the case. Voxels outside the brain are left out, with a warning. Raises RefusedReview where the review is of
    another draft.
    """
    draft, case = drafted.mask, drafted.case
    numbers = largest_first(draft)
    digest, lesions = mask_digest(draft), int(numbers.max())
    if given.kind == PAGE and (review.draft_sha256 != digest or len(review.lesions) != lesions):
        before, now = (review.weights or "not known", review.software), (drafted.results["weights"], model.__version__)
        other = f"by weights {before[0]} and version {before[1]}, expected one of the draft by {now[0]} and {now[1]}"
        which = "that was made on another device or with other options" if before == now else other
        raise RefusedReview(
            f"{given.path}: a review of a draft {which};"
            f" {name}{REVIEWED}.nii.gz of the same page, given instead, takes the mask itself"
        )
    mask = review.mask & case.brain
    changes = changes_of(numbers, mask)
    said = _odd(given, review.mask, mask, draft)
    if given.kind != PAGE:
        gone = set(changes["rejected"])
        kept = tuple(ReviewedLesion("reject" if n in gone else "keep", None) for n in range(1, lesions + 1))
        review = replace(review, case=name, weights=drafted.results["weights"], draft_sha256=digest, lesions=kept)
    answer = replace(drafted.answer, mask=mask, certainty=NOT_FITTED)
    results = drafted.results | describe(answer, case)
    results["warnings"] = [*results["warnings"], *said]
    results[REVIEW] = {
        "by": review.initials or None,
        "time": review.time.isoformat(),
        "remark": review.remark,
        "file": given.path.name,
        "sha256": review.sha256,
        "kind": given.kind,
        **changes,
        "undecided": [n for n in review.numbers_of("undecided") if n not in changes["rejected"]],
        "draft": {key: drafted.results[key] for key in OF_DRAFT},
    }
    return replace(drafted, answer=answer, results=results), Draft(drafted.answer, replace(review, mask=mask))


def _odd(given: GivenReview, whole: np.ndarray, mask: np.ndarray, draft: np.ndarray) -> list[str]:
    """Warnings about a reviewed mask: whole, and what of it lies in the brain. Raises RefusedReview: less than half does."""
    all_voxels, voxels = np.count_nonzero(whole), np.count_nonzero(mask)
    outside = all_voxels - voxels
    found = f"{outside} of {all_voxels} voxel(s) of the reviewed mask lie outside the brain (ADC above 0)"
    if voxels < outside:
        raise RefusedReview(f"{given.path}: {found}, expected a mask of this scan")
    apart = given.kind != PAGE and voxels and draft.any() and not (mask & draft).any()
    said = {
        f"{found} and were left out.": outside,
        "The reviewed mask shares no voxel with the draft: it may be of another scan.": apart,
    }
    return [words for words, holds in said.items() if holds]


def changes_of(numbers: np.ndarray, mask: np.ndarray) -> dict:
    """What a reader changed. numbers: (z, y, x), of the draft's lesions, 0 outside; mask: boolean, the reviewed one.

    `rejected` are lesions of the draft without a voxel left, `changed` those of which what is left has other voxels,
    `added` counts the lesions without a voxel of the draft. `dice_with_draft` of two empty masks is 1.
    """
    parts = largest_first(mask)
    sizes, part_sizes = np.bincount(numbers.ravel()), np.bincount(parts.ravel())
    left = np.bincount(numbers[mask], minlength=len(sizes))
    touching = np.unique(np.stack([numbers, parts])[:, mask & (numbers > 0)], axis=1)
    reached = np.bincount(touching[0], part_sizes[touching[1]], minlength=len(sizes))
    lesions = range(1, len(sizes))
    both, all_voxels = left[1:].sum(), sizes[1:].sum() + np.count_nonzero(mask)
    return {
        "rejected": [n for n in lesions if not left[n]],
        "changed": [n for n in lesions if left[n] and not left[n] == sizes[n] == reached[n]],
        "added": len(part_sizes) - 1 - len(np.unique(touching[1])),
        "dice_with_draft": round(float(2 * both / all_voxels), 4) if all_voxels else 1.0,
    }
