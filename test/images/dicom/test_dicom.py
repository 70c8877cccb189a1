"""Series and multi-frame files of DICOM to voxels and grid, and those that are no regular stack."""

import hashlib
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_phantom import ADC_TYPE, ROOT, Series, change, edited, write_multiframe, write_series
from inference_helpers import GRID
from phantom import write_image
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, HTJ2KLossless, JPEGLosslessSV1, RLELossless
from refusals import refused, typed

from model.errors import UserError
from model.images.dicom import jpeg
from model.images.dicom.files import is_dicom
from model.images.dicom.units import factor_of, plain
from model.images.formats.names import digest
from model.images.grid import Grid, Volume, require_same_grid
from model.images.orientation import in_order_of
from model.images.volume import read_volume

RNG = np.random.default_rng(7)
VOXELS = RNG.integers(0, 4096, GRID.size).astype(np.float32)
RIGHT, DOWN, NORMAL = np.reshape(GRID.direction, (3, 3)).T
LEFT_HANDED = np.stack([RIGHT, DOWN, -NORMAL], axis=1)  # which no DICOM can say: its slices are put in the other order
CORNERS = np.array(list(np.ndindex(2, 2, 2)))
SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
DECODED = ("MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "693_J2KI.dcm")  # which takes long
SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])


def corners_mm(grid: Grid) -> np.ndarray:
    return np.array([grid.to_mm(corner * (np.array(grid.size) - 1)) for corner in CORNERS])


def value_at(volume: Volume, place_mm: np.ndarray) -> float:
    """The value of the voxel whose centre lies there."""
    axes = np.reshape(volume.grid.direction, (3, 3)) * volume.grid.spacing_mm[::-1]
    index = np.linalg.solve(axes, place_mm - volume.grid.origin_mm)[::-1]
    assert np.abs(index - np.rint(index)).max() < 1e-3
    return float(volume.voxels[tuple(np.rint(index).astype(int))])


# --- voxels and places ---


def test_a_series_becomes_its_volume_whatever_its_files_are_called(tmp_path):
    files = write_series(tmp_path / "s", VOXELS, GRID)
    assert [path.name for path in files] != sorted(path.name for path in files)
    found = read_volume(tmp_path / "s", adc=True)
    assert np.array_equal(found.voxels, VOXELS)
    np.testing.assert_allclose(corners_mm(found.grid), corners_mm(GRID), rtol=0, atol=1e-4)
    assert (found.dicom.files, found.dicom.frames, found.voxels.dtype) == (tuple(files), (), np.float32)
    assert (found.oriented, found.path, found.remarks, found.unit) == (True, tmp_path / "s", (), "")


def test_slices_that_run_against_the_normal_are_put_in_the_other_order(tmp_path):
    grid = replace(GRID, direction=tuple(LEFT_HANDED.ravel().tolist()))
    files = write_series(tmp_path / "s", VOXELS, grid)
    found = read_volume(tmp_path / "s", adc=True)
    assert np.linalg.det(np.reshape(found.grid.direction, (3, 3))) > 0
    assert found.dicom.files == tuple(files[::-1])
    for index in ((0, 0, 0), (6, 14, 11), (2, 3, 9)):
        assert value_at(found, grid.to_mm(np.array(index))) == VOXELS[index]


def test_each_slice_has_its_own_slope(tmp_path):
    """0.5 and 0.75 are exact: rounded to the first slice's whole numbers, a half would be lost."""
    values = np.round(VOXELS) / 4 * 3 / 2  # multiples of 0.375
    slopes = (0.375, 0.1875)
    write_series(tmp_path / "s", values, GRID, Series(slopes=slopes))
    assert np.array_equal(read_volume(tmp_path / "s", adc=True).voxels, values)
    write_multiframe(tmp_path / "m.dcm", [(values, GRID)], Series(slopes=slopes))
    assert np.array_equal(read_volume(tmp_path / "m.dcm", adc=True).voxels, values)


