"""What must not get lost in a folder of cases: files of others, results, and cases that cannot be run."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pandas
import pytest
import SimpleITK as sitk
from folder_helpers import summary, wait_for_stop, write_maps
from inference_helpers import GRID, arguments, files_below, rule, small_maps
from phantom import write_image

from model.errors import UserError
from model.inputs.found_case import FoundCase
from model.outputs.names_apart import is_one_of, require_names_apart
from model.outputs.place import Place
from model.outputs.summary import cell, text_of


def test_input_that_results_would_replace_is_refused(main, good, rule_weights, capfd):
    (good / "list.csv").write_text("case,adc,zadc\na,a/adc.mha,a/zadc.mha\n")
    before = files_below(good)
    for words in (["list.csv", "--overwrite"], ["list.csv"]):
        assert main([*arguments(good, good, rule_weights), "--cases", *words]) == 2
        assert "the results of a would replace" in capfd.readouterr().err
    assert files_below(good) == before


def test_input_folder_that_is_called_like_a_case_is_refused(main, good, rule_weights, capfd):
    good.rename(good.with_name("a"))
    scans = good.with_name("a")
    before = files_below(scans)
    assert main([*arguments(scans, scans.parent, rule_weights), "--cases", "--overwrite"]) == 2
    assert "the results of a would replace" in capfd.readouterr().err
    assert files_below(scans) == before


def test_results_stay_when_more_of_them_cannot_be_written(go, good, output, monkeypatch):
    go(good)
    before = files_below(output)
    monkeypatch.setattr(
        "model.run.one_case.write_case", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    code, _, error = go(good, "--probabilities")
    assert code == 2
    assert "No space left on device" in error
    assert files_below(output) == before


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-10]])
def test_damaged_mask_is_made_again(go, good, output, count, damage):
    go(good)
    mask = output / "a" / "lesions.mha"
    whole = mask.read_bytes()
    mask.write_bytes(damage(whole))
    assert go(good)[0] == 0
    assert len(count) == 3
    assert mask.read_bytes() == whole


@pytest.mark.parametrize("kind", ["link", "file", "dangling link"])
def test_what_is_no_folder_in_the_place_of_a_case_stays(go, good, output, tmp_path, kind):
    precious = write_maps(tmp_path / "precious", ".mha")
    output.mkdir()
    if kind == "file":
        (output / "a").write_text("a file")
    else:
        (output / "a").symlink_to(precious if kind == "link" else tmp_path / "nowhere")
    assert go(good)[0] == 2
    assert not (output / "summary.csv").exists()
    code, _, error = go(good, "--overwrite")
    assert code == 2
    assert error == f"error: 1 of 2 cases failed: a: {output / 'a'}: expected a folder, found a link or a file, which stays"
    assert summary(output)["b"]["status"] == "done"
    assert (output / "a").is_symlink() == (kind != "file")
    assert kind != "file" or (output / "a").read_text() == "a file"
    assert files_below(precious) == ["adc.mha", "zadc.mha"]


def test_hidden_folders_of_others_stay(go, good, output):
    (output / ".backup.replaced").mkdir(parents=True)
    (output / ".backup.replaced" / "precious").touch()
    assert go(good)[0] == 0
    assert (output / ".backup.replaced" / "precious").exists()


@pytest.mark.parametrize("text", ["{}", "[1]", "[" * 200_000, '{"weights": 1}'], ids=["empty", "list", "deep", "lacking"])
def test_results_that_lie_are_not_ours(go, good, output, text):
    go(good)
    (output / "a" / "results.json").write_text(text)
    code, _, error = go(good)
    assert code == 2
    assert f"a: {output / 'a' / 'results.json'}, {output / 'a' / 'lesions.mha'}: changed since it was written, or" in error
    assert (output / "a" / "results.json").read_text() == text
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "changed", "b": "done before"}


OTHERWISE = {  # what is done after a run, and the reason that the summary then has
    "ADC map": "the ADC map was replaced since",
    "Z map": "the Z map was replaced since",
    "space": "the ADC map was replaced since",
    "unit": "the ADC unit (--adc-unit) changed from 1e-6mm2/s since",
    "version": "the version of this program changed since",
    "weights": "the weights were replaced since",
    "both": "the ADC map was replaced and the weights were replaced since",
}


@pytest.mark.parametrize("change", OTHERWISE)
def test_what_is_outdated_is_listed_and_new_cases_are_done(go, good, output, monkeypatch, random_weights, change):
    go(good)
    before = {name: (output / name).read_bytes() for name in files_below(output) if name != "summary.csv"}
    words = []
    if change in ("ADC map", "both"):
        write_image(small_maps()[0] * 1.01, GRID, good / "a" / "adc.mha")
    if change == "Z map":
        write_image(small_maps()[1] - 1, GRID, good / "a" / "zadc.mha")
    if change == "space":  # a template's, by the name
        (good / "a" / "adc.mha").rename(good / "a" / "space-MNI152_adc.mha")
    if change in ("weights", "both"):
        words = ["--weights", str(random_weights)]
    if change == "unit":
        words = ["--adc-unit", "mm2/s"]
    if change == "version":
        monkeypatch.setattr("model.__version__", "0.0.9")
    write_maps(good / "c", ".mha")
    if change == "unit":
        write_image(small_maps()[0] / 1e6, GRID, good / "c" / "adc.mha")
    code, out, error = go(good, *words)
    rows = summary(output)
    assert code == 2
    assert rows["c"]["status"] == "done"
    assert rows["a"]["status"] == "outdated"
    assert rows["a"]["reason"].startswith(f"{OTHERWISE[change]}; --overwrite does the case again")
    assert (rows["a"]["mask"], rows["a"]["lesion_volume_ml"]) == ("", "")
    assert rows["b"]["status"] == ("done before" if change in ("ADC map", "Z map", "space") else "outdated")
    assert f"a: {OTHERWISE[change]}" in error
    assert f"a: outdated: {OTHERWISE[change]}" in out
    assert {name: (output / name).read_bytes() for name in before} == before
    assert go(good, *words, "--overwrite")[0] == (2 if change == "unit" else 0)  # a and b are not in mm2/s
    assert summary(output)["c"]["status"] == "done before"


def test_scan_that_is_gone_is_listed_and_the_others_are_done(go, good, output):
    go(good, "--report")
    shutil.rmtree(good / "a")
    write_maps(good / "c", ".mha")
    (output / "Thumbs.db").touch()
    (output / "notes.txt").touch()
    before = files_below(output / "a")
    code, out, _ = go(good, "--report", "--overwrite")
    assert code == 0
    assert {name: row["status"] for name, row in summary(output).items()} == {
        **{"a": "scan gone", "b": "done before", "c": "done"}
    }
    assert "a: scan gone: an earlier run's results stay, their scan is not in the input any more" in out
    assert "3 cases: 2 done, 0 failed, 1 scan gone." in (output / "index.html").read_text()
    assert files_below(output / "a") == before
    assert (output / "Thumbs.db").exists()
    assert (output / "notes.txt").exists()


def put_notes(folder: Path) -> set[str]:
    """Files of the user's in a case's folder: a reading, another reader's mask, a folder, links."""
    (folder / "notes.txt").write_text("seen on Monday")
    for name in ("reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "link").symlink_to("notes.txt")
    (folder / "dangling").symlink_to("nowhere")
    return {"notes.txt", "reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt", "link", "dangling"}


@pytest.mark.parametrize("words", ["", "--report", "--overwrite", "--format nrrd --overwrite", "--probabilities"])
def test_files_of_others_in_a_finished_case_stay(go, good, output, words):
    go(good)
    mine = put_notes(output / "a")
    assert go(good, *words.split())[0] == 0
    own = {"results.json", "lesions.nrrd" if "nrrd" in words else "lesions.mha"}
    own |= {"report.html"} & {f"{word[2:]}.html" for word in words.split()}
    own |= {"probabilities.mha"} & {f"{word[2:]}.mha" for word in words.split()}
    assert set(files_below(output / "a")) == mine | own
    assert (output / "a" / "notes.txt").read_text() == "seen on Monday"
    assert (output / "a" / "dangling").is_symlink()


@pytest.mark.parametrize("words", [(), ("--report",), ("--probabilities",)])
@pytest.mark.parametrize("edit", ["voxels", "text", "link"])
def test_mask_that_was_changed_is_kept_until_overwrite(go, good, output, count, words, edit):
    go(good)
    mask = output / "a" / "lesions.mha"
    written = mask.read_bytes()
    if edit == "voxels":
        corrected = sitk.ReadImage(str(mask))
        corrected[3, 5, 2] = 0
        sitk.WriteImage(corrected, str(mask), True)
    elif edit == "text":
        mask.write_text("corrected")
    else:
        mask.rename(output / "corrected.mha")
        mask.symlink_to(output / "corrected.mha")
    edited = mask.read_bytes()
    code, _, error = go(good, *words)
    assert code == 2
    assert f"a: {mask}: changed since it was written, or not of this program; --overwrite replaces it" in error
    assert mask.read_bytes() == edited
    row = summary(output)["a"]
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == ("changed", "", "")
    assert len(count) == (3 if words else 2)  # b alone is run again, for what it lacks
    assert go(good, *words, "--overwrite")[0] == 0
    assert mask.read_bytes() == written
    assert edit != "link" or (output / "corrected.mha").read_bytes() == edited


def test_mask_that_was_changed_outlives_another_format(go, good, output):
    go(good)
    (output / "a" / "lesions.mha").write_text("corrected")
    assert go(good, "--format", "nrrd", "--overwrite")[0] == 0
    assert files_below(output / "a") == ["lesions.mha", "lesions.nrrd", "results.json"]
    assert files_below(output / "b") == ["lesions.nrrd", "results.json"]
    assert (output / "a" / "lesions.mha").read_text() == "corrected"


def test_report_that_was_changed_stays(go, good, output):
    go(good, "--report")
    (output / "a" / "report.html").write_text("with remarks")
    assert go(good)[0] == 0  # nothing is missing
    assert go(good, "--report")[0] == 2
    assert go(good, "--probabilities")[0] == 0
    assert (output / "a" / "report.html").read_text() == "with remarks"


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd", ".mhd"])
def test_results_record_the_sums_of_the_files(go, good, output, suffix):
    go(good, "--format", suffix, "--report", "--probabilities")
    results = json.loads((output / "a" / "results.json").read_text())
    names = [name for name in files_below(output / "a") if name != "results.json"]
    sums = {name: hashlib.sha256((output / "a" / name).read_bytes()).hexdigest() for name in names}
    assert {name: entry["sha256"] for name, entry in results["files"].items()} == sums
    assert len(names) == (5 if suffix == ".mhd" else 3)
    assert go(good, "--format", suffix, "--report", "--probabilities")[0] == 0
    assert summary(output)["a"]["status"] == "done before"


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_older_mask_of_a_case_that_fails_now_stays_and_is_named(go, good, output, words):
    go(good)
    before = {name: (output / name).read_bytes() for name in ("a/lesions.mha", "a/results.json")}
    (good / "a" / "zadc.mha").unlink()
    (good / "a" / "zadc.mha").symlink_to("nowhere")
    code, _, error = go(good, *words)
    assert code == 2
    assert "a link to nowhere, which is not there" in error
    assert error.endswith(f"; {output / 'a' / 'lesions.mha'} is of an earlier run")
    row = summary(output)["a"]
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == ("failed", "", "")
    assert row["reason"].endswith("is of an earlier run")
    assert files_below(output / "a") == ["lesions.mha", "results.json"]
    assert {name: (output / name).read_bytes() for name in before} == before


def test_overwriting_a_case_that_cannot_be_read_removes_nothing(go, good, output):
    go(good)
    mask = (output / "a" / "lesions.mha").read_bytes()
    (good / "a" / "zadc.mha").write_bytes(b"")
    code, _, error = go(good, "--overwrite")
    assert code == 2
    assert error.endswith(f"{output / 'a' / 'lesions.mha'} is of an earlier run")
    assert (output / "a" / "lesions.mha").read_bytes() == mask


@pytest.mark.parametrize("number", range(5))
def test_kill_while_files_are_replaced_loses_nothing(go, good, output, monkeypatch, number):
    """Stopped before the first, the second, ... of the steps that replace files: the next run needs no --overwrite."""
    go(good, "--report")
    mine = put_notes(output / "a")
    write_image(small_maps()[1] - 1, GRID, good / "a" / "zadc.mha")
    replace, steps = os.replace, []

    def stop(source: Path, target: Path) -> None:
        if Path(target).parent == output / "a":
            steps.append(target)
        if len(steps) > number:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("model.files.os.replace", stop)
        patch.setattr("model.files.remove", lambda path: None)  # a kill cleans nothing up
        with pytest.raises(KeyboardInterrupt) if number < 4 else contextlib.nullcontext():
            go(good, "--report", "--overwrite")
    assert mine <= set(files_below(output / "a"))
    assert go(good, "--report", *(["--overwrite"] if number == 0 else []))[0] == 0  # before the first nothing was changed
    assert set(files_below(output / "a")) == mine | {"lesions.mha", "report.html", "results.json"}
    assert "replaced_files" not in json.loads((output / "a" / "results.json").read_text())
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "a" / "lesions.mha")))
    np.testing.assert_array_equal(mask, rule(small_maps()[0], small_maps()[1] - 1))
    assert not [path for path in output.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("name", "text"), [("summary.csv", "animal,status\n"), ("summary.csv", ""), ("index.html", "<title>Mine</title>")]
)
def test_overview_of_something_else_is_not_replaced(go, good, output, name, text):
    go(good)
    (output / name).write_text(text)
    before = files_below(output)
    for words in (["--report"], ["--overwrite", "--report"]):
        code, _, error = go(good, *words)
        assert code == 2
        assert error == f"error: {output}: found {name} of something else, which stays; name another folder"
    assert (output / name).read_text() == text
    assert files_below(output) == before


