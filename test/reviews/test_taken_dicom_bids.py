"""Reviews of cases that come as DICOM or as BIDS, and segmentations in DICOM as reviews."""

import itertools
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from bids_helpers import describe, errors_of, write_session
from dicom_phantom import ROOT, write_series
from folder_helpers import summary
from inference_helpers import GRID, LESIONS, arguments, files_below, small_maps
from phantom import write_image
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless
from review_helpers import OTHER, mask_of, results_of, review_of, write_mask, write_review

from model.errors import UserError
from model.images.case import read_case
from model.images.volume import read_volume
from model.reviews import masks
from model.reviews.masks import read_mask

FIRST, SECOND = LESIONS
KEPT = mask_of(FIRST, OTHER)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A case whose ADC map is a DICOM series; its Z map is none."""
    adc, zadc = small_maps()
    write_series(tmp_path / "scans" / "baby", np.maximum(adc, 0), GRID, seed=1)
    write_image(zadc, GRID, tmp_path / "scans" / "baby" / "zmap.nii.gz")
    return tmp_path / "scans"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of reviews."""
    (tmp_path / "reviews").mkdir()
    return tmp_path / "reviews"


@pytest.fixture
def take(go, scans, folder):
    """Runs the case with the folder of reviews; returns exit code, stdout and the last line of stderr."""
    return lambda *words: go(scans, "--reviews", str(folder), *words)


def images_of(scans: Path) -> list[pydicom.Dataset]:
    """Of the ADC series, in the order of its slices on GRID."""
    along = np.reshape(GRID.direction, (3, 3))[:, 2]
    images = [pydicom.dcmread(path) for path in sorted((scans / "baby").glob("IM*"))]
    return sorted(images, key=lambda image: float(along @ np.array(image.ImagePositionPatient, float)))


def as_segmentation(images: list[pydicom.Dataset], mask: np.ndarray, path: Path, **changes: object) -> pydicom.Dataset:
    """Write a mask as others would: highdicom places it by its source images, in reverse order, without empty frames."""
    labels = mask.astype(np.uint8)
    segments = [
        hd.seg.SegmentDescription(
            number, f"Jane Doe {number}", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "MANUAL"
        )
        for number in range(1, max(2, int(labels.max()) + 1))
    ]
    found = hd.seg.Segmentation(
        **{
            "source_images": images[::-1],
            "pixel_array": labels[::-1],
            "segmentation_type": "BINARY",
            "segment_descriptions": segments,
            "series_instance_uid": ROOT + "77",
            "series_number": 7,
            "sop_instance_uid": ROOT + "77.1",
            "instance_number": 1,
            "manufacturer": "other",
            "manufacturer_model_name": "other",
            "software_versions": "1",
            "device_serial_number": "1",
        }
        | changes
    )
    found.save_as(path)
    return found


def points(path: Path) -> list[tuple[float, ...]]:
    """Where the voxels of a segmentation lie in mm, rounded, as highdicom says."""
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    places = np.argwhere(volume.array)
    return sorted(map(tuple, volume.map_indices_to_reference(places).round(2).tolist())) if len(places) else []


def expected_points(mask: np.ndarray) -> list[tuple[float, ...]]:
    return sorted(tuple(np.round(GRID.to_mm(place), 2).tolist()) for place in np.argwhere(mask))


def test_the_dicom_objects_follow_a_review(go, scans, folder, take, output):
    assert go(scans, "--report")[0] == 0
    before = {name: pydicom.dcmread(output / "baby" / name) for name in ("lesions.dcm", "report.dcm")}
    write_review(folder / "baby.review.json", review_of(results_of(output / "baby"), "baby", KEPT, initials="Ü·B^=\\"))
    assert take()[0] == 0
    written = ["lesions-draft.nii.gz", "lesions.dcm", "lesions.nii.gz", "report.dcm", "report.html", "results.json"]
    assert files_below(output / "baby") == written
    assert points(output / "baby" / "lesions.dcm") == expected_points(KEPT)
    found = hd.seg.segread(output / "baby" / "lesions.dcm")
    segment = found.get_segment_description(1)
    assert segment.algorithm_type == hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC
    assert segment.algorithm_identification.parameters["review"] == results_of(output / "baby")["review"]["sha256"]
    assert (found.ContentCreatorName, "reviewed" in found.ContentDescription) == ("UB", True)
    for name, draft in before.items():
        after = pydicom.dcmread(output / "baby" / name)
        assert (after.SeriesInstanceUID, after.SOPInstanceUID) != (draft.SeriesInstanceUID, draft.SOPInstanceUID)
        assert after.SOPInstanceUID != draft.SOPInstanceUID
    require_standard(output / "baby" / "lesions.dcm")


