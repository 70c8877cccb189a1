"""That files of two patients are refused, and that nothing of a patient's is told."""

import errno
from pathlib import Path

import numpy as np
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, ROOT, Series, change, edited, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from refusals import refused

from model.errors import UserError
from model.images.dicom.persons import counting, require_one_patient, said_description, said_series
from model.images.volume import read_volume

VOXELS = np.random.default_rng(5).integers(1, 3000, GRID.size).astype(np.float32)
PATIENT = {"PatientID": "4711", "PatientName": "Mustermann^Erika", "PatientBirthDate": "20260131"}


def header(**tags: str | None) -> Dataset:
    found = Dataset()
    for name, value in tags.items():
        if value is not None:
            setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"PatientID": "7"}, {"PatientID": "007"}, "found 2 patients' (by PatientID)"),
        ({"PatientID": "4711"}, {"PatientID": " "}, "found some with a PatientID and some without"),
        ({"PatientName": "Twin^A"}, {"PatientName": "Twin^B"}, "found 2 patients' (by PatientName)"),
        ({"PatientName": "M\u00fcller^A"}, {"PatientName": "M\u00f6ller^A"}, "found 2 patients' (by PatientName)"),
        ({"PatientName": "Bauer^A", "PatientID": ""}, {"PatientName": "Baur^A", "PatientID": ""}, "found 2 patients' (by"),
        ({"PatientName": "=\u738b^\u4f1f"}, {"PatientName": "=\u738b^\u8587"}, "found 2 patients' (by PatientName)"),
        ({}, {"PatientBirthDate": "20260130"}, "found 2 patients' (by PatientBirthDate)"),
        ({"PatientID": ""}, {"PatientID": "", "PatientName": "^"}, "found some with a PatientName and some without"),
        # one patient written in two ways
        ({}, {"PatientName": "MUSTERMANN^ERIKA^^^"}, ""),
        ({}, {"PatientName": " Erika Mustermann "}, ""),
        ({}, {"PatientName": "", "PatientBirthDate": ""}, ""),
        ({"PatientID": "Pat-4711"}, {"PatientID": " PAT-4711  "}, ""),
        ({}, {"PatientBirthDate": None}, ""),
        ({}, {"PatientBirthDate": "2026.01.31"}, ""),
        ({"PatientName": "M\u00fcller^A"}, {"PatientName": "MUELLER^A"}, ""),
        ({"PatientName": "M\u00fcller^A"}, {"PatientName": "Muller^A"}, ""),
        ({"PatientName": "M\u00fcller^A"}, {"PatientName": "M\u00c3\u00bcller^A"}, ""),  # UTF-8 that says Latin-1
        ({"PatientName": "Yamada^Tarou"}, {"PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"}, ""),
        ({"PatientID": "", "PatientName": ""}, {"PatientID": "", "PatientName": ""}, ""),
    ],
)
def test_files_of_two_patients_are_refused_and_not_two_ways_to_write_one(first, second, says):
    for pair in ((first, second), (second, first)):
        headers = [header(**PATIENT | tags) for tags in pair]
        if not says:
            require_one_patient(headers, Path("scans"))
            continue
        with pytest.raises(UserError) as caught:
            require_one_patient(headers, Path("scans"))
        assert str(caught.value).startswith(f"scans: expected the DICOM files of one case, {says}")
        assert str(caught.value).endswith(" a folder of its own")


