"""Folders of DICOM through the entrypoint: studies, series, files with many frames, and what is told of the patient."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import BIRTH, NAME, NUMBER, ROOT, Series, change, write_multiframe, write_series, write_study
from folder_helpers import summary
from inference_helpers import GRID, lesion_mask, results_of, rule, small_maps
from phantom import write_image

from model.inputs.cases import find_cases

ADC, Z = (np.maximum(voxels, 0) if n == 0 else voxels for n, voxels in enumerate(small_maps()))
OF_Z = Series(uid=ROOT + "6", image_type=("DERIVED", "SECONDARY"), description="z", slopes=(0.001,), intercept=-10.0)
SECRETS = (*NAME.split("^"), NUMBER, BIRTH, "4711")


def study(folder: Path) -> Path:
    """A scanner's study with a Z map beside it."""
    write_study(folder, ADC, GRID)
    write_image(Z, GRID, folder / "zmap.nii.gz")
    return folder


def require_mask(path: Path) -> None:
    """The rule's mask of the small case on its grid."""
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), rule(ADC, Z))
    np.testing.assert_allclose(image.GetOrigin(), GRID.origin_mm, rtol=0, atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), GRID.direction, rtol=0, atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), GRID.spacing_mm[::-1], rtol=0, atol=1e-5)


def test_a_study_and_a_file_with_many_frames(tmp_path, go, output):
    study(tmp_path / "in" / "a study")
    write_multiframe(tmp_path / "in" / "frames" / "IM1", [(ADC, GRID)])
    write_image(Z, GRID, tmp_path / "in" / "frames" / "zmap.mha")
    code, out, err = go(tmp_path / "in", "--report")
    assert (code, err) == (0, "")
    for name in ("a study", "frames"):
        require_mask(output / name / "lesions.nii.gz")
    results = results_of(output / "a study")
    assert results["inputs"]["adc"]["file"] == "a study"
    assert results["software"].keys() >= {"pydicom"}
    said = {"uid": f"{ROOT}2.4", "study_date": "2026-02-03", "description": "ep2d_diff_3scan_trace_ADC"}
    assert results["series"] == said
    page = (output / "a study" / "report.html").read_text()
    for name, value in zip(("Series", "Study date", "Description"), said.values(), strict=True):
        assert f'<th scope="row">{name}</th><td>{value}</td>' in page
    told = out + "".join(map(str, output.rglob("*")))
    told += "".join(path.read_text() for path in output.rglob("*") if path.suffix in (".json", ".html", ".csv"))
    told = re.sub(r"[0-9a-f]{12,}|base64,[\w+/=]+", "", told)  # digests and images have any letters
    assert not [secret for secret in SECRETS if secret.casefold() in told.casefold()]


def test_files_with_many_frames_beside_the_folders_are_cases(tmp_path, go, output):
    write_multiframe(tmp_path / "in" / "b.dcm", [(ADC[:2], replace(GRID, size=ADC[:2].shape))])
    write_series(tmp_path / "in" / "c", ADC, GRID)[0].rename(tmp_path / "in" / "one_slice.dcm")
    code, _, _ = go(tmp_path / "in")
    assert code == 2
    found = summary(output)
    assert sorted(found) == ["b", "c", "one_slice.dcm"]
    assert "--estimate-z" in found["b"]["reason"]
    assert "lies beside the cases, expected it in a folder of its case" in found["one_slice.dcm"]["reason"]


def test_the_series_comes_before_what_dcm2niix_made_of_it_which_is_told(tmp_path, go, output):
    """With a Z map of another name beside it. A converted map on another grid may be of another study."""
    for name, grid in {"same": GRID, "other": replace(GRID, spacing_mm=(3.0, 1.25, 0.9))}.items():
        folder = study(tmp_path / "in" / name)
        write_image(ADC, grid, folder / f"{name}_ep2d_diff_ADC_20260203101112_4.nii.gz")
        write_image(ADC / 4, grid, folder / "b1000.nii.gz")
        (folder / "b1000.json").write_text(json.dumps({"ConversionSoftware": "dcm2niix"}))
    assert go(tmp_path / "in")[0] == 0
    for name in ("same", "other"):
        require_mask(output / name / "lesions.nii.gz")
        results = results_of(output / name)
        assert (results["inputs"]["adc"]["file"], results["z_map"]) == (name, "given")
        (said,) = (sentence for sentence in results["warnings"] if "taken from DICOM" in sentence)
        end = "." if name == "same" else ", which lies on another grid: is it of another study?"
        assert said.endswith(f"DICOM, not from the file beside it that was converted from DICOM{end}")
        assert (output / name / "lesions.dcm").is_file()


