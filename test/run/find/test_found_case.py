"""Cases without a Z map, and brain masks beside ADC maps: what is found, and what each option makes of it."""

import json
from pathlib import Path

import pytest
from inference_helpers import ADC_FOLDER, ADC_SLUG, ZADC_FOLDER, ZADC_SLUG

from model.errors import UserError
from model.run.find.cases import find_cases
from model.run.find.found_case import FoundCase
from model.run.find.platform import find_scan


def touch(root: Path, *names: str) -> Path:
    """Empty files; finding does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def asked(root: Path, *, estimate_z: bool = True, use_mask: bool = True) -> dict[str, object]:
    """By case its ADC map, Z map and brain mask, as paths from the root, or its problem."""
    found = [case.asked(estimate_z=estimate_z, use_mask=use_mask) for case in find_cases(root)]

    def shown(case: FoundCase) -> object:
        files = (case.adc, case.zadc, case.brain_mask)
        return case.problem or tuple(path and str(path.relative_to(root)) for path in files)

    return {case.name: shown(case) for case in found}


LAYOUTS = {
    "folders": ("c1/adc.nii.gz", "c1/adc_mask.nii.gz"),
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
    assert list(asked(root).values()) == [(adc, None, mask)]
    assert list(asked(root, use_mask=False).values()) == [(adc, None, None)]
    (problem,) = asked(root, estimate_z=False).values()
    assert problem.endswith("; --estimate-z does without one")
    assert "\n" not in problem


@pytest.mark.parametrize(
    "names",
    [
        *(("adc.mha", "zmap.mha", other) for other in ("lesion_mask.mha", "label.mha", "adc_seg_mask.mha")),
        ("mask_adc.mha", "mask_zmap.mha"),  # a word of both maps belongs to the case
    ],
)
def test_no_brain_masks(tmp_path, names):
    touch(tmp_path, *(f"c1/{name}" for name in names))
    assert asked(tmp_path) == {"c1": (f"c1/{names[0]}", f"c1/{names[1]}", None)}


def test_given_z_map_is_found_with_the_options_too(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c1/adc_mask.mha", "c2/adc.mha")
    assert asked(tmp_path) == {
        "c1": ("c1/adc.mha", "c1/zmap.mha", "c1/adc_mask.mha"),
        "c2": ("c2/adc.mha", None, None),
    }


def test_two_masks_are_a_problem_where_masks_are_asked_for(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c1/mask.mha", "c1/brain_mask.nii.gz")
    assert asked(tmp_path, use_mask=False) == {"c1": ("c1/adc.mha", "c1/zmap.mha", None)}
    assert asked(tmp_path)["c1"].endswith(
        "one brain mask of c1, 2 could be it: brain_mask.nii.gz, mask.mha; list the one to use in a cases.csv"
    )


def test_z_map_that_cannot_be_told_or_read_is_not_estimated(tmp_path):
    """It is there, so its case is one for its owner to look at."""
    touch(tmp_path, "two/adc.mha", "two/zmap.mha", "two/zscore.mha", "tiff/adc.mha", "tiff/zmap.tif", "lost/adc.mha")
    touch(tmp_path, f"twice/{ADC_FOLDER}/1.mha", f"twice/{ZADC_FOLDER}/1.mha", f"twice/{ZADC_FOLDER}/2.mha")
    (tmp_path / "lost" / "zmap.mha").symlink_to("gone")
    cases = asked(tmp_path)
    assert "2 could be it: zmap.mha, zscore.mha" in cases["two"]
    assert "zmap.tif (TIFF), which is not read" in cases["tiff"]
    assert "a link to gone" in cases["lost"]
    assert "expected exactly one .mha file" in cases["twice"]
    assert not any("--estimate-z" in problem for problem in cases.values())


def test_other_images_do_not_keep_a_case_from_an_estimate(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/b0.nii.gz", "c1/1.dcm", "c1/z.txt")
    assert asked(tmp_path) == {"c1": ("c1/adc.mha", None, None)}


def test_folders_beside_the_data_sets_layout_are_cases_with_an_adc_map_alone(tmp_path):
    touch(tmp_path, "1ADC_ss/A-ADC_ss.mha", "alone/adc.mha", "more/adc.mha", "more/zmap.mha")
    assert list(asked(tmp_path)) == ["A", "alone", "more"]


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
    cases = asked(tmp_path)
    assert cases["good"] == ("b", "c", None)
    assert says.format(tmp_path) in cases["bad"]


def test_mask_of_a_row_that_is_not_there_matters_only_where_it_is_asked_for(tmp_path):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text("case,adc,zadc,brain_mask\na,b,c,gone.mha\n")
    assert asked(tmp_path, use_mask=False) == {"a": ("b", "c", None)}


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


def test_maps_of_a_case_without_a_z_map_are_refused():
    case = FoundCase("a", Path("adc.mha"), no_z="no Z map there")
    assert case.adc_map == Path("adc.mha")
    with pytest.raises(UserError, match=r"^no Z map there$"):
        _ = case.maps
