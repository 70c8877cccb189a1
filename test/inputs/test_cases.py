"""Which cases a folder holds: the data set's layout, a folder for each case, the platform's layout, DICOM."""

import json

import nibabel
import numpy as np
import pytest
from finding import LFS, NOT_FETCHED, blocks, check, files, tree
from inference_helpers import ADC_FOLDER, ZADC_FOLDER

from model.errors import UserError
from model.inputs.cases import find_cases
from model.inputs.platform import find_scan

ADC_1, Z_1 = "1ADC_ss/{}-ADC_ss.mha", "2Z_ADC/Zmap_{}-ADC_smooth2mm_clipped10.mha"
FOUND = blocks("""
published layout
+ 1ADC_ss/B-VISIT_01-ADC_ss.mha 2Z_ADC/Zmap_B-VISIT_01-ADC_smooth2mm_clipped10.mha 3LABEL/B-VISIT_01_lesion.mha
+ 1ADC_ss/own.nii.gz 2Z_ADC/own.nrrd
B-VISIT_01: = 1ADC_ss/B-VISIT_01-ADC_ss.mha 2Z_ADC/Zmap_B-VISIT_01-ADC_smooth2mm_clipped10.mha -
own: = 1ADC_ss/own.nii.gz 2Z_ADC/own.nrrd -

published layout with a map missing
+ 1ADC_ss/A-ADC_ss.mha 2Z_ADC/Zmap_B-ADC_smooth2mm_clipped10.mha
A: the Z map, none is there
B: the ADC map, none is there

published layout named otherwise: a Z map of the words that are not a map's belongs to the case; 1 and 01 may be two
+ 1ADC_ss/B_010-VISIT_01-ADC_ss.mha 2Z_ADC/B_010-VISIT_01-Zscore.mha 1ADC_ss/C_011_ADC.mha 2Z_ADC/zmap_C_011.nii.gz
+ 1ADC_ss/D_1-ADC_ss.mha 2Z_ADC/D_01_z.mha 1ADC_ss/E_1-ADC_ss.mha 2Z_ADC/E_1_z.mha 2Z_ADC/zmap_E_1.nii.gz
B_010-VISIT_01: = 1ADC_ss/B_010-VISIT_01-ADC_ss.mha 2Z_ADC/B_010-VISIT_01-Zscore.mha -
C_011_ADC: = 1ADC_ss/C_011_ADC.mha 2Z_ADC/zmap_C_011.nii.gz -
D_1 E_1: the Z map, none is there
D_01_z E_1_z zmap_E_1: the ADC map, none is there

what lies in and beside the published layout
+ 1ADC_ss/A-ADC_ss.mha 2Z_ADC/Zmap_A-ADC_smooth2mm_clipped10.mha 3LABEL/A_lesion.mha more/adc.mha more/zmap.mha
+ 1ADC_ss/C-ADC_ss.mha 2Z_ADC/Zmap_C-ADC_smooth2mm_clipped10.mha>gone 1ADC_ss/Thumbs.db 2Z_ADC/readme.txt figures/x.png
+ 1ADC_ss/B.tif 1ADC_ss/series/1.dcm loose.mha alone/adc.mha fs/x.mgz d.zip deep/c/adc.mha study/1/2.dcm
+ packed/x.tar.gz zmap_only/zmap.nii e.tar.gz code/x.py tables/x.csv.gz notes/a.docx empty/x
A: = 1ADC_ss/A-ADC_ss.mha 2Z_ADC/Zmap_A-ADC_smooth2mm_clipped10.mha -
more: = more/adc.mha more/zmap.mha -
C: a link to gone
1ADC_ss/B.tif 1ADC_ss/series loose.mha alone fs d.zip deep/c study packed zmap_only e.tar.gz: ^
A -z: = 1ADC_ss/A-ADC_ss.mha 2Z_ADC/Zmap_A-ADC_smooth2mm_clipped10.mha -
more -z: = more/adc.mha more/zmap.mha -
alone -z: = alone/adc.mha - -
study -z: = study - -
C 1ADC_ss/B.tif 1ADC_ss/series loose.mha fs d.zip deep/c packed zmap_only e.tar.gz -z: ^

a folder for each case, beside what is none; two files that could be the ADC map
+ baby·1/adc.mha baby·1/zmap.nrrd baby·1/lesion.mha baby·1/notes.txt .git/adc.mha list.txt
+ a/adc.mha a/adc.nii.gz a/zadc.mha b/zadc.mha c/notes.txt
baby·1: = baby·1/adc.mha baby·1/zmap.nrrd -
a: that is the ADC map, 2 could be it: adc.mha, adc.nii.gz; list the one to use in a cases.csv
b: that is the ADC map, none is there
c: none is there

z before ADC, at the end of a patient's name, beside a file that no word tells
+ a/Perez_ADC.nii.gz a/Perez_foo.nii.gz b/Fritz-ADC.nii.gz b/Perez_foo.nii.gz
a: that is the Z map, none is there*(Perez_ADC.nii.gz was taken as the ADC map); --estimate-z does without one$
b: that is the Z map, none is there*(Fritz-ADC.nii.gz was taken as the ADC map); --estimate-z does without one$

links to nothing: a data set under git-annex whose files were not fetched, or a disk that is not mounted
+ c1/adc.mha c1/zmap.mha one/adc.mha one/zmap.mha>../.git/annex/objects/gone folder>../.git/annex/objects/gone
+ both/adc.nii.gz>../.git/annex/objects/gone both/zmap.nii.gz>../.git/annex/objects/gone README.md>gone
c1: = c1/adc.mha c1/zmap.mha -
both: ^{root}/both/adc.nii.gz: a link to ../.git/annex/objects/gone, {root}/both/zmap.nii.gz: a link to ../.git/annex/
folder: ^{root}/folder: a link to ../.git/annex/objects/gone, which is not there: the data were not fetched (git annex get)
one: ^{root}/one/zmap.mha: a link to ../.git/*, which is not there: *, or lie outside of the mounted folder$

loose files beside case folders
+ c1/adc.mha c1/zmap.mha c2_adc.nii.gz c2_zmap.nii.gz c3.dcm README readme.txt .DS_Store Thumbs.db desktop.ini
+ participants.tsv ._c1.mha @eaDir/x.mha __MACOSX/adc.mha
c1: = c1/adc.mha c1/zmap.mha -
c2_adc.nii.gz c2_zmap.nii.gz c3.dcm: lies beside the cases

cases that lie too deep
+ c1/adc.mha c1/zmap.mha c1/second/adc.mha c1/second/zmap.mha c1/labels/lesion.mha site/c2/adc.mha site/c2/zmap.mha
+ sub/ses/dwi/x_adc.nii sub/ses/dwi/x_zmap.nii site/c3/adc.nii c1/raw/dwi.mha
c1: = c1/adc.mha c1/zmap.mha -
c1/second sub/ses/dwi site/c3: lies too deep
site/c2: ^{root}/site/c2: lies too deep*name {root}/site as input

what is hidden is passed over
+ c1/adc.mha c1/zmap.mha .c2/adc.mha .c4/old/x/IM.dcm .c2.mha ._c1.mha .git/adc.mha
c1: = c1/adc.mha c1/zmap.mha -

folders without maps that are read; DICOM beside the cases is told where it is read, other formats have no such advice
+ 1/adc.tif 1/zmap.tif 2/adc.mnc 2/zmap.mnc 3/adc.hdr 3/adc.img 4/ADC.PNG 5/scan.zip 6/adc.mha 6/zmap.tif 7/
+ 8/notes.txt 9/.adc.mha 9/zmap.mha c1/adc.mha c1/zmap.mha 3.dcm
c1: = c1/adc.mha c1/zmap.mha -
1: found adc.tif, zmap.tif (TIFF), which is not read there; expected .mha, .mhd, .nii*.mgh$
2: (MINC), which is not read
3: (Analyze or two-file NIfTI), which is not read
4: ADC.PNG (picture), which is not read
5: scan.zip (archive), which is not read
6: is the Z map, found zmap.tif (TIFF), which is not read
7: none is there that is not hidden
8: none is there beside notes.txt
9: none is there beside .adc.mha, zmap.mha
3.dcm: ; DICOM is read with --cases, from a folder for each case$

what someone made of the converted file, such as a stripped map, comes before DICOM and is told
+ 1/dicom/IM1.dcm 1/zmap.nii.gz 1/adc_brain.nii.gz 2/dicom/IM1.dcm 2/zmap.nii.gz 2/x_ep2d_ADC_20260203101112_5_bet.nii.gz
1: = 1/adc_brain.nii.gz 1/zmap.nii.gz -
1.remarks: ^The ADC map was taken from adc_brain.nii.gz, not from the DICOM files beside it: they were not read.$
2: = 2/x_ep2d_ADC_20260203101112_5_bet.nii.gz 2/zmap.nii.gz -

a lesion mask, or an ADC map in a folder below that may be made of the DICOM files, is not the ADC map
+ 1/IM1.dcm 1/adc_lesion_mask.nii.gz 2/series/IM1.dcm 2/nifti/x_ADC.nii.gz 3/IM1.dcm 3/x_FA.nii.gz
1 -z -m: = 1 - -
1.other_masks -z -m: ^adc_lesion_mask.nii.gz is none by its name$
2 -z -m: = 2 - -
2.remarks -z -m: ^The ADC map in the folder below (nifti) was left out: the DICOM files were taken.$
3 -z -m: = 3 - -
3.remarks -z -m:

""")


