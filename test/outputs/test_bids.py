"""A BIDS data set in, a BIDS derivative out: what the public validator says of both, and what is written where."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bids_helpers import describe, errors_of, write_session
from folder_helpers import summary
from inference_helpers import (
    BRAIN_VOXELS,
    GRID,
    LESION_VOXELS,
    arguments,
    content,
    files_below,
    moved_aside,
    rule,
    small_maps,
)

import process

SESSIONS = {"sub-01_ses-1": "", "sub-01_ses-2": "_acq-b800_run-2", "sub-02": ""}  # and the entities of their maps


@pytest.fixture(scope="module")
def one_run(tmp_path_factory, rule_weights) -> Path:
    """data/, three sessions of two subjects, as a derivative, since raw data cannot have a Z map; and output/ of a run."""
    folder = tmp_path_factory.mktemp("bids")
    root = describe(folder / "data")
    for name, entities in SESSIONS.items():
        write_session(root, name, entities=entities)
    words = [*arguments(root, folder / "output", rule_weights), "--cases", "--bids", "--report", "--probabilities"]
    assert process.main(words) == 0
    return folder


@pytest.fixture
def data_set(one_run, tmp_path) -> Path:
    return shutil.copytree(one_run / "data", tmp_path / "data")


@pytest.fixture
def output(one_run, data_set, tmp_path) -> Path:
    """What a run with --report and --probabilities wrote of the data set."""
    shutil.copytree(one_run / "output", tmp_path / "output")
    table = tmp_path / "output" / "summary.csv"
    table.write_bytes(table.read_bytes().replace(bytes(one_run), bytes(tmp_path)))
    return tmp_path / "output"


@pytest.fixture
def go_bids(main, data_set, rule_weights, capfd):
    """Runs process.py --cases --bids on the data set; returns exit code, stdout and the last line of stderr."""

    def run(output: Path, *words: str) -> tuple[int, str, str]:
        code = main([*arguments(data_set, output, rule_weights), "--cases", "--bids", *words])
        out, err = capfd.readouterr()
        return code, out, (err.splitlines() or [""])[-1]

    return run


def mask_of(case: str, end: str = "_desc-hie_mask.nii.gz") -> str:
    return f"{case.replace('_', '/')}/dwi/{case}{SESSIONS[case]}{end}"


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_validator_accepts_input_and_output(data_set, output):
    assert errors_of(data_set) == []
    assert errors_of(output) == []
    ends = ("_desc-hie_mask", "_label-L_desc-hie_probseg")
    images = {mask_of(case, f"{end}{suffix}") for case in SESSIONS for end in ends for suffix in (".json", ".nii.gz")}
    extras = {f"{case.replace('_', '/')}/{name}" for case in SESSIONS for name in ("results.json", "report.html")}
    whole = {"summary.csv", "index.html", "dataset_description.json", ".bidsignore"}
    assert set(files_below(output)) == images | extras | whole


def test_the_validator_looks_at_masks_sidecars_and_what_is_ignored(output):
    (output / mask_of("sub-02")).rename(output / "sub-02" / "dwi" / "sub-02_desc-hie_lesions.nii.gz")
    sidecar = output / mask_of("sub-01_ses-1", "_desc-hie_mask.json")
    sidecar.write_text(json.dumps(read(sidecar) | {"Type": "Wound"}))
    (output / ".bidsignore").write_text((output / ".bidsignore").read_text().replace("summary.csv\n", ""))
    places = {error.split()[-1] for error in errors_of(output)}
    assert {"/sub-02/dwi/sub-02_desc-hie_lesions.nii.gz", "/summary.csv"} <= places
    assert any(place.startswith("/sub-01/ses-1/dwi/") for place in places)


def test_the_validator_accepts_an_estimated_z_map_of_a_map_in_anat(main, tmp_path, estimating_weights):
    """BIDS has ADC maps in dwi alone; where the map lies is nobody's choice here. The next run takes none for given."""
    root, entities = describe(tmp_path / "anat", "raw"), "_ce-gd_echo-1"
    folder = write_session(root, "sub-01_ses-1", entities=entities, datatype="anat")
    next(folder.glob("*zscore_ADC.nii.gz")).unlink()
    words = [
        *arguments(root, tmp_path / "output", estimating_weights),
        "--cases",
        "--bids",
        "--estimate-z",
        "--probabilities",
    ]
    assert main(words) == 0
    assert errors_of(tmp_path / "output") == []
    stem = f"sub-01/ses-1/%s/sub-01_ses-1{entities}_%s.nii.gz"
    places = [("anat", "desc-hie_mask"), ("anat", "label-L_desc-hie_probseg"), ("dwi", "desc-hiezscore_ADC")]
    names = sorted(stem % it for it in places)
    names[-1] = names[-1].replace("_ce-gd_echo-1", "")  # entities that BIDS does not know there
    assert [name for name in files_below(tmp_path / "output") if name.endswith(".gz")] == names
    shutil.copytree(tmp_path / "output" / "sub-01", root / "sub-01", dirs_exist_ok=True)
    words[3] = str(tmp_path / "again")
    assert main(words) == 0
    assert summary(tmp_path / "again")["sub-01_ses-1"]["z_map"] == "estimated"
    assert "desc-hiezscore_ADC.nii.gz was left out" in summary(tmp_path / "again")["sub-01_ses-1"]["warnings"]


