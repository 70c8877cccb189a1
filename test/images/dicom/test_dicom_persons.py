"""That files of two patients are refused, and that nothing of a patient's is told."""

import errno
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, ROOT, Series, change, save, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from refusals import refused

from model.errors import UserError
from model.images.dicom.series import wanted
from model.images.volume import read_volume

VOXELS = np.random.default_rng(5).integers(1, 3000, GRID.size).astype(np.float32)
LATIN, UTF8 = {"SpecificCharacterSet": "ISO_IR 100"}, {"SpecificCharacterSet": "ISO_IR 192"}


def write_two(folder: Path, first: dict, second: dict, *, in_one_series: bool) -> None:
    """An ADC map with tags of its own, and another series, or the other half of its own, with others."""
    trace = Series(uid=ROOT + "2.9", image_type=("ORIGINAL",), description="trace", more=second)
    paths = write_series(folder / "adc", VOXELS, GRID, Series(more=first))
    if not in_one_series:
        write_series(folder / "trace", VOXELS, GRID, trace)
    for path in paths[4:] if in_one_series else ():
        change(path, **second)


@pytest.mark.parametrize("in_one_series", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"PatientID": "4711"}, {"PatientID": "4712"}, "found 2 patients' (by PatientID)"),
        ({"PatientID": "7"}, {"PatientID": "007"}, "found 2 patients' (by PatientID)"),
        ({"PatientID": "4711"}, {"PatientID": " "}, "found some with a PatientID and some without"),
        ({"PatientID": ""}, {"PatientID": "4711"}, "found some with a PatientID and some without"),
        ({"PatientName": "Twin^A"}, {"PatientName": "Twin^B"}, "found 2 patients' (by PatientName)"),
        ({"PatientName": "M\u00fcller^A", **LATIN}, {"PatientName": "M\u00f6ller^A", **UTF8}, "(by PatientName)"),
        (
            {"PatientName": "Wang^Wei=\u738b^\u4f1f", **UTF8},
            {"PatientName": "Wang^Wei=\u738b^\u8587", **UTF8},
            "(by PatientName)",
        ),
        ({"PatientBirthDate": "20260131"}, {"PatientBirthDate": "20260130"}, "found 2 patients' (by PatientBirthDate)"),
        ({"PatientID": "", "PatientName": "A"}, {"PatientID": "", "PatientName": "B"}, "found 2 patients' (by PatientName)"),
        (
            {"PatientID": "", "PatientName": "A"},
            {"PatientID": "", "PatientName": "^"},
            "found some with a PatientName and some",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_files_of_two_patients_are_refused(tmp_path, first, second, says, in_one_series):
    write_two(tmp_path, first, second, in_one_series=in_one_series)
    message = refused(tmp_path)
    assert f"{tmp_path}: expected the DICOM files of one case, " in message
    assert says in message
    assert message.endswith(" a folder of its own")
    assert not any(word in message.replace(str(tmp_path), "") for word in ("4711", "4712", "Twin", "ller", "Wang", "2026"))


@pytest.mark.parametrize("in_one_series", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"PatientName": "Mustermann^Erika"}, {"PatientName": "MUSTERMANN^ERIKA^^^"}),
        ({"PatientName": "Mustermann^Erika"}, {"PatientName": " Erika Mustermann "}),
        ({"PatientName": "Mustermann^Erika"}, {"PatientName": ""}),
        ({"PatientID": "Pat-4711"}, {"PatientID": " PAT-4711  "}),
        ({"PatientBirthDate": "20260131"}, {"PatientBirthDate": ""}),
        ({"PatientBirthDate": "20260131"}, {"PatientBirthDate": None}),
        ({"PatientBirthDate": "20260131"}, {"PatientBirthDate": "2026.01.31"}),
        ({"PatientName": "M\u00fcller^A", **LATIN}, {"PatientName": "M\u00fcller^A", **UTF8}),
        ({"PatientName": "M\u00fcller^A", **LATIN}, {"PatientName": "MUELLER^A"}),
        ({"PatientName": "M\u00fcller^A", **LATIN}, {"PatientName": "Muller^A"}),
        (
            {"PatientName": "M\u00fcller^A", **LATIN},
            {"PatientName": "M\u00c3\u00bcller^A", **LATIN},
        ),  # UTF-8 that says Latin-1
        ({"PatientName": "Yamada^Tarou"}, {"PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", **UTF8}),
        ({"PatientID": "", "PatientName": ""}, {"PatientID": "", "PatientName": ""}),
    ],
    ids=str,
)
def test_one_patient_written_in_two_ways_is_one(tmp_path, first, second, in_one_series):
    write_two(tmp_path, first, {}, in_one_series=in_one_series)
    folder, kept = (tmp_path / "adc", 4) if in_one_series else (tmp_path / "trace", 0)
    for path in sorted(folder.iterdir())[kept:]:
        change(path, **second)
    assert len(wanted(tmp_path, adc=True).files) == len(VOXELS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name",
    ["StackID", "Rows", "PixelSpacing", "RescaleSlope", "RescaleType", "ImageType", "SOPClassUID", "SeriesInstanceUID"],
)
def test_no_tag_is_quoted_where_it_is_wrong(tmp_path, capfd, name):
    """The patient's name in place of a value, as a station that mixes up its forms sends it."""
    for path in (write_series(tmp_path / "s", VOXELS, GRID)[1], write_multiframe(tmp_path / "m", [(VOXELS, GRID)])):
        data = pydicom.dcmread(path)
        items = [data] if "PerFrameFunctionalGroupsSequence" not in data else _items(data)
        for item in items:
            if name in item:
                item[name] = DataElement(item[name].tag, "LO", f"{NAME}^{NUMBER}")
        save(data, path)
        try:
            message = str(read_volume(path if path.name == "m" else path.parent, adc=True).remarks)
        except UserError as error:
            message = str(error)
        told = message + "".join(capfd.readouterr())
        assert not any(word in told for word in (*NAME.split("^"), NUMBER)), told