@pytest.mark.parametrize("title", FOUND)
def test_cases_of_a_folder(tmp_path, title):
    check(tmp_path, FOUND[title])


POINTERS = {  # what lies there, and of that the pointer
    "brain mask": ("c1/adc.mha c1/zmap.mha c1/mask.mha", "c1/mask.mha"),
    "published": (f"{ADC_1} {Z_1}".replace("{}", "c1"), ADC_1.format("c1")),
    "BIDS": ("sub-c1/dwi/sub-c1_ADC.nii.gz sub-c1/dwi/sub-c1_desc-z_ADC.nii.gz", "sub-c1/dwi/sub-c1_ADC.nii.gz"),
    "loose": ("c1/adc.mha c1/zmap.mha", "scan.dcm"),
}


@pytest.mark.parametrize("kind", POINTERS)
def test_pointers_to_data_that_were_not_fetched(tmp_path, kind):
    names, pointer = POINTERS[kind]
    tree(tmp_path, names)
    if kind == "BIDS":
        (tmp_path / "dataset_description.json").write_text('{"Name": "n", "BIDSVersion": "1.9.0"}')
    (tmp_path / pointer).write_text(LFS)
    assert f"{tmp_path / pointer}: {NOT_FETCHED}" in files(tmp_path).values()


# --- DICOM, and files beside it ---