def test_patients_of_the_files_of_another_series_count_as_their_character_set_says(tmp_path):
    latin, utf8 = ({"PatientName": "M\u00fcller^A", "SpecificCharacterSet": f"ISO_IR {number}"} for number in (100, 192))
    write_series(tmp_path / "adc", VOXELS[:2], GRID, Series(more=latin))
    trace = write_series(tmp_path / "trace", VOXELS[:1], GRID, Series(uid=ROOT + "9", image_type=("T",), more=utf8))
    assert len(read_volume(tmp_path, adc=True).voxels) == 2
    change(trace[0], PatientName="M\u00f6ller^A")
    assert "found 2 patients' (by PatientName)" in refused(tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name",
    ["StackID", "Rows", "PixelSpacing", "RescaleSlope", "RescaleType", "ImageType", "SOPClassUID", "SeriesInstanceUID"],
)
def test_no_tag_is_quoted_where_it_is_wrong(tmp_path, capfd, name):
    """The patient's name in place of a value, as a station that mixes up its forms sends it."""
    voxels = VOXELS[:3]

    def misfiled(item: Dataset, element: DataElement) -> None:
        if element.keyword == name:
            item[name] = DataElement(element.tag, "LO", f"{NAME}^{NUMBER}")

    for path in (write_series(tmp_path / "s", voxels, GRID)[1], write_multiframe(tmp_path / "m", [(voxels, GRID)])):
        edited([path], lambda dataset: dataset.walk(misfiled))
        try:
            message = str(read_volume(path if path.name == "m" else path.parent, adc=True).remarks)
        except UserError as error:
            message = str(error)
        told = message + "".join(capfd.readouterr())
        assert not any(word in told for word in (*NAME.split("^"), NUMBER)), told


NOT_TOLD = (
    *("ADC MUSTERMANN", "erika adc", "ADC pat-4711", "ADC acc 4711", "ADC born 20260131", "ADC of 31.01.2026", "ADC 081547"),
    *("ADC 2026-01-31", "ADC 31 Jan 26", "ADC baby of Erka Musterman", "ADC 1 31 26", "ADC 3 1 2000", "ADC 3.1", "ADC 4711"),
    *(" ".join(["ADC", *16 * ["map"]]), "ADC Li", "ADC NgLi", "ADC Mueller", "ADC Klinikum", "ADC\0"),
)
TOLD = (
    *("ADC", "ep2d_diff_3scan_trace_p2_ADC", "isoADC", "AdcMap", "ADCmap", "ADC b0 1000", "dADC tra", "ADC 2"),
    *("Apparent Diffusion Coefficient (mm2/s)", "ADC (10^-6 mm\u00b2/s)", "ADC (x10-6 mm2/s)", "ADC [\u00b5m2/s]"),
)


@pytest.mark.parametrize("text", [*NOT_TOLD, *TOLD])
def test_a_description_is_told_where_all_its_words_are_of_mr(text):
    assert said_description(header(SeriesDescription=text)) == (text if text in TOLD else "")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("date", ["", "2026", "20261340", BIRTH, NAME])
def test_what_is_no_date_or_the_birth_date_and_what_is_no_uid_is_not_told(date):
    assert said_series(header(StudyDate="20260203", SeriesInstanceUID="1.02")) == {"study_date": "2026-02-03", "uid": "1.02"}
    assert said_series(header(StudyDate=date, PatientBirthDate=BIRTH, SeriesInstanceUID=f"{NAME}-1")) == {}


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PixelData": None}, ": file 3 of 7 by name: expected a DICOM image, found no pixels"),
        ({"PixelSpacing": [9, 9]}, "(9, 9) in slice 3 of 7 by file name"),
    ],
)
def test_files_of_slices_are_counted_and_not_named(tmp_path, tags, says):
    """Names that begin one another, too."""
    for number, path in enumerate(write_series(tmp_path, VOXELS, GRID)):
        path.rename(tmp_path / ("MUSTERMANN_ERIKA" + "_2026" * number))
    change(tmp_path / "MUSTERMANN_ERIKA_2026_2026", **tags)
    message = refused(tmp_path)
    assert says in message
    assert "MUSTERMANN" not in message


def test_a_file_that_may_not_be_read_is_counted():
    folder = Path("scans")
    expected = r"^scans: file 2 of 2 by name: cannot be read \(Permission denied\)$"
    with pytest.raises(UserError, match=expected), counting([folder / "b", folder / "a"], folder):
        raise PermissionError(errno.EACCES, "Permission denied", "scans/b")
