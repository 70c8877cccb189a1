"""The DICOM objects among the files of a run: written beside the mask, recorded, replaced and kept as the others are."""

import json
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, write_series
from folder_helpers import summary
from inference_helpers import GRID, LESION_VOXELS, files_below, small_maps
from phantom import write_image

from model.files import sha256_of
from model.images.volume import read_volume

OBJECTS = ["lesions.dcm", "report.dcm"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A case whose ADC map is a DICOM series; its Z map is none."""
    adc, zadc = small_maps()
    write_series(tmp_path / "scans" / "adc", np.maximum(adc, 0), GRID, seed=1)
    write_image(zadc, GRID, tmp_path / "scans" / "zadc.mha")
    (tmp_path / "scans" / "cases.csv").write_text("case,adc,zadc\nbaby,adc,zadc.mha\n")
    return tmp_path / "scans"


def test_objects_are_written_and_recorded_and_not_done_again(study, output, go, count):
    assert go(study, "--report")[0] == 0
    assert files_below(output / "baby") == ["lesions.dcm", "lesions.nii.gz", "report.dcm", "report.html", "results.json"]
    files = json.loads((output / "baby" / "results.json").read_text())["files"]
    assert [files[name]["sha256"] for name in OBJECTS] == [sha256_of(output / "baby" / name) for name in OBJECTS]
    assert go(study, "--report")[0] == 0
    assert summary(output)["baby"]["status"] == "done before"
    assert len(count) == 1


def test_the_segmentation_marks_the_points_of_the_mask(study, output, go):
    go(study)
    volume = highdicom.seg.segread(output / "baby" / "lesions.dcm").get_volume(combine_segments=True)
    mask = read_volume(output / "baby" / "lesions.nii.gz")
    points = [volume.map_indices_to_reference(place[np.newaxis])[0] for place in np.argwhere(volume.array)]
    expected = [mask.grid.to_mm(place) for place in np.argwhere(mask.voxels)]
    assert len(points) == LESION_VOXELS
    np.testing.assert_allclose(sorted(map(tuple, points)), sorted(map(tuple, expected)), atol=1e-3)


def test_a_run_again_elsewhere_writes_the_same_bytes(study, tmp_path, output, go):
    go(study)
    before = [(output / "baby" / name).read_bytes() for name in OBJECTS]
    output.rename(tmp_path / "other")
    go(study)
    assert [(output / "baby" / name).read_bytes() for name in OBJECTS] == before


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_gone_is_made_again_and_a_changed_one_stays(study, output, go, name):
    go(study)
    before = (output / "baby" / name).read_bytes()
    (output / "baby" / name).unlink()
    assert go(study)[0] == 0
    assert (output / "baby" / name).read_bytes() == before
    (output / "baby" / name).write_bytes(before + b"x")
    code, _, error = go(study)
    assert code == 2
    assert (summary(output)["baby"]["status"], "1 of 1" in error) == ("changed", True)
    assert (output / "baby" / name).read_bytes() == before + b"x"
    assert go(study, "--overwrite")[0] == 0
    assert (output / "baby" / name).read_bytes() == before


def test_objects_go_when_the_case_does_not_come_as_dicom_any_more(study, output, go):
    go(study)
    write_image(small_maps()[0], GRID, study / "adc.nii.gz")
    (study / "cases.csv").write_text("case,adc,zadc\nbaby,adc.nii.gz,zadc.mha\n")
    assert go(study, "--overwrite")[0] == 0
    assert files_below(output / "baby") == ["lesions.nii.gz", "results.json"]


def test_a_series_that_cannot_be_referred_to_is_refused_before_it_is_segmented(study, output, go, count):
    path = sorted((study / "adc").iterdir())[0]
    dataset = pydicom.dcmread(path)
    del dataset.FrameOfReferenceUID
    dataset.save_as(path)
    code, _, _ = go(study)
    row = summary(output)["baby"]
    assert (code, row["status"], count) == (2, "failed", [])
    assert f"{path.parent}: file 1 of 7 by name: expected FrameOfReferenceUID" in row["reason"]
    assert not (output / "baby").exists()


def test_the_patient_is_named_in_the_dicom_objects_alone(study, output, go):
    _, out, error = go(study, "--report", "--format", "mha")
    for name in files_below(output):
        found = [word for word in (NAME, NUMBER, BIRTH) if word.encode() in (output / name).read_bytes()]
        assert len(found) == (3 if Path(name).name in OBJECTS else 0), name
    assert not [word for word in (NAME, NUMBER, BIRTH) if word in out + error]