DCM2NIIX = "20260203101112_5"  # time and number of a series, in the names that dcm2niix gives


@pytest.mark.parametrize(
    ("names", "json_of", "suffix"),
    [
        ([f"baby_ep2d_diff_ADC_{DCM2NIIX}"], "", ".nrrd"),
        ([f"baby_ep2d_diff_ADC_{DCM2NIIX}a", f"baby_ep2d_eADC_{DCM2NIIX}", f"baby_ep2d_b0_{DCM2NIIX}_e1"], "", ".nii.gz"),
        ([f"baby_DWI_{DCM2NIIX}_ADC"], "", ".NII"),
        (["5_ADC"], "5_ADC", ".nii.gz"),
        (["adc", "dwi"], "adc", ".nii.gz"),
    ],
)
def test_dicom_comes_before_what_dcm2niix_made_of_it(tmp_path, names, json_of, suffix):
    tree(tmp_path, f"baby/IM1.dcm baby/x_zmap.nii.gz baby/brain_mask.nii.gz baby/{names[0]}_zmap_{names[0]}.txt")
    tree(tmp_path, " ".join(f"baby/{name}{suffix}" for name in names))
    if json_of:
        (tmp_path / "baby" / f"{json_of}.json").write_text(json.dumps({"ConversionSoftware": "dcm2niix"}))
    (case,) = find_cases(tmp_path)
    assert case.files == (tmp_path / "baby", tmp_path / "baby/x_zmap.nii.gz", tmp_path / "baby/brain_mask.nii.gz")
    assert tmp_path / "baby" / f"{names[0]}{suffix}" in case.converted
    (tmp_path / "baby" / "IM1.dcm").unlink()
    if len(names) == 1:
        assert find_cases(tmp_path)[0].adc == tmp_path / "baby" / f"{names[0]}{suffix}"


def test_dcm2niix_is_known_by_the_header_too(tmp_path):
    """`-b n -f adc` leaves no JSON and no name of its own. What another name says was stripped since is no mere copy."""
    tree(tmp_path, "baby/IM1.dcm")
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4))
    image.header["descrip"] = "TE=90;Time=101112.000"
    for name in ("adc.nii", "adc.nii.gz", "adc_bet.nii.gz"):
        nibabel.save(image, tmp_path / "baby" / name)
        (case,) = find_cases(tmp_path)
        assert case.adc == tmp_path / "baby" / ("" if "bet" not in name else name)
        (tmp_path / "baby" / name).unlink()