COPIES = {
    "rounded": (np.rint(ADC).astype(np.int16), True),
    "in another unit": (ADC * np.float32(1e-6), True),
    "smoothed": (np.where(ADC > 0, ADC + np.float32(60) * np.cos(np.arange(ADC.size)).reshape(ADC.shape), 0), False),
    "scaled": (ADC * np.float32(1.1), False),
    "a lesion filled": (np.where(lesion_mask(), np.float32(1500), ADC), False),
}


def test_a_file_beside_dicom_is_left_out_where_it_is_a_copy_by_its_values_alone(tmp_path, go, output):
    """A file with other values beside a copy is counted; which was cut with its Z map, or stripped since, is told."""
    cut = (slice(1, None), slice(2, None), slice(None))
    of_cut = replace(GRID, size=ADC[cut].shape, origin_mm=tuple(GRID.to_mm(np.array([1, 2, 0])).tolist()))
    head = np.where(ADC > 0, ADC, 500)
    cases = {kind: (ADC, GRID, Z, "x_ADC_20260203101112_4", voxels) for kind, (voxels, _) in COPIES.items()}
    cases["both"] = (ADC, GRID, Z, "x_ADC_20260203101112_4", ADC)
    cases["cut"] = (ADC, of_cut, Z[cut], "x_ADC_20260203101112_4", ADC[cut])
    cases["stripped"] = (head, GRID, Z, "x_ADC_20260203101112_4", ADC)
    cases["stripped, masked"] = (head, GRID, Z, "x_ADC_20260203101112_4", ADC)
    cases["another name"] = (head, GRID, Z, "adc_brain", ADC)
    for kind, (series, grid, zadc, name, voxels) in cases.items():
        folder = tmp_path / "in" / kind
        write_series(folder, series, GRID)
        write_image(zadc, grid, folder / "zmap.nii.gz")
        write_image(voxels if voxels.dtype == np.int16 else voxels.astype(np.float32), grid, folder / f"{name}.nii.gz")
    write_image(ADC * np.float32(1.1), GRID, tmp_path / "in" / "both" / "x_ADC_20260203101112_5.nii.gz")
    write_image((ADC > 0).astype(np.uint8), GRID, tmp_path / "in" / "stripped, masked" / "brain_mask.nii.gz")
    assert go(tmp_path / "in", "--brain-mask", "--smallest-brain", "0")[0] == 2
    rows = summary(output)
    done = {*(kind for kind, (_, is_copy) in COPIES.items() if is_copy), "both", "stripped, masked", "another name"}
    assert {kind for kind, row in rows.items() if row["status"] == "done"} == done
    assert all("looks converted from it has other values in " in rows[kind]["reason"] for kind in {*COPIES} - done)
    assert "converted from DICOM, nor from 1 more with other values." in rows["both"]["warnings"]
    assert "are not on one grid: " in rows["cut"]["reason"]
    on_other = "; zmap.nii.gz is on the grid of the file beside the DICOM that looks converted from it, and which"
    assert on_other in rows["cut"]["reason"]
    stripped = (
        "is empty in places with ADC: was it skull-stripped, or is it of another study? List the one to use in a cases"
    )
    assert stripped in rows["stripped"]["reason"]
    taken = "The ADC map was taken from adc_brain.nii.gz, not from the DICOM files beside it: they were not read."
    assert taken in rows["another name"]["warnings"]
    require_mask(output / "another name" / "lesions.nii.gz")
    assert not (output / "another name" / "lesions.dcm").exists()


