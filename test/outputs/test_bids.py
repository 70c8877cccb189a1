"""A BIDS data set in, a BIDS derivative out: what the public validator says of both, and what is written where."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bids_helpers import describe, errors_of, write_session
from folder_helpers import summary
from inference_helpers import BRAIN_VOXELS, GRID, LESION_VOXELS, arguments, files_below, moved_aside, rule, small_maps

from model.inputs.cases import find_cases
from model.names.bids_names import ZMAP
from model.outputs.bids_output import bids_place

SESSIONS = {"sub-01_ses-1": "", "sub-01_ses-2": "_acq-b800_run-2", "sub-02": ""}  # and the entities of their maps


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Three sessions of two subjects, as a derivative: raw data cannot have a Z map."""
    root = describe(tmp_path / "data")
    for name, entities in SESSIONS.items():
        write_session(root, name, entities=entities)
    return root


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


def test_the_validator_accepts_input_and_output(go_bids, data_set):
    output = data_set / "derivatives" / "hie-lesions"
    before = files_below(data_set)
    assert go_bids(output, "--report", "--probabilities")[0] == 0
    assert errors_of(data_set) == []
    assert errors_of(output) == []
    assert [name for name in files_below(data_set) if not name.startswith("derivatives/")] == before
    ends = ("_desc-hie_mask", "_label-L_desc-hie_probseg")
    images = {mask_of(case, f"{end}{suffix}") for case in SESSIONS for end in ends for suffix in (".json", ".nii.gz")}
    extras = {f"{case.replace('_', '/')}/{name}" for case in SESSIONS for name in ("results.json", "report.html")}
    whole = {"summary.csv", "index.html", "dataset_description.json", ".bidsignore"}
    assert set(files_below(output)) == images | extras | whole


def test_the_validator_looks_at_masks_sidecars_and_what_is_ignored(go_bids, data_set, tmp_path):
    output = tmp_path / "output"
    write_session(data_set, "sub-anat", datatype="anat")  # no place that BIDS has for ADC maps, but for masks
    assert go_bids(output)[0] == 0
    (output / mask_of("sub-02")).rename(output / "sub-02" / "dwi" / "sub-02_desc-hie_lesions.nii.gz")
    sidecar = output / mask_of("sub-01_ses-1", "_desc-hie_mask.json")
    sidecar.write_text(json.dumps(read(sidecar) | {"Type": "Wound"}))
    ignored = (output / ".bidsignore").read_text().splitlines()
    (output / ".bidsignore").write_text("\n".join(name for name in ignored if name != "summary.csv"))
    places = {error.split()[-1] for error in errors_of(output)}
    assert {"/sub-02/dwi/sub-02_desc-hie_lesions.nii.gz", "/summary.csv"} <= places
    assert any(place.startswith("/sub-01/ses-1/dwi/") for place in places)
    assert (output / "sub-anat" / "anat" / "sub-anat_desc-hie_mask.nii.gz").is_file()
    assert not any("sub-anat" in place for place in places)


def test_the_validator_accepts_an_estimated_z_map(go_bids, data_set, tmp_path):
    """Its sidecar and its name; the image is that of a mask."""
    output = tmp_path / "output"
    assert go_bids(output)[0] == 0
    (case,) = [found for found in find_cases(data_set) if found.name == "sub-02"]
    place = bids_place(case, data_set, output)
    shutil.copy(place.folder / place.mask, place.folder / place.zmap)
    results = read(place.folder / "results.json")
    (place.folder / place.zmap).with_name(f"sub-02_{ZMAP}.json").write_text(json.dumps(place.sidecars[place.zmap](results)))
    assert errors_of(output) == []


@pytest.mark.parametrize("entities", ["_acq-b800_run-2", "_ce-gd_echo-1"])
def test_the_validator_accepts_an_estimated_z_map_of_a_map_in_anat(main, tmp_path, estimating_weights, entities):
    """BIDS has ADC maps in dwi alone; where the map lies is nobody's choice here. The next run takes none for given."""
    root = describe(tmp_path / "anat", "raw")
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


