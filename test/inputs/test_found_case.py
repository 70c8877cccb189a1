"""Cases without a Z map, and brain masks beside ADC maps: what is found, and what each option makes of it."""

from pathlib import Path

import pytest
from finding import blocks, check, files, table, tree
from inference_helpers import ADC_FOLDER, ZADC_FOLDER

from model.errors import UserError
from model.inputs.cases import find_cases
from model.inputs.mask_names import MaskKind
from model.inputs.platform import find_scan

NAMES = {  # of files beside adc.mha and zmap.mha, without their suffixes
    MaskKind.OTHER: """
        lesion_mask label adc_seg_mask InfarctMask dwi-stroke-mask tumour_brain_mask sub-01_desc-hie_mask lesions-draft roi
        brain_lesion_seg csf_mask left_hemisphere_mask not_brain_mask OutsideBrainMask brain_mask_inverted brainMaskInv""",
    MaskKind.BRAIN: "brainmask_manual BrainMask-seg betmask adc_skull_stripped_mask t2_synthstrip_mask mask_eroded",
    MaskKind.DOUBTFUL: "brain t2_synthstrip white_brain_mask core_brainmask",  # a stripped image, or the case's name
    MaskKind.NONE: "t2 dwi_b1000",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_masks_by_their_names(tmp_path, kind, name):
    """A mask of something else is left out and named; what may be a brain mask is not passed over."""
    maps, path = ("c1/adc.mha", "c1/zmap.mha"), f"c1/{name}.nii.gz"
    tree(tmp_path, f"{' '.join(maps)} {path}")
    (case,) = find_cases(tmp_path)
    assert (case.brain_mask is not None) == (kind is MaskKind.BRAIN)
    assert (f"/c1: expected a brain mask, found {name}.nii.gz; if it is one, " in case.no_mask) == (
        kind is MaskKind.DOUBTFUL
    )
    assert case.other_masks == (f"{name}.nii.gz is none by its name" if kind is MaskKind.OTHER else "")
    if kind in (MaskKind.OTHER, MaskKind.DOUBTFUL):
        tree(tmp_path, "c1/mask.nii.gz")
        assert files(tmp_path) == {"c1": (*maps, "c1/mask.nii.gz")}
    table(tmp_path, f"a,c1/adc.mha,,{path}", "case,adc,zadc,brain_mask")
    says = "its name says that it is a mask of something in the brain, expected a brain mask"
    found = f"{tmp_path}/{path}: {says}" if kind is MaskKind.OTHER else ("c1/adc.mha", None, path)
    assert files(tmp_path) == {"a": found}


def test_what_is_no_mask_is_not_told(tmp_path):
    tree(tmp_path, "c1/adc.mha c1/zmap.mha")
    for name in ("brain.0001", "mask.txt", "brain.dcm", "lesions.png"):
        (tmp_path / "c1" / name).write_bytes(bytes(128) + b"DICM")
    (case,) = find_cases(tmp_path)
    assert (case.no_mask, case.other_masks) == ("", "")


ESTIMATED = ["zmap-estimated.nii.gz", "B_ZMAP_ESTIMATED.NII", "EstimatedZ.mha"]
LEFT_OUT = "{} was left out: its name says that it is an estimated Z map, not a given one"


@pytest.mark.parametrize("name", [*ESTIMATED, "sub-01_ses-1_desc-hiezscore_ADC.nii.gz"])
def test_an_estimated_z_map_is_no_given_one(tmp_path, name):
    tree(tmp_path, f"c1/adc.mha c1/{name} c2/IM1.dcm c2/{name}")
    assert files(tmp_path) == {"c1": ("c1/adc.mha", None, None), "c2": ("c2", None, None)}
    for case in find_cases(tmp_path):
        assert case.remarks[0] == f"{LEFT_OUT.format(name)}."
        assert LEFT_OUT.format(name) in case.no_z
    tree(tmp_path, "c1/zmap.mha")
    assert files(tmp_path)["c1"] == ("c1/adc.mha", "c1/zmap.mha", None)


@pytest.mark.parametrize("name", ESTIMATED)
def test_estimated_z_maps_of_tables_and_platform_fail(tmp_path, name):
    tree(tmp_path, f"maps/{name} maps/adc.mha")
    table(tmp_path, f"a,maps/adc.mha,maps/{name}")
    says = "its name says that it is an estimated Z map, expected a given one"
    assert files(tmp_path) == {"a": f"{tmp_path}/maps/{name}: {says}"}
    one = tree(tmp_path / "one", f"{ADC_FOLDER}/scan.mha {ZADC_FOLDER}/{Path(name).stem}.mha")
    with pytest.raises(UserError, match=rf"\.mha: {says}"):
        find_scan(one)


FOUND = blocks("""
an ADC map and its brain mask: in general, of 3D Slicer, HD-BET and ANTs, of a case that is called after a lesion
+ c1/adc.nii.gz c1/adc_mask.nii.gz c2/adc.nii.gz c2/brain_mask.seg.nrrd c3/adc.nii.gz c3/b0_bet_mask.nii.gz
+ c4/adc.nii.gz c4/BrainExtractionMask.nii.gz c5/stroke3_lesion_adc.nii.gz c5/stroke3_lesion_mask.nii.gz
c1 -z -m: = c1/adc.nii.gz - c1/adc_mask.nii.gz
c2 -z -m: = c2/adc.nii.gz - c2/brain_mask.seg.nrrd
c3 -z -m: = c3/adc.nii.gz - c3/b0_bet_mask.nii.gz
c4 -z -m: = c4/adc.nii.gz - c4/BrainExtractionMask.nii.gz
c5 -z -m: = c5/stroke3_lesion_adc.nii.gz - c5/stroke3_lesion_mask.nii.gz

both in the data set's folder
+ 1ADC_ss/c1-ADC_ss.mha 1ADC_ss/c1-ADC_ss_mask.nii.gz 1ADC_ss/c2_adc.mha 1ADC_ss/brain_mask_c2.mha
c1 -z -m: = 1ADC_ss/c1-ADC_ss.mha - 1ADC_ss/c1-ADC_ss_mask.nii.gz
c2_adc -z -m: = 1ADC_ss/c2_adc.mha - 1ADC_ss/brain_mask_c2.mha
c1 c2_adc: the Z map, none is there*; --estimate-z does without one$

masks of formats that are not read, or by the folder's own words, may be brain masks
+ c1/adc.mha c1/b0_brain_mask.img c2/adc.mha c2/mask.nii.zip c3/adc.mha c3/x.seg.nrrd HIE_01/adc.mha HIE_01/HIE_01_mask.mha
c1 -z -m: expected a brain mask, found b0_brain_mask.img (Analyze or two-file NIfTI, which is not read); if it is one,
c2 -z -m: expected a brain mask, found mask.nii.zip (archive, which is not read); if it is one,
c3 -z -m: expected a brain mask, found x.seg.nrrd; if it is one,
HIE_01 -z -m: expected a brain mask, found HIE_01_mask.mha; if it is one,
c1 c2 c3 HIE_01 -z: = {name}/adc.mha - -

a word of both maps belongs to the case: it makes no brain mask and no estimate
+ c1/mask_adc.mha c1/mask_zmap.mha c2/estimated_adc.mha c2/estimated_zmap.mha
c1 -z -m: = c1/mask_adc.mha c1/mask_zmap.mha -
c2 -z -m: = c2/estimated_adc.mha c2/estimated_zmap.mha -

masks in folders below are left out and named, but where one lies beside the map
+ c1/IM1.dcm c1/nifti/brain_mask.nii.gz c1/nifti/lesion_mask.nii.gz c1/t2/bet/x_bet_mask.nii.gz
+ c2/adc.mha c2/nifti/brain_mask.nii.gz c2/nifti/lesion_mask.nii.gz c2/t2/bet/x_bet_mask.nii.gz
+ c3/adc.mha c3/nifti/brain_mask.nii.gz c3/brain_mask.nii.gz
c1 -z -m: = c1 - -
c1.no_mask -z -m:
c1.other_masks -z -m: ^left out: nifti/brain_mask.nii.gz, t2/bet/x_bet_mask.nii.gz$
c2 -z -m: = c2/adc.mha - -
c2.no_mask -z -m:
c2.other_masks -z -m: ^left out: nifti/brain_mask.nii.gz, t2/bet/x_bet_mask.nii.gz$
c3 -z -m: = c3/adc.mha - c3/brain_mask.nii.gz
c3.other_masks -z -m:

a given Z map is found with the options too; other images do not keep a case from an estimate
+ c1/adc.mha c1/zmap.mha c1/adc_mask.mha c2/adc.mha c3/adc.mha c3/b0.nii.gz c3/1.dcm c3/z.txt
c1 -z -m: = c1/adc.mha c1/zmap.mha c1/adc_mask.mha
c2 -z -m: = c2/adc.mha - -
c3 -z -m: = c3/adc.mha - -

two masks are a problem where masks are asked for
+ c1/adc.mha c1/zmap.mha c1/mask.mha c1/brain_mask.nii.gz
c1 -z: = c1/adc.mha c1/zmap.mha -
c1 -z -m: one brain mask of c1, 2 could be it: brain_mask.nii.gz, mask.mha; list the one to use in a cases.csv$

a Z map that cannot be told or read is not estimated: its case is one for its owner to look at
+ two/adc.mha two/zmap.mha two/zscore.mha tiff/adc.mha tiff/zmap.tif lost/adc.mha lost/zmap.mha>gone
two -z -m: 2 could be it: zmap.mha, zscore.mha; list the one to use in a cases.csv$
tiff -z -m: zmap.tif (TIFF), which is not read there; expected .mha, *.mgh (adc.mha was taken as the ADC map)$
lost -z -m: a link to gone, which is not there: a disk that is not mounted, or data not fetched$

rows whose files are not there; the mask's matters only where it is asked for
+ b c link>nowhere
| case,adc,zadc,brain_mask
| 1,b,,gone.mha
| 2,b,,link
| 3,b,gone.mha,c
| 4,,,c
| 5,,c,c
| 6,b,c
| 7,b,c,gone.mha
| 8,b,,c
1 -z -m: ^no such file: {root}/gone.mha
2 -z -m: link: a link to nowhere
3 -z -m: ^no such file: {root}/gone.mha
4 -z -m: line 5 has no adc and no zadc
5 -z -m: line 6 has no adc
6 -z -m: = b c -
7 -z -m: ^no such file: {root}/gone.mha
8 -z -m: = b - c
1 2 8 -z: = b - -
3 -z: ^no such file: {root}/gone.mha
4 5 -z: has no adc
6 7 -z: = b c -
""")


@pytest.mark.parametrize("title", FOUND)
def test_what_the_options_make_of_it(tmp_path, title):
    check(tmp_path, FOUND[title])
