"""The entrypoint on good cases, in this process: mask, results, what is printed, and what a stop leaves behind."""

import json
import os
import signal

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from inference_helpers import (
    ADC_FOLDER,
    BRAIN_VOXELS,
    LESION_VOXELS,
    MASK,
    RESULTS,
    TINY,
    arguments,
    files_below,
    random_maps,
    rule,
    save_ensemble,
    small_maps,
)

from model.config import InferenceConfig
from model.network import LesionNet
from model.weights import load_ensemble
from process import parse_arguments


@pytest.fixture
def output(tmp_path):
    """Not there yet, as when the platform's folder is named for the first time."""
    return tmp_path / "output"


def test_mask_is_the_rule_on_the_adc_grid(main, case_tree, output, rule_weights):
    case = case_tree()
    assert main(arguments(case, output, rule_weights)) == 0
    mask, adc = (sitk.ReadImage(str(path)) for path in (output / MASK, case / ADC_FOLDER / "0f3c.mha"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), rule(*small_maps()))
    assert mask.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
    assert files_below(output) == [MASK, RESULTS]


def test_results_on_paper(main, case_tree, output, rule_weights, capfd):
    assert main(arguments(case_tree(), output, rule_weights)) == 0
    results = json.loads((output / RESULTS).read_text())
    seconds = results.pop("seconds")
    assert 0 <= seconds < 60
    assert results == {
        "lesion_volume_ml": LESION_VOXELS * 3 / 1000,
        "brain_volume_ml": round(BRAIN_VOXELS * 3 / 1000, 2),
        "lesion_share_of_brain": round(LESION_VOXELS / BRAIN_VOXELS, 6),
        "lesions": 2,
        "device": "cpu",
        "weights": load_ensemble(rule_weights).id,
    }
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"weights: {load_ensemble(rule_weights).id} from {rule_weights}",
        f"mask: {output / MASK}",
        f"lesion volume: 0.009 ml in 2 lesions, {seconds} s",
    ]


def test_smallest_lesion_is_the_sidecars(main, case_tree, output, tmp_path):
    weights = save_ensemble(tmp_path / "w", LesionNet(TINY), inference=InferenceConfig(min_lesion_mm3=6))
    assert main(arguments(case_tree(), output, weights)) == 0
    results = json.loads((output / RESULTS).read_text())
    assert (results["lesions"], results["lesion_volume_ml"]) == (1, 0.006)


def test_case_without_a_lesion_gets_an_empty_mask(main, case_tree, output, rule_weights):
    zadc = np.zeros_like(small_maps()[1])
    assert main(arguments(case_tree(zadc=zadc), output, rule_weights)) == 0
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK))).any()
    results = json.loads((output / RESULTS).read_text())
    assert (results["lesions"], results["lesion_volume_ml"], results["lesion_share_of_brain"]) == (0, 0, 0)


def test_without_a_manifest_the_challenges_paths_are_read(main, case_tree, output, rule_weights):
    assert main(arguments(case_tree(manifest=False), output, rule_weights)) == 0
    assert (output / MASK).is_file()


def test_an_earlier_case_and_what_a_killed_run_left_are_gone(main, case_tree, output, rule_weights):
    first = case_tree(*random_maps(), name="first")
    assert main(arguments(first, output, rule_weights)) == 0
    (output / MASK).with_name(".overlay.17.partial.mha").write_text("cut off")
    (output / ".results.17.partial.json").write_text("cut off")
    assert main(arguments(case_tree(), output, rule_weights)) == 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK))), rule(*small_maps()))
    assert files_below(output) == [MASK, RESULTS]


def test_other_files_of_the_output_folder_stay(main, case_tree, output, rule_weights):
    output.mkdir()
    (output / "notes.txt").touch()
    assert main(arguments(case_tree(), output, rule_weights)) == 0
    assert files_below(output) == [MASK, "notes.txt", RESULTS]


def test_networks_are_loaded_once_for_several_cases(main, case_tree, output, rule_weights, monkeypatch):
    calls = []
    monkeypatch.setattr("model.weights.load_ensemble", lambda folder: calls.append(folder) or load_ensemble(folder))
    for name in ("first", "second"):
        assert main(arguments(case_tree(name=name), output, rule_weights)) == 0
    assert calls == [rule_weights]


def test_weights_that_come_along_are_taken_where_none_are_named(main, case_tree, output, rule_weights, monkeypatch):
    monkeypatch.setattr("model.weights.UPLOADED_WEIGHTS", rule_weights)
    assert main(["--input", str(case_tree()), "--output", str(output), "--device", "cpu"]) == 0
    assert json.loads((output / RESULTS).read_text())["weights"] == load_ensemble(rule_weights).id


def test_folders_are_the_platforms_where_none_are_named():
    args = parse_arguments([])
    assert (str(args.input), str(args.output)) == ("/input", "/output")
    assert (args.device, args.weights, args.serve) == ("auto", None, False)


def test_cuda_that_does_not_work_is_noted_on_stdout_and_the_cpu_taken(
    main, case_tree, output, rule_weights, monkeypatch, capfd
):
    monkeypatch.setattr(torch, "ones", broken_cuda)
    assert main(arguments(case_tree(), output, rule_weights, "auto")) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0] == "CUDA cannot be used (no driver); using the CPU"
    assert err == ""
    assert json.loads((output / RESULTS).read_text())["device"] == "cpu"


def broken_cuda(*args: object, **options: object) -> None:
    raise RuntimeError("no driver")


def stop_process(*args: object, **options: object) -> None:
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL  # which would end the tests
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


@pytest.mark.parametrize("moment", ["model.report.json.dumps", "model.segment.describe", "model.volume.sitk.ReadImage"])
def test_stop_at_any_moment_leaves_nothing(main, case_tree, output, rule_weights, monkeypatch, capfd, moment):
    """The last moment is when the mask lies in the folder under its partial name."""
    case = case_tree()
    monkeypatch.setattr(moment, stop_process)
    with pytest.raises(SystemExit) as stop:
        main(arguments(case, output, rule_weights))
    assert stop.value.code == 143
    assert files_below(output) == []
    assert capfd.readouterr().err.splitlines()[-1] == "error: stopped by SIGTERM"


def test_unexpected_error_ends_with_its_name_and_leaves_nothing(main, case_tree, output, rule_weights, monkeypatch, capfd):
    def fail(*args: object) -> None:
        raise ZeroDivisionError("a mistake\nof ours")

    case = case_tree()
    monkeypatch.setattr("model.segment.write_mask", fail)
    assert main(arguments(case, output, rule_weights)) == 1
    assert files_below(output) == []
    assert capfd.readouterr().err.splitlines()[-1] == "error: unexpected ZeroDivisionError: a mistake of ours"