def without_capitals(name: str) -> str:
    return unicodedata.normalize("NFD", name.rstrip(".")).upper()


@pytest.mark.parametrize("names", [("baby1", "BABY1"), ("M\u00fcller", "Mu\u0308ller"), ("x", "x.")])
def test_names_that_are_one_to_the_file_system_of_the_output_are_refused(go, good, output, monkeypatch, names):
    """As on a Mac's or a Windows machine's disk, which a container may see. Elsewhere each case has its folder."""
    for old, new in zip("ab", names, strict=True):
        (good / old).rename(good / new)
    make = os.mkdir

    def make_without_capitals(path: Path, *mode: int, **more: int) -> None:
        if without_capitals(Path(path).name) in map(without_capitals, os.listdir(Path(path).parent)):
            raise FileExistsError(17, "File exists", str(path))
        make(path, *mode, **more)

    with monkeypatch.context() as patch:
        patch.setattr("os.mkdir", make_without_capitals)
        code, _, error = go(good)
    shown = map(ascii if "ller" in names[0] else str, sorted(names))
    assert code == 2
    assert f"{output}: expected a file system that tells the cases {' and '.join(shown)} apart, found one that" in error
    assert list(output.iterdir()) == []
    assert go(good)[0] == 0
    assert {path.name for path in output.iterdir()} == {*names, "summary.csv"}