def require_standard(path: Path) -> None:
    if program := shutil.which("dciodvfy"):
        done = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize(
    ("mask", "kind", "drafted"),
    [
        (KEPT, "SEMIAUTOMATIC", True),
        (mask_of(OTHER), "MANUAL", True),  # without a voxel of the draft
        (mask_of(), "MANUAL", False),
    ],
    ids=["kept", "other", "empty"],
)
@pytest.mark.parametrize("name", ["baby.dcm", "baby-reviewed.DCM", "baby"])
def test_a_segmentation_in_dicom_becomes_the_mask(go, scans, folder, take, output, mask, kind, drafted, name):
    if drafted:
        assert go(scans)[0] == 0
    omit = bool(mask.any())
    as_segmentation(images_of(scans), mask, folder / name, omit_empty_frames=omit)
    code, _, error = take()
    assert (code, error) == (0, "")
    assert np.array_equal(read_volume(output / "baby" / "lesions.nii.gz").voxels == 1, mask)
    assert points(output / "baby" / "lesions.dcm") == expected_points(mask)
    segment = hd.seg.segread(output / "baby" / "lesions.dcm").get_segment_description(1)
    assert (segment.algorithm_type.value, segment.algorithm_identification is None) == (kind, kind == "MANUAL")
    assert not pydicom.dcmread(output / "baby" / "lesions.dcm").get("ContentCreatorName")
    require_standard(output / "baby" / "lesions.dcm")
    assert take()[0] == 0
    assert summary(output)["baby"]["status"] == "done before"


def test_a_segmentation_in_another_plane_lies_where_it_says(go, scans, folder, take, output):
    """Sagittal frames, from the patient's other side; placed by highdicom."""
    images = images_of(scans)
    as_segmentation(images, KEPT, folder / "axial.dcm")
    axial = hd.seg.segread(folder / "axial.dcm").get_volume(combine_segments=True)
    (folder / "axial.dcm").unlink()
    sagittal = axial.permute_spatial_axes([2, 0, 1]).flip_spatial(0)
    assert sagittal.spatial_shape == (12, 3, 15)  # columns, the slices from first to last lesion, rows
    as_segmentation(images, KEPT, folder / "baby.dcm", pixel_array=sagittal)
    assert take()[0] == 0
    assert np.array_equal(read_volume(output / "baby" / "lesions.nii.gz").voxels == 1, KEPT)


@pytest.mark.parametrize("slices", [(3,), (1, 3), (1, 3, 4), (0, 3)])
def test_a_segmentation_that_does_not_say_how_far_its_slices_lie_apart(scans, folder, slices):
    """On one slice, or on some with others between."""
    mask = mask_of(*[(z, 8 + z, slice(5, 8)) for z in slices])
    found = as_segmentation(images_of(scans), mask, folder / "baby.dcm", omit_empty_frames=True)
    del found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    found.save_as(folder / "baby.dcm")
    read, _ = read_mask(folder / "baby.dcm", read_case(scans / "baby", scans / "baby" / "zmap.nii.gz"))
    assert np.array_equal(read, mask)


def two_segments(scans: Path, path: Path) -> None:
    as_segmentation(images_of(scans), KEPT + mask_of(SECOND) * 2, path)


def fractional(scans: Path, path: Path) -> None:
    more = {"segmentation_type": "FRACTIONAL", "fractional_type": "PROBABILITY", "max_fractional_value": 255}
    as_segmentation(images_of(scans), KEPT, path, **more)


def other_series(scans: Path, path: Path) -> None:
    images = images_of(scans)
    for image in images:
        image.SeriesInstanceUID = ROOT + "9"
    as_segmentation(images, KEPT, path)


def other_steps(scans: Path, path: Path) -> None:
    images = images_of(scans)
    for image in images:
        image.PixelSpacing = [1.3, 0.8]
    as_segmentation(images, KEPT, path)


def moved(columns: float) -> object:
    """Along a row, by so many columns of 0.8 mm."""

    def make(scans: Path, path: Path) -> None:
        images, shift = images_of(scans), 0.8 * columns * np.array(GRID.direction[::3])
        for image in images:
            image.ImagePositionPatient = list(np.array(image.ImagePositionPatient, float) + shift)
        as_segmentation(images, KEPT, path)

    return make


def a_slice(scans: Path, path: Path) -> None:
    shutil.copy(next((scans / "baby").glob("IM*")), path)


def cut_off(scans: Path, path: Path) -> None:
    as_segmentation(images_of(scans), KEPT, path)
    path.write_bytes(path.read_bytes()[:-100])


def compressed(scans: Path, path: Path) -> None:
    more = {"segmentation_type": "FRACTIONAL", "fractional_type": "OCCUPANCY", "transfer_syntax_uid": RLELossless}
    as_segmentation(images_of(scans), KEPT, path, **more)


def of_no_segment(scans: Path, path: Path) -> None:
    found = as_segmentation(images_of(scans), KEPT, path)
    found.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    found.save_as(path)


