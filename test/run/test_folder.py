"""A folder of cases: what is found, what is written, what is not run again, and what one bad case does to the rest."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, arguments, files_below, rule, small_maps
from phantom import write_image

from model.networks.predict import Predictor

GOOD = {f"case{n}": suffix for n, suffix in enumerate([".mha", ".nii.gz", ".nrrd"] * 2 + [".mhd", ".nii"])}
REASONS = {"broken": "expected a whole image file", "twice": "2 could be it: adc.mha, adc.nrrd"}


def write_maps(folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True)
    for name, voxels in zip(("adc", "zadc"), small_maps(), strict=True):
        write_image(voxels, GRID, folder / f"{name}{suffix}")
    return folder


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Eight good cases of five formats and two bad ones."""
    for name, suffix in GOOD.items():
        write_maps(tmp_path / "scans" / name, suffix)
    broken, twice = (write_maps(tmp_path / "scans" / name, ".mha") for name in REASONS)
    (broken / "zadc.mha").write_bytes((broken / "zadc.mha").read_bytes()[:-20])
    shutil.copy(twice / "adc.mha", twice / "adc.nrrd")
    return tmp_path / "scans"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Two good cases."""
    for name in ("a", "b"):
        write_maps(tmp_path / "good" / name, ".mha")
    return tmp_path / "good"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def go(main, output, rule_weights, capfd):
    """Runs process.py --cases on a folder; returns exit code, stdout and the last line of stderr."""

    def run(folder: Path, *words: str) -> tuple[int, str, str]:
        main_words = arguments(folder, output, rule_weights)
        code = main([*main_words, "--cases", *words])
        out, err = capfd.readouterr()
        return code, out, (err.splitlines() or [""])[-1]

    return run


@pytest.fixture
def count(monkeypatch) -> list:
    """Grows by one for every case that is really segmented."""
    calls, segment = [], Predictor.segment
    monkeypatch.setattr(Predictor, "segment", lambda *args: calls.append(1) or segment(*args))
    return calls


def summary(output: Path) -> dict[str, dict]:
    with (output / "summary.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_mixed_folder(go, scans, output):
    code, out, error = go(scans)
    assert code == 2
    assert error.startswith("error: 2 of 10 cases failed: broken: ")
    rows = summary(output)
    assert list(rows) == sorted([*GOOD, *REASONS])
    for name, reason in REASONS.items():
        assert reason in error
        assert reason in rows[name]["reason"]
        assert rows[name]["status"] == "failed"
        assert not (output / name).exists()
    for name, suffix in GOOD.items():
        path = output / name / f"lesions{suffix}"
        assert rows[name]["mask"] == f"{name}/lesions{suffix}"
        mask, adc = sitk.ReadImage(str(path)), sitk.ReadImage(str(scans / name / f"adc{suffix}"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), rule(*small_maps()))
        for what in ("Size", "Spacing", "Origin", "Direction"):
            np.testing.assert_allclose(getattr(mask, f"Get{what}")(), getattr(adc, f"Get{what}")(), atol=1e-6)
        results = json.loads((output / name / "results.json").read_text())
        assert rows[name]["lesion_volume_ml"] == str(results["lesion_volume_ml"]) == "0.009"
        assert f"{name}: done: 0.009 ml in 2 lesion(s)" in out


def test_finished_case_is_not_run_again(go, good, output, count):
    assert go(good)[0] == 0
    before = files_below(output)
    code, out, _ = go(good)
    assert (code, len(count)) == (0, 2)
    assert "a: done before: 0.009 ml" in out
    assert summary(output)["b"]["status"] == "done before"
    assert files_below(output) == before


def test_what_is_missing_is_made(go, good, output, count):
    go(good)
    (output / "a" / "lesions.mha").unlink()
    assert go(good)[0] == 0
    assert len(count) == 3
    assert go(good, "--probabilities")[0] == 0
    assert len(count) == 5
    assert files_below(output / "b") == ["lesions.mha", "probabilities.mha", "results.json"]


def test_what_an_earlier_run_was_asked_for_stays(go, good, output):
    go(good, "--report")
    (output / "a" / "lesions.mha").unlink()
    assert go(good, "--probabilities")[0] == 0
    for name in "ab":
        assert files_below(output / name) == ["lesions.mha", "probabilities.mha", "report.html", "results.json"]
    assert "a/report.html" in (output / "index.html").read_text()


def test_masks_in_another_format_are_not_lost(go, good, output):
    go(good)
    before = files_below(output)
    assert "found a, b; name another folder" in go(good, "--format", "nrrd")[2]
    assert files_below(output) == before
    assert go(good, "--format", "nrrd", "--overwrite")[0] == 0
    assert files_below(output / "a") == ["lesions.nrrd", "results.json"]


def test_mhd_is_not_run_again(go, good, output, count):
    go(good, "--format", "mhd")
    assert go(good, "--format", "mhd")[0] == 0
    assert len(count) == 2


def test_format_on_demand(go, good, output):
    assert go(good, "--format", "nii.gz")[0] == 0
    assert files_below(output / "a") == ["lesions.nii.gz", "results.json"]


def test_killed_run_goes_on_where_it_was(go, good, output, count, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("model.run.folder.write_case", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go(good)
    assert files_below(output) == ["summary.csv"]
    (output / ".a.0f3c0f3c.partial").mkdir()  # of a run that had no time to clean up
    (output / ".a.0f3c0f3c.partial" / "lesions.mha").touch()
    assert go(good)[0] == 0
    assert files_below(output) == [f"{n}/{file}" for n in "ab" for file in ("lesions.mha", "results.json")] + ["summary.csv"]


@pytest.mark.parametrize("other", ["a/lesions.mha", "b/results.json", "old/thing.txt", "paper.docx"])
def test_output_with_something_else_is_refused_and_left_alone(go, good, output, other):
    (output / other).parent.mkdir(parents=True, exist_ok=True)
    (output / other).write_text("{}")
    code, _, error = go(good)
    assert code == 2
    assert f"found {other.split('/')[0]}; name another folder, or say --overwrite" in error
    assert files_below(output) == [other]
    assert go(good, "--overwrite")[0] == 0
    assert (output / "a" / "lesions.mha").stat().st_size > 100
    assert (output / other).exists() == (other != "a/lesions.mha") or (output / other).stat().st_size > 100


def test_results_of_other_inputs_or_weights_are_refused(go, good, output, random_weights):
    go(good)
    before = {name: (output / name).read_bytes() for name in files_below(output)}
    assert "found a, b;" in go(good, "--weights", str(random_weights))[2]
    write_image(small_maps()[1] - 1, GRID, good / "a" / "zadc.mha")
    assert "found a;" in go(good)[2]
    assert {name: (output / name).read_bytes() for name in files_below(output)} == before
    assert go(good, "--overwrite")[0] == 0
    assert summary(output)["b"]["status"] == "done before"
    assert float(summary(output)["a"]["lesion_volume_ml"]) > 0.009


def test_older_mask_of_a_case_that_fails_now_does_not_stay(go, good, output):
    go(good)
    (good / "a" / "zadc.mha").write_bytes(b"")
    assert go(good, "--overwrite")[0] == 2
    assert files_below(output) == ["b/lesions.mha", "b/results.json", "summary.csv"]


def test_unexpected_error_in_one_case_leaves_the_others(go, good, output, monkeypatch):
    read = {"a": 0}

    def fail_once(*args):
        read["a"] += 1
        if read["a"] == 1:
            raise ZeroDivisionError("deep inside")
        return original(*args)

    from model.run import folder

    original = folder.read_case
    monkeypatch.setattr(folder, "read_case", fail_once)
    code, _, error = go(good)
    assert code == 2
    assert error == "error: 1 of 2 cases failed: a: unexpected ZeroDivisionError: deep inside"
    assert summary(output)["b"]["status"] == "done"


def test_csv_beside_the_input_folders(go, good, output):
    (good / "list.csv").write_text("case,adc,zadc\nx,a/adc.mha,b/zadc.mha\n")
    assert go(good, "list.csv")[0] == 0
    assert files_below(output) == ["summary.csv", "x/lesions.mha", "x/results.json"]


def test_output_inside_the_input_is_refused(main, good, rule_weights, capfd):
    assert main([*arguments(good, good / "out", rule_weights), "--cases"]) == 2
    assert "outside the input folder" in capfd.readouterr().err
    assert not (good / "out").exists()


def test_unit_is_converted_on_demand_and_said(go, good, output):
    write_image(small_maps()[0] / 1e6, GRID, good / "a" / "adc.mha")
    shutil.rmtree(good / "b")
    assert "say --adc-unit mm2/s" in go(good)[2]
    assert go(good, "--adc-unit", "mm2/s")[0] == 0
    assert "converted from mm2/s" in summary(output)["a"]["warnings"]
    assert summary(output)["a"]["lesion_volume_ml"] == "0.009"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cases", "--format", "png"], "png cannot hold where a mask lies"),
        (["--format", "nii"], "--format and --overwrite go with --cases"),
        (["--cases", "--serve"], "not allowed with"),
    ],
)
def test_options_that_do_not_fit(main, capfd, words, says):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert says in capfd.readouterr().err.splitlines()[-1]


# --- what must not get lost ---


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
        "model.run.folder.write_case", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device"))
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


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_in_the_place_of_a_case_is_replaced_and_its_target_left_alone(go, good, output, tmp_path, kind):
    precious = write_maps(tmp_path / "precious", ".mha")
    output.mkdir()
    if kind == "link":
        (output / "a").symlink_to(precious)
    else:
        (output / "a").write_text("a file")
    assert go(good)[0] == 2
    assert go(good, "--overwrite")[0] == 0
    assert go(good)[0] == 0
    assert files_below(output / "a") == ["lesions.mha", "results.json"]
    assert not [path for path in output.iterdir() if path.name.startswith(".")]
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
    assert "found a; name another folder" in go(good)[2]


@pytest.mark.parametrize("change", ["adc", "unit", "version"])
def test_other_results_are_not_ours(go, good, output, monkeypatch, change):
    go(good)
    words = []
    if change == "adc":
        write_image(small_maps()[0] + 1, GRID, good / "a" / "adc.mha")
    elif change == "unit":
        words = ["--adc-unit", "mm2/s"]
    else:
        monkeypatch.setattr("model.__version__", "0.0.9")
    assert "found a" in go(good, *words)[2]


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


def test_ctrl_c_keeps_the_finished_cases_and_lists_the_others(go, good, output, monkeypatch, capfd):
    """Stopped while the second of two cases is written."""
    from model.run.folder import write_case as write

    def interrupted(paths: dict[str, Path], name: str, *rest: object) -> None:
        if name == "b":
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        write(paths, name, *rest)

    monkeypatch.setattr("model.run.folder.write_case", interrupted)
    with pytest.raises(SystemExit) as stop:
        go(good)
    assert stop.value.code == 130
    assert capfd.readouterr().err == "error: stopped by SIGINT (Ctrl-C)\n"
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "done", "b": "failed"}
    assert summary(output)["b"]["reason"] == "the run was stopped before this case"
    assert files_below(output) == ["a/lesions.mha", "a/results.json", "summary.csv"]
