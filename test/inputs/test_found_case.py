"""Cases without a Z map, and brain masks beside ADC maps: what is found, and what each option makes of it."""

import json
from pathlib import Path

import pytest
from inference_helpers import ADC_FOLDER, ADC_SLUG, ZADC_FOLDER, ZADC_SLUG

from model.errors import UserError
from model.inputs.cases import find_cases
from model.inputs.found_case import FoundCase
from model.inputs.platform import find_scan


def touch(root: Path, *names: str) -> Path:
    """Empty files; finding does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def files_for_options(root: Path, *, estimate_z: bool = True, use_mask: bool = True) -> dict[str, object]:
    """By case its ADC map, Z map and brain mask, as paths from the root, or its problem."""
    found = [case.for_options(estimate_z=estimate_z, use_mask=use_mask) for case in find_cases(root)]

    def shown(case: FoundCase) -> object:
        files = (case.adc, case.zadc, case.brain_mask)
        return case.problem or tuple(path and str(path.relative_to(root)) for path in files)

    return {case.name: shown(case) for case in found}


LAYOUTS = {
    "folders": ("c1/adc.nii.gz", "c1/adc_mask.nii.gz"),
    "3D Slicer": ("c1/adc.nii.gz", "c1/brain_mask.seg.nrrd"),
    "3D Slicer, upper case": ("c1/ADC.NII.GZ", "c1/Brain.SEG.NRRD"),
    "data set, 3D Slicer": ("1ADC_ss/c1-ADC_ss.mha", "1ADC_ss/c1-ADC_ss_mask.seg.nrrd"),
    "HD-BET": ("c1/adc.nii.gz", "c1/b0_bet_mask.nii.gz"),
    "ANTs": ("c1/adc.nii.gz", "c1/BrainExtractionMask.nii.gz"),
    "a tool's": ("c1/adc.nii.gz", "c1/b0_brainmask.nii.gz"),
    "by hand": ("c1/adc.nii.gz", "c1/manual_brain_mask.nii.gz"),
    "a case called after a lesion": ("c1/stroke3_lesion_adc.nii.gz", "c1/stroke3_lesion_mask.nii.gz"),
    "folders, mask without more": ("c1/x_ADC.mha", "c1/mask.nii.gz"),
    "folders, one word": ("c1/adc.mha", "c1/BrainMask.nrrd"),
    "platform": (f"c1/{ADC_FOLDER}/0f3c.mha", f"c1/{ADC_FOLDER}/0f3c_brain_mask.mha"),
    "data set": ("1ADC_ss/c1-ADC_ss.mha", "1ADC_ss/c1-ADC_ss_mask.nii.gz"),
    "data set, named otherwise": ("1ADC_ss/c1_adc.mha", "1ADC_ss/brain_mask_c1.mha"),
    "table": ("maps/a.nii", "other/b.nii"),
}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path) -> tuple[Path, str, str]:
    """The input folder of one case without a Z map, its ADC map and its brain mask."""
    adc, mask = LAYOUTS[request.param]
    touch(tmp_path, adc, mask)
    if request.param == "table":
        (tmp_path / "cases.csv").write_text(f"case,adc,zadc,brain_mask\nc1,{adc},,{mask}\n")
    return tmp_path, adc, mask


def test_case_of_an_adc_map_and_a_mask(layout):
    root, adc, mask = layout
    assert list(files_for_options(root).values()) == [(adc, None, mask)]
    assert list(files_for_options(root, use_mask=False).values()) == [(adc, None, None)]
    (problem,) = files_for_options(root, estimate_z=False).values()
    assert problem.endswith("; --estimate-z does without one")
    assert "\n" not in problem


def test_no_brain_mask(tmp_path):
    """A word of both maps belongs to the case."""
    touch(tmp_path, "c1/mask_adc.mha", "c1/mask_zmap.mha")
    assert files_for_options(tmp_path) == {"c1": ("c1/mask_adc.mha", "c1/mask_zmap.mha", None)}


OTHER_MASKS = [
    *(
        "lesion_mask",
        "label",
        "adc_seg_mask",
        "infarct_mask",
        "InfarctMask",
        "dwi-stroke-mask",
        "tumour_brain_mask",
        "lesions",
    ),
    *("sub-01_desc-hie_mask", "lesions-draft", "core_mask", "gt_mask", "lesionmask", "roi", "brain_lesion_seg", "csf_mask"),
    *("left_hemisphere_mask", "not_brain_mask", "nonbrain_mask", "outside_brain_mask", "brain_mask_inverted", "adc_dseg"),
    *("vessel_mask", "eyes_mask", "noise_mask", "background_mask", "gm_mask", "wm_mask", "ventricle_mask", "rh_mask"),
    *("cerebellum_mask", "skull_mask", "OutsideBrainMask", "outside_mask", "brain_mask_neg", "brainMaskInv"),
    *("penumbra_mask", "white_matter_mask", "hypoxic_injury_mask", "sub-01_label-L_desc-hie_probseg_mask", "prob_mask"),
]


@pytest.mark.parametrize("name", OTHER_MASKS)
def test_masks_of_something_else_are_left_out_and_named(tmp_path, name):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f"c1/{name}.nii.gz")
    assert files_for_options(tmp_path) == {"c1": ("c1/adc.mha", "c1/zmap.mha", None)}
    assert find_cases(tmp_path)[0].other_masks == f"{name}.nii.gz is none by its name"
    assert find_cases(tmp_path)[0].for_options(estimate_z=False, use_mask=False).other_masks == ""
    touch(tmp_path, "c1/brain_mask.nii.gz")
    assert files_for_options(tmp_path) == {"c1": ("c1/adc.mha", "c1/zmap.mha", "c1/brain_mask.nii.gz")}


@pytest.mark.parametrize("name", OTHER_MASKS)
def test_a_table_names_no_mask_of_something_else(tmp_path, name):
    touch(tmp_path, "maps/adc.mha", f"maps/{name}.nii.gz")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,brain_mask\na,maps/adc.mha,,maps/{name}.nii.gz\n")
    assert (
        files_for_options(tmp_path)["a"]
        == f"{tmp_path}/maps/{name}.nii.gz: its name says that it is a mask of something in the brain, expected a brain mask"
    )
    assert files_for_options(tmp_path, use_mask=False) == {"a": ("maps/adc.mha", None, None)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[("brain.nii.gz", ""), ("b0_bet.nii.gz", ""), ("Segmentation.seg.nrrd", ""), ("t2_synthstrip.nii.gz", "")],
        *[("brain.mgz", ""), ("b0_brain_mask.img", "Analyze or two-file NIfTI"), ("mask.nii.zip", "archive")],
        *[("mask.tif", "TIFF"), ("brain_mask.mnc", "MINC"), ("mask.npy", "array")],
    ],
)
def test_what_may_be_a_brain_mask_is_not_passed_over(tmp_path, name, kind):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f"c1/{name}")
    shown = f"{name} ({kind}, which is not read)" if kind else name
    assert f"/c1: expected a brain mask, found {shown}; if it is one, " in files_for_options(tmp_path)["c1"]
    assert files_for_options(tmp_path, use_mask=False) == {"c1": ("c1/adc.mha", "c1/zmap.mha", None)}
    touch(tmp_path, "c1/mask.nii.gz")
    assert files_for_options(tmp_path) == {"c1": ("c1/adc.mha", "c1/zmap.mha", "c1/mask.nii.gz")}


BRAIN_MASKS = [
    *("brainmask_manual", "brainmask_label", "brainmask_roi", "brainmask_overlay", "brainmask_seg", "BrainMask-seg"),
    *("brain_mask_manual", "betmask", "adc_skull_stripped_mask", "adcbrainmask_label", "t2_synthstrip_mask", "mask_eroded"),
]


@pytest.mark.parametrize("name", BRAIN_MASKS)
def test_names_of_brain_masks(tmp_path, name):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f"c1/{name}.nii.gz")
    assert files_for_options(tmp_path) == {"c1": ("c1/adc.mha", "c1/zmap.mha", f"c1/{name}.nii.gz")}


@pytest.mark.parametrize("name", ["white_brain_mask", "core_brainmask", "brain_stem_mask", "right_brain_mask"])
def test_a_part_beside_brain_may_be_the_cases_name(tmp_path, name):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f"c1/{name}.nii.gz")
    assert f"/c1: expected a brain mask, found {name}.nii.gz; if it is one, " in files_for_options(tmp_path)["c1"]
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,brain_mask\nc1,c1/adc.mha,c1/zmap.mha,c1/{name}.nii.gz\n")
    assert files_for_options(tmp_path)["c1"][2] == f"c1/{name}.nii.gz"


def test_a_part_after_which_the_folder_is_called_may_be_the_cases_name(tmp_path):
    touch(tmp_path, "HIE_01/adc.mha", "HIE_01/HIE_01_mask.nii.gz")
    assert "expected a brain mask, found HIE_01_mask.nii.gz" in files_for_options(tmp_path)["HIE_01"]


@pytest.mark.parametrize("of_case", ["IM1.dcm", "adc.mha"])
def test_masks_in_folders_below_are_left_out_and_named(tmp_path, of_case):
    """Where one lies beside the map they are not asked for."""
    touch(
        tmp_path, f"c1/{of_case}", "c1/nifti/brain_mask.nii.gz", "c1/nifti/lesion_mask.nii.gz", "c1/t2/bet/x_bet_mask.nii.gz"
    )
    (case,) = find_cases(tmp_path)
    said = "left out: nifti/brain_mask.nii.gz, t2/bet/x_bet_mask.nii.gz"
    assert (case.problem, case.brain_mask, case.no_mask, case.other_masks) == ("", None, "", said)
    touch(tmp_path, "c1/brain_mask.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case.brain_mask, case.other_masks) == (tmp_path / "c1/brain_mask.nii.gz", "")


@pytest.mark.parametrize("name", ["brain.0001", "mask.txt", "brain.dcm", "lesions.png", "brain_mask.json", "t2.nii.gz"])
def test_what_is_no_mask_is_not_told(tmp_path, name):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f"c1/{name}")
    (tmp_path / "c1" / name).write_bytes(bytes(128) + b"DICM")
    (case,) = find_cases(tmp_path)
    assert (case.no_mask, case.other_masks) == ("", "")


ESTIMATED = ["zmap-estimated.nii.gz", "ZMAP-ESTIMATED.NII", "b_zmap_estimated.mha", "estimated_zmap.nrrd", "EstimatedZ.mha"]


@pytest.mark.parametrize("name", [*ESTIMATED, "sub-01_ses-1_desc-hiezscore_ADC.nii.gz"])
@pytest.mark.parametrize("adc", ["adc.mha", "IM1.dcm"])
def test_an_estimated_z_map_is_no_given_one(tmp_path, name, adc):
    touch(tmp_path, f"c1/{adc}", f"c1/{name}")
    place = "c1/adc.mha" if adc == "adc.mha" else "c1"
    assert files_for_options(tmp_path) == {"c1": (place, None, None)}
    left_out = f"{name} was left out: its name says that it is an estimated Z map, not a given one"
    assert find_cases(tmp_path)[0].remarks[0] == f"{left_out}."
    assert left_out in files_for_options(tmp_path, estimate_z=False)["c1"]
    touch(tmp_path, "c1/zmap.mha")
    assert files_for_options(tmp_path) == {"c1": (place, "c1/zmap.mha", None)}


def test_a_word_of_both_maps_makes_no_estimate(tmp_path):
    touch(tmp_path, "c1/estimated_adc.mha", "c1/estimated_zmap.mha")
    assert files_for_options(tmp_path) == {"c1": ("c1/estimated_adc.mha", "c1/estimated_zmap.mha", None)}


@pytest.mark.parametrize("name", ESTIMATED)
def test_estimated_z_maps_of_tables_platform_and_data_set_fail(tmp_path, name):
    touch(tmp_path, f"maps/{name}", "maps/adc.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\na,maps/adc.mha,maps/{name}\n")
    assert (
        files_for_options(tmp_path)["a"]
        == f"{tmp_path}/maps/{name}: its name says that it is an estimated Z map, expected a given one"
    )
    one = touch(tmp_path / "one", f"{ADC_FOLDER}/scan.mha", f"{ZADC_FOLDER}/{Path(name).stem}.mha")
    with pytest.raises(UserError, match=r"\.mha: its name says that it is an estimated Z map, expected a given one"):
        find_scan(one)
    published = touch(tmp_path / "all", "1ADC_ss/c1-ADC_ss.mha", f"2Z_ADC/c1_{name}")
    assert files_for_options(published)["c1"] == ("1ADC_ss/c1-ADC_ss.mha", None, None)


def test_given_z_map_is_found_with_the_options_too(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c1/adc_mask.mha", "c2/adc.mha")
    assert files_for_options(tmp_path) == {
        "c1": ("c1/adc.mha", "c1/zmap.mha", "c1/adc_mask.mha"),
        "c2": ("c2/adc.mha", None, None),
    }


def test_two_masks_are_a_problem_where_masks_are_asked_for(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c1/mask.mha", "c1/brain_mask.nii.gz")
    assert files_for_options(tmp_path, use_mask=False) == {"c1": ("c1/adc.mha", "c1/zmap.mha", None)}
    assert files_for_options(tmp_path)["c1"].endswith(
        "one brain mask of c1, 2 could be it: brain_mask.nii.gz, mask.mha; list the one to use in a cases.csv"
    )


def test_z_map_that_cannot_be_told_or_read_is_not_estimated(tmp_path):
    """It is there, so its case is one for its owner to look at."""
    touch(tmp_path, "two/adc.mha", "two/zmap.mha", "two/zscore.mha", "tiff/adc.mha", "tiff/zmap.tif", "lost/adc.mha")
    touch(tmp_path, f"twice/{ADC_FOLDER}/1.mha", f"twice/{ZADC_FOLDER}/1.mha", f"twice/{ZADC_FOLDER}/2.mha")
    (tmp_path / "lost" / "zmap.mha").symlink_to("gone")
    cases = files_for_options(tmp_path)
    assert "2 could be it: zmap.mha, zscore.mha" in cases["two"]
    assert "zmap.tif (TIFF), which is not read" in cases["tiff"]
    assert "a link to gone" in cases["lost"]
    assert "expected exactly one .mha file" in cases["twice"]
    assert not any("--estimate-z" in problem for problem in cases.values())


def test_other_images_do_not_keep_a_case_from_an_estimate(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/b0.nii.gz", "c1/1.dcm", "c1/z.txt")
    assert files_for_options(tmp_path) == {"c1": ("c1/adc.mha", None, None)}


def test_folders_beside_the_data_sets_layout_are_cases_with_an_adc_map_alone(tmp_path):
    touch(tmp_path, "1ADC_ss/A-ADC_ss.mha", "alone/adc.mha", "more/adc.mha", "more/zmap.mha")
    assert list(files_for_options(tmp_path)) == ["A", "alone", "more"]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("b,,gone.mha", "no such file: {}/gone.mha"),
        ("b,,link", "link: a link to nowhere"),
        ("b,gone.mha,c", "no such file: {}/gone.mha"),
        (",,c", "line 2 has no adc and no zadc"),
        (",c,c", "line 2 has no adc"),
    ],
)
def test_row_whose_files_are_not_there(tmp_path, cells, says):
    touch(tmp_path, "b", "c")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,brain_mask\nbad,{cells}\ngood,b,c\n")
    cases = files_for_options(tmp_path)
    assert cases["good"] == ("b", "c", None)
    assert says.format(tmp_path) in cases["bad"]


def test_mask_of_a_row_that_is_not_there_matters_only_where_it_is_asked_for(tmp_path):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text("case,adc,zadc,brain_mask\na,b,c,gone.mha\n")
    assert files_for_options(tmp_path, use_mask=False) == {"a": ("b", "c", None)}


# --- one case in the platform's layout ---


def declare(root: Path, sockets: dict[str, str]) -> None:
    entries = [{"socket": {"slug": slug, "relative_path": where}} for slug, where in sockets.items()]
    (root / "inputs.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a hidden file", "a manifest without its socket"])
def test_scan_without_a_z_map(tmp_path, there):
    touch(tmp_path, f"{ADC_FOLDER}/scan.mha")
    if there in ("an empty folder", "a hidden file"):
        (tmp_path / ZADC_FOLDER).mkdir(parents=True)
    if there == "a hidden file":
        touch(tmp_path, f"{ZADC_FOLDER}/.DS_Store")
    if there == "a manifest without its socket":
        declare(tmp_path, {ADC_SLUG: ADC_FOLDER})
    case = find_scan(tmp_path)
    assert (case.name, case.adc, case.zadc, case.problem) == ("scan", tmp_path / ADC_FOLDER / "scan.mha", None, "")
    assert ZADC_SLUG in case.no_z or ZADC_FOLDER in case.no_z


def test_declared_z_map_that_is_not_there_is_refused(tmp_path):
    """The platform promised one."""
    touch(tmp_path, f"{ADC_FOLDER}/scan.mha")
    declare(tmp_path, {ADC_SLUG: ADC_FOLDER, ZADC_SLUG: ZADC_FOLDER})
    with pytest.raises(UserError, match=r"z-score-adc: expected a folder with one \.mha file"):
        find_scan(tmp_path)


@pytest.mark.parametrize("name", ["mask.mha", "adc_brain_mask.mha", "lesion_mask.mha"])
def test_the_only_image_is_the_map_whatever_its_name(tmp_path, name):
    touch(tmp_path, f"{ADC_FOLDER}/{name}", f"{ZADC_FOLDER}/{name}")
    case = find_scan(tmp_path)
    assert case.maps == (tmp_path / ADC_FOLDER / name, tmp_path / ZADC_FOLDER / name)
    assert case.brain_mask is None


@pytest.mark.parametrize("beside", ["b.mha", "lesion_mask.mha"])
def test_two_images_are_refused_as_before(tmp_path, beside):
    touch(tmp_path, f"{ADC_FOLDER}/a.mha", f"{ADC_FOLDER}/{beside}", f"{ZADC_FOLDER}/z.mha")
    with pytest.raises(UserError, match=r"expected exactly one \.mha file"):
        find_scan(tmp_path)


def test_a_mask_that_the_platform_does_not_hand_over_is_not_passed_over(tmp_path):
    touch(tmp_path, f"{ADC_FOLDER}/scan.mha", f"{ADC_FOLDER}/scan_brain_mask.nii.gz")
    case = find_scan(tmp_path).for_options(estimate_z=True, use_mask=True)
    assert case.problem.endswith("expected a brain mask, found scan_brain_mask.nii.gz; expected one that ends in .mha")


def test_maps_of_a_case_without_a_z_map_are_refused():
    case = FoundCase("a", Path("adc.mha"), no_z="no Z map there")
    assert case.adc_map == Path("adc.mha")
    with pytest.raises(UserError, match=r"^no Z map there$"):
        _ = case.maps
