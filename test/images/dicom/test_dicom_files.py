"""Which files of a folder are slices, which are known to be something else, and which may be slices that were lost."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantom import ROOT, Series, change, save, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless
from refusals import refused, typed

from model.images.formats.names import digest
from model.images.volume import read_volume

VOXELS = np.random.default_rng(11).integers(1, 3000, GRID.size).astype(np.float32)
PAGE = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>\n"
RANDOM = b"\x03" + np.random.default_rng(0).bytes(3000)


def bare(path: Path, implicit: bool, little: bool) -> None:
    """Write a file again without preamble, mark and meta information."""
    dataset = Dataset(pydicom.dcmread(path))
    if not little:
        dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, implicit_vr=implicit, little_endian=little)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("no preamble", ""), ("implicit", ".001"), ("explicit", ".IMA"), ("big endian", ".dcm")]
)
def test_slices_without_preamble_are_read(tmp_path, kind, suffix):
    for path in write_series(tmp_path, VOXELS, GRID)[-2:]:
        if kind == "no preamble":
            path.write_bytes(path.read_bytes()[132:])
        else:
            bare(path, kind == "implicit", kind != "big endian")
        path.rename(path.with_name(path.name + suffix))
    assert np.array_equal(read_volume(tmp_path, adc=True).voxels, VOXELS)
    assert digest(tmp_path, adc=True) == read_volume(tmp_path, adc=True).sha256
    alone = write_multiframe(tmp_path / "more" / "scan", [(VOXELS, GRID)])
    alone.write_bytes(alone.read_bytes()[132:])
    assert np.array_equal(read_volume(alone, adc=True).voxels, VOXELS)


def test_compressed_pixels_without_the_syntax_are_refused(tmp_path):
    path = write_series(tmp_path, VOXELS, GRID, Series(syntax=RLELossless))[0]
    dataset = Dataset(pydicom.dcmread(path))
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    assert " bytes, expected 360 by Rows" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda data: b"", "empty"),
        (lambda data: bytes(len(data)), "of zeros alone"),
        (lambda data: data[:140], "cut off or damaged (without SeriesInstanceUID)"),
        (lambda data: data[:900], "cut off or damaged (without Rows)"),
        (lambda data: PAGE, "of text"),
        (lambda data: RANDOM, "of unknown content"),
        (lambda data: gzip.compress(data, mtime=0), "packed"),
    ],
)
def test_what_may_be_a_slice_and_is_not_read_is_counted(tmp_path, content, says):
    """And no file is named: scanners put the patient's name there."""
    for path in write_series(tmp_path, VOXELS, GRID)[-2:]:
        path.write_bytes(content(path.read_bytes()))
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}: 2 of 7 files cannot be read as DICOM (2 {says}): they may be slices")
    assert "IM00" not in message
    (tmp_path / "scan.dcm").write_bytes(PAGE)
    alone = "expected a DICOM image, found a file that is of text: is it whole?"
    assert refused(tmp_path / "scan.dcm") == f"{tmp_path / 'scan.dcm'}: {alone}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("IM0099.dcm.gz", gzip.compress(b"x", mtime=0)),
        ("IM0099.crdownload", b""),
        ("IM0099.html", PAGE),
        ("IM0099", b"%PDF-1.7\n"),
        (".IM0099.dcm", RANDOM),
        ("IM0099.dcm.bak", RANDOM),
        ("IM0099.dcm.quarantined", PAGE),
        ("IM0099.dcm.nextcloud", b""),
        (".IM0099.dcm.icloud", b"bplist00\xd3\1"),
        (".IM0099.icloud", b"bplist00\xd3\1"),
        (".IM0099.Xa93kd", RANDOM),
        (".syncthing.IM0099.tmp", b""),
        ("IM.0099", bytes(100)),
        ("4f0a3b2c", PAGE),
        ("slices.7z", b"7z\xbc\xaf\x27\x1c\0\4"),
        ("slices.tgz", gzip.compress(bytes(257) + b"ustar", mtime=0)),
        ("other/" * 12 + "IM0099", bytes(100)),
    ],
)
def test_one_more_file_that_may_be_a_slice(tmp_path, name, content):
    write_series(tmp_path, VOXELS, GRID)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert "1 of 8 files cannot be read as DICOM" in refused(tmp_path)


@pytest.mark.parametrize(("suffix", "content"), [(".MR", RANDOM), ("", b""), ("", bytes(100))])
def test_a_file_with_the_suffix_of_the_slices_may_be_one(tmp_path, suffix, content):
    for n, path in enumerate(write_series(tmp_path, VOXELS, GRID)):
        path.rename(tmp_path / f"{'abcdefg'[n] * 4}{suffix}")
    (tmp_path / f"gggg{suffix}").write_bytes(content)
    assert "1 of 7 files cannot be read as DICOM" in refused(tmp_path)


