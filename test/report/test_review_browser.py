"""A review in a real browser: what is saved is compared with masks that scipy and nibabel make of the same numbers."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import write_series
from nibabel.orientations import apply_orientation, io_orientation
from playwright.sync_api import Browser, Page
from report_helpers import DIRECTIONS, canvas_pixels, open_page, press, results_of, saved, watched_page
from scipy import ndimage

from model.images.case import Case, read_case
from model.images.volume import Grid
from model.lesions.certainty import NOT_FITTED
from model.networks.predict import Segmentation
from model.report.case_page import write_report
from model.report.numbers import percent, volume
from model.report.review_panel import review_about
from model.report.viewer import viewer_box
from model.reviews.review_file import AddedRegion, Review, ReviewedLesion, mask_digest, read_review

TOUCHING = np.ones((3, 3, 3), bool)
SIZE = (14, 40, 36)  # of the whole grid, (z, y, x) to the top, the back and the left
ORIGIN_MM = (-31.25, 12.5, -70.75)
# Cones of probability: centre (z, y, x), height, and the radius in voxels at which it is 0. The draft is what is above 0.4:
# the first three, of which the third lies so near to the first that this one would grow into it.
LARGE, SMALL, FALSE, MISSED = range(4)
CONES = [((6, 14, 24), 0.9, 9), ((9, 29, 12), 0.7, 5), ((6, 14, 14), 0.6, 4), ((11, 32, 30), 0.3, 4)]
DRAWN = (4, 32, 27)  # far from all of them
GRIDS = {  # voxel (x, y, z) in mm, direction, the order (x, y, z) in which the axes are stored, reversed ones, form codes
    "oblique": ((1.5, 1.75, 3.0), "oblique", (0, 1, 2), (False, False, False), (1, 1)),
    "LAS": ((1.5, 1.5, 4.0), "straight", (0, 1, 2), (False, True, False), (2, 0)),
    "anisotropic": ((0.9, 1.3, 5.0), "oblique", (1, 2, 0), (True, False, True), (0, 2)),
    "cropped-box": ((2.0, 1.75, 3.0), "oblique", (0, 2, 1), (True, False, False), (1, 2)),
    "dicom": ((1.5, 1.75, 3.0), "oblique", (0, 1, 2), (False, False, False), None),
}


@dataclass(frozen=True)
class Made:
    """A case, its draft, and where the middle of each cone and DRAWN lie in the stored array."""

    case: Case
    found: Segmentation
    places: list[tuple[int, ...]]
    affine: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """Of each voxel of the viewer, (x, y, z) to the right, the front and the top, its place in the flat array."""
        turn = io_orientation(self.affine)
        numbers, brain = np.arange(self.case.brain.size).reshape(self.case.grid.size), self.case.brain
        numbers, brain = (apply_orientation(voxels.T, turn) for voxels in (numbers, brain))
        ends = [(int(n.min()), int(n.max())) for n in np.nonzero(brain)]
        return numbers[tuple(slice(max(low - 2, 0), high + 3) for low, high in ends)]

    def shown_at(self, place: Sequence[int]) -> list[int]:
        """Where a place of the array lies in the viewer."""
        return np.argwhere(self.shown == np.ravel_multi_index(tuple(place), self.case.grid.size))[0].tolist()


def cone(centre: tuple[int, int, int], height: float, radius: float) -> np.ndarray:
    far = np.linalg.norm(np.moveaxis(np.indices(SIZE), 0, -1) - np.array(centre), axis=-1)
    return np.clip(height * (1 - far / radius), 0, 1)


def make(kind: str, folder: Path) -> Made:
    """The case, stored in one of GRIDS and read as every case is. The cropped box is all brain, the others have air."""
    voxel_mm, direction, order, flips, codes = GRIDS[kind]
    brain = np.ones(SIZE, bool)
    if kind != "cropped-box":
        brain[[0, -1]], brain[:, [0, 1, 2, -1]], brain[..., :4] = False, False, False
    marks = np.zeros(SIZE)
    for number, place in enumerate([*(centre for centre, *_ in CONES), DRAWN], 1):
        marks[place] = number
    adc = np.where(brain, 1200 + np.arange(brain.size).reshape(SIZE) % 97, 0)
    p = np.where(brain, np.max([cone(*values) for values in CONES], axis=0), 0)
    stored = {}
    for name, voxels in {"adc": adc, "zadc": np.where(brain, 0.5 - 8 * p, 0), "p": p, "marks": marks}.items():
        image = sitk.GetImageFromArray(voxels.astype(np.float32))
        image.SetSpacing(voxel_mm)
        image.SetOrigin(ORIGIN_MM)
        image.SetDirection(DIRECTIONS[direction])
        stored[name] = sitk.Flip(sitk.PermuteAxes(image, order), flips)
        sitk.WriteImage(stored[name], str(folder / f"{name}.nii.gz"))
        if codes:
            coded = nibabel.load(folder / f"{name}.nii.gz", mmap=False)
            coded = nibabel.Nifti1Image(coded.get_fdata(dtype=np.float32), coded.affine)
            coded.set_qform(coded.affine, codes[0])
            coded.set_sform(coded.affine, codes[1])
            nibabel.save(coded, folder / f"{name}.nii.gz")
    affine = nibabel.load(folder / "adc.nii.gz").affine
    if codes is None:
        write_series(folder / "adc", adc, Grid(SIZE, voxel_mm[::-1], ORIGIN_MM, DIRECTIONS[direction]))
    case = read_case(folder / ("adc.nii.gz" if codes else "adc"), folder / "zadc.nii.gz", smallest_brain_ml=0)
    probabilities, marks = (sitk.GetArrayFromImage(stored[name]) for name in ("p", "marks"))
    places = [tuple(np.argwhere(marks == number)[0].tolist()) for number in range(1, 6)]
    return Made(case, Segmentation(probabilities > 0.4, probabilities, NOT_FITTED), places, affine)


def reached(start: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    return ndimage.binary_propagation(start, TOUCHING, mask=start | allowed)


def moved(count: int, steps: int) -> int:
    """A probability, in 1/200, whose log odds are lowered by 0.35 for each step."""
    p = count / 200
    return round(200 / (1 + (1 - p) / p * np.exp(0.35 * steps)))


def expected_mask(made: Made, size: int) -> np.ndarray:
    """Without the false lesion, the large one grown, the missed one, DRAWN with its eight neighbours in the axial slice, and
    without the large one's middle. Probabilities are what a byte holds of them, in steps of 1/200."""
    p = np.rint(made.found.probabilities * 200).astype(int)
    draft, brain = made.found.mask, made.case.brain
    labels, _ = ndimage.label(draft, TOUCHING)
    large, small, _ = parts = [labels == labels[made.places[n]] for n in (LARGE, SMALL, FALSE)]
    assert [part.any() and not part.all() for part in parts] == [True] * 3
    free = ~draft & brain
    level = moved(p[draft].min(), size)
    assert (reached(large, brain & (p >= level)) & parts[FALSE]).any(), "nothing would stop it from growing there"
    mask = reached(large, free & (p >= level)) | small
    assert mask.sum() > 1.5 * (large | small).sum()
    seed = np.zeros_like(draft)
    seed[made.places[MISSED]] = True
    mask |= reached(seed, free & (p >= 30))
    x, y, z = made.shown_at(made.places[4])
    mask.ravel()[made.shown[x - 1 : x + 2, y - 1 : y + 2, z].ravel()] = True
    mask[made.places[LARGE]] = False
    return mask