def test_subjects_whose_sessions_would_share_a_folder_are_refused(output, monkeypatch):
    cases = [FoundCase("sub-a_ses-1", folder="sub-a/ses-1"), FoundCase("sub-A_ses-2", folder="sub-A/ses-2")]
    output.mkdir()
    require_names_apart(cases, output)
    monkeypatch.setattr("model.outputs.names_apart.are_one", lambda folder, *names: folder == output)
    with pytest.raises(UserError, match="tells the cases sub-A and sub-a apart"):
        require_names_apart(cases, output)
    require_names_apart([cases[0], FoundCase("sub-a_ses-2", folder="sub-a/ses-2")], output)


def test_a_case_spelt_otherwise_by_now_is_not_gone_where_its_folder_is_the_same(output):
    """A link stands for a file system without capitals."""
    (output / "baby1").mkdir(parents=True)
    assert not is_one_of("baby1", {"baby1": "Baby1"}, output)
    (output / "Baby1").symlink_to("baby1")
    assert is_one_of("baby1", {"baby1": "Baby1"}, output)
    assert not is_one_of("baby2", {"baby1": "Baby1"}, output)


@pytest.mark.parametrize("sign", "=+-@\t\r'")
def test_cell_that_begins_like_a_formula_is_text(sign):
    assert cell(f"{sign}x+1") == f"'{sign}x+1"
    assert cell(f"x{sign}1") == f"x{sign}1"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "007",
            "1E5",
            "3-4",
            "1/2",
            "1 1/2",
            "TRUE",
            "Falsch",
            "2024-01-05",
            "5.1.2024",
            "12:30",
            "10 am",
            "7%",
            "1.5",
            "1,5",
        ),
        *("(3)", "5 €", "$5", "MAR1", "1-Sep", "Okt. 12", "3 März 2024", "12345678901234567890", "#N/A"),
    ],
)
def test_name_that_a_spreadsheet_would_convert_is_text(name):
    assert cell(name) == f"\t{name}"
    assert text_of(cell(name)) == name


