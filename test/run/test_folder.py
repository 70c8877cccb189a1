"""A folder of cases: what is found, what is written, what is not run again, and what one bad case does to the rest."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import GOOD, REASONS, summary, write_maps
from inference_helpers import GRID, arguments, files_below, rule, small_maps
from phantom import write_image


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
    code, _, error = go(good, "--format", "nrrd")
    assert code == 2
    assert error.startswith("error: 2 of 2 cases not done again: a: the masks' format changed from .mha since; --overwrite")
    assert files_below(output) == before
    assert go(good, "--format", "nrrd", "--overwrite")[0] == 0
    assert files_below(output / "a") == ["lesions.nrrd", "results.json"]


def test_mhd_is_not_run_again(go, good, output, count):
    go(good, "--format", "mhd")
    assert go(good, "--format", "mhd")[0] == 0
    assert len(count) == 2


@pytest.mark.parametrize("listed", [False, True])
def test_cases_whose_headers_name_one_file_of_voxels_are_refused(go, good, output, listed):
    """Of a folder and of a table; nothing is written of them."""
    for name in ("c", "d"):
        write_maps(good / name, ".mhd")
    (good / "d" / "zadc.zraw").unlink()
    (good / "d" / "zadc.zraw").symlink_to("../c/zadc.zraw")
    if listed:
        rows = [f"{case},{case}/adc{end},{case}/zadc{end}" for case, end in (("a", ".mha"), ("c", ".mhd"), ("d", ".mhd"))]
        (good / "cases.csv").write_text("\n".join(["case,adc,zadc", *rows, ""]))
    assert go(good)[0] == 2
    status = {name: row["status"] for name, row in summary(output).items()}
    assert status == {"a": "done", "c": "failed", "d": "failed"} | ({} if listed else {"b": "done"})
    assert f"{good}/c/zadc.zraw holds the voxels of 2 headers" in summary(output)["d"]["reason"]
    assert not (output / "c").exists()


def test_format_on_demand(go, good, output):
    assert go(good, "--format", "nii.gz")[0] == 0
    assert files_below(output / "a") == ["lesions.nii.gz", "results.json"]


def test_killed_run_goes_on_where_it_was(go, good, output, count, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("model.run.one_case.write_case", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go(good)
    assert files_below(output) == ["summary.csv"]
    (output / ".a.0f3c0f3c.partial" / "files").mkdir(parents=True)  # of a run that had no time to clean up
    (output / ".a.0f3c0f3c.partial" / "written-by-hie-lesions").touch()
    (output / ".a.0f3c0f3c.partial" / "files" / "lesions.mha").touch()
    (output / ".b.0f3c0f3c.partial").mkdir()
    assert go(good)[0] == 0
    assert files_below(output) == [f"{n}/{file}" for n in "ab" for file in ("lesions.mha", "results.json")] + ["summary.csv"]
    assert sorted(path.name for path in output.iterdir()) == ["a", "b", "summary.csv"]


@pytest.mark.parametrize("other", ["a/lesions.mha", "b/results.json", "old/thing.txt", "paper.docx"])
def test_output_with_something_else_is_refused_and_left_alone(go, good, output, other):
    (output / other).parent.mkdir(parents=True, exist_ok=True)
    (output / other).write_text("{}")
    code, _, error = go(good)
    assert code == 2
    assert f"found {other.split('/')[0]}; name another folder, or say --overwrite" in error
    assert files_below(output) == [other]
    in_the_way = other in ("a/lesions.mha", "b/results.json")
    code, _, error = go(good, "--overwrite")
    assert code == (2 if in_the_way else 0)
    assert (f"{output / other}: changed since it was written, or not of this program; it stays" in error) == in_the_way
    assert (output / other).read_text() == "{}"
    assert (output / ("b" if other.startswith("a") else "a") / "lesions.mha").stat().st_size > 100


def test_unexpected_error_in_one_case_leaves_the_others(go, good, output, monkeypatch):
    read = {"a": 0}

    def fail_once(*args):
        read["a"] += 1
        if read["a"] == 1:
            raise ZeroDivisionError("deep inside")
        return original(*args)

    from model.run import one_case

    original = one_case.read_case
    monkeypatch.setattr(one_case, "read_case", fail_once)
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
        (["--cases", "--format", "png"], "masks are not written as png, expected .mha, .mhd, .nii, .nii.gz, .nrrd"),
        (["--format", "nii"], "--format and --overwrite go with --cases"),
        (["--series", "1.2.3"], "--series, --format and --overwrite go with --cases"),
        (["--cases", "--serve"], "not allowed with"),
        (["--cases", "--smallest-brain", "60"], "--smallest-brain goes with --brain-mask"),
        (["--brain-mask", "--smallest-brain", "-1"], "argument --smallest-brain: invalid millilitres value: '-1'"),
    ],
)
def test_options_that_do_not_fit(main, capfd, words, says):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert says in capfd.readouterr().err.splitlines()[-1]
