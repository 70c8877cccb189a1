"""A folder of cases: what is found, what is written, what is not run again, and what one bad case does to the rest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import GOOD, REASONS, summary, write_maps
from inference_helpers import arguments, files_below, results_of, rule, small_maps

from model.run import one_case


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
        results = results_of(output / name)
        assert rows[name]["lesion_volume_ml"] == str(results["lesion_volume_ml"]) == "0.009"
        assert f"{name}: done: 0.009 ml in 2 lesion(s)" in out


def test_what_is_there_is_not_made_again_and_what_is_missing_is(go, good, output, count):
    assert go(good, "--report")[0] == 0
    before = files_below(output)
    code, out, _ = go(good)
    assert (code, len(count)) == (0, 2)
    assert "a: done before: 0.009 ml" in out
    assert summary(output)["b"]["status"] == "done before"
    assert files_below(output) == before
    (output / "a" / "lesions.mha").unlink()
    assert go(good)[0] == 0
    assert (len(count), files_below(output)) == (3, before)
    assert go(good, "--probabilities")[0] == 0
    assert len(count) == 5
    for name in "ab":  # what an earlier run was asked for stays
        assert files_below(output / name) == ["lesions.mha", "probabilities.mha", "report.html", "results.json"]
    assert "a/report.html" in (output / "index.html").read_text()


def test_the_first_case_names_the_libraries_that_its_page_needs_too(good, output, rule_weights):
    words = [*arguments(good, output, rule_weights), "--cases", "--report"]
    subprocess.run([sys.executable, "process.py", *words], cwd=Path(__file__).resolve().parents[2], check=True)
    first, second = (results_of(output / name)["software"] for name in "ab")
    assert "nibabel" in first
    assert first == second


def test_unexpected_error_in_one_case_leaves_the_others(go, good, output, monkeypatch):
    errors, read = [ZeroDivisionError("deep inside")], one_case.read_case

    def fail_once(*args):
        if errors:
            raise errors.pop()
        return read(*args)

    monkeypatch.setattr(one_case, "read_case", fail_once)
    code, _, error = go(good)
    assert code == 2
    assert error == "error: 1 of 2 cases failed: a: unexpected ZeroDivisionError: deep inside"
    assert summary(output)["b"]["status"] == "done"


def test_output_inside_the_input_is_refused(main, good, rule_weights, capfd):
    assert main([*arguments(good, good / "out", rule_weights), "--cases"]) == 2
    assert "outside the input folder" in capfd.readouterr().err
    assert not (good / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--device", "tpu"], "tpu"),
        (["--cases", "--format", "png"], "masks are not written as png, expected .mha, .mhd, .nii, .nii.gz, .nrrd"),
        (["--format", "nii"], "--format and --overwrite go with --cases"),
        (["--series", "1.2.3"], "--series, --format and --overwrite go with --cases"),
        (["--bids"], "go with --cases"),
        (["--cases", "--bids", "--format", "mha"], "--bids writes .nii.gz"),
        (["--cases", "--serve"], "not allowed with"),
        (["--cases", "--smallest-brain", "60"], "--smallest-brain goes with --brain-mask"),
        *((["--empty-below", word], f"expected a chance from 0 to 1, found {word}") for word in ("1.01", "nan", "half")),
        *(
            (
                ["--brain-mask", "--smallest-brain", word],
                f"--smallest-brain: expected a volume in ml, 0 or more, found {word}",
            )
            for word in ("-1", "inf")
        ),
    ],
)
def test_options_that_do_not_fit(main, capfd, words, says):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    usage, line = capfd.readouterr().err.splitlines()
    assert usage.endswith(" [options]; --help lists them")
    assert says in line


def test_all_that_looks_like_a_case_is_in_the_summary(go, good, output):
    (good / "gone").symlink_to("nowhere")
    for name in ("tif/adc.tif", "loose_adc.nii.gz", "empty/.DS_Store", "README.md"):
        (good / name).parent.mkdir(exist_ok=True)
        (good / name).touch()
    write_maps(good / "site" / "c", ".mha")
    for name in ("raw1", "raw2"):
        write_maps(good / name, ".mhd")
    (good / "raw2" / "zadc.zraw").unlink()
    (good / "raw2" / "zadc.zraw").symlink_to("../raw1/zadc.zraw")
    code, _, error = go(good)
    assert code == 2
    assert error.startswith("error: 7 of 9 cases failed: ")
    failed = ("gone", "tif", "site/c", "loose_adc.nii.gz", "empty", "raw1", "raw2")
    expected = dict.fromkeys("ab", "done") | dict.fromkeys(failed, "failed")
    assert {name: row["status"] for name, row in summary(output).items()} == expected
    assert f"{good}/raw1/zadc.zraw holds the voxels of 2 headers" in summary(output)["raw2"]["reason"]
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