@pytest.mark.parametrize("kind", GRIDS)
def test_voxels_and_header_of_what_the_page_saves_are_those_of_the_adc_map(tmp_path, kind):
    made = make(kind, tmp_path)
    case, mask = made.case, made.found.mask
    block = review_about("baby", case, mask, results_of(case, mask), viewer_box(case, mask))
    about = json.loads(block.partition(">")[2].removesuffix("</script>"))
    places = np.moveaxis(np.indices(made.shown.shape), 0, -1) @ about["place"]["steps"] + about["place"]["first"]
    assert np.array_equal(places, made.shown)
    saved_mask = nibabel.Nifti1Image.from_bytes(base64.b64decode(about["nifti_head"]) + mask.astype(np.uint8).tobytes())
    assert np.array_equal(saved_mask.get_fdata().T, mask)
    assert saved_mask.get_data_dtype() == np.uint8
    assert np.allclose(saved_mask.affine, made.affine, rtol=0, atol=1e-4)
    if kind != "dicom":
        adc = nibabel.load(tmp_path / "adc.nii.gz").header
        forms = ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units")
        for name in forms:
            assert np.array_equal(saved_mask.header[name], adc[name]), name


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return make("anisotropic", tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def report_path(made, tmp_path_factory) -> Path:
    """Lesion 2 is the least sure; of 1 and 3, which are equally sure, 3 is the smaller."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    results = results_of(made.case, made.found.mask)
    for lesion, chance in zip(results["lesion_list"], (0.5, 0.2, 0.5), strict=True):
        lesion["chance_real"] = chance
    write_report(path, "baby <1>", made.case, made.found, results)
    return path


@pytest.fixture(scope="module")
def opened(browser: Browser, report_path: Path) -> Iterator[Page]:
    with watched_page(browser, width=700) as page:  # a small picture is drawn in half the time
        open_page(page, report_path)
        saved(page, report_path.parent).rename(report_path.parent / "draft.json")
        yield page


@pytest.fixture
def review(opened: Page, report_path: Path) -> Page:
    """The page with the draft, as before any decision."""
    open_review(opened, report_path.parent / "draft.json")
    opened.select_option("#brush", "1")
    opened.select_option("#view", "MULTIPLANAR")
    press(opened, "Escape")
    return opened


def open_review(page: Page, path: Path) -> None:
    page.evaluate("document.getElementById('review-notice').textContent = ''")
    page.set_input_files("#review-file", path)
    page.wait_for_selector("#review-notice:has-text('The review was opened')")


def go_to(page: Page, made: Made, place: Sequence[int]) -> None:
    """Put the cross there, with the slider of each plane; the axial one is shown then."""
    for view, index in zip(("SAGITTAL", "CORONAL", "AXIAL"), made.shown_at(place), strict=True):
        page.select_option("#view", view)
        page.fill("#slice", str(index))
    page.focus("#viewer-canvas")


def review_now(page: Page, folder: Path) -> Review:
    return read_review(saved(page, folder))


def test_a_review_is_saved_as_what_was_decided(review, tmp_path, made):
    press(review, "n", "k", "x", *["+"] * 6, "k")  # 2 is the least sure; after a decision the next
    go_to(review, made, made.places[MISSED])
    press(review, "a")
    review.select_option("#brush", "3")
    go_to(review, made, made.places[4])
    press(review, "d")
    review.select_option("#brush", "1")
    go_to(review, made, made.places[LARGE])
    press(review, "e", *["Control+z"] * 4, *["Control+y"] * 4)
    review.fill("#initials", "AB")
    review.fill("#remark", "<b>first</b>\nsecond")
    expected = expected_mask(made, 6)
    path = saved(review, tmp_path)
    assert path.name == "baby _1_.review.json"
    found = read_review(path)
    assert np.array_equal(found.mask, expected)
    assert found.lesions == (ReviewedLesion("keep", 6), ReviewedLesion("keep", None), ReviewedLesion("reject", None))
    assert found.added == (AddedRegion(made.places[MISSED], 0),)
    assert (found.case, found.initials, found.remark) == ("baby <1>", "AB", "<b>first</b>\nsecond")
    assert found.grid == made.case.grid
    assert (found.adc_sha256, found.draft_sha256) == (made.case.adc.sha256, mask_digest(made.found.mask))
    mask = nibabel.load(saved(review, tmp_path, "#save-mask"))
    assert np.array_equal(mask.get_fdata().T, expected)


@pytest.mark.usefixtures("opened")
def test_a_saved_review_is_gone_on_with_and_unsaved_work_is_asked_about(browser, report_path, tmp_path, made):
    draft = json.loads((report_path.parent / "draft.json").read_text(encoding="utf-8"))
    lesions = [{"decision": decision, "size": size} for decision, size in (("keep", 2), ("reject", None), ("undecided", -1))]
    mask = np.zeros_like(made.found.mask)
    mask[made.places[LARGE]] = mask[made.places[4]] = True
    runs = np.diff(np.flatnonzero(np.diff(mask.ravel().astype(int), prepend=0, append=0)), prepend=0).tolist()
    runs.append(mask.size - sum(runs))
    added = [{"voxel": list(made.places[MISSED]), "size": 1}]
    more = {"initials": "AB", "remark": "<b>first</b>\nsecond", "lesions": lesions, "added": added, "mask": runs}
    (tmp_path / "begun.json").write_text(json.dumps(draft | more), encoding="utf-8")
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    open_page(page, report_path)
    open_review(page, tmp_path / "begun.json")
    assert page.input_value("#remark") == "<b>first</b>\nsecond"
    again = json.loads(saved(page, tmp_path).read_text(encoding="utf-8"))
    assert again | {"time": ""} == draft | more | {"time": ""}
    for change in (lambda: press(page, "n", "k"), lambda: page.fill("#remark", "second")):
        change()
        page.close(run_before_unload=True)
        page.wait_for_timeout(300)
        saved(page, tmp_path)
    assert asked == ["beforeunload"] * 2
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"] * 2
    context.close()


def test_numbers_follow_what_is_decided_and_undo_leads_back_to_the_draft(review, tmp_path, made):
    def facts() -> list[str]:
        return [review.inner_text(f"#{key}") for key in ("lesion_volume_ml", "lesion_share_of_brain", "lesions_number")]

    results = results_of(made.case, made.found.mask)
    first, *left = [lesion["volume_ml"] for lesion in results["lesion_list"]]
    brain_ml = made.case.brain.sum() * made.case.grid.voxel_mm3 / 1000
    expected = [[f"{volume(sum(ml))} ml", f"{percent(sum(ml) / brain_ml)} %", str(len(ml))] for ml in ([first, *left], left)]
    assert facts() == expected[0]
    review.click("#lesions tbody tr:nth-child(1) .decision button:has-text('Reject')")
    assert facts() == expected[1]
    assert review.inner_text("#largest") == f"{volume(left[0])} ml"
    assert not review.inner_text("#review-next").startswith("Is lesion")
    assert review.is_visible("#reviewed-facts")
    for size in ("-1", "0", "1"):
        review.fill("#case-size", size)
        review.dispatch_event("#case-size", "change")
    review.click("#no-lesion")
    assert facts() == ["0 ml", "0 %", "0"]
    assert not review_now(review, tmp_path).mask.any()
    press(review, *["Control+z"] * 5)
    assert facts() == expected[0]
    assert np.array_equal(review_now(review, tmp_path).mask, made.found.mask)
    press(review, "Control+Shift+z")
    assert facts()[2] == "2"
    press(review, *["Control+y"] * 9)  # and no further than what was done last
    assert facts() == ["0 ml", "0 %", "0"]
    while review.is_enabled("#undo"):
        press(review, "Control+z")
    press(review, "Control+z")  # nor than the page as it was opened
    assert facts() == expected[0]


def test_the_least_sure_lesion_comes_first(review):
    """By the chance that it is real, of equals the smaller."""
    seen = []
    press(review, "n")
    for _ in range(3):
        words = review.inner_text("#chosen-name").split()
        seen.append((int(words[1]), int(words[-2])))
        press(review, "k")
    assert seen == [(2, 20), (3, 50), (1, 50)]
    assert review.inner_text("#review-next").startswith("All 3 lesions are decided.")


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Over the picture, in shares of its width and height."""
    page.locator("#viewer-canvas").scroll_into_view_if_needed()
    box = page.locator("#viewer-canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=40)
    page.mouse.up()
    page.wait_for_timeout(100)


@pytest.mark.parametrize(("view", "axis"), [("AXIAL", 2), ("CORONAL", 1), ("SAGITTAL", 0)])
def test_pen_and_eraser_draw_in_the_plane_that_is_shown(review, tmp_path, made, view, axis):
    go_to(review, made, made.places[4])
    review.select_option("#view", view)
    review.check("input[name=tool][value=pen]")
    drag(review, (0.25, 0.5), (0.75, 0.5))  # beyond the brain, where nothing is drawn
    drawn = review_now(review, tmp_path).mask & ~made.found.mask
    shown = np.isin(made.shown, np.flatnonzero(drawn))
    place = made.shown_at(made.places[4])
    assert set(np.nonzero(shown)[axis]) == {place[axis]}
    assert np.count_nonzero(shown) == shown.sum(axis=tuple(n for n in range(3) if n != axis)).max() > 3
    assert made.case.brain[drawn].all()
    review.check("input[name=tool][value=eraser]")
    review.select_option("#brush", "5")
    drag(review, (0.25, 0.5), (0.75, 0.5))
    assert not (review_now(review, tmp_path).mask & drawn).any()
    press(review, "Control+z")
    assert np.array_equal(review_now(review, tmp_path).mask & ~made.found.mask, drawn)


def test_slices_between_two_drawn_ones_are_filled(review, tmp_path, made):
    review.select_option("#brush", "5")
    x, y, z = made.shown_at(made.places[4])
    for up in (-1, 3):
        go_to(review, made, np.unravel_index(made.shown[x, y, z + up], made.case.grid.size))
        press(review, "d")
    before = review_now(review, tmp_path).mask
    review.click("#fill-between")
    after = review_now(review, tmp_path).mask
    assert np.array_equal(after & before, before)
    filled = np.isin(made.shown, np.flatnonzero(after & ~before))
    assert (np.unique(np.nonzero(filled)[2]) == [z, z + 1, z + 2]).all()
    assert filled.sum() == 3 * 25


def cross_on_screen(page: Page) -> dict[str, float]:
    """Where the cross is in the picture of one plane: where its two cyan lines meet."""
    pixels = canvas_pixels(page)
    cyan = (pixels[..., 1] > 150) & (pixels[..., 2] > 180) & (pixels[..., 0] < 120)
    return {"x": 8 + int(np.argmax(cyan.sum(axis=0))), "y": 8 + int(np.argmax(cyan.sum(axis=1)))}


def test_a_click_adds_or_says_why_not(review, tmp_path, made):
    review.check("input[name=tool][value=add]")
    outside = np.unravel_index(made.shown[0, 0, 0], made.case.grid.size)
    for place, says in (
        (made.places[4], "No probability of lesion is known here"),
        (made.places[LARGE], "This is lesion 1 of the draft"),
        (outside, "outside the brain"),
    ):
        go_to(review, made, place)
        press(review, "a")
        assert says in review.inner_text("#review-notice")
    go_to(review, made, made.places[MISSED])
    review.locator("#viewer-canvas").click(position=cross_on_screen(review))
    assert review.inner_text("#chosen-name") == "Added by a click"
    added = review_now(review, tmp_path).mask & ~made.found.mask
    assert added[made.places[MISSED]]
    press(review, "-", "-")
    smaller = review_now(review, tmp_path).mask & ~made.found.mask
    assert 0 < smaller.sum() < added.sum()
    assert added[smaller].all()
    review.click("#reject:has-text('Remove')")
    assert np.array_equal(review_now(review, tmp_path).mask, made.found.mask)


def test_what_does_not_belong_to_the_page_is_refused_with_a_sentence(review, report_path, tmp_path, made):
    content = json.loads((report_path.parent / "draft.json").read_text(encoding="utf-8"))
    press(review, "n", "x")
    mask, path = review_now(review, tmp_path).mask, tmp_path / "other.json"
    refused = (
        ({"adc_voxels_sha256": "0" * 64}, "another scan"),
        ({"grid": content["grid"] | {"origin_mm": [0, 0, 0]}}, "stored in another way"),
        ({"draft_sha256": "0" * 64}, "another draft"),
        ({"mask": [5, 5]}, "damaged"),
        ({"mask": [0, int(np.prod(SIZE))]}, "damaged"),
        ({"format_version": 2}, "damaged"),
        ({"lesions": [{"decision": "maybe", "size": None}] * 3}, "damaged"),
        ({"added": [{"voxel": list(made.places[LARGE]), "size": 0}]}, "damaged"),
        ({"remark": 5}, "damaged"),
        (None, "damaged"),
    )
    for changes, says in refused:
        review.evaluate("document.getElementById('review-notice').textContent = ''")
        path.write_text("{" if changes is None else json.dumps(content | changes), encoding="utf-8")
        review.set_input_files("#review-file", path)
        review.wait_for_selector(f"#review-notice:has-text('{says}')")
        assert "not opened" in review.inner_text("#review-notice")
    assert np.array_equal(review_now(review, tmp_path).mask, mask)
    remark = "<img src=x onerror=alert(1)>"
    review.evaluate(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "a.review.json"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        json.dumps(content | {"remark": remark}),
    )
    review.wait_for_selector("#review-notice:has-text('The review was opened')")
    assert review.input_value("#remark") == remark
