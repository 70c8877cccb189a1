"""The DICOM objects beside a mask, looked at with what others wrote: highdicom, pydicom, dciodvfy of dicom3tools."""

import itertools
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, ROOT, STUDY, Series, change, edited, write_multiframe, write_series
from inference_helpers import GRID, lesion_mask, small_maps
from report_helpers import needs

from model import __version__
from model.errors import UserError
from model.images.case import Case
from model.images.grid import DicomSource
from model.images.volume import Grid, Volume
from model.report.dicom.capture import draw
from model.report.dicom.objects import require_objects, write_objects
from model.report.dicom.source import require_on_grid

RESULTS = {
    "lesion_volume_ml": 0.009,
    "brain_volume_ml": 1.584,
    "lesion_share_of_brain": 3 / 528,
    "lesion_list": [],
    "weights": "0123456789ab",
    "z_map": "given",
}
FREE_TEXT = (  # of patient, study, series, equipment and image
    *("PatientComments", "OtherPatientNames", "StudyDescription", "ReferringPhysicianName", "RequestedProcedureDescription"),
    *("SeriesDescription", "OperatorsName", "InstitutionName", "StationName", "ManufacturerModelName", "ImageComments"),
)
SECRET = "GEHEIM"


def case_of(files: list[Path], frames: tuple[int, ...] = (), grid: Grid = GRID) -> Case:
    adc, zadc = small_maps()
    source = DicomSource(tuple(files), frames)
    return Case(Volume(adc, grid, files[0].parent, dicom=source), Volume(zadc, grid, files[0].parent))


def series_case(folder: Path, **more: object) -> Case:
    """The small case, oblique, its files in another order than its slices."""
    return case_of(write_series(folder, small_maps()[0], GRID, Series(more=more), seed=1))


def multiframe_case(folder: Path) -> Case:
    """The second of two stacks in one file, whose frames are shuffled."""
    other = replace(GRID, origin_mm=(200.0, 0.0, 0.0))
    path = write_multiframe(folder / "all.dcm", [(np.zeros(GRID.size), other), (small_maps()[0], GRID)], seed=1)
    contents = [group.FrameContentSequence[0] for group in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence]
    numbers = {(content.StackID, content.InStackPositionNumber): number for number, content in enumerate(contents, 1)}
    return case_of([path], tuple(numbers["2", z + 1] for z in range(GRID.size[0])))


def written(folder: Path, case: Case, mask: np.ndarray, results: dict = RESULTS) -> tuple[Path, Path]:
    paths = folder / "lesions.dcm", folder / "report.dcm"
    write_objects(*paths, case, mask, results)
    return paths


def slice_grid(z: int) -> Grid:
    return replace(GRID, size=(1, *GRID.size[1:]), origin_mm=tuple(GRID.to_mm(np.array([z, 0, 0]))))


def points_mm(mask: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Where the marked voxels lie in the scanner's space, sorted."""
    return in_order(np.reshape([grid.to_mm(place) for place in np.argwhere(mask)], (-1, 3)))


def in_order(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 2).T)]


