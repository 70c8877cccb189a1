"""Cases without a Z map, and brain masks beside ADC maps: what is found, and what each option makes of it."""

from pathlib import Path

import pytest
from finding import blocks, check, files, table, tree
from inference_helpers import ADC_FOLDER, ZADC_FOLDER

from model.errors import UserError
from model.inputs.cases import find_cases
from model.inputs.platform import find_scan

LAYOUTS = [  # an ADC map and its brain mask
    "c1/adc.nii.gz c1/adc_mask.nii.gz",
    "c1/adc.nii.gz c1/brain_mask.seg.nrrd",  # 3D Slicer
    "c1/adc.nii.gz c1/b0_bet_mask.nii.gz",  # HD-BET
    "c1/adc.nii.gz c1/BrainExtractionMask.nii.gz",  # ANTs
    "c1/stroke3_lesion_adc.nii.gz c1/stroke3_lesion_mask.nii.gz",  # a case called after a lesion
    "1ADC_ss/c1-ADC_ss.mha 1ADC_ss/c1-ADC_ss_mask.nii.gz",  # the data set's
    "1ADC_ss/c1_adc.mha 1ADC_ss/brain_mask_c1.mha",
    "maps/a.nii other/b.nii",  # a table's
]


@pytest.mark.parametrize("names", LAYOUTS)
def test_case_of_an_adc_map_and_a_mask(tmp_path, names):
    adc, mask = names.split()
    tree(tmp_path, names)
    if adc.startswith("maps"):
        table(tmp_path, f"c1,{adc},,{mask}", "case,adc,zadc,brain_mask")
    assert list(files(tmp_path).values()) == [(adc, None, mask)]
    (problem,) = files(tmp_path, estimate_z=False).values()
    assert problem.endswith("; --estimate-z does without one")


# --- brain masks by their names, beside adc.mha and zmap.mha ---


OTHER_MASKS = """
    lesion_mask label adc_seg_mask InfarctMask dwi-stroke-mask tumour_brain_mask sub-01_desc-hie_mask lesions-draft roi
    brain_lesion_seg csf_mask left_hemisphere_mask not_brain_mask OutsideBrainMask brain_mask_inverted brainMaskInv
""".split()  # noqa: SIM905
BRAIN_MASKS = "brainmask_manual BrainMask-seg betmask adc_skull_stripped_mask t2_synthstrip_mask mask_eroded".split()  # noqa: SIM905
# a part beside `brain`, or one after which the folder is called, may be the case's name
MAY_BE_THE_NAME = ["c1/white_brain_mask", "c1/core_brainmask", "HIE_01/HIE_01_mask"]
DOUBTFUL = {  # what may be a brain mask, and the format that is not read
    **dict.fromkeys(("brain.nii.gz", "Segmentation.seg.nrrd", "t2_synthstrip.nii.gz"), ""),
    **{"b0_brain_mask.img": "Analyze or two-file NIfTI", "mask.nii.zip": "archive", "mask.npy": "array"},
}
NO_MASKS = ["brain.0001", "mask.txt", "brain.dcm", "lesions.png", "t2.nii.gz"]
MAPS = ("c1/adc.mha", "c1/zmap.mha")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tree(tmp_path, " ".join(MAPS))


@pytest.mark.parametrize("name", OTHER_MASKS)
def test_masks_of_something_else_are_left_out_and_named(root, name):
    path = f"c1/{name}.nii.gz"
    tree(root, path)
    assert files(root) == {"c1": (*MAPS, None)}
    assert find_cases(root)[0].other_masks == f"{name}.nii.gz is none by its name"
    tree(root, "c1/brain_mask.nii.gz")
    assert files(root) == {"c1": (*MAPS, "c1/brain_mask.nii.gz")}
    table(root, f"a,c1/adc.mha,,{path}", "case,adc,zadc,brain_mask")
    says = "its name says that it is a mask of something in the brain, expected a brain mask"
    assert files(root) == {"a": f"{root}/{path}: {says}"}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_may_be_a_brain_mask_is_not_passed_over(root, name):
    tree(root, f"c1/{name}")
    shown = f"{name} ({DOUBTFUL[name]}, which is not read)" if DOUBTFUL[name] else name
    assert f"/c1: expected a brain mask, found {shown}; if it is one, " in files(root)["c1"]
    assert files(root, use_mask=False) == {"c1": (*MAPS, None)}
    tree(root, "c1/mask.nii.gz")
    assert files(root) == {"c1": (*MAPS, "c1/mask.nii.gz")}