def test_mask_and_sidecar_say_what_they_are(go_bids, data_set):
    output = data_set / "derivatives" / "hie-lesions"
    assert go_bids(output, "--probabilities")[0] == 0
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
    rows = summary(output)
    assert {name: row["mask"] for name, row in rows.items()} == {case: mask_of(case) for case in SESSIONS}


def test_the_description_names_program_weights_and_source(go_bids, data_set, tmp_path):
    output = tmp_path / "elsewhere" / "output"
    assert go_bids(output)[0] == 0
    description = read(output / "dataset_description.json")
    assert description["DatasetType"] == "derivative"
    (entry,) = description["GeneratedBy"]
    weights = summary(output)["sub-02"]["weights"]
    assert (entry["Name"], entry["Version"], entry["Description"]) == ("hie-lesions", "0.1.0", f"weights {weights}")
    assert (output / description["DatasetLinks"]["source"]).resolve() == data_set.resolve()


def test_what_was_added_to_the_description_stays(go_bids, tmp_path, monkeypatch):
    output = tmp_path / "output"
    go_bids(output)
    path = output / "dataset_description.json"
    path.write_text(json.dumps(read(path) | {"Authors": ["A. Reader"], "License": "CC0"}))
    before = path.read_bytes()
    assert go_bids(output)[0] == 0
    assert path.read_bytes() == before
    monkeypatch.setattr("model.__version__", "0.0.9")
    assert go_bids(output, "--overwrite")[0] == 0
    description = read(path)
    assert [entry["Version"] for entry in description["GeneratedBy"]] == ["0.0.9", "0.1.0"]
    assert (description["Authors"], description["License"]) == (["A. Reader"], "CC0")


def test_a_run_without_weights_is_forgotten_once_there_are_some(go_bids, data_set, tmp_path):
    output = tmp_path / "output"
    hidden = [path.rename(path.with_name(f"{path.name}.away")) for path in data_set.rglob("*_desc-z*_ADC.nii.gz")]
    assert go_bids(output)[0] == 2
    assert read(output / "dataset_description.json")["GeneratedBy"] == [{"Name": "hie-lesions", "Version": "0.1.0"}]
    for path in hidden:
        path.rename(path.with_name(path.name.removesuffix(".away")))
    assert go_bids(output)[0] == 0
    (entry,) = read(output / "dataset_description.json")["GeneratedBy"]
    assert entry["Description"] == f"weights {summary(output)['sub-02']['weights']}"


def test_done_cases_are_not_done_again(go_bids, tmp_path, count):
    output = tmp_path / "output"
    go_bids(output)
    before = files_below(output)
    assert go_bids(output)[0] == 0
    assert len(count) == 3
    assert {row["status"] for row in summary(output).values()} == {"done before"}
    (output / mask_of("sub-02", "_desc-hie_mask.json")).unlink()
    assert go_bids(output)[0] == 0
    assert len(count) == 4
    assert files_below(output) == before


def test_a_sidecar_that_was_changed_stays(go_bids, tmp_path):
    output = tmp_path / "output"
    go_bids(output)
    sidecar = output / mask_of("sub-02", "_desc-hie_mask.json")
    sidecar.write_text("{}")
    code, _, error = go_bids(output)
    assert code == 2
    assert f"sub-02: {sidecar}: changed since it was written" in error
    assert sidecar.read_text() == "{}"
    assert go_bids(output, "--overwrite")[0] == 0
    assert read(sidecar)["Type"] == "Lesion"


def test_a_map_that_was_renamed_has_one_mask(go_bids, data_set, tmp_path):
    output = tmp_path / "output"
    go_bids(output)
    for path in (data_set / "sub-02" / "dwi").iterdir():
        path.rename(path.with_name(path.name.replace("sub-02_", "sub-02_run-1_")))
    code, _, error = go_bids(output)
    assert code == 2
    assert "sub-02: the mask's name or format changed to dwi/sub-02_run-1_desc-hie_mask.nii.gz since; --overwrite" in error
    assert go_bids(output, "--overwrite")[0] == 0
    assert files_below(output / "sub-02") == [
        *("dwi/sub-02_run-1_desc-hie_mask.json", "dwi/sub-02_run-1_desc-hie_mask.nii.gz", "results.json")
    ]


