"""A review in a real browser: what is saved is compared with masks that scipy and nibabel make of the same numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import write_series
from nibabel.orientations import apply_orientation, io_orientation
from playwright.sync_api import Page
from report_helpers import DIRECTIONS, phantom_case, results_of, wait_for_viewer, write_phantom_report
from scipy import ndimage

from model.images.case import Case, read_case
from model.images.volume import Grid
from model.networks.predict import Segmentation
from model.report.case_page import write_report
from model.reviews.review_file import AddedRegion, ReviewedLesion, mask_digest, read_review

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
    "anisotropic": ((0.9, 1.3, 5.0), "straight", (1, 2, 0), (True, False, True), (0, 2)),
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
    return Made(case, Segmentation(probabilities > 0.4, probabilities, np.stack([probabilities])), places, affine)


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


def open_case(page: Page, made: Made, path: Path, **more: object) -> None:
    write_report(path, "baby <1>", made.case, made.found, results_of(made.case, made.found.mask) | more)
    page.goto(path.as_uri())
    wait_for_viewer(page)


def go_to(page: Page, made: Made, place: Sequence[int]) -> None:
    """Put the cross there, with the slider of each plane; the axial one is shown then."""
    for view, index in zip(("SAGITTAL", "CORONAL", "AXIAL"), made.shown_at(place), strict=True):
        page.select_option("#view", view)
        page.fill("#slice", str(index))
    page.focus("#viewer-canvas")


def saved(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("kind", GRIDS)
def test_a_review_is_saved_as_what_was_decided(page, tmp_path, kind):
    made = make(kind, tmp_path)
    open_case(page, made, tmp_path / "report.html")
    press(page, "n", "x", "k", *["+"] * 6, "k")  # the smallest first; after a decision the next
    go_to(page, made, made.places[MISSED])
    press(page, "a")
    page.select_option("#brush", "3")
    go_to(page, made, made.places[4])
    press(page, "d")
    page.select_option("#brush", "1")
    go_to(page, made, made.places[LARGE])
    press(page, "e", *["Control+z"] * 4, *["Control+y"] * 4)
    page.fill("#initials", "AB")
    page.fill("#remark", "<b>first</b>\nsecond")
    expected = expected_mask(made, 6)
    path = saved(page, "#save", tmp_path)
    assert path.name == "baby _1_.review.json"
    review = read_review(path)
    assert np.array_equal(review.mask, expected)
    assert review.lesions == (ReviewedLesion("keep", 6), ReviewedLesion("keep", None), ReviewedLesion("reject", None))
    assert review.added == (AddedRegion(made.places[MISSED], 0),)
    assert (review.case, review.initials, review.remark) == ("baby <1>", "AB", "<b>first</b>\nsecond")
    assert review.grid == made.case.grid
    assert (review.adc_sha256, review.draft_sha256) == (made.case.adc.sha256, mask_digest(made.found.mask))
    mask = nibabel.load(saved(page, "#save-mask", tmp_path))
    assert np.array_equal(mask.get_fdata().T, expected)
    assert mask.get_data_dtype() == np.uint8
    assert np.allclose(mask.affine, made.affine, rtol=0, atol=1e-4)
    if kind != "dicom":
        adc = nibabel.load(tmp_path / "adc.nii.gz").header
        for name in (
            "qform_code",
            "sform_code",
            "quatern_b",
            "qoffset_x",
            "srow_x",
            "srow_y",
            "srow_z",
            "pixdim",
            "xyzt_units",
        ):
            assert np.array_equal(mask.header[name], adc[name]), name

    page.reload()
    wait_for_viewer(page)
    page.set_input_files("#review-file", path)
    page.wait_for_selector("#review-notice:has-text('The review was opened')")
    assert page.input_value("#remark") == "<b>first</b>\nsecond"
    again = read_review(saved(page, "#save", tmp_path))
    assert np.array_equal(again.mask, expected)
    assert (again.lesions, again.added, again.initials) == (review.lesions, review.added, "AB")


def mask_now(page: Page, folder: Path) -> np.ndarray:
    return read_review(saved(page, "#save", folder)).mask


def facts(page: Page) -> list[str]:
    return [page.inner_text(f"#{key}") for key in ("lesion_volume_ml", "lesion_share_of_brain", "lesions_number")]


def test_numbers_follow_what_is_decided_and_undo_leads_back_to_the_draft(page, tmp_path):
    case, label = phantom_case()
    results = write_phantom_report(tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    draft = facts(page)
    page.click("#lesions tbody tr:nth-child(1) .decision button:has-text('Reject')")
    left = [lesion["volume_ml"] for lesion in results["lesion_list"][1:]]
    assert facts(page) == [f"{sum(left):.1f} ml", f"{100 * sum(left) / results['brain_volume_ml']:.1f} %", "5"]
    assert page.inner_text("#largest") == f"{left[0]:.1f} ml"
    assert page.inner_text("#review-next").startswith("Is lesion") is False
    for n in range(25):
        page.fill("#case-size", str(n % 3 - 1))
        page.dispatch_event("#case-size", "change")
    assert not page.is_disabled("#undo")
    page.click("#no-lesion")
    assert facts(page) == ["0 ml", "0 %", "0"]
    assert not mask_now(page, tmp_path).any()
    while not page.is_disabled("#undo"):
        page.click("#undo")
    assert facts(page) == draft
    assert np.array_equal(mask_now(page, tmp_path), label)
    assert not page.is_visible("#reviewed-facts")
    press(page, "Control+Shift+z")
    assert facts(page)[2] == "5"
    assert case.brain[label].all()


def test_the_least_sure_lesion_comes_first(page, tmp_path):
    """By the chance that it is real where that is known, else by volume."""
    _, label = phantom_case()
    chances = [0.9, 0.2, 0.8, 0.1, 0.5, 0.7]
    results = results_of(phantom_case()[0], label)
    for known, order in (([None] * 6, [6, 5, 4, 3, 2, 1]), (chances, [4, 2, 5, 6, 3, 1])):
        lesions = [lesion | {"chance_real": chance} for lesion, chance in zip(results["lesion_list"], known, strict=True)]
        write_phantom_report(tmp_path / "report.html", lesion_list=lesions)
        page.goto((tmp_path / "report.html").as_uri())
        wait_for_viewer(page)
        seen = []
        press(page, "n")
        for _ in order:
            seen.append(int(page.inner_text("#chosen-name").split()[1]))
            press(page, "k")
        assert seen == order
        assert ("· real " in page.inner_text("#chosen-name")) == (known is chances)
        assert page.inner_text("#review-next").startswith("All 6 lesions are decided.")
        saved(page, "#save", tmp_path)


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Over the picture, in shares of its width and height."""
    box = page.locator("#viewer-canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()
    page.wait_for_timeout(100)


@pytest.mark.parametrize(("view", "axis"), [("AXIAL", 2), ("CORONAL", 1), ("SAGITTAL", 0)])
def test_pen_and_eraser_draw_in_the_plane_that_is_shown(page, tmp_path, view, axis):
    made = make("oblique", tmp_path)
    open_case(page, made, tmp_path / "report.html")
    go_to(page, made, made.places[4])
    page.select_option("#view", view)
    page.check("input[name=tool][value=pen]")
    drag(page, (0.4, 0.5), (0.6, 0.5))
    drawn = mask_now(page, tmp_path) & ~made.found.mask
    shown = np.isin(made.shown, np.flatnonzero(drawn))
    place = made.shown_at(made.places[4])
    assert set(np.nonzero(shown)[axis]) == {place[axis]}
    assert np.count_nonzero(shown) == shown.sum(axis=tuple(n for n in range(3) if n != axis)).max() > 3
    assert made.case.brain[drawn].all()
    page.check("input[name=tool][value=eraser]")
    page.select_option("#brush", "5")
    drag(page, (0.35, 0.5), (0.65, 0.5))
    assert not (mask_now(page, tmp_path) & drawn).any()
    press(page, "Control+z")
    assert np.array_equal(mask_now(page, tmp_path) & ~made.found.mask, drawn)


def test_slices_between_two_drawn_ones_are_filled(page, tmp_path):
    made = make("oblique", tmp_path)
    open_case(page, made, tmp_path / "report.html")
    page.select_option("#brush", "5")
    for z in (3, 7):
        go_to(page, made, (z, *made.places[4][1:]))
        press(page, "d")
    before = mask_now(page, tmp_path)
    page.click("#fill-between")
    filled = mask_now(page, tmp_path) & ~before
    assert (np.unique(np.nonzero(filled)[0]) == [4, 5, 6]).all()
    assert filled.sum() == 3 * 25
    assert np.array_equal(mask_now(page, tmp_path) & before, before)


def test_a_click_adds_or_says_why_not(page, tmp_path):
    made = make("oblique", tmp_path)
    open_case(page, made, tmp_path / "report.html")
    page.check("input[name=tool][value=add]")
    for place, says in (
        (made.places[4], "No probability of lesion is known here"),
        (made.places[LARGE], "This is lesion 1 of the draft"),
        ((6, 2, 20), "outside the brain"),
    ):
        go_to(page, made, place)
        press(page, "a")
        assert says in page.inner_text("#review-notice")
    go_to(page, made, made.places[MISSED])
    page.locator("#viewer-canvas").click(position=cross_on_screen(page))
    assert page.inner_text("#chosen-name") == "Added by a click"
    added = mask_now(page, tmp_path) & ~made.found.mask
    assert added[made.places[MISSED]]
    press(page, "-", "-")
    smaller = mask_now(page, tmp_path) & ~made.found.mask
    assert 0 < smaller.sum() < added.sum()
    assert added[smaller].all()
    press(page, "x")
    assert np.array_equal(mask_now(page, tmp_path), made.found.mask)


def cross_on_screen(page: Page) -> dict[str, float]:
    """Where the cross is in the picture of one plane: where its two cyan lines meet."""
    from test_report_browser import canvas_pixels

    pixels = canvas_pixels(page)
    cyan = (pixels[..., 1] > 150) & (pixels[..., 2] > 180) & (pixels[..., 0] < 120)
    return {"x": 8 + int(np.argmax(cyan.sum(axis=0))), "y": 8 + int(np.argmax(cyan.sum(axis=1)))}


def test_what_does_not_belong_to_the_page_is_refused_with_a_sentence(page, tmp_path):
    made = make("oblique", tmp_path)
    open_case(page, made, tmp_path / "report.html")
    press(page, "n", "x")
    content = json.loads(saved(page, "#save", tmp_path).read_text(encoding="utf-8"))
    mask = mask_now(page, tmp_path)
    grid = content["grid"]
    refused = (
        ({"adc_voxels_sha256": "0" * 64}, "another scan"),
        ({"grid": grid | {"origin_mm": [0, 0, 0]}}, "stored in another way"),
        ({"draft_sha256": "0" * 64}, "another draft"),
        ({"mask": [5, 5]}, "damaged"),
        ({"mask": [0, int(np.prod(SIZE))]}, "damaged"),
        ({"format_version": 2}, "damaged"),
        ({"lesions": [{"decision": "maybe", "size": None}] * 3}, "damaged"),
        ({"added": [{"voxel": list(made.places[LARGE]), "size": 0}]}, "damaged"),
        ({"remark": 5}, "damaged"),
        (None, "damaged"),
    )
    for number, (changes, says) in enumerate(refused):
        press(page, "n")  # which takes the last notice away
        path = tmp_path / f"{number}.review.json"
        path.write_text("{" if changes is None else json.dumps(content | changes), encoding="utf-8")
        page.set_input_files("#review-file", path)
        page.wait_for_selector(f"#review-notice:has-text('{says}')")
        assert "not opened" in page.inner_text("#review-notice")
    assert np.array_equal(mask_now(page, tmp_path), mask)
    path.write_text(json.dumps(content | {"remark": "<img src=x onerror=alert(1)>"}), encoding="utf-8")
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "a.review.json"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        path.read_text(encoding="utf-8"),
    )
    page.wait_for_selector("#review-notice:has-text('The review was opened')")
    assert page.input_value("#remark") == "<img src=x onerror=alert(1)>"


def test_unsaved_work_is_asked_about(browser, tmp_path):
    write_phantom_report(tmp_path / "report.html")
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto((tmp_path / "report.html").as_uri())
    wait_for_viewer(page)
    press(page, "n")
    page.click("#keep")
    page.close(run_before_unload=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    saved(page, "#save", tmp_path)
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]
    context.close()