@pytest.mark.parametrize("options", [(), ("--estimate-z",)], ids=["Z map", "no Z map"])
def test_an_adc_map_made_of_raw_dicom_is_taken_and_told(tmp_path, options):
    """Its JSON is that of dcm2niix's NIfTI. Without an ADC map among them, folders below are cases that lie too deep."""
    for name, place in (("a", ""), ("b", "nifti")):
        write_study(tmp_path / name, ADC, GRID)
        shutil.rmtree(tmp_path / name / "SE4")
        (tmp_path / name / place).mkdir(exist_ok=True)
        write_image(ADC, GRID, tmp_path / name / place / "adc.nii.gz")
        (tmp_path / name / place / "adc.json").write_text(json.dumps({"ConversionSoftware": "dcm2niix"}))
    for name in [] if options else ["a", "b"]:
        write_image(Z, GRID, tmp_path / name / "zmap.nii.gz")
    first, *others = find_cases(tmp_path, estimate_z=bool(options))
    assert (first.adc, first.zadc) == (tmp_path / "a" / "adc.nii.gz", None if options else tmp_path / "a" / "zmap.nii.gz")
    said = "The ADC map was taken from adc.nii.gz, not from the DICOM files beside it: no ADC series is among them."
    assert first.remarks == (said,)
    assert any("nifti: lies too deep" in case.problem for case in others)


def test_a_segmentation_in_dicom_is_no_brain_mask_and_told(tmp_path, go, output):
    write_series(tmp_path / "in" / "a", ADC, GRID)
    write_image(Z, GRID, tmp_path / "in" / "a" / "zmap.nii.gz")
    assert go(tmp_path / "in")[0] == 0
    shutil.copy(output / "a" / "lesions.dcm", tmp_path / "in" / "a" / "SE9")
    said = "No brain mask was found for a (DICOM segmentations are not read: 1): it was used as it is (--brain-mask)."
    assert "segmentation" not in summary(output)["a"]["warnings"]
    shutil.rmtree(output)
    assert go(tmp_path / "in", "--brain-mask")[0] == 0
    assert said in summary(output)["a"]["warnings"]


def test_a_table_names_folders_and_files_of_both_maps(tmp_path, go, output):
    write_study(tmp_path / "in" / "s1", ADC, GRID)
    write_multiframe(tmp_path / "in" / "adc file", [(ADC, GRID)])
    write_series(tmp_path / "in" / "z of s1", Z, GRID, OF_Z)
    rows = ("case,adc,zadc", "one,s1/SE4,z of s1", "two,s1,z of s1", "three,adc file,z of s1")
    (tmp_path / "in" / "cases.csv").write_text("\n".join(rows))
    code, _, err = go(tmp_path / "in", "--format", "mha")
    assert (code, err) == (0, "")
    for name in ("one", "two", "three"):
        require_mask(output / name / "lesions.mha")


def test_a_series_is_named_where_there_are_two(tmp_path, go, output):
    study(tmp_path / "in" / "a")
    write_series(tmp_path / "in" / "a" / "again", ADC, GRID, Series(uid=ROOT + "2.9"))
    code, _, err = go(tmp_path / "in")
    assert code == 2
    text = "(ep2d_diff_3scan_trace_ADC, 7 file(s)) of 2026-02-03"
    assert f"{ROOT}2.4 {text}; {ROOT}2.9 {text}" in err
    assert not (output / "a").exists()
    code, _, err = go(tmp_path / "in", "--series", ROOT + "2.9")
    assert (code, err) == (0, "")


def test_a_series_is_done_before_until_one_of_its_files_changes(tmp_path, go, count):
    study(tmp_path / "in" / "a")
    assert go(tmp_path / "in")[0] == 0
    adc = sorted((tmp_path / "in" / "a" / "SE4").iterdir())
    adc[0].rename(adc[0].with_name("renamed"))
    (tmp_path / "in" / "a" / "SE1" / "README").write_text("more of the study")
    assert "a: done before" in go(tmp_path / "in")[1]
    assert len(count) == 1
    change(adc[1], RescaleSlope=1.5)
    code, out, _ = go(tmp_path / "in")
    assert (code, len(count)) == (2, 1)
    assert "a: outdated: the ADC map was replaced since" in out


def test_a_study_that_cannot_be_read_leaves_nothing_and_tells_no_name(tmp_path, go, output):
    bad = {"PatientID": ("other", "found 2 patients'"), "Rows": (3, "found 2 (rows x columns): ")}
    for name, (value, _) in bad.items():
        study(tmp_path / "in" / name)
        change(sorted((tmp_path / "in" / name / "SE4").iterdir())[3], **{name: value})
    study(tmp_path / "in" / "good")
    code, out, err = go(tmp_path / "in")
    assert code == 2
    assert "Traceback" not in err + out
    assert not [secret for secret in SECRETS if secret in err + out]
    for name, (_, says) in bad.items():
        assert says in summary(output)[name]["reason"]
        assert not (output / name).exists()
    require_mask(output / "good" / "lesions.nii.gz")
