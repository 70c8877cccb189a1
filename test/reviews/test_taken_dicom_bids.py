"""Reviews of cases that come as DICOM or as BIDS, and segmentations in DICOM as reviews."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from bids_helpers import describe, errors_of, write_session
from dicom_phantom import ROOT, write_series
from folder_helpers import summary
from inference_helpers import GRID, LESIONS, arguments, files_below, results_of, small_maps
from phantom import write_image
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless
from review_helpers import OTHER, mask_of, review_of, write_mask, write_review

from model.errors import UserError
from model.images.case import Case, read_case
from model.images.volume import read_volume
from model.reviews.masks import read_mask

KEPT = mask_of(LESIONS[0], OTHER)


def write_scans(folder: Path) -> Path:
    """A case whose ADC map is a DICOM series; its Z map is none."""
    adc, zadc = small_maps()
    write_series(folder / "baby", np.maximum(adc, 0), GRID, seed=1)
    write_image(zadc, GRID, folder / "baby" / "zmap.nii.gz")
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_scans(tmp_path / "scans")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The same case, read."""
    folder = write_scans(tmp_path_factory.mktemp("case"))
    return read_case(folder / "baby", folder / "baby" / "zmap.nii.gz")


def images_of(folder: Path) -> list[pydicom.Dataset]:
    """Of the ADC series, in the order of its slices on GRID."""
    along = np.reshape(GRID.direction, (3, 3))[:, 2]
    images = [pydicom.dcmread(path) for path in sorted(folder.glob("IM*"))]
    return sorted(images, key=lambda image: float(along @ np.array(image.ImagePositionPatient, float)))


@pytest.fixture
def images(case) -> list[pydicom.Dataset]:
    return images_of(case.adc.dicom.files[0].parent)


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


def test_the_dicom_objects_follow_a_review(go, good, folder, take, output):
    assert go(good, "--report")[0] == 0
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
    ("name", "mask", "kind", "drafted"),
    [
        ("baby.dcm", KEPT, "SEMIAUTOMATIC", True),
        ("baby-reviewed.DCM", mask_of(OTHER), "MANUAL", True),  # without a voxel of the draft
        ("baby", mask_of(), "MANUAL", False),
    ],
    ids=["kept", "other", "empty"],
)
def test_a_segmentation_in_dicom_becomes_the_mask(go, good, folder, take, output, name, mask, kind, drafted):
    if drafted:
        assert go(good)[0] == 0
    as_segmentation(images_of(good / "baby"), mask, folder / name, omit_empty_frames=bool(mask.any()))
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


def test_a_segmentation_in_another_plane_lies_where_it_says(case, images, tmp_path):
    """Sagittal frames, from the patient's other side; placed by highdicom."""
    as_segmentation(images, KEPT, tmp_path / "axial.dcm")
    sagittal = hd.seg.segread(tmp_path / "axial.dcm").get_volume(combine_segments=True)
    sagittal = sagittal.permute_spatial_axes([2, 0, 1]).flip_spatial(0)
    assert sagittal.spatial_shape == (12, 3, 15)  # columns, the slices from first to last lesion, rows
    as_segmentation(images, KEPT, tmp_path / "a.dcm", pixel_array=sagittal)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.dcm", case)[0], KEPT)


@pytest.mark.parametrize("slices", [(3,), (1, 3), (1, 3, 4), (0, 3)])
def test_a_segmentation_that_does_not_say_how_far_its_slices_lie_apart(case, images, tmp_path, slices):
    """On one slice, or on some with others between."""
    mask = mask_of(*[(z, 8 + z, slice(5, 8)) for z in slices])
    found = as_segmentation(images, mask, tmp_path / "a.dcm", omit_empty_frames=True)
    del found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    found.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.dcm", case)[0], mask)


def two_segments(images: list, path: Path) -> None:
    as_segmentation(images, KEPT + mask_of(LESIONS[1]) * 2, path)


FRACTIONAL = {"segmentation_type": "FRACTIONAL", "fractional_type": "PROBABILITY"}


def made_with(**changes: object) -> Callable:
    return lambda images, path: as_segmentation(images, KEPT, path, **changes)


def with_images(**values: object) -> Callable:
    """Of images whose header says something else."""

    def make(images: list, path: Path) -> None:
        for image in images:
            for name, value in values.items():
                setattr(image, name, value)
        as_segmentation(images, KEPT, path)

    return make


def moved(columns: float) -> Callable:
    """Along a row, by so many columns of 0.8 mm."""

    def make(images: list, path: Path) -> None:
        for image in images:
            place = np.array(image.ImagePositionPatient, float) + 0.8 * columns * np.array(GRID.direction[::3])
            image.ImagePositionPatient = list(place)
        as_segmentation(images, KEPT, path)

    return make


def a_slice(images: list, path: Path) -> None:
    images[0].save_as(path)


def cut_off(images: list, path: Path) -> None:
    as_segmentation(images, KEPT, path)
    path.write_bytes(path.read_bytes()[:-100])


def of_no_segment(images: list, path: Path) -> None:
    found = as_segmentation(images, KEPT, path)
    found.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    found.save_as(path)


def uneven(images: list, path: Path) -> None:
    found = as_segmentation(images, KEPT, path)
    place = found.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    along = np.reshape(GRID.direction, (3, 3))[:, 2]
    place.ImagePositionPatient = [f"{n:.9g}" for n in np.array(place.ImagePositionPatient, float) + along]
    found.save_as(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (two_segments, "expected one segment, found 2"),
        (made_with(**FRACTIONAL, max_fractional_value=255), "expected a binary segmentation"),
        (made_with(**FRACTIONAL, transfer_syntax_uid=RLELossless), "is compressed, expected an uncompressed segmentation"),
        (with_images(SeriesInstanceUID=f"{ROOT}9"), "expected a segmentation of the case's ADC series"),
        (with_images(PixelSpacing=[1.3, 0.8]), "not on one grid: spacing_mm"),
        (moved(0.5), "expected whole numbers"),
        (moved(75), "reaches beyond the ADC map"),
        (a_slice, "cannot be read as a DICOM segmentation"),
        (cut_off, "cannot be read as a DICOM segmentation"),
        (of_no_segment, "has frames of no segment"),
        (uneven, "its slices are not regular"),
    ],
)
def test_a_segmentation_that_does_not_fit_is_refused_in_one_line(case, images, tmp_path, make, says):
    make(images, tmp_path / "baby.dcm")
    with pytest.raises(UserError, match=says) as refused:
        read_mask(tmp_path / "baby.dcm", case)
    assert str(tmp_path / "baby.dcm") in str(refused.value)
    assert "Doe" not in str(refused.value)


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