def test_without_bids_the_folders_keep_their_names(main, data_set, tmp_path, rule_weights, capfd):
    output = tmp_path / "output"
    words = [*arguments(data_set, output, rule_weights), "--cases", "--report"]
    assert main(words) == 0
    assert files_below(output / "sub-01" / "ses-1") == ["lesions.nii.gz", "report.html", "results.json"]
    assert "sub-01/ses-1/report.html" in (output / "index.html").read_text()
    assert main([*words, "--bids"]) == 2
    assert "the mask's name or format changed to dwi/sub-" in capfd.readouterr().err
    assert main([*words, "--bids", "--overwrite"]) == 0
    assert files_below(output / "sub-02") == [
        *("dwi/sub-02_desc-hie_mask.json", "dwi/sub-02_desc-hie_mask.nii.gz", "report.html", "results.json")
    ]
    assert main([*words, "--overwrite"]) == 0
    assert sorted(path.name for path in (output / "sub-02").iterdir()) == ["lesions.nii.gz", "report.html", "results.json"]


def test_what_a_killed_run_left_is_gone(go_bids, tmp_path):
    left = tmp_path / "output" / ".ses-1.0f3c0f3c.partial"
    left.mkdir(parents=True)
    (left / "written-by-hie-lesions").touch()
    assert go_bids(tmp_path / "output")[0] == 0
    assert not left.exists()


def test_a_session_that_is_gone_is_listed(go_bids, data_set, tmp_path):
    output = tmp_path / "output"
    go_bids(output)
    before = files_below(output)
    shutil.rmtree(data_set / "sub-01" / "ses-2")
    assert go_bids(output)[0] == 0
    assert summary(output)["sub-01_ses-2"]["status"] == "scan gone"
    assert files_below(output) == before


@pytest.mark.parametrize("place", ["sub-01", "sub-01/ses-1", "sub-01/ses-1/dwi"])
def test_links_in_place_of_folders_move_aside_on_demand(go_bids, tmp_path, place):
    output, precious = tmp_path / "output", tmp_path / "precious"
    precious.mkdir()
    (output / place).parent.mkdir(parents=True)
    (output / place).symlink_to(precious)
    assert go_bids(output)[0] == 2
    assert go_bids(output, "--overwrite")[0] == 0
    assert errors_of(output) == []
    assert files_below(precious) == []
    assert [path.readlink() for path in output.glob(f"previous/*/{place}")] == [precious]


def test_a_subject_s_folder_is_shared_by_its_own_case_and_its_sessions(go_bids, data_set, tmp_path):
    """The subject's results are replaced; those of its sessions stay where they are, whole."""
    output = tmp_path / "output"
    write_session(data_set, "sub-01")
    assert go_bids(output)[0] == 0
    before = {name: (output / name).read_bytes() for name in files_below(output) if name.startswith("sub-01/ses-")}
    assert len(before) == 6
    (output / "sub-01" / "dwi" / "sub-01_desc-hie_mask.nii.gz").write_text("corrected")
    assert go_bids(output, "--overwrite")[0] == 0
    assert {row["status"] for name, row in summary(output).items() if name != "sub-01"} == {"done before"}
    assert summary(output)["sub-01"]["status"] == "done"
    assert {name: (output / name).read_bytes() for name in before} == before
    assert moved_aside(output)["sub-01/dwi/sub-01_desc-hie_mask.nii.gz"] == b"corrected"
    assert errors_of(output) == []


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_data_set_of_something_else_stays(go_bids, tmp_path, words):
    output = describe(tmp_path / "output")
    before = {name: (output / name).read_bytes() for name in files_below(output)}
    code, _, error = go_bids(output, *words)
    assert code == 2
    assert f"{output}: found dataset_description.json of something else, which stays; name another folder" in error
    assert {name: (output / name).read_bytes() for name in files_below(output)} == before