def far_apart(scans: Path, path: Path) -> None:
    found = as_segmentation(images_of(scans), KEPT, path)
    place = found.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    along = np.reshape(GRID.direction, (3, 3))[:, 2]
    place.ImagePositionPatient = [f"{n:.9g}" for n in np.array(place.ImagePositionPatient, float) + 3e9 * along]
    found.save_as(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (two_segments, "expected one segment, found 2"),
        (fractional, "expected a binary segmentation"),
        (compressed, "is compressed, expected an uncompressed segmentation"),
        (other_series, "expected a segmentation of the case's ADC series"),
        (other_steps, "not on one grid: their voxels have other sizes"),
        (moved(0.5), "lie between the map's"),
        (moved(75), "reaches beyond the ADC map"),
        (a_slice, "cannot be read as a DICOM segmentation"),
        (cut_off, "cannot be read as a DICOM segmentation"),
        (of_no_segment, "has frames of no segment"),
        (far_apart, "its slices are not regular, or more than"),
    ],
)
def test_a_segmentation_that_does_not_fit_is_refused_in_one_line(go, scans, folder, take, output, make, says):
    assert go(scans)[0] == 0
    before = {name: (output / "baby" / name).read_bytes() for name in files_below(output / "baby")}
    make(scans, folder / "baby.dcm")
    code, _, error = take()
    reason = summary(output)["baby"]["reason"]
    assert (code, says in reason, str(folder / "baby.dcm") in error) == (2, True, True), reason
    assert "Doe" not in error + reason
    assert {name: (output / "baby" / name).read_bytes() for name in files_below(output / "baby")} == before


def test_a_damaged_segmentation_is_read_or_refused_in_one_line(scans, folder):
    """Bytes of its header and frames are changed; a mask that is read has the grid's size."""
    case = read_case(scans / "baby", scans / "baby" / "zmap.nii.gz")
    as_segmentation(images_of(scans), KEPT, folder / "whole.dcm")
    whole, rng, refused = (folder / "whole.dcm").read_bytes(), np.random.default_rng(0), []
    for _ in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        (folder / "baby.dcm").write_bytes(data[: rng.integers(len(data) // 2, 2 * len(data))].tobytes())
        try:
            mask, _ = read_mask(folder / "baby.dcm", case)
            assert (mask.shape, mask.dtype) == (GRID.size, bool)
        except UserError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 60
    assert all(words.startswith(str(folder / "baby.dcm")) and "\n" not in words for words in refused)


def test_a_bids_derivative_follows_a_review(main, tmp_path, folder, rule_weights):
    root, output, name = describe(tmp_path / "data"), tmp_path / "output", "sub-01_ses-1"
    write_session(root, name, entities="_run-2")
    write_session(root, "sub-02")
    words = [*arguments(root, output, rule_weights), "--cases", "--bids", "--report"]
    assert main(words) == 0
    case = output / "sub-01" / "ses-1"
    write_review(folder / "any.json", review_of(results_of(case), name, KEPT))
    write_mask(folder / "sub-02-reviewed.nii.gz", mask_of())
    assert main([*words, "--reviews", str(folder)]) == 0
    assert errors_of(output) == []
    stem = f"{name}_run-2_desc-hie"
    images = {f"dwi/{stem}{end}_mask{suffix}" for end in ("", "draft") for suffix in (".json", ".nii.gz")}
    assert set(files_below(case)) == images | {"results.json", "report.html"}
    for end, mask, manual in (("", KEPT, True), ("draft", mask_of(*LESIONS), False)):
        assert np.array_equal(read_volume(case / "dwi" / f"{stem}{end}_mask.nii.gz").voxels == 1, mask)
        assert json.loads((case / "dwi" / f"{stem}{end}_mask.json").read_text())["Manual"] is manual
    assert not read_volume(output / "sub-02" / "dwi" / "sub-02_desc-hie_mask.nii.gz").voxels.any()
    assert main([*words, "--overwrite"]) == 0
    assert {row["status"] for row in summary(output).values()} == {"done before"}


ORDERS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def put_on_grid(voxels: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...], shift: tuple[int, ...] = (0, 0, 0)):
    """A mask on GRID as a segmentation holds it whose axes are in another order, on the grid again."""
    turned = np.flip(voxels.transpose(order), [n for n, sign in enumerate(signs) if sign < 0])
    first, columns = np.array(shift), []
    for axis, sign in zip(order, signs, strict=True):
        step = np.eye(3)[axis] * sign
        columns.append(GRID.to_mm(step) - GRID.to_mm(np.zeros(3)))
        first = first + np.eye(3)[axis] * (GRID.size[axis] - 1 if sign < 0 else 0)
    affine = np.eye(4)
    affine[:3] = np.column_stack([*columns, GRID.to_mm(first)])
    case = SimpleNamespace(grid=GRID, adc=SimpleNamespace(path=Path("adc")))
    return masks._on_grid(turned, affine, Path("a.dcm"), case)


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_a_segmentation_in_any_order_of_its_axes_lies_where_it_was(order, signs):
    voxels = np.random.default_rng(1).random(GRID.size) < 0.3
    np.testing.assert_array_equal(put_on_grid(voxels, order, signs), voxels)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("by", [-1, 1])
def test_a_segmentation_one_voxel_beyond_the_map_is_refused(axis, by):
    shift = tuple(by * (n == axis) for n in range(3))
    with pytest.raises(UserError, match="reaches beyond the ADC map"):
        put_on_grid(np.ones(GRID.size, bool), (0, 1, 2), (1, 1, 1), shift)