@pytest.mark.parametrize(
    "name", ["baby1", "1a", "sub-01", "MGHNICU_456-VISIT_01", "Marie1", "May", "x", "", "007/lesions.mha"]
)
def test_other_names_are_as_they_are(name):
    assert cell(name) == text_of(cell(name)) == name


def test_summary_in_a_spreadsheet_and_in_pandas(go, good, output):
    """The mark says UTF-8 to Excel; between quotation marks a tab parts no columns."""
    (good / "a").rename(good / "007")
    (good / "b").rename(good / "M\u00fcller")
    assert go(good)[0] == 0
    data = (output / "summary.csv").read_bytes()
    assert data.startswith('\ufeff"case",'.encode())
    assert b'\r\n"\t007","done",' in data
    table = pandas.read_csv(output / "summary.csv")
    assert [text_of(name) for name in table["case"]] == ["007", "M\u00fcller"]
    assert table["lesions"].tolist() == [2, 2]
    assert go(good)[0] == 0  # it is known as this program's own
    assert [row["status"] for row in summary(output).values()] == ["done before"] * 2


def test_names_that_begin_like_formulas(go, good, output):
    (good / "a").rename(good / "=1+1")
    (good / "b").rename(good / "-2")
    shutil.copytree(good / "-2", good / "@x")
    (good / "@x" / "adc.mha").unlink()
    assert go(good)[0] == 2
    rows = summary(output)
    assert list(rows) == ["'-2", "'=1+1", "'@x"]
    assert rows["'=1+1"]["mask"] == "'=1+1/lesions.mha"
    assert float(rows["'=1+1"]["lesion_volume_ml"]) == 0.009
    assert not [value for row in rows.values() for value in row.values() if value.startswith(tuple("=+-@\t\r"))]
    assert (output / "=1+1" / "lesions.mha").is_file()
    assert go(good)[0] == 2
    assert summary(output)["'=1+1"]["status"] == "done before"