def _items(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    """A data set and all items of the sequences in it."""
    below = [item for element in data if element.VR == "SQ" for item in element.value]
    return [data, *(deeper for item in below for deeper in _items(item))]


def in_sequence(name: str, **tags: object) -> dict:
    """A tag that is a sequence in a sequence, with tags in it."""
    inner, outer = Dataset(), Dataset()
    for key, value in tags.items():
        setattr(inner, key, value)
    setattr(outer, name, [inner])
    return {"RequestAttributesSequence": [outer]}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        *((text, {}) for text in ("ADC MUSTERMANN", "erika adc", "ADC pat-4711", "ADC acc 4711", "ADC born 20260131")),
        *((text, {}) for text in ("ADC of 31.01.2026", "ADC 2026-01-31", "ADC 20260203", "ADC 081547", "ADC 31 Jan 26")),
        *((f"ADC {text}", {}) for text in ("baby of Erka Musterman", "1 31 26", "3 1 2000", "3.1", " ".join(16 * ["map"]))),
        ("ADC Li", {"PatientName": "Li^Wu"}),
        ("ADC NgLi", {"PatientName": "Ng^Li"}),
        ("ADC Mueller", {"PatientName": "M\u00fcller^A", **LATIN}),
        ("ADC Klinikum", {"InstitutionName": "Klinikum"}),
        # words of MR that are somebody's all the same
        ("ADC Head", {"PatientName": "Head^Grace"}),
        ("ADC Head", {"PatientMotherBirthName": "Head^Grace"}),
        ("ADC Head", {"RequestingPhysician": "Head^Grace"}),
        ("ADC Head", {"PatientAddress": "Head Street 3"}),
        ("ep2d_ADC", {"PatientName": "Ep^Ha"}),
        ("ADC tra", {"PatientName": "Trang^Wu"} | {"OperatorsName": "TRA"}),
        ("ADC Map", in_sequence("PersonIdentificationCodeSequence", PersonName="Map^Wu")),
        ("ADC se", in_sequence("OriginalAttributesSequence", ReferringPhysicianName="Se^Anna")),
        ("ADC 1000", in_sequence("OtherPatientIDsSequence", PatientID="KID 1000")),
        ("ADC 1000", in_sequence("IssuerOfPatientIDQualifiersSequence", PlacerOrderNumberImagingServiceRequest="1000")),
    ],
    ids=str,
)
def test_a_description_that_may_name_somebody_is_not_told(tmp_path, text, more):
    paths = write_series(tmp_path / "1", VOXELS, GRID, Series(description=text, more=more))
    assert read_volume(tmp_path, adc=True).dicom.series == {"uid": ROOT + "2", "study_date": "2026-02-03"}
    write_series(tmp_path / "2", VOXELS, GRID, Series(uid=ROOT + "2.2", description=text, more=more))
    message = refused(tmp_path).replace(str(tmp_path), "")
    assert message.count(f"(no description, {len(paths)} file(s))") == 2
    assert not any(word.casefold() in message.casefold() for word in (*NAME.split("^"), "4711", BIRTH, "2026-01-31"))


