"""A folder of cases: what others put into the output, before or during a run, is neither replaced nor removed."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

import pytest
from folder_helpers import summary
from inference_helpers import GRID, files_below, small_maps
from phantom import write_image

from model.networks.predict import Predictor
from model.outputs.own_files import OWN_SUM, _sum_of
from model.report.results import write_results


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


@pytest.fixture
def while_predicting(monkeypatch):
    """Does something each time the networks run, before they answer."""

    def set_up(act) -> None:
        segment = Predictor.segment
        monkeypatch.setattr(Predictor, "segment", lambda *args: (act(), segment(*args))[1])

    return set_up


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_mask_made_for_a_later_case_during_a_run_stays(go, good, output, while_predicting, words):
    """While the first case is run, a reader draws the mask of the second."""

    def draw() -> None:
        (output / "b").mkdir(exist_ok=True)
        (output / "b" / "lesions.mha").write_text("drawn by hand")

    while_predicting(draw)
    code, _, error = go(good, *words)
    assert code == 2
    assert f"b: {output / 'b' / 'lesions.mha'}: made or changed by someone while the case was run; it stays" in error
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "done", "b": "changed"}
    assert files_below(output / "b") == ["lesions.mha"]
    assert (output / "b" / "lesions.mha").read_text() == "drawn by hand"


@pytest.mark.parametrize("before", ["ours", "changed already"])
def test_mask_corrected_while_its_case_is_done_again_stays(go, good, output, while_predicting, before):
    """--overwrite replaces what was there when the run began, and not what its reader has made of it since."""
    go(good)
    mask = output / "a" / "lesions.mha"
    write_image(small_maps()[1] - 1, GRID, good / "a" / "zadc.mha")
    if before == "changed already":
        mask.write_text("corrected")
    while_predicting(lambda: mask.write_text("corrected again"))
    record = (output / "a" / "results.json").read_bytes()
    code, _, error = go(good, "--overwrite")
    assert code == 2
    assert f"1 of 2 cases not done again: a: {mask}: made or changed by someone while the case was run" in error
    assert content(output / "a") == {"lesions.mha": b"corrected again", "results.json": record}
    assert summary(output)["a"]["status"] == "changed"


def test_link_put_in_place_of_a_case_during_a_run_is_not_written_through(go, good, output, tmp_path, while_predicting):
    (tmp_path / "elsewhere").mkdir()
    while_predicting(lambda: (output / "b").is_symlink() or (output / "b").symlink_to(tmp_path / "elsewhere"))
    code, _, error = go(good)
    assert code == 2
    assert f"b: {output / 'b'}: expected a folder, found a link or a file, which stays" in error
    assert files_below(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("words", [("--overwrite", "--report"), ("--probabilities",), ()])
def test_link_in_place_of_a_finished_case_is_not_written_through(go, good, output, tmp_path, words):
    go(good)
    (output / "a").rename(tmp_path / "elsewhere")
    (output / "a").symlink_to("../elsewhere")
    before = content(tmp_path / "elsewhere")
    code, _, error = go(good, *words)
    assert code == 2
    assert error == f"error: 1 of 2 cases failed: a: {output / 'a'}: expected a folder, found a link or a file, which stays"
    assert content(tmp_path / "elsewhere") == before
    assert summary(output)["a"]["status"] == "failed"


def test_overwrite_does_not_redo_what_is_current(go, good, output, count):
    go(good)
    assert go(good, "--overwrite")[0] == 0
    assert len(count) == 2
    assert summary(output)["a"]["status"] == "done before"


@pytest.mark.parametrize("replaced", [False, True])
def test_record_that_leads_out_of_its_folder_removes_nothing(go, good, output, tmp_path, replaced):
    """A results.json whose own sum fits names a file of the user's, with that file's sum."""
    go(good)
    thesis, notes = tmp_path / "thesis.txt", output / "a" / "notes.txt"
    record = output / "a" / "results.json"
    results = json.loads(record.read_text())
    for path, name in ((thesis, "../../thesis.txt"), (notes, "notes.txt")):
        path.write_text("mine")
        entry = hashlib.sha256(b"mine").hexdigest()
        if replaced:
            results.setdefault("replaced_files", {})[name] = entry
        else:
            results["files"][name] = {"sha256": entry, "bytes": 4}
    write_results(results | {OWN_SUM: _sum_of(results)}, record)
    write_image(small_maps()[1] - 1, GRID, good / "a" / "zadc.mha")
    assert go(good, "--overwrite", "--probabilities")[0] == 0
    assert summary(output)["a"]["status"] == "done"
    assert thesis.read_text() == notes.read_text() == "mine"


def test_reader_s_mask_in_the_new_format_stays(go, good, output):
    """Ours is lesions.mha; lesions.nrrd is a reader's, also when masks in that format are asked for."""
    go(good)
    (output / "a" / "lesions.nrrd").write_text("of a reader")
    before = content(output / "a")
    for words in (("--format", ".nrrd", "--overwrite"), ("--format", ".nrrd")):
        code, _, error = go(good, *words)
        assert code == 2
        assert f"a: {output / 'a' / 'lesions.nrrd'}: changed since it was written, or not of this program; it stays" in error
        assert content(output / "a") == before
    assert files_below(output / "b") == ["lesions.nrrd", "results.json"]