@pytest.mark.parametrize("place", ["out", "derivatives", "sub-01/ses-1", ".", "derivatives/link", "derivatives/../out"])
def test_output_in_the_data_set_is_below_derivatives_alone(go_bids, data_set, place):
    (data_set / "derivatives").mkdir()
    (data_set / "derivatives" / "link").symlink_to(data_set / "sub-01")
    before = files_below(data_set)
    code, _, error = go_bids(data_set / place)
    assert code == 2
    assert f"expected an output folder outside the data set {data_set}, or below {data_set / 'derivatives'}" in error
    assert files_below(data_set) == before


def test_masks_of_one_run_are_no_input_of_the_next(go_bids, data_set):
    output = data_set / "derivatives" / "hie-lesions"
    go_bids(output)
    assert go_bids(data_set / "derivatives" / "again")[0] == 0
    assert list(summary(data_set / "derivatives" / "again")) == list(SESSIONS)


def test_results_in_place_of_the_input_are_refused(go_bids, data_set):
    """A table may lie anywhere, so that the input folder is not known to hold its files."""
    adc = "sub-01/ses-2/dwi/sub-01_ses-2_acq-b800_run-2"
    (data_set / "list.csv").write_text(f"case,adc,zadc\nsub-01_ses-2,{adc}_ADC.nii.gz,{adc}_desc-zscore_ADC.nii.gz\n")
    before = files_below(data_set)
    code, _, error = go_bids(data_set, "--cases", "list.csv", "--overwrite")
    assert code == 2
    assert "the results of sub-01_ses-2 would replace" in error
    assert files_below(data_set) == before


def test_cases_of_a_table_with_names_of_sessions(go_bids, data_set, tmp_path):
    adc = "sub-01/ses-2/dwi/sub-01_ses-2_acq-b800_run-2"
    lines = f"case,adc,zadc\nsub-01_ses-2,{adc}_ADC.nii.gz,{adc}_desc-zscore_ADC.nii.gz\n"
    (data_set / "list.csv").write_text(lines)
    words = [str(data_set / "list.csv")]
    assert go_bids(tmp_path / "output", "--cases", *words)[0] == 0
    assert (tmp_path / "output" / mask_of("sub-01_ses-2")).is_file()
    (data_set / "list.csv").write_text(lines.replace("sub-01_ses-2,", "Anna,"))
    code, _, error = go_bids(tmp_path / "other", "--cases", *words)
    assert code == 2
    assert "--bids: expected cases that are called sub-<label> or sub-<label>_ses-<label>, found Anna" in error
    assert not (tmp_path / "other").exists()


def test_a_bad_session_and_a_bad_description_are_listed_and_the_others_done(go_bids, data_set, tmp_path):
    output = tmp_path / "output"
    (data_set / "sub-01" / "ses-1" / "dwi" / "sub-01_ses-1_ADC.nii.gz").unlink()
    (data_set / mask_of("sub-02", "_ADC.nii.gz")).write_bytes(b"")
    (data_set / "dataset_description.json").write_text("{")
    code, _, error = go_bids(output)
    assert code == 2
    assert error.startswith("error: 3 of 4 cases failed: ")
    assert {name: row["status"] for name, row in summary(output).items()} == {
        **{"dataset_description.json": "failed", "sub-01_ses-1": "failed", "sub-01_ses-2": "done", "sub-02": "failed"}
    }
    assert [name for name in files_below(output) if name.endswith(".nii.gz")] == [mask_of("sub-01_ses-2")]
    assert errors_of(output) == []


def test_options_that_do_not_fit(main, capfd):
    for words, says in (["--bids"], "go with --cases"), (["--cases", "--bids", "--format", "mha"], "--bids writes .nii.gz"):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        assert says in capfd.readouterr().err.splitlines()[-1]