def test_one_enhanced_file(tmp_path):
    path = write_multiframe(tmp_path / "folder" / "scan", [(VOXELS, GRID)])
    numbers = np.random.default_rng(0).permutation(len(VOXELS))  # as the writer draws them
    found = read_volume(path.parent, adc=True)
    assert np.array_equal(found.voxels, VOXELS)
    np.testing.assert_allclose(corners_mm(found.grid), corners_mm(GRID), rtol=0, atol=1e-4)
    assert found.dicom.files == (path,)
    assert found.dicom.frames == tuple((np.argsort(numbers) + 1).tolist())
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_slice_has_the_thickness_that_it_says(tmp_path):
    (path,) = write_series(tmp_path / "s", VOXELS[:1], GRID)
    assert read_volume(path, adc=True).grid.spacing_mm == GRID.spacing_mm
    change(path, SpacingBetweenSlices=None, SliceThickness=None)
    assert "expected the thickness of its only slice" in refused(tmp_path / "s")


# --- what the numbers mean ---


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *(("mm2/s", 1e6), ("mm^2/s", 1e6), ("10*-3.mm2/s", 1e3), ("um2/s", 1.0), ("10*-6.mm2/s", 1.0), ("cm2/s", 1e8)),
        *(("1E-6 mm\u00b2/s", 1.0), ("10-6mm2/s", 1.0), ("um2/ms", 1e3), ("um2.ms-1", 1e3), ("\u00b5m2/s", 1.0)),
        *(("s/mm2", None), ("US", None), ("", None), ("1", None)),
    ],
)
def test_units_of_diffusivity(unit, factor):
    assert factor_of(plain(unit)) == (factor and pytest.approx(factor))


@pytest.mark.parametrize("where", ["unit", "rescale_type"])
@pytest.mark.parametrize(("unit", "slope", "converted"), [("mm2/s", 1e-6, True), ("um2/s", 1.0, False), ("US", 1.0, None)])
def test_the_headers_unit_counts(tmp_path, where, unit, slope, converted):
    """A slope of 1e-6 with mm2/s is what Philips and GE write: stored numbers are whole 1e-6 mm2/s."""
    write_series(tmp_path / "s", VOXELS * slope, GRID, Series(slopes=(slope,), **{where: unit}))
    found = read_volume(tmp_path / "s", adc=True)
    np.testing.assert_allclose(found.voxels, VOXELS, rtol=1e-6)
    assert bool(found.unit) == (converted is not None)
    assert len(found.remarks) == bool(converted)
    assert all("converted from" in remark for remark in found.remarks)


def test_a_mapping_of_another_quantity_does_not_count(tmp_path):
    """Its slope is ten times the rescale's; no unit is known then, and the values stay."""
    for path in write_series(tmp_path / "s", VOXELS, GRID, Series(unit="1", slopes=(10.0,))):
        change(path, RescaleSlope=2e-6, RescaleIntercept=-5)
    found = read_volume(tmp_path / "s", adc=True)
    np.testing.assert_allclose(found.voxels, np.rint(VOXELS / 10) * 2e-6 - 5, rtol=1e-6)
    assert found.unit == ""


def test_numbers_that_a_mapping_has_no_say_on_are_missing(tmp_path):
    """It maps 2 to 100 alone: to 5 times the number less 5. What would be 0 stays 0."""
    voxels = RNG.integers(0, 120, GRID.size).astype(np.float32)

    def edit(dataset: pydicom.Dataset) -> None:
        mapping = dataset.RealWorldValueMappingSequence[0]
        mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 2, 100
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 5.0, -5.0

    edited(write_series(tmp_path / "s", voxels, GRID, Series(unit="um2/s")), edit)
    found = read_volume(tmp_path / "s", adc=True, keep_nan=True).voxels
    known = (voxels >= 1) & (voxels <= 100)
    assert np.array_equal(np.isnan(found), ~known)
    np.testing.assert_array_equal(found[known], voxels[known] * 5 - 5)