def test_mask_and_sidecar_say_what_they_are(data_set, output):
    for case, entities in SESSIONS.items():
        mask = nibabel.load(output / mask_of(case))
        adc = nibabel.load(data_set / mask_of(case, "_ADC.nii.gz"))
        np.testing.assert_array_equal(np.asarray(mask.dataobj).T, rule(*small_maps()))
        np.testing.assert_array_equal(mask.affine, adc.affine)
        sidecar = read(output / mask_of(case, "_desc-hie_mask.json"))
        folder = f"bids:source:{case.replace('_', '/')}/dwi/{case}{entities}"
        assert sidecar["Type"] == "Lesion"
        assert sidecar["Sources"] == [f"{folder}_ADC.nii.gz", f"{folder}_desc-zscore_ADC.nii.gz"]
        assert sidecar["SpatialReference"] == f"{folder}_ADC.nii.gz"
        volumes_ml = (LESION_VOXELS * GRID.voxel_mm3 / 1000, BRAIN_VOXELS * GRID.voxel_mm3 / 1000)
        assert (sidecar["LesionVolume"], sidecar["BrainVolume"]) == pytest.approx(volumes_ml, abs=0.005)
        assert sidecar["VolumeUnits"] == "mL"
        assert "probability" in read(output / mask_of(case, "_label-L_desc-hie_probseg.json"))["Description"]
    assert {name: row["mask"] for name, row in summary(output).items()} == {case: mask_of(case) for case in SESSIONS}


def test_the_description_names_program_weights_and_source_and_keeps_what_was_added(go_bids, data_set, output, monkeypatch):
    path = output / "dataset_description.json"
    description, weights = read(path), summary(output)["sub-02"]["weights"]
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"] == [{"Name": "hie-lesions", "Version": "0.1.0", "Description": f"weights {weights}"}]
    assert (output / description["DatasetLinks"]["source"]).resolve() == data_set.resolve()
    path.write_text(json.dumps(description | {"Authors": ["A. Reader"], "License": "CC0"}))
    before = path.read_bytes()
    assert go_bids(output)[0] == 0
    assert path.read_bytes() == before
    monkeypatch.setattr("model.__version__", "0.0.9")
    assert go_bids(output, "--overwrite")[0] == 0
    description = read(path)
    assert [entry["Version"] for entry in description["GeneratedBy"]] == ["0.0.9", "0.1.0"]
    assert (description["Authors"], description["License"]) == (["A. Reader"], "CC0")


def test_a_sidecar_that_is_gone_is_made_again_and_a_changed_one_stays(go_bids, output, count):
    before = files_below(output)
    sidecar = output / mask_of("sub-02", "_desc-hie_mask.json")
    sidecar.unlink()
    assert go_bids(output)[0] == 0
    assert (len(count), files_below(output)) == (1, before)
    sidecar.write_text("{}")
    code, _, error = go_bids(output)
    assert code == 2
    assert f"sub-02: {sidecar}: changed since it was written" in error
    assert sidecar.read_text() == "{}"
    assert go_bids(output, "--overwrite")[0] == 0
    assert read(sidecar)["Type"] == "Lesion"