@pytest.mark.parametrize("name", BRAIN_MASKS)
def test_names_of_brain_masks(root, name):
    tree(root, f"c1/{name}.nii.gz")
    assert files(root) == {"c1": (*MAPS, f"c1/{name}.nii.gz")}


@pytest.mark.parametrize("mask", MAY_BE_THE_NAME)
def test_a_part_that_may_be_the_cases_name(tmp_path, mask):
    folder, name = mask.split("/")
    tree(tmp_path, f"{folder}/adc.mha {mask}.nii.gz")
    assert f"/{folder}: expected a brain mask, found {name}.nii.gz; if it is one, " in files(tmp_path)[folder]
    table(tmp_path, f"c1,{folder}/adc.mha,,{mask}.nii.gz", "case,adc,zadc,brain_mask")
    assert files(tmp_path)["c1"][2] == f"{mask}.nii.gz"


@pytest.mark.parametrize("name", NO_MASKS)
def test_what_is_no_mask_is_not_told(root, name):
    (root / "c1" / name).write_bytes(bytes(128) + b"DICM")
    (case,) = find_cases(root)
    assert (case.no_mask, case.other_masks) == ("", "")


HIE = "sub-01_ses-1_desc-hiezscore_ADC.nii.gz"
ESTIMATED = ["zmap-estimated.nii.gz", "B_ZMAP_ESTIMATED.NII", "EstimatedZ.mha"]
LEFT_OUT = "{} was left out: its name says that it is an estimated Z map, not a given one"


@pytest.mark.parametrize(("adc", "name"), [("IM1.dcm", ESTIMATED[0]), *(("adc.mha", name) for name in (*ESTIMATED, HIE))])
def test_an_estimated_z_map_is_no_given_one(tmp_path, name, adc):
    tree(tmp_path, f"c1/{adc} c1/{name}")
    place = "c1/adc.mha" if adc == "adc.mha" else "c1"
    assert files(tmp_path) == {"c1": (place, None, None)}
    assert find_cases(tmp_path)[0].remarks[0] == f"{LEFT_OUT.format(name)}."
    assert LEFT_OUT.format(name) in files(tmp_path, estimate_z=False)["c1"]
    tree(tmp_path, "c1/zmap.mha")
    assert files(tmp_path) == {"c1": (place, "c1/zmap.mha", None)}


@pytest.mark.parametrize("name", ESTIMATED)
def test_estimated_z_maps_of_tables_platform_and_data_set_fail(tmp_path, name):
    tree(tmp_path, f"maps/{name} maps/adc.mha")
    table(tmp_path, f"a,maps/adc.mha,maps/{name}")
    says = "its name says that it is an estimated Z map, expected a given one"
    assert files(tmp_path) == {"a": f"{tmp_path}/maps/{name}: {says}"}
    one = tree(tmp_path / "one", f"{ADC_FOLDER}/scan.mha {ZADC_FOLDER}/{Path(name).stem}.mha")
    with pytest.raises(UserError, match=rf"\.mha: {says}"):
        find_scan(one)
    published = tree(tmp_path / "all", f"1ADC_ss/c1-ADC_ss.mha 2Z_ADC/c1_{name}")
    assert files(published)["c1"] == ("1ADC_ss/c1-ADC_ss.mha", None, None)


FOUND = blocks("""
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
1 -z -m: ^no such file: {root}/gone.mha
2 -z -m: link: a link to nowhere
3 -z -m: ^no such file: {root}/gone.mha
4 -z -m: line 5 has no adc and no zadc
5 -z -m: line 6 has no adc
6 -z -m: = b c -
7 -z -m: ^no such file: {root}/gone.mha
1 2 -z: = b - -
3 -z: ^no such file: {root}/gone.mha
4 5 -z: has no adc
6 7 -z: = b c -
""")


@pytest.mark.parametrize("title", FOUND)
def test_what_the_options_make_of_it(tmp_path, title):
    check(tmp_path, FOUND[title])