def test_all_that_looks_like_a_case_is_in_the_summary(go, good, output):
    (good / "gone").symlink_to("nowhere")
    (good / "tif").mkdir()
    (good / "tif" / "adc.tif").touch()
    write_maps(good / "site" / "c", ".mha")
    (good / "loose_adc.nii.gz").touch()
    (good / "empty").mkdir()
    (good / "README.md").touch()
    code, _, error = go(good)
    assert code == 2
    assert error.startswith("error: 5 of 7 cases failed: ")
    assert {name: row["status"] for name, row in summary(output).items()} == dict.fromkeys("ab", "done") | dict.fromkeys(
        ("gone", "tif", "site/c", "loose_adc.nii.gz", "empty"), "failed"
    )
    assert files_below(output / "a") == ["lesions.mha", "results.json"]
    assert sorted(path.name for path in output.iterdir()) == ["a", "b", "summary.csv"]


def test_stopped_repeat_still_lists_every_case(go, good, output, monkeypatch):
    go(good)
    with monkeypatch.context() as patch:
        patch.setattr("model.run.folder.announce", lambda outcome: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go(good)
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "done before", "b": "done before"}


def test_unreadable_name_is_one_failed_case(go, good, output):
    broken = good / os.fsdecode(b"caf\xe9")
    broken.mkdir()
    shutil.copy(good / "a" / "adc.mha", broken)
    (good / "b" / "zadc.mha").rename(good / "b" / os.fsdecode(b"zadc\xe9.mha"))
    code, _, error = go(good)
    assert code == 2
    assert "2 of 3 cases failed" in error
    assert "expected a path that is UTF-8" in error
    assert "cannot name a case" in error
    assert summary(output)["a"]["status"] == "done"


def test_ctrl_c_keeps_the_finished_cases_and_what_is_being_written(go, good, output, monkeypatch, capfd):
    """Stopped when the first of two cases is done and the second is being written."""
    from model.run.one_case import write_case as write

    first_is_done = threading.Event()

    def interrupted(place: Place, name: str, *rest: object) -> dict:
        if name == "b":
            assert first_is_done.wait(60)
            os.kill(os.getpid(), signal.SIGINT)
            wait_for_stop()
        results = write(place, name, *rest)
        first_is_done.set()
        return results

    monkeypatch.setattr("model.run.one_case.write_case", interrupted)
    with pytest.raises(SystemExit) as stop:
        go(good)
    assert stop.value.code == 130
    out, err = capfd.readouterr()
    assert err == "error: stopped by SIGINT (Ctrl-C)\n"
    assert "b: done: 0.009 ml" in out
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "done", "b": "done"}
    assert files_below(output) == [f"{n}/{file}" for n in "ab" for file in ("lesions.mha", "results.json")] + ["summary.csv"]