@pytest.mark.parametrize(("fields", "stem"), [({"SkullStripped": True}, "adc"), ({}, "adc_brain"), ({}, "adc_ss")])
def test_a_stripped_map_with_the_json_of_its_source_is_no_mere_copy(tmp_path, fields, stem):
    tree(tmp_path, f"baby/IM1.dcm baby/{stem}.nii.gz")
    about = {"ConversionSoftware": "dcm2niix", "SeriesDescription": "ep2d ADC"} | fields
    (tmp_path / "baby" / f"{stem}.json").write_text(json.dumps(about))
    assert find_cases(tmp_path)[0].adc == tmp_path / "baby" / f"{stem}.nii.gz"


@pytest.mark.parametrize("index", ["DICOMDIR", "dicomdir."])
def test_cd_with_a_viewer(tmp_path, index):
    """Its index, programs and pictures are passed over; images elsewhere on it are not."""
    tree(tmp_path, f"{index} DICOM/ST1/IM1 VIEWER/viewer.exe VIEWER/logo.png VIEWER/help.zip AUTORUN.INF IHE_PDI/INDEX.HTM")
    tree(tmp_path, "IHE_PDI/1.jpg logo.bmp more/adc.tif JRE/lib/rt.jar last/x.exe last/x.mgz")
    for name in (index, "DICOM/ST1/IM1"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    cases = {case.name: case.problem for case in find_cases(tmp_path)}
    assert list(cases) == ["DICOM", "last", "more"]
    assert not cases["DICOM"]


# --- the whole of a folder ---


def test_a_hidden_folder_of_a_case_is_named(tmp_path, capsys):
    tree(tmp_path, "c1/adc.mha .c2/adc.mha .c3/IM1.dcm .c4/series/IM1.dcm .c5.mha .c6/zmap.mha .c7/baby/adc.mha")
    tree(tmp_path, "._c1.mha @eaDir/adc.mha")
    tree(
        tmp_path, ".git/adc.mha .Trash-1000/adc.mha .datalad/config .ipynb_checkpoints/cases-checkpoint.csv .venv/a/b/1.dcm"
    )
    for name in (".c3/IM1.dcm", ".c4/series/IM1.dcm", ".Trash-1000/1.dcm", ".venv/a/b/1.dcm"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    assert [case.name for case in find_cases(tmp_path)] == ["c1"]
    said = [f"warning: {tmp_path}/.c{n}: left out, since its name begins with a dot; it holds a case" for n in (2, 3, 4, 7)]
    assert capsys.readouterr().out.splitlines() == said


NOTHING = [
    (find_cases, "a.dcm b.dcm", r"no case found.*found 2 file\(s\) \(DICOM\), which is not read there"),
    (
        find_cases,
        "adc.mha zadc.mha",
        "no case found, expected 1ADC_ss/ and 2Z_ADC/ as in the data set.* beside no folder of a case,"
        " put each case in one of its own$",
    ),
    *(
        (find, "", "^{root}.*: .*the input folder is empty; in a container, check .* -v mount")
        for find in (find_cases, find_scan)
    ),
    (
        find_scan,
        f"{ADC_FOLDER}/1.dcm {ZADC_FOLDER}/2.mha",
        r"found 1 file\(s\) \(DICOM\) .*; DICOM is read with --cases, from a folder for each case$",
    ),
]


@pytest.mark.parametrize(("find", "names", "says"), NOTHING)
def test_nothing_found_says_what_was_expected(tmp_path, find, names, says):
    with pytest.raises(UserError, match=says.replace("{root}", str(tmp_path))):
        find(tree(tmp_path, names))


UNKNOWN = [*(("baby1_adc", other) for other in ("standard", "baby1_scan")), ("fa_t2_adc", "fa_t2_standard")]
KNOWN = [("baby1_adc", other) for other in ("DWI_b1000", "t2w", "brain_mask", "eADC", "baby1_left_label")]


@pytest.mark.parametrize(("maps", "other"), [*UNKNOWN, *KNOWN, ("adc zmap", "standard")])
def test_an_image_of_unknown_kind_is_named_where_the_z_map_is_estimated(tmp_path, maps, other):
    """Words of the ADC map's name do not say what another image is."""
    (case,) = find_cases(tree(tmp_path, " ".join(f"baby1/{name}.nii.gz" for name in (*maps.split(), other))))
    said = f"{other}.nii.gz was not used: if it is the Z map, put 'zmap' into its name."
    assert case.for_options(estimate_z=True, use_mask=False).remarks == (said,) * ((maps, other) in UNKNOWN)
