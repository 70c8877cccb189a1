"""The DICOM objects among the files of a run: written beside the mask, recorded, replaced and kept as the others are."""

from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, change, write_series
from folder_helpers import summary
from inference_helpers import GRID, LESION_VOXELS, files_below, results_of, small_maps
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


def test_objects_mark_the_mask_are_recorded_and_alone_name_the_patient(study, output, go):
    code, out, error = go(study, "--report")
    assert code == 0
    assert files_below(output / "baby") == ["lesions.dcm", "lesions.nii.gz", "report.dcm", "report.html", "results.json"]
    files = results_of(output / "baby")["files"]
    assert [files[name]["sha256"] for name in OBJECTS] == [sha256_of(output / "baby" / name) for name in OBJECTS]
    volume = highdicom.seg.segread(output / "baby" / "lesions.dcm").get_volume(combine_segments=True)
    mask = read_volume(output / "baby" / "lesions.nii.gz")
    points = [volume.map_indices_to_reference(place[np.newaxis])[0] for place in np.argwhere(volume.array)]
    expected = [mask.grid.to_mm(place) for place in np.argwhere(mask.voxels)]
    assert len(points) == LESION_VOXELS
    np.testing.assert_allclose(sorted(map(tuple, points)), sorted(map(tuple, expected)), atol=1e-3)
    for name in files_below(output):
        found = [word for word in (NAME, NUMBER, BIRTH) if word.encode() in (output / name).read_bytes()]
        assert len(found) == (3 if Path(name).name in OBJECTS else 0), name
    assert not [word for word in (NAME, NUMBER, BIRTH) if word in out + error]


def test_an_object_that_is_gone_is_made_again_and_a_changed_one_stays(study, output, go, count):
    go(study)
    for path in (output / "baby" / name for name in OBJECTS):
        before = path.read_bytes()
        path.unlink()
        assert go(study)[0] == 0
        assert path.read_bytes() == before
        path.write_bytes(b"x")
        assert go(study)[0] == 2
        assert (summary(output)["baby"]["status"], path.read_bytes()) == ("changed", b"x")
        assert go(study, "--overwrite")[0] == 0
        assert path.read_bytes() == before
    assert go(study)[0] == 0
    assert (summary(output)["baby"]["status"], len(count)) == ("done before", 5)


def test_a_series_that_cannot_be_referred_to_is_refused_before_it_is_segmented(study, output, go, count):
    change(min((study / "adc").iterdir()), FrameOfReferenceUID=None)
    code, _, _ = go(study)
    row = summary(output)["baby"]
    assert (code, row["status"], count) == (2, "failed", [])
    assert f"{study / 'adc'}: file 1 of 7 by name: expected FrameOfReferenceUID" in row["reason"]
    assert not (output / "baby").exists()
