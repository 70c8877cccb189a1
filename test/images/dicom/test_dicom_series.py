"""Which series of a study is taken."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantom import ADC_TYPE, ROOT, Series, change, edited, write_multiframe, write_series, write_study
from inference_helpers import GRID
from refusals import refused

from model.errors import UserError
from model.images.case import read_case
from model.images.dicom.mr_words import says_adc
from model.images.dicom.series import wanted
from model.images.volume import read_volume

VOXELS = np.random.default_rng(5).integers(1, 3000, GRID.size).astype(np.float32)
ADC, DERIVED, ORIGINAL = "\\".join(ADC_TYPE), "DERIVED\\SECONDARY", "ORIGINAL\\PRIMARY"
OTHERS = [
    ("ORIGINAL\\PRIMARY\\M\\NORM", "localizer"),
    ("DERIVED\\PRIMARY\\DIFFUSION\\TRACEW", "ep2d_diff_3scan_trace_ADC_TRACEW"),
    ("ORIGINAL\\PRIMARY\\DIFFUSION\\NONE", "ep2d_diff b0"),
    ("DERIVED\\PRIMARY\\DIFFUSION\\EADC", "eADC"),
    ("DERIVED\\SECONDARY\\OTHER", "Exponential Apparent Diffusion Coefficient"),
    ("DERIVED\\PRIMARY\\DIFFUSION\\FA", "FA from ADC"),
]


def write(root: Path, number: int, image_type: str = ADC, description: str = "ADC", **tags: object) -> list[Path]:
    """A series of two slices with that number at the end of its UID, in a folder of that number."""
    study = {"study": tags.pop("StudyInstanceUID")} if "StudyInstanceUID" in tags else {}
    kinds = {"image_type": tuple(image_type.split("\\")), "description": description}
    series = Series(uid=f"{ROOT}2.{number}", **kinds, more=tags, **study)
    return write_series(root / str(number), VOXELS[:2] + number, GRID, series, seed=number)


def taken(folder: Path, *series: str) -> int:
    """The number of the series that is taken."""
    (uid,) = {pydicom.dcmread(path).SeriesInstanceUID for path in wanted(folder, series, adc=True).files}
    return int(uid.rsplit(".", 1)[1])


# --- by type and description ---


def test_the_adc_map_of_a_study(tmp_path):
    write_study(tmp_path, VOXELS, GRID)
    assert np.array_equal(read_volume(tmp_path, adc=True).voxels, VOXELS)


ADC_MAPS = [
    *((ADC, ""), ("DERIVED\\PRIMARY\\DIFFUSION\\ADC\\ND\\NORM", "trace_p2"), ("ORIGINAL\\PRIMARY\\OTHER", "isoADC")),
    *(("DERIVED\\PRIMARY\\ADC_UNSPECIFIED", "dReg"), (DERIVED, "Apparent Diffusion Coefficient (mm2/s)")),
]


def test_an_adc_map_among_others_in_folders_or_in_one(tmp_path):
    for number, other in enumerate(OTHERS):
        write(tmp_path, number, *other)
    assert f"found none among {len(OTHERS)}: {ROOT}2.0 (localizer, 2 file(s)) of 2026-02-03; " in refused(tmp_path)
    for number, adc in enumerate(ADC_MAPS, 50):
        paths = write(tmp_path, number, *adc)
        assert taken(tmp_path) == number
        for path in paths[number == 54 :]:
            path.unlink()
    for path in list(tmp_path.glob("*/*")):
        path.rename(tmp_path / f"{path.parent.name}-{path.name}.dcm")
    assert taken(tmp_path) == 54


def test_the_image_type_counts_before_the_description(tmp_path):
    write(tmp_path, 1, DERIVED, "ADC colour coded")
    write(tmp_path, 2, ADC, "dwi")
    write(tmp_path, 3, ORIGINAL, "t2_HeadCoil", **VISIT, **LATER)  # another visit without an ADC map has no say
    assert taken(tmp_path) == 2


SAYS_ADC = (
    *("ADC", "dADC", "isoADC", "sADC", "AdcMap", "ADCmap", "adcmap", "ADC_1000", "ADCb1000", "DWI-ADC", "HeadADC", "t2adc"),
    *("ADC(10^-6 mm2/s)", "ep2d_diff_3scan_trace_p2_ADC", "ADC (HeadCoil)", "ADC-Karte", "1ADC2", "[ADC]", ADC),
    *("Apparent Diffusion Coefficient (mm2/s)", "ApparentDiffusion", "dwi_apparent-diffusion", "App Diff Coeff"),
    *("Diffusionskoeffizient", "Coefficient de diffusion apparent", "Coeficiente de difusi\u00f3n aparente"),
    "ORIGINAL\\ADC_UNSPECIFIED",
)
SAYS_NONE = (
    *("t2_tse_tra_HeadCoil", "t2_headcoil", "HEADCOIL", "HEADCoil", "Head-Coil", "8ChQuadCoil", "Broadcast", "BROADCAST"),
    *("head count", "LoadCell", "eADC", "ADC_EXP", "exp ADC", "diffusion", "DERIVED\\EADC"),
)


@pytest.mark.parametrize("text", [*SAYS_ADC, *SAYS_NONE])
def test_adc_is_a_word_and_not_letters_of_another(text):
    assert says_adc(text) is (text in SAYS_ADC)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"), ("SamplesPerPixel", 3), ("PhotometricInterpretation", "PALETTE COLOR")],
)
def test_secondary_captures_and_colours_are_no_maps(tmp_path, tag, value):
    edited(write(tmp_path, 1), lambda dataset: setattr(dataset, tag, value))
    assert "found none among 1" in refused(tmp_path)
    write(tmp_path, 5)
    assert taken(tmp_path) == 5


def test_adc_maps_at_the_end_of_a_diffusion_series(tmp_path):
    """As Philips stores them: one series, told apart by the image type."""
    for name, voxels, kind in (("dwi", VOXELS / 2, ("ORIGINAL", "PRIMARY")), ("adc", VOXELS, ("DERIVED", "PRIMARY", "ADC"))):
        write_series(tmp_path / name, voxels, GRID, Series(image_type=kind, description="DWI"))
    for series in ((), (Series().uid,)):
        assert np.array_equal(read_volume(tmp_path, adc=True, series=series).voxels, VOXELS)


# --- several candidates ---


VISIT, LATER = {"StudyInstanceUID": f"{ROOT}1.2"}, {"StudyDate": "20260210"}
PLACE = {"FrameOfReferenceUID": ROOT + "3.2"}  # all that an anonymised visit may have left


@pytest.mark.parametrize(
    "second", [VISIT | LATER, VISIT, {"StudyInstanceUID": ""}, PLACE, LATER, {"AcquisitionDate": "20260210"}], ids=str
)
def test_adc_maps_of_two_visits_are_not_weighed(tmp_path, second):
    """One is called so by its image type, the other by its description alone."""
    write(tmp_path, 1, ADC, "dwi", AcquisitionDate="20260203")
    write(tmp_path, 2, DERIVED, "Apparent Diffusion Coefficient", **({"AcquisitionDate": "20260203"} | second))
    date = "2026-02-10" if "StudyDate" in second else "2026-02-03"
    listed = f"{ROOT}2.1 (dwi, 2 file(s)) of 2026-02-03; {ROOT}2.2 (Apparent Diffusion Coefficient, 2 file(s)) of {date}"
    assert f"found 2: {listed}; --series" in refused(tmp_path)
    assert taken(tmp_path, f"{ROOT}2.2") == 2


@pytest.mark.parametrize("other", [VISIT, LATER], ids=str)
def test_a_series_of_two_studies_is_refused(tmp_path, other):
    change(write_series(tmp_path, VOXELS, GRID)[2], **other)
    assert refused(tmp_path) == f"{tmp_path}: expected a series of one study, found 2 (by {next(iter(other))})"


def test_slices_with_a_series_uid_each_are_one_line(tmp_path):
    for number, path in enumerate(write_series(tmp_path / "adc", np.repeat(VOXELS[:1], 9, axis=0), GRID)):
        change(path, SeriesInstanceUID=f"{ROOT}7.{number}")
    of_one = "9 of one slice each (slices of one series need one SeriesInstanceUID)"
    assert refused(tmp_path) == f"{tmp_path}: expected one ADC series, by image type or description, found 9: {of_one}"
    write(tmp_path, 1)
    assert f"found 10: {ROOT}2.1 (ADC, 2 file(s)) of 2026-02-03; {of_one}; --series UID names" in refused(tmp_path)


def test_two_candidates_are_listed_and_one_is_named(tmp_path):
    for number in (1, 2):
        write(tmp_path, number, ADC, f"ADC {number}")
    write(tmp_path, 3, ORIGINAL, "T2")
    message = refused(tmp_path)
    assert "expected one ADC series, by image type or description, found 2: " in message
    assert all(f"{ROOT}2.{number} (ADC {number}, 2 file(s))" in message for number in (1, 2))
    assert message.endswith("; --series UID names the one to take")
    assert "T2" not in message
    for number in (1, 3):  # also one that does not say that it is an ADC map
        assert taken(tmp_path, "9.9.9", f"{ROOT}2.{number}") == number
    for series in (("9.9.9",), (f"{ROOT}2.1", f"{ROOT}2.2")):
        assert "found 2: " in refused(tmp_path, *series)


def test_a_study_without_the_series_that_is_named_says_so(tmp_path):
    write(tmp_path, 1)
    assert read_volume(tmp_path, adc=True, series=(f"{ROOT}2.1",)).remarks == ()
    (remark,) = read_volume(tmp_path, adc=True, series=("9.9.9",)).remarks
    assert remark.startswith("No series that --series names is in ")


# --- modality ---


NOT_MR = "expected an ADC map in images of modality MR, found "


@pytest.mark.parametrize(
    ("modality", "found"), [("OT", "OT"), (" ct", "CT"), ("MUSTERMANN", "another modality"), ("", ""), (" Mr ", "")]
)
def test_an_adc_map_is_of_mr(tmp_path, modality, found):
    """Some programs that remove names leave no modality. One slice of another one is enough."""
    paths = write(tmp_path, 1, Modality=modality)
    assert len(wanted(tmp_path).files) == 2  # a Z map may be called anything
    if not found:
        assert taken(tmp_path) == 1
        return
    for named in ((), (f"{ROOT}2.1",)):
        assert refused(tmp_path, *named) == f"{tmp_path}: {NOT_MR}{found}"
    change(min(paths), Modality="MR")
    assert refused(tmp_path) == f"{tmp_path}: {NOT_MR}{found}"
    write(tmp_path, 2, DERIVED)
    assert taken(tmp_path) == 2


@pytest.mark.parametrize("modality", ["MR", None])
@pytest.mark.parametrize(("number", "found"), [("2", "CT"), ("2.1", "Enhanced CT"), ("128", "Positron Emission Tomography")])
def test_where_the_modality_does_not_say_it_the_sop_class_does(tmp_path, modality, number, found):
    for path in write(tmp_path, 1):
        change(path, Modality=modality, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{number}")
    assert refused(tmp_path) == f"{tmp_path}: {NOT_MR}{found} by SOP class"
    for path, kind in zip(write(tmp_path, 2), ("4.1", "4.4"), strict=True):
        change(path, Modality=modality, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}")
    assert taken(tmp_path) == 2


def test_series_of_another_modality_are_not_offered(tmp_path):
    write(tmp_path, 1, ORIGINAL, "T2")
    write(tmp_path, 2, Modality="CT")
    listed = f"{ROOT}2.1 (T2, 2 file(s)) of 2026-02-03, left out: 1 of other modalities than MR; --series UID names "
    assert f"found none among 2: {listed}" in refused(tmp_path)
    assert taken(tmp_path, f"{ROOT}2.1") == 1
    with pytest.raises(UserError, match=f"expected one series, found 2: .*{ROOT}2.2 "):
        wanted(tmp_path)


# --- Z maps and units ---


def test_a_z_map_is_the_one_series_of_its_folder(tmp_path):
    """Its numbers are negative too: slope and intercept say so."""
    z = np.linspace(-5, 5, VOXELS.size).reshape(VOXELS.shape).round(3)
    series = Series(uid=ROOT + "6", image_type=("DERIVED",), description="z", slopes=(0.001,), intercept=-10)
    write_series(tmp_path / "z", z, GRID, series)
    found = read_volume(tmp_path / "z")
    np.testing.assert_allclose(found.voxels, z, atol=1e-6)
    write_series(tmp_path / "z" / "more", z, GRID)
    with pytest.raises(UserError, match="expected one series, found 2: "):
        read_volume(tmp_path / "z")
    assert read_volume(tmp_path / "z", series=(ROOT + "6",)).sha256 == found.sha256


def test_the_header_says_the_unit_and_the_option_agrees(tmp_path):
    adc, z = np.full(GRID.size, 1200.0), np.random.default_rng(1).normal(0, 2, GRID.size).round(3).clip(-9.9, 9.9)
    adc[0] = 0
    write_series(tmp_path / "adc", adc * 1e-6, GRID, Series(slopes=(1e-6,), unit="mm2/s"))
    write_series(tmp_path / "z", np.where(adc > 0, z, 0), GRID, Series(uid=ROOT + "6", slopes=(0.001,), intercept=-10))
    for unit in ("1e-6mm2/s", "mm2/s"):
        case = read_case(tmp_path / "adc", tmp_path / "z", unit)
        np.testing.assert_allclose(case.adc.voxels, adc, rtol=1e-6)
    with pytest.raises(UserError, match=r"its DICOM header says that the ADC is in mm2/s, --adc-unit says 1e-3mm2/s"):
        read_case(tmp_path / "adc", tmp_path / "z", "1e-3mm2/s")


# --- odd files ---


def test_a_slice_that_is_a_link_to_nothing(tmp_path):
    path = write_series(tmp_path, VOXELS, GRID)[0]
    path.unlink()
    path.symlink_to("nothing")
    assert "1 of 7 files cannot be read as DICOM (1 linked to nothing): they may be slices" in refused(tmp_path)


def test_links_to_folders_are_followed_and_a_folder_that_links_to_itself_counts_once(tmp_path):
    paths = write_series(tmp_path / "s" / "adc", VOXELS, GRID)
    for name in ("x", "y"):
        (tmp_path / "s" / "adc" / name).symlink_to(tmp_path / "s")
    assert wanted(tmp_path / "s", adc=True).files == sorted(paths)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "series").symlink_to("../s/adc")
    (tmp_path / "s" / "adc" / "note.txt").symlink_to("gone")
    assert len(wanted(tmp_path / "t", adc=True).files) == len(paths)


@pytest.mark.parametrize("count", [2**31 - 1, -1])
def test_more_frames_than_places(tmp_path, count):
    path = write_multiframe(tmp_path / "x.dcm", [(VOXELS, GRID)])
    dataset = pydicom.dcmread(path)
    dataset.SharedFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:1]
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.NumberOfFrames = count
    dataset.save_as(path)
    assert refused(path) == f"{path}: expected the places of {count} frames in the patient, found 0"