def test_without_bids_the_folders_keep_their_names(main, data_set, output, rule_weights):
    words = [*arguments(data_set, output, rule_weights), "--cases", "--report"]
    assert main([*words, "--overwrite"]) == 0
    for case in ("sub-01/ses-1", "sub-02"):
        assert files_below(output / case) == ["lesions.nii.gz", "report.html", "results.json"]
    assert "sub-01/ses-1/report.html" in (output / "index.html").read_text()


def test_a_session_that_is_gone_is_listed(go_bids, data_set, output):
    before = files_below(output)
    shutil.rmtree(data_set / "sub-01" / "ses-2")
    assert go_bids(output)[0] == 0
    assert summary(output)["sub-01_ses-2"]["status"] == "scan gone"
    assert files_below(output) == before


def test_a_subject_s_folder_is_shared_by_its_own_case_and_its_sessions(go_bids, data_set, output):
    """The subject's results are replaced; those of its sessions stay where they are, whole."""
    write_session(data_set, "sub-01")
    assert go_bids(output)[0] == 0
    before = [content(output / f"sub-01/ses-{n}") for n in (1, 2)]
    (output / "sub-01" / "dwi" / "sub-01_desc-hie_mask.nii.gz").write_text("corrected")
    assert go_bids(output, "--overwrite")[0] == 0
    assert {row["status"] for name, row in summary(output).items() if name != "sub-01"} == {"done before"}
    assert summary(output)["sub-01"]["status"] == "done"
    assert [content(output / f"sub-01/ses-{n}") for n in (1, 2)] == before
    assert moved_aside(output)["sub-01/dwi/sub-01_desc-hie_mask.nii.gz"] == b"corrected"


def test_a_data_set_of_something_else_stays(go_bids, tmp_path):
    output = describe(tmp_path / "other")
    before = content(output)
    code, _, error = go_bids(output, "--overwrite")
    assert code == 2
    assert f"{output}: found dataset_description.json of something else, which stays; name another folder" in error
    assert content(output) == before


@pytest.mark.parametrize("place", ["out", "derivatives", "derivatives/link"])
def test_output_in_the_data_set_is_below_derivatives_alone(go_bids, data_set, place):
    (data_set / "derivatives").mkdir()
    (data_set / "derivatives" / "link").symlink_to(data_set / "sub-01")
    before = files_below(data_set)
    code, _, error = go_bids(data_set / place)
    assert code == 2
    assert f"expected an output folder outside the data set {data_set}, or below {data_set / 'derivatives'}" in error
    assert files_below(data_set) == before


def test_cases_of_a_table_with_names_of_sessions(go_bids, data_set, tmp_path):
    """A table may lie anywhere, so that the input folder is not known to hold its files."""
    adc = "sub-01/ses-2/dwi/sub-01_ses-2_acq-b800_run-2"
    lines = f"case,adc,zadc\nsub-01_ses-2,{adc}_ADC.nii.gz,{adc}_desc-zscore_ADC.nii.gz\n"
    (data_set / "list.csv").write_text(lines)
    before = files_below(data_set)
    code, _, error = go_bids(data_set, "--cases", "list.csv", "--overwrite")
    assert code == 2
    assert "the results of sub-01_ses-2 would replace" in error
    assert files_below(data_set) == before
    words = ["--cases", str(data_set / "list.csv")]
    assert go_bids(tmp_path / "table", *words)[0] == 0
    assert (tmp_path / "table" / mask_of("sub-01_ses-2")).is_file()
    (data_set / "list.csv").write_text(lines.replace("sub-01_ses-2,", "Anna,"))
    code, _, error = go_bids(tmp_path / "other", *words)
    assert code == 2
    assert "--bids: expected cases that are called sub-<label> or sub-<label>_ses-<label>, found Anna" in error
    assert not (tmp_path / "other").exists()