def marked_points(path: Path) -> np.ndarray:
    """What highdicom finds marked in a segmentation."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return in_order(volume.map_indices_to_reference(np.argwhere(volume.array).reshape(-1, 3)))


@pytest.fixture(scope="module", params=[series_case, multiframe_case], ids=["series", "multiframe"])
def case(request, tmp_path_factory) -> Case:
    return request.param(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module", params=[False, True], ids=["lesions", "empty"])
def objects(request, case, tmp_path_factory) -> tuple[Case, np.ndarray, Path, Path]:
    mask = lesion_mask() & (not request.param)
    return case, mask, *written(tmp_path_factory.mktemp("objects"), case, mask)


def test_highdicom_reads_the_mask_back_on_the_same_points_and_slices(objects):
    case, mask, path, _ = objects
    np.testing.assert_allclose(marked_points(path), points_mm(mask), atol=1e-3)
    found = highdicom.seg.segread(path)
    np.testing.assert_allclose(found.get_volume(combine_segments=True).spacing, GRID.spacing_mm, rtol=1e-6)
    assert found.number_of_frames == GRID.size[0]
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in case.adc.dicom.files]
    if numbers := case.adc.dicom.frames:
        frames = found.get_pixels_by_source_frame(uids[0], list(numbers), combine_segments=True)
    else:
        frames = found.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(frames > 0, mask)
    assert {item.SeriesInstanceUID for item in found.ReferencedSeriesSequence} == {ROOT + "2"}


def test_what_a_segment_says(objects):
    found = highdicom.seg.segread(objects[2])
    segment = found.get_segment_description(1)
    assert segment.segmented_property_category.value == "49755003"  # SNOMED CT: morphologically abnormal structure
    assert segment.segmented_property_type.value == "52988006"  # lesion
    assert segment.anatomic_regions[0].value == "12738006"  # brain
    assert segment.algorithm_identification.name == "hie-lesions"
    made_with = {"version": __version__, "weights": "0123456789ab", "Z map": "given"}
    assert segment.algorithm_identification.parameters == made_with
    assert "research use, not a medical device" in found.ContentDescription


def test_dciodvfy_finds_no_error(objects):
    needs(shutil.which("dciodvfy"), "dciodvfy is not installed: apt-get install dicom3tools")
    for path in objects[2:]:
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert lines[0] in ("Segmentation", "SCImage")
        assert not [line for line in lines if line.startswith("Error")], lines


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_patient_and_study_are_copied(tmp_path):
    """A UID with a zero in front, too: the standard forbids it, scanners write it, and an archive knows the study by it."""
    more = {"IssuerOfPatientID": "Klinik", "SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müß^Jörg"}
    case = series_case(tmp_path / "scan", **more, StudyInstanceUID=f"{STUDY}.0815")
    for path in written(tmp_path, case, lesion_mask()):
        found = pydicom.dcmread(path)
        assert (str(found.PatientName), found.PatientID, found.IssuerOfPatientID) == ("Müß^Jörg", NUMBER, "Klinik")
        assert (found.PatientBirthDate, found.PatientSex) == (BIRTH, "F")
        assert (found.StudyInstanceUID, found.StudyDate, found.StudyTime) == (f"{STUDY}.0815", "20260203", "101112")
        assert (found.StudyID, found.AccessionNumber) == ("1", "ACC-4711")
        assert found.FrameOfReferenceUID == ROOT + "3" if "FrameOfReferenceUID" in found else found.Modality == "OT"


@pytest.mark.parametrize("made", [series_case, multiframe_case])
def test_nothing_else_of_the_source_is_copied(tmp_path, made):
    case = made(tmp_path / "scan")
    for path in case.adc.dicom.files:
        dataset = pydicom.dcmread(path)
        for name in FREE_TEXT:
            setattr(dataset, name, SECRET)
        dataset.private_block(0x0029, SECRET, create=True).add_new(0x10, "LO", SECRET)
        dataset.add_new(0x00321060, "LO", SECRET)
        groups = dataset.get("PerFrameFunctionalGroupsSequence", [])
        for item in groups:
            item.FrameContentSequence[0].FrameComments = item.PlanePositionSequence[0].ImageComments = SECRET
            item.private_block(0x0029, SECRET, create=True).add_new(0x10, "LO", SECRET)
        dataset.save_as(path)
        assert path.read_bytes().count(SECRET.encode()) > len(FREE_TEXT)
    for path in written(tmp_path, case, lesion_mask()):
        assert SECRET.encode() not in path.read_bytes()
        assert NAME.encode() in path.read_bytes()


def test_odd_identities_stay_as_they_are_and_are_not_told(tmp_path, capfd, recwarn):
    case = series_case(tmp_path / "scan")
    for path in case.adc.dicom.files:
        dataset = pydicom.dcmread(path)
        for name, vr, value in (
            ("PatientBirthDate", "DA", "31.01.2026"),
            ("PatientSex", "CS", "unknown sex, not asked"),
            ("StudyDate", "DA", "2026-02-03"),
            ("PatientID", "LO", "4711" * 20),
        ):
            dataset[name] = pydicom.DataElement(name, vr, value, validation_mode=pydicom.config.IGNORE)
        del dataset.PatientName, dataset.AccessionNumber
        dataset.save_as(path)
    recwarn.clear()
    capfd.readouterr()
    paths = written(tmp_path, case, lesion_mask())
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
    for path in paths:
        found = pydicom.dcmread(path)
        assert found.PatientID == "4711" * 20
        assert found.get_item("PatientSex").value.strip() == b"unknown sex, not asked"
        assert found.get_item("PatientBirthDate").value == b"31.01.2026"
        assert not found.PatientName
        assert found.ContentDate == "19000101"


def test_the_same_input_gives_the_same_bytes_and_another_other_uids(tmp_path):
    case = series_case(tmp_path / "scan")
    variants = {
        "first": (lesion_mask(), RESULTS),
        "again": (lesion_mask(), RESULTS),
        "weights": (lesion_mask(), RESULTS | {"weights": "ba9876543210"}),
        "estimated": (lesion_mask(), RESULTS | {"z_map": "estimated"}),
        "mask": (np.flip(lesion_mask(), 2), RESULTS),
    }
    found: dict[str, list[Path]] = {}
    for name, (mask, results) in variants.items():
        (tmp_path / name).mkdir()
        found[name] = list(written(tmp_path / name, case, mask, results))
    assert [path.read_bytes() for path in found["first"]] == [path.read_bytes() for path in found["again"]]
    headers = [pydicom.dcmread(path) for name in ("first", "weights", "estimated", "mask") for path in found[name]]
    assert len({header.SOPInstanceUID for header in headers}) == len({header.SeriesInstanceUID for header in headers}) == 8


def test_the_picture(objects):
    case, mask, _, path = objects
    picture = pydicom.dcmread(path)
    assert (picture.Modality, picture.SamplesPerPixel, picture.BurnedInAnnotation) == ("OT", 3, "NO")
    assert picture.PatientOrientation == ["L", "P"]  # the viewer's right and bottom
    assert (picture.pixel_array == (255, 225, 0)).all(-1).any() == mask.any()  # the outline
    assert (picture.pixel_array[:30] == 255).any()  # the line with the volume
    sources = {pydicom.dcmread(path).SOPInstanceUID for path in case.adc.dicom.files}
    assert {item.ReferencedSOPInstanceUID for item in picture.SourceImageSequence} == sources


def test_the_picture_of_sagittal_slices(tmp_path):
    """Columns run to the back, rows to the feet, slices to the left."""
    grid = replace(GRID, direction=(0, 0, 1, 1, 0, 0, 0, -1, 0))
    case = case_of(write_series(tmp_path / "scan", small_maps()[0], grid), grid=grid)
    segmentation, picture = written(tmp_path, case, lesion_mask())
    assert pydicom.dcmread(picture).PatientOrientation == ["P", "F"]
    np.testing.assert_allclose(marked_points(segmentation), points_mm(lesion_mask(), grid), atol=1e-3)


def test_the_pictures_slices_stand_in_order_each_adc_beside_its_z_map():
    """Z is 6 (red), -6 (blue) and 0 (white) in the three slices; rows run to the back, columns to the left.

    In the first one the mask is the brain's second row and first column.
    """
    grid = replace(GRID, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    adc = np.where(small_maps()[0] > 0, np.float32(1200), 0)
    zadc = np.zeros_like(adc)
    zadc[2], zadc[3] = 6, -6
    case = Case(*(Volume(voxels, grid, Path("invented")) for voxels in (adc, zadc)))
    pixels = draw(case, lesion_mask(), [], ["a line"]).astype(int)
    r, g, b = np.moveaxis(pixels, -1, 0)
    kinds = {"adc": (r == b) & (abs(r - 128) < 3), "red": r - g > 60, "blue": b - r > 60, "white": (pixels == 247).all(-1)}
    rows, columns = np.nonzero(kinds["red"])
    shown = [kind for x in range(pixels.shape[1]) for kind, there in kinds.items() if there[rows.min() + 1, x]]
    assert [kind for kind, _ in itertools.groupby(shown)] == ["adc", "red", "adc", "blue", "adc", "white"]
    assert (pixels[-28:-8] == 255).all(-1).any()  # a caption, above the gap below
    yellow = (pixels == (255, 225, 0)).all(-1)[:, columns.min() : columns.max() + 1]
    first = [(places - start).min() for places, start in zip(np.nonzero(yellow), (rows.min(), 0), strict=True)]
    assert first == pytest.approx([2 * 1.25, 0], abs=1)  # at 2 pixels a mm


def test_a_file_without_a_preamble_is_referred_to(tmp_path):
    """As old archives write them: without the first 128 bytes and DICM. Plain images may say that they have one frame."""
    case = series_case(tmp_path / "scan", NumberOfFrames=1)
    path = case.adc.dicom.files[2]
    wanted = pydicom.dcmread(path).SOPInstanceUID
    path.write_bytes(path.read_bytes()[132:])
    require_objects(case)
    segmentation, _ = written(tmp_path, case, lesion_mask())
    np.testing.assert_allclose(marked_points(segmentation), points_mm(lesion_mask()), atol=1e-3)
    assert str(wanted) in str(pydicom.dcmread(segmentation))


def put_in(*numbers: int, **tags: object) -> Callable[[tuple[Path, ...]], None]:
    """Changes the files of these slices, all without numbers."""
    return lambda files: [change(files[number], **tags) for number in numbers or range(len(files))]


NOT_REFERRED_TO = [
    (lambda files: files[2].unlink(), "scan: its DICOM files cannot be read again (No such file or directory)"),
    (put_in(2, FrameOfReferenceUID=None), "by name: expected FrameOfReferenceUID of digits and dots, at most 64, to which "),
    *(
        (put_in(**{name: value}), f"by name: expected {name} of digits and dots, at most 64, to which DICOM objects of the")
        for name, value in (("SOPClassUID", NAME), ("StudyInstanceUID", f"{ROOT}.1"), ("SeriesInstanceUID", ROOT + "1" * 64))
    ),
    (put_in(SOPInstanceUID=f"{ROOT}7"), "by name: has the SOPInstanceUID of another file, so no DICOM objects "),
    (put_in(3, FrameOfReferenceUID=f"{ROOT}77"), "scan: expected one FrameOfReferenceUID in the files of a series, found 2"),
    (put_in(SOPClassUID="1.2.3.4"), "scan: '1.2.3.4': no DICOM segmentation could refer"),  # which highdicom does not know
]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
@pytest.mark.parametrize(("spoil", "says"), NOT_REFERRED_TO, ids=lambda value: value[-30:] if isinstance(value, str) else "")
def test_what_no_object_can_refer_to_is_refused_and_no_value_told(tmp_path, spoil, says):
    case = series_case(tmp_path / "scan")
    spoil(case.adc.dicom.files)
    with pytest.raises(UserError) as caught:
        require_objects(case)
    message = str(caught.value)
    assert says in message
    assert not any(value in message for value in (NAME, ROOT, *(path.name for path in case.adc.dicom.files)))


def test_a_frame_whose_place_is_in_the_shared_group_alone(tmp_path):
    """An enhanced file of one slice may have it there."""
    path = write_multiframe(tmp_path / "one.dcm", [(np.ones((1, *GRID.size[1:])), slice_grid(2))])

    def edit(dataset: pydicom.Dataset) -> None:
        dataset.SharedFunctionalGroupsSequence[0].update(dataset.PerFrameFunctionalGroupsSequence[0])
        del dataset.PerFrameFunctionalGroupsSequence

    edited([path], edit)
    source = DicomSource((path,), (1,))
    case = Case(*(Volume(voxels[2:3], slice_grid(2), path, dicom=source) for voxels in small_maps()))
    mask = lesion_mask()[2:3]
    segmentation, _ = written(tmp_path, case, mask)
    np.testing.assert_allclose(marked_points(segmentation), points_mm(mask, slice_grid(2)), atol=1e-3)


def test_several_enhanced_files_are_refused(tmp_path):
    adc = small_maps()[0]
    files = [write_multiframe(tmp_path / f"{z}.dcm", [(adc[[z]], slice_grid(z))]) for z in range(len(adc))]
    with pytest.raises(UserError, match=r": file 1 of 7 by name: one of several enhanced files, to which .* could refer"):
        require_objects(case_of(files))


def test_slices_that_are_not_the_grids_are_refused(tmp_path):
    """In another order, more than half a gap away, or too few."""

    def places(number: int, gaps: float = 0.0) -> list[tuple[float, ...]]:
        return [tuple(GRID.to_mm(np.array([z + gaps, 0, 0]))) for z in range(number)]

    with pytest.raises(ValueError, match="not the slices"):
        require_objects(case_of(list(series_case(tmp_path / "scan").adc.dicom.files[::-1])))
    for gaps in (0.6, -1):
        with pytest.raises(ValueError, match="not the slices"):
            require_on_grid(places(GRID.size[0], gaps), GRID)
    require_on_grid(places(GRID.size[0], 0.4), GRID)
    with pytest.raises(ValueError, match="no position for each"):
        require_on_grid(places(GRID.size[0] - 1), GRID)