@pytest.mark.parametrize(
    "text",
    [
        *("ADC", "ep2d_diff_3scan_trace_p2_ADC", "isoADC", "AdcMap", "ADCmap", "ADC b0 1000", "dADC tra", "ADC 2"),
        *("Apparent Diffusion Coefficient (mm2/s)", "ADC (10^-6 mm\u00b2/s)", "ADC (x10-6 mm2/s)", "ADC [\u00b5m2/s]"),
    ],
)
def test_a_description_of_words_of_mr_is_told(tmp_path, text):
    write_series(tmp_path, VOXELS, GRID, Series(description=text, more=LATIN))
    assert read_volume(tmp_path, adc=True).dicom.series["description"] == text


@pytest.mark.parametrize("date", ["", "2026", "20261340", BIRTH, NAME])
def test_a_date_that_is_none_or_the_birth_date_is_not_told(tmp_path, date):
    path = write_multiframe(tmp_path / "m", [(VOXELS, GRID)], Series(description="ADC", more={"StudyDate": date}))
    assert read_volume(path, adc=True).dicom.series == {"uid": ROOT + "2", "description": "ADC"}


def test_a_header_that_cannot_be_read_through_hides_the_description(tmp_path, monkeypatch):
    def fail(dataset: Dataset) -> None:
        raise KeyError(NAME)

    write_series(tmp_path, VOXELS, GRID)
    monkeypatch.setattr("model.images.dicom.persons._persons", fail)
    assert read_volume(tmp_path, adc=True).dicom.series == {"uid": ROOT + "2", "study_date": "2026-02-03"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: change(path, PixelData=None), ": file 3 of 7 by name: expected a DICOM image, found no pixels"),
        (lambda path: change(path, SeriesInstanceUID=None), ": 1 of 7 files cannot be read as DICOM"),
        (lambda path: change(path, RescaleType="mm2/s"), ": expected slices in one unit, found "),
        (lambda path: change(path, PixelSpacing=[9, 9]), "(9, 9) in slice 3 of 7 by file name"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-40]),
            ": file 3 of 7 by name: its PixelData has 320 bytes",
        ),
        (lambda path: change(path, ImagePositionPatient=[0, 0, 0]), ": expected "),
    ],
)
def test_files_of_slices_are_counted_and_not_named(tmp_path, spoil, says):
    """Names that begin one another, too."""
    for number, path in enumerate(sorted(write_series(tmp_path, VOXELS, GRID))):
        path.rename(tmp_path / ("MUSTERMANN_ERIKA" + "_2026" * number))
    spoil(tmp_path / "MUSTERMANN_ERIKA_2026_2026")
    message = refused(tmp_path)
    assert says in message
    assert "MUSTERMANN" not in message


def test_a_file_that_may_not_be_read_is_counted(tmp_path, monkeypatch):
    paths = sorted(write_series(tmp_path, VOXELS, GRID))

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("model.images.dicom.read.read_file", refuse)
    expected = f"{tmp_path}: file 1 of {len(paths)} by name: cannot be read (Permission denied)"
    assert refused(tmp_path) == expected


def test_one_file_that_is_a_case_is_named_by_its_path(tmp_path):
    path = write_multiframe(tmp_path / "scan.dcm", [(VOXELS, GRID)])
    change(path, PixelData=None)
    assert refused(path).startswith(f"{path}: expected a DICOM image, found no pixels")


def test_what_is_no_uid_is_not_told(tmp_path):
    for name in ("a", "b"):
        write_series(tmp_path / name, VOXELS[:2], GRID, Series(uid=f"{NAME}-{name}"))
    assert NAME not in refused(tmp_path)