@pytest.mark.parametrize("name", ["lesions.zraw", "lesions.raw", "probabilities.zraw"])
@pytest.mark.parametrize("ran", [False, True])
def test_voxel_files_of_someone_else_stay(go, good, output, name, ran):
    """The voxels of an .mhd lie in a second file."""
    if ran:
        go(good)
    (output / "a").mkdir(parents=True, exist_ok=True)
    (output / "a" / name).write_text("of a reader")
    before = content(output / "a")
    code, _, error = go(good, "--format", "mhd", "--probabilities", "--overwrite")
    assert code == 2
    assert f"a: {output / 'a' / name}: changed since it was written, or not of this program; it stays" in error
    assert content(output / "a") == before
    assert "lesions.mhd" in files_below(output / "b")


@pytest.mark.parametrize("number", range(6))
def test_kill_while_masks_change_their_format_leaves_no_older_mask(go, good, output, monkeypatch, number):
    """Stopped before the first, the second, ... step that replaces or removes: in the end there is one mask, the new one."""
    go(good, "--report")
    steps = []

    def step(work, path: Path, *args: object) -> None:
        if Path(args[0] if args else path).parent == output / "a":
            steps.append(path)
        if len(steps) > number:
            raise KeyboardInterrupt
        work(path, *args)

    replace, unlink = os.replace, Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr("model.files.os.replace", lambda source, target: step(replace, source, target))
        patch.setattr(
            "model.run.one_case.Path.unlink",
            lambda path, missing_ok=False: step(unlink, path) if path.name == "lesions.mha" else unlink(path, missing_ok),
        )
        patch.setattr("model.files.remove", lambda path: None)  # a kill cleans nothing up
        with pytest.raises(KeyboardInterrupt) if number < 5 else contextlib.nullcontext():
            go(good, "--report", "--overwrite", "--format", "nii.gz")
    assert go(good, "--report", "--format", "nii.gz", *(["--overwrite"] if number == 0 else []))[0] in (0, 2)
    assert files_below(output / "a") == ["lesions.nii.gz", "report.html", "results.json"]
    assert "replaced_files" not in json.loads((output / "a" / "results.json").read_text())


def test_corrected_mask_outlives_a_kill_with_a_change_of_format(go, good, output, monkeypatch):
    """It is not among the files that a later run may remove, though one of its name was this program's."""
    go(good)
    (output / "a" / "lesions.mha").write_text("corrected")
    replace = os.replace

    def stop(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target).parent == output / "a":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("model.files.os.replace", stop)
        with pytest.raises(KeyboardInterrupt):
            go(good, "--overwrite", "--format", "nrrd")
    go(good, "--overwrite", "--format", "nrrd")
    assert files_below(output / "a") == ["lesions.mha", "lesions.nrrd", "results.json"]
    assert (output / "a" / "lesions.mha").read_text() == "corrected"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_only_has_the_name_of_a_cut_off_run_stays(go, good, output, tmp_path, kind):
    output.mkdir()
    place = output / ".a.deadbeef.partial"
    (tmp_path / "mine").mkdir()
    if kind == "link":
        (tmp_path / "mine" / "written-by-hie-lesions").touch()
        place.symlink_to(tmp_path / "mine")
    elif kind == "folder":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        place.write_text("mine")
    assert go(good)[0] == 0
    assert os.path.lexists(place)
    assert kind != "folder" or (place / "notes.txt").read_text() == "mine"
    assert kind != "link" or files_below(tmp_path / "mine") == ["written-by-hie-lesions"]


def test_output_that_is_a_link_to_nothing_is_told_in_one_line(go, good, output):
    output.symlink_to("gone")
    code, _, error = go(good)
    assert code == 2
    assert error == f"error: {output}: expected an output folder, found a link to gone, which is not there"
