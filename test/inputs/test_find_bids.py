"""Which cases a BIDS data set holds, and what is said of those that cannot be run. Finding does not open images."""

import json
from pathlib import Path

import pytest
from test_cases import only, touch

from model.errors import UserError
from model.inputs.cases import find_cases

Z = "desc-zscore_ADC"


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Without subjects."""
    description = {"Name": "x", "BIDSVersion": "1.11.1"}
    (tmp_path / "dataset_description.json").write_text(json.dumps(description))
    return tmp_path


def session(root: Path, folder: str, *ends: str) -> Path:
    """Empty files `<folder's entities>_<end>.nii.gz` in a folder such as sub-01/ses-1/dwi."""
    name = "_".join(folder.split("/")[:-1])
    return touch(root, *(f"{folder}/{name}_{end}.nii.gz" for end in ends))


def test_subjects_and_sessions_keep_their_names(data_set):
    session(data_set, "sub-01/ses-1/dwi", "ADC", Z, "dwi", "FA", "desc-brain_mask")
    session(data_set, "sub-01/ses-2/anat", "ADC", Z, "T2w")
    session(data_set, "sub-A1/dwi", "acq-b800_run-2_ADC", f"acq-b800_run-2_{Z}")
    found = {case.name: (case.place, case.adc, case.zadc) for case in find_cases(data_set)}
    assert found == {
        name: (place, *(data_set / place / datatype / f"{name}_{end}.nii.gz" for end in ends))
        for name, place, datatype, ends in (
            ("sub-01_ses-1", "sub-01/ses-1", "dwi", ("ADC", Z)),
            ("sub-01_ses-2", "sub-01/ses-2", "anat", ("ADC", Z)),
            ("sub-A1", "sub-A1", "dwi", ("acq-b800_run-2_ADC", f"acq-b800_run-2_{Z}")),
        )
    }


@pytest.mark.parametrize("z", ["desc-z_ADC", "desc-zmap_ADC", "desc-zADC_ADC", "desc-zScore_ADC", "zmap", "zscore"])
def test_names_of_a_z_map(data_set, z):
    session(data_set, "sub-01/dwi", "ADC", z)
    assert only(data_set) == {"sub-01": ("sub-01/dwi/sub-01_ADC.nii.gz", f"sub-01/dwi/sub-01_{z}.nii.gz")}


def test_what_is_no_raw_data_is_left_alone(data_set):
    session(data_set, "sub-01/dwi", "ADC", Z)
    for folder in ("derivatives/other", "sourcedata", "code"):
        session(data_set / folder, "sub-02/dwi", "ADC", Z)
    touch(data_set, "README", "participants.tsv", "sub-01/fmap/sub-01_ADC.nii.gz", "sub-01/dwi/ADC.nii.gz", "figures/x.png")
    touch(data_set, ".git/annex/objects/x.nii.gz", ".heudiconv/x.tsv", "sub-01/sub-01_scans.tsv", "notes/list.xlsx")
    (data_set / "CHANGES").symlink_to(".git/annex/gone")
    assert list(only(data_set)) == ["sub-01"]


def test_images_elsewhere_are_listed_with_the_reason(data_set):
    """No ADC map is passed over because its folder is called otherwise than BIDS wants it."""
    session(data_set, "sub-01/dwi", "ADC", Z)
    session(data_set, "sub-02/ses-1/dwi", "ADC", Z)
    lost = ["baby2/adc.mha", "baby3/series/1.dcm", "sub_03/dwi/sub-03_ADC.nii.gz", "03/dwi/sub-03_ADC.nii.gz"]
    lost += [".hidden/adc.mha", "loose.mha", "sub-07.zip", "sub-05_T1w.nii.gz", "rawdata/sub-1/dwi/sub-1_ADC.nii.gz"]
    below = ["sub-02/session-2/dwi/x_ADC.nii.gz", "sub-02/3/1.dcm", "sub-01/DWI/sub-01_ADC.nii.gz", "sub-02/adc.nii"]
    below += ["sub-02/ses-1/ADC/x.nii.gz", "sub-02/ses-1/adc.mha", "sub-01/.old/dwi/x.mgz"]
    touch(data_set, *lost, *below)
    (data_set / "sub_06").symlink_to("nowhere")
    (data_set / "annex").mkdir()
    (data_set / "annex" / "adc.nii.gz").symlink_to("../.git/annex/gone")
    cases = only(data_set)
    assert len(cases.pop("sub-01")) == len(cases.pop("sub-02_ses-1")) == 2
    assert "a link to nowhere" in cases.pop("sub_06")
    names = {path.split("/")[0] for path in lost} | {"annex"} | {"/".join(path.split("/")[:2]) for path in below}
    names = names - {"sub-02/ses-1"} | {"sub-02/ses-1/ADC", "sub-02/ses-1/adc.mha"}
    assert cases.keys() == names
    for name, problem in cases.items():
        assert problem.startswith(
            f"{data_set / name}: lies outside of sub-<label>[/ses-<label>]/dwi, where images are expected"
        )


def test_a_subject_with_sessions_and_a_map_of_its_own(data_set):
    session(data_set, "sub-01/ses-1/dwi", "ADC", Z)
    session(data_set, "sub-01/anat", "T2w")
    assert list(only(data_set)) == ["sub-01_ses-1"]
    session(data_set, "sub-01/dwi", "ADC", Z)
    assert {case.name: case.place for case in find_cases(data_set)} == {"sub-01": "sub-01", "sub-01_ses-1": "sub-01/ses-1"}


def test_several_candidates_are_listed(data_set):
    session(data_set, "sub-01/dwi", "run-1_ADC", "run-2_ADC", f"run-1_{Z}")
    session(data_set, "sub-02/dwi", "ADC", Z, "zmap")
    session(data_set, "sub-03/dwi", "ADC", Z)
    session(data_set, "sub-03/anat", "ADC")
    cases = only(data_set)
    runs = "dwi/sub-01_run-1_ADC.nii.gz, dwi/sub-01_run-2_ADC.nii.gz"
    assert f"expected one ADC map of sub-01, 2 could be it: {runs};" in cases["sub-01"]
    assert cases["sub-01"].endswith("list the one to use in a cases.csv (--cases cases.csv)")
    assert "one Z map of sub-02, 2 could be it: dwi/sub-02_desc-zscore_ADC.nii.gz, dwi/sub-02_zmap.nii.gz" in cases["sub-02"]
    assert "one ADC map of sub-03, 2 could be it: dwi/sub-03_ADC.nii.gz, anat/sub-03_ADC.nii.gz" in cases["sub-03"]


@pytest.mark.parametrize("z", [f"run-2_{Z}", f"space-T2w_{Z}", f"acq-x_run-1_{Z}"])
def test_a_z_map_of_another_image_is_not_passed_over(data_set, z):
    session(data_set, "sub-01/dwi", "run-1_ADC", z)
    (case,) = find_cases(data_set)
    assert "expected one Z map of sub-01_run-1_ADC.nii.gz" in case.problem
    assert f"sub-01_{z}.nii.gz" in case.problem


def test_without_a_z_map_a_case_says_so(data_set):
    session(data_set, "sub-01/dwi", "ADC")
    (case,) = find_cases(data_set)
    assert (case.problem, case.adc, case.zadc) == ("", data_set / "sub-01" / "dwi" / "sub-01_ADC.nii.gz", None)
    assert "expected one Z map of sub-01_ADC.nii.gz (desc-zscore_ADC), no other image lies in dwi or anat" in case.no_z
    assert only(data_set)["sub-01"].endswith("; --estimate-z does without one")


def test_brain_masks(data_set):
    mask = "desc-brain_mask"
    session(
        data_set, "sub-01/dwi", "acq-a_ADC", f"acq-a_{Z}", mask, "desc-lesion_mask", "label-GM_mask", "acq-b_desc-brain_mask"
    )
    session(data_set, "sub-02/dwi", "ADC", Z, f"space-T2w_{mask}")
    session(data_set, "sub-02/anat", mask)  # of another image, in another space
    session(data_set, "sub-03/dwi", "run-1_ADC", f"run-1_{Z}", mask, f"run-1_{mask}")
    session(data_set, "sub-04/dwi", "ADC", Z)
    (data_set / "sub-04" / "dwi" / f"sub-04_{mask}.nii.gz").symlink_to("nowhere")
    cases = {case.name: case for case in find_cases(data_set)}
    assert not any(case.problem for case in cases.values())
    assert cases["sub-01"].brain_mask == data_set / "sub-01" / "dwi" / f"sub-01_{mask}.nii.gz"
    assert (cases["sub-02"].brain_mask, cases["sub-02"].no_mask) == (None, "")
    assert "one brain mask of sub-03, 2 could be it: dwi/sub-03_desc-brain_mask.nii.gz, dwi/" in cases["sub-03"].no_mask
    assert "a link to nowhere" in cases["sub-04"].no_mask


@pytest.mark.parametrize("estimated", ["desc-hiezscore_ADC", "acq-a_desc-HIEzscore_ADC", "desc-estimatedzscore_ADC"])
def test_an_estimated_z_map_is_no_given_one(data_set, estimated):
    session(data_set, "sub-01/dwi", "acq-a_ADC", estimated)
    (case,) = find_cases(data_set)
    assert (case.problem, case.adc.name, case.zadc) == ("", "sub-01_acq-a_ADC.nii.gz", None)
    left_out = f"sub-01_{estimated}.nii.gz was left out: its name says that it is an estimated Z map, not a given one"
    assert case.remarks == (f"{left_out}.",)
    assert left_out in case.no_z
    session(data_set, "sub-01/dwi", f"acq-a_{Z}")
    assert find_cases(data_set)[0].zadc.name == f"sub-01_acq-a_{Z}.nii.gz"


@pytest.mark.parametrize(
    ("mask", "used", "doubtful", "other"),
    [
        *[("label-brain_mask", True, False, False), ("desc-Brain_mask", True, False, False)],
        *[("desc-brain_label-L_mask", False, True, False), ("desc-hie_mask", False, False, True)],
        *[("label-lesion_mask", False, False, True), ("desc-infarct_mask", False, False, True)],
        *[
            ("mask", False, True, False),
            ("desc-synthstrip_mask", False, True, False),
            ("desc-brain_T1w", False, False, False),
        ],
    ],
)
def test_masks_of_the_adc_map_by_other_names(data_set, mask, used, doubtful, other):
    """None is passed over without a word; what is called an image of another kind is none."""
    session(data_set, "sub-01/dwi", "ADC", Z, mask)
    (case,) = find_cases(data_set)
    path = f"sub-01_{mask}.nii.gz"
    assert (case.brain_mask is not None, path in case.no_mask, path in case.other_masks) == (used, doubtful, other)


def test_a_mask_beside_the_adc_map_with_no_name_of_bids(data_set):
    session(data_set, "sub-01/dwi", "ADC", Z)
    touch(data_set, "sub-01/dwi/brain_mask.mnc")
    assert "found brain_mask.mnc (MINC, which is not read)" in find_cases(data_set)[0].no_mask


@pytest.mark.parametrize("place", ["anat/sub-01_desc-brain", "dwi/sub-01_space-MNI152_desc-brain"])
def test_brain_masks_of_other_images_are_left_out_and_named(data_set, place):
    session(data_set, "sub-01/dwi", "ADC", Z)
    touch(data_set, f"sub-01/{place}_mask.nii.gz")
    (case,) = find_cases(data_set)
    assert (case.problem, case.brain_mask, case.no_mask) == ("", None, "")
    assert case.other_masks == f"left out: {place}_mask.nii.gz"


def test_a_folder_without_an_adc_map_fails_with_what_is_there(data_set):
    session(data_set, "sub-01/ses-1/dwi", "ADC", Z)
    session(data_set, "sub-01/ses-2/dwi", "dwi", "rec-ADC_dwi")
    (data_set / "sub-02" / "ses-1").mkdir(parents=True)
    (data_set / "sub-03").mkdir()
    touch(data_set, "sub-04/sub-04_ADC.nii.gz", "sub-05_ADC.nii.gz", "sub-06/dwi/1.dcm", "sub-06/dwi/2.dcm")
    cases = only(data_set)
    assert len(cases.pop("sub-01_ses-1")) == 2
    assert "expected one ADC map (dwi/sub-01_ses-2_ADC.nii.gz), found dwi/sub-01_ses-2_dwi" in cases["sub-01_ses-2"]
    assert cases["sub-02_ses-1"].endswith("no image lies in dwi or anat")
    assert cases["sub-03"].endswith("no image lies in dwi or anat")
    assert "found sub-04_ADC.nii.gz" in cases["sub-04"]
    assert "found 2 file(s) (DICOM), which is not read there" in cases["sub-06"]
    assert "lies outside of sub-<label>[/ses-<label>]/dwi" in cases["sub-05_ADC.nii.gz"]
    assert not [name for name in cases if name.startswith("sub-04/")]  # the subject's reason names it


def test_names_that_contradict_their_folder(data_set):
    touch(data_set, "sub-01/ses-1/dwi/sub-02_ses-1_ADC.nii.gz", "sub-03/ses-1/dwi/sub-03_ADC.nii.gz")
    cases = only(data_set)
    assert "its name says sub-02_ses-1, its folder sub-01_ses-1" in cases["sub-01_ses-1"]
    assert "its name says sub-03, its folder sub-03_ses-1" in cases["sub-03_ses-1"]


@pytest.mark.parametrize("name", ["sub-0_1", "sub-", "sub-mü", "Sub-01", "sub-01/ses-a.b"])
def test_folders_with_labels_that_bids_does_not_know(data_set, name):
    session(data_set, "sub-9/dwi", "ADC", Z)
    session(data_set, f"{name}/dwi", "ADC", Z)
    cases = only(data_set)
    assert len(cases.pop("sub-9")) == 2
    assert "expected a name of letters and digits" in cases[name.replace("/", "_")]


def test_links_to_nothing(data_set):
    session(data_set, "sub-01/dwi", "ADC")
    (data_set / "sub-01" / "dwi" / f"sub-01_{Z}.nii.gz").symlink_to("../../.git/annex/gone")
    (data_set / "sub-02").symlink_to("nowhere")
    (data_set / "sub-03").mkdir()
    (data_set / "sub-03" / "ses-1").symlink_to("ses-1")
    cases = only(data_set)
    assert "sub-01_desc-zscore_ADC.nii.gz: a link to ../../.git/annex/gone, which is not there" in cases["sub-01"]
    assert "a link to nowhere" in cases["sub-02"]
    assert "a circular link" in cases["sub-03_ses-1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[1]", "no Name and no BIDSVersion"),
        ('{"Name": 3, "BIDSVersion": "1.9.0"}', "no Name"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (None, "a link to nowhere"),
    ],
    ids=["cut", "deep", "list", "number", "bytes", "link"],
)
def test_a_description_that_cannot_be_read_fails_and_the_cases_are_found(data_set, text, says):
    session(data_set, "sub-01/dwi", "ADC", Z)
    path = data_set / "dataset_description.json"
    path.unlink()
    if text is None:
        path.symlink_to("nowhere")
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    cases = only(data_set)
    assert says in cases["dataset_description.json"]
    assert len(cases["sub-01"]) == 2


def test_a_data_set_without_subjects_is_refused(data_set):
    session(data_set / "derivatives" / "x", "sub-01/dwi", "ADC", Z)
    with pytest.raises(UserError, match=r"expected folders sub-<label>, found dataset_description\.json, derivatives"):
        find_cases(data_set)


def test_a_table_comes_first(data_set):
    session(data_set, "sub-01/dwi", "run-1_ADC", "run-2_ADC", Z)
    adc, zadc = "sub-01/dwi/sub-01_run-2_ADC.nii.gz", f"sub-01/dwi/sub-01_{Z}.nii.gz"
    (data_set / "cases.csv").write_text(f"case,adc,zadc\nsub-01,{adc},{zadc}\n")
    assert only(data_set) == {"sub-01": (adc, zadc)}