def test_what_was_added_to_a_name_does_not_hide_a_lost_slice(tmp_path):
    paths = [path.rename(f"{path}.dcm") for path in write_series(tmp_path, VOXELS, GRID)]
    (tmp_path / f"{paths[0].name}.cloud").write_bytes(b"{}")  # of a slice that is there
    assert read_volume(tmp_path, adc=True).grid.size == GRID.size
    (tmp_path / "IM0099.dcm.cloud").write_bytes(b"{}")
    assert "1 of 8 files cannot be read as DICOM" in refused(tmp_path)


OTHERS = {
    **{"README": b"a viewer\n", "empty.txt": b"", "index.html": PAGE, "1.json": b"{}", "bvals": b"0 1000\n"},
    **{
        "DICOMDIR": bytes(128) + b"DICMdamaged",
        "report": b"%PDF-1.7\n\x80\x81",
        "IM0001.jpg": b"\xff\xd8\xff\xe0\0\x10JF",
    },
    **{
        ".DS_Store": b"\0\0\0\1Bud1",
        ".IM0001.Xa93kd": RANDOM,
        "._IM0001.dcm": b"\0\5\x16\7\0\2\0\0",
        "viewer.exe": b"MZ\x90\0",
    },
    **{"zmap.nii.gz": gzip.compress(b"\x5c\1\0\0" + bytes(400), mtime=0), "mask.raw": RANDOM},
    "viewer/jre/lib/modules64": RANDOM,
    "viewer/jre/lib/table": bytes.fromhex("0800010002000000") + bytes(400),  # begins as DICOM does, and does not go on
    "viewer/jre/lib/other": bytes.fromhex("08000100ffff0f00") + bytes(400),
    **{"__MACOSX/._IM0001": b"\0\5\x16\7", ".Trash-1000/files/IM0001": bytes(100)},
}


def test_what_is_known_to_be_something_else_is_passed_over(tmp_path):
    """By its name: it has a suffix of its own, no number, or lies where no slices do."""
    write_series(tmp_path, VOXELS, GRID)
    for name, content in OTHERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "viewer.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "x")
    found = read_volume(tmp_path, adc=True)
    assert np.array_equal(found.voxels, VOXELS)
    assert found.remarks == ()


@pytest.mark.parametrize(
    "sop_class",
    ["5.1.4.1.1.88.11", "5.1.4.1.1.88.59", "5.1.4.1.1.11.1", "5.1.4.1.1.104.1", "5.1.4.1.1.66", "5.1.4.1.1.66.1", "1.3.10"],
)
def test_dicom_without_an_image_is_passed_over(tmp_path, sop_class):
    """Reports, key objects, presentation states, documents, raw data, registrations, an index; also of another series."""
    path = write_series(tmp_path, VOXELS, GRID)[0]
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    del dataset.Rows, dataset.Columns
    dataset.SOPClassUID = f"1.2.840.10008.{sop_class}"
    save(dataset, tmp_path / "IM0099")
    dataset.SeriesInstanceUID = ROOT + "77"
    save(dataset, tmp_path / "report.dcm")
    assert read_volume(tmp_path, adc=True).voxels.shape == GRID.size


def test_a_zip_of_slices_is_no_viewer(tmp_path):
    path = write_series(tmp_path, VOXELS, GRID)[-1]
    with zipfile.ZipFile(tmp_path / "part2.zip", "w") as archive:
        archive.write(path, "a/IM0099")
    assert "(1 packed)" in refused(tmp_path)


# --- one series whatever its slices' types say ---


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (("DERIVED", "PRIMARY", "DIFFUSION", "NONE"), slice(0, 2)),
        (("DERIVED", "SECONDARY"), slice(5, 7)),
        (("Erika", "ADX"), slice(3, 4)),
        ((), slice(3, 4)),
    ],
)
def test_slices_without_adc_in_their_type_that_continue_the_stack(tmp_path, kind, part):
    for path in write_series(tmp_path, VOXELS, GRID)[part]:
        change(path, ImageType=list(kind))
    message = refused(tmp_path)
    shown = "...\\..." if "Erika" in kind else "\\".join(kind) or "none"
    number = part.stop - part.start
    assert f"found DERIVED\\PRIMARY\\DIFFUSION\\ADC and {shown}, the latter in {number} of 7 slices where" in message


def test_frames_without_adc_in_their_type_that_continue_the_stack(tmp_path):
    path = write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID)])
    typed(path, lambda content: "NONE" if content.InStackPositionNumber > 5 else "ADC")
    assert "DERIVED\\PRIMARY\\DIFFUSION\\NONE, the latter in 2 of 7 slices where the ADC map has none" in refused(path)


def test_a_picture_in_the_series_of_the_adc_map_is_no_slice_of_it(tmp_path):
    write_series(tmp_path, VOXELS, GRID)
    picture = Series(image_type=("DERIVED", "SECONDARY"), more={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"})
    for path in write_series(tmp_path / "more", VOXELS[:1], GRID, picture):
        change(path, ImagePositionPatient=None, ImageOrientationPatient=None, SOPInstanceUID=ROOT + "99")
    assert np.array_equal(read_volume(tmp_path, adc=True).voxels, VOXELS)