# --- compressed ---


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name)
def test_compressed_files_are_read(tmp_path, syntax):
    is_deflated = syntax == DeflatedExplicitVRLittleEndian
    path = write_multiframe(tmp_path / "m", [(VOXELS, GRID)], Series() if is_deflated else Series(syntax=syntax))
    edited([path], lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", syntax))
    assert np.array_equal(read_volume(path, adc=True).voxels, VOXELS)


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm"])
def test_samples_are_read_as_the_uncompressed_one(name):
    """Signed numbers of 16 bits."""
    assert np.array_equal(read_volume(SAMPLES / name).voxels, read_volume(SAMPLES / "MR_small.dcm").voxels)


def test_a_damaged_jpeg_is_refused(tmp_path):
    def spoil(dataset: pydicom.Dataset) -> None:
        dataset["PixelData"].value = dataset.PixelData[:200] + dataset.PixelData[:199:-1]

    edited(write_series(tmp_path / "s", VOXELS, GRID, Series(syntax=JPEGLosslessSV1))[2:3], spoil)
    assert "its compressed pixels cannot be decoded (the JPEG stream is damaged)" in refused(tmp_path / "s")


def test_a_decoder_that_hangs_ends_no_run(monkeypatch):
    monkeypatch.setattr(jpeg, "SECONDS", (0, 0))
    with pytest.raises(ValueError, match="the JPEG stream is damaged"):
        jpeg.decoded([b"x"])


def test_a_length_beyond_the_file_takes_no_memory(tmp_path):
    """4 GB are promised for one element before the pixels: setting them aside would show under a limit."""
    (path,) = write_series(tmp_path / "s", VOXELS[:1], GRID)
    data = path.read_bytes()
    at = data.index(b"\x08\x00\x08\x00CS")
    path.write_bytes(data[:at] + b"\x08\x00\x05\x00UT\0\0\xf0\xff\xff\xff" + data[at:])
    tracemalloc.start()
    assert "is it whole?" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()


def test_loss_is_told(tmp_path):
    write_series(tmp_path / "s", VOXELS, GRID, Series(more={"LossyImageCompression": "01"}))
    (remark,) = read_volume(tmp_path / "s", adc=True).remarks
    assert "compressed with loss" in remark


@pytest.mark.parametrize("syntax", [HTJ2KLossless, UID("1.2.840.10008.1.2.4.102")], ids=["HTJ2K", "MPEG-4"])
def test_a_compression_without_a_decoder_is_named(tmp_path, syntax):
    files = write_series(tmp_path / "s", VOXELS, GRID, Series(syntax=RLELossless))
    edited(files, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", syntax))
    assert f"compressed as {syntax.name}, which is not read; decompress it first" in refused(tmp_path / "s")


# --- no regular stack ---


def moved(files: list[Path], *numbers: int, by_mm: np.ndarray) -> None:
    """Each of these slices as often as it is named."""
    for number in numbers:
        position = np.array(pydicom.dcmread(files[number]).ImagePositionPatient, float) + by_mm
        change(files[number], ImagePositionPatient=[round(value, 6) for value in position.tolist()])


def changed(number: int, **tags: object) -> Callable[[list[Path]], None]:
    return lambda files: change(files[number], **tags)


MISSING = "expected equal gaps between slices, found "
IRREGULAR = [
    (lambda files: files[2].unlink(), f"{MISSING}6 mm between slices 2 and 3 of 6, 3 mm elsewhere: 1 slice(s) are missing"),
    (lambda files: [files[n].unlink() for n in (2, 3, 5)], "3 slice(s) are missing"),
    (
        lambda files: change(files[3], ImagePositionPatient=pydicom.dcmread(files[2]).ImagePositionPatient),
        "expected each slice once, found 7 at 6 places (slices 3 and 4 of 7 lie at one): doubled slices, or several",
    ),
    (lambda files: moved(files, 6, by_mm=NORMAL), f"{MISSING}4 mm between slices 6 and 7 of 7, 3"),
    (lambda files: moved(files, 3, by_mm=RIGHT * 0.5), "expected slices one behind the other, found them up to 0.46 mm"),
    (
        lambda files: moved(files, *np.repeat(range(7), range(7)).tolist(), by_mm=RIGHT * 0.5),
        "expected slices one behind the other, found them up to 3 mm aside",
    ),
    (changed(3, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), "expected slices of one orientation, found several: ("),
    (changed(1, PixelSpacing=[1.25, 0.9]), "expected slices of one pixel spacing, found several"),
    (changed(1, Rows=12, Columns=15), "expected slices of one size, found 2 (rows x columns): "),
    (changed(1, ImagePositionPatient=None), "FILE: cannot be read as a DICOM image (it lacks ImagePos"),
    (changed(1, PixelSpacing=None), "FILE: cannot be read as a DICOM image (it lacks PixelSpacing)"),
    (changed(1, ImagePositionPatient=["1", "nan", "2"]), "FILE: its ImagePositionPatient is not 3 num"),
    (changed(1, PixelData=None), "FILE: expected a DICOM image, found no pixels: is it whole?"),
    (lambda files: files[1].write_bytes(files[1].read_bytes()[:-99]), "FILE: its PixelData has "),
    (changed(1, PatientID="another"), "found 2 patients' (by PatientID)"),
    (changed(1, RescaleType="um2/s"), "expected slices in one unit, found none, um2/s"),
    (changed(1, ImageType=[*ADC_TYPE, "MOSAIC"]), "found all slices in one (MOSAIC)"),
]


@pytest.mark.parametrize(("spoil", "says"), IRREGULAR, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_is_no_regular_stack_is_refused_with_the_reason(tmp_path, spoil: Callable, says):
    files = write_series(tmp_path / "s", VOXELS, GRID)
    spoil(files)
    message = refused(tmp_path / "s")
    for path in files:
        message = message.replace(str(path), "FILE")
    message = re.sub(rf"{tmp_path}/s: file [1-7] of 7 by name", "FILE", message)
    assert says in message
    assert not any(path.name in message for path in files)


def test_a_file_with_three_stacks_is_refused(tmp_path):
    """Of one orientation or of several, as a localiser has them."""
    turned = replace(GRID, direction=tuple(SAGITTAL.ravel().tolist()))
    beside = replace(GRID, origin_mm=(5.0, 6.0, 200.0))
    path = write_multiframe(tmp_path / "m.dcm", [(VOXELS, grid) for grid in (GRID, turned, beside)])
    assert "expected slices of one stack, found 3 stacks" in refused(path)


def test_of_a_file_with_trace_and_adc_frames_the_adc_is_taken(tmp_path):
    path = write_multiframe(
        tmp_path / "m.dcm", [(VOXELS / 2, GRID), (VOXELS, GRID)], Series(image_type=("DERIVED", "PRIMARY"))
    )
    typed(path, lambda content: "ADC" if content.StackID == "2" else "TRACE")
    change(path, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "MIXED"])
    found = read_volume(path, adc=True)
    assert np.array_equal(found.voxels, VOXELS)
    assert len(set(found.dicom.frames)) == len(VOXELS)


def test_the_digest_is_the_series_whatever_its_files_are_called(tmp_path):
    files = write_series(tmp_path / "s", VOXELS, GRID)
    before = read_volume(tmp_path / "s", adc=True).sha256
    assert digest(tmp_path / "s", adc=True) == before
    sums = sorted(hashlib.sha256(path.read_bytes()).hexdigest() + "\n" for path in files)
    assert hashlib.sha256("".join(sums).encode()).hexdigest() == before
    files[0].rename(files[0].with_name("renamed"))
    write_series(tmp_path / "s" / "other", VOXELS, GRID, Series(uid=ROOT + "8", image_type=("ORIGINAL",), description="b0"))
    assert digest(tmp_path / "s", adc=True) == before
    change(files[1], InstanceNumber=99)
    assert digest(tmp_path / "s", adc=True) != before


@pytest.mark.filterwarnings("error")
def test_every_sample_file_of_pydicom_gets_a_clear_answer(capfd):
    read, refusals = 0, []
    for path in (path for path in SAMPLES.rglob("*") if is_dicom(path) and path.name not in DECODED):
        try:
            read += read_volume(path).voxels.ndim == 3
        except UserError as error:
            refusals.append(str(error).partition(f"{path}: "))
    assert all(here and not before and "\n" not in message for before, here, message in refusals)
    assert read >= 5
    assert len({message[:30] for _, _, message in refusals}) > 5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("order", ["SAL", "AIR"])
def test_a_file_beside_dicom_may_store_its_voxels_in_any_order(tmp_path, order):
    """DICOMOrient of SimpleITK stores the same points in another order."""
    write_series(tmp_path / "s", VOXELS, GRID)
    write_image(VOXELS, GRID, tmp_path / "plain.mha")
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(tmp_path / "plain.mha"), order), tmp_path / "turned.mha")
    adc, turned = read_volume(tmp_path / "s", adc=True), read_volume(tmp_path / "turned.mha")
    found = in_order_of(adc, turned)
    require_same_grid(adc, found)
    assert np.array_equal(found.voxels, VOXELS)
    assert in_order_of(read_volume(tmp_path / "plain.mha"), turned) is turned
    elsewhere = replace(turned, grid=replace(turned.grid, origin_mm=GRID.origin_mm))
    with pytest.raises(UserError, match="are not on one grid: origin_mm"):
        require_same_grid(adc, in_order_of(adc, elsewhere))
