"""The entrypoint on good cases, in this process: mask, results, what is printed, and what a stop leaves behind."""

import hashlib
import os
import shutil
import signal

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from inference_helpers import (
    ADC_FOLDER,
    BRAIN_VOXELS,
    GRID,
    LESION_VOXELS,
    MASK,
    PROBABILITIES,
    RESULTS,
    arguments,
    files_below,
    load,
    random_maps,
    random_network,
    results_of,
    rule,
    save_ensemble,
    small_maps,
    stump,
    voxels_of,
)

import process
from model.networks.predict import Predictor
from model.networks.stored import save_decision
from model.networks.torch_engine import TorchEngine
from model.run.one_case import segment
from model.segmenter import Segmenter
from process import parse_arguments


def test_mask_and_results_on_paper(main, case_tree, output, rule_weights, capfd):
    case = case_tree()
    assert main(arguments(case, output, rule_weights)) == 0
    assert files_below(output) == [MASK, RESULTS]
    mask, adc = (sitk.ReadImage(str(path)) for path in (output / MASK, case / ADC_FOLDER / "0f3c.mha"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), rule(*small_maps()))
    assert mask.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
    results = results_of(output)
    seconds = results.pop("seconds")
    assert 0 <= seconds < 60
    assert len(results.pop("lesion_list")) == 2
    assert len(results.pop("sha256")) == 64
    mask = (output / MASK).read_bytes()
    assert results.pop("files") == {MASK: {"sha256": hashlib.sha256(mask).hexdigest(), "bytes": len(mask)}}
    warnings, software, inputs = (results.pop(name) for name in ("warnings", "software", "inputs"))
    assert len(warnings) == 2  # a brain of 2 ml that touches the sides
    assert software["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert inputs["adc"] == {
        "file": "0f3c.mha",
        "sha256": hashlib.sha256((case / ADC_FOLDER / "0f3c.mha").read_bytes()).hexdigest(),
        "voxels_sha256": hashlib.sha256(b"(6, 11, 8)" + np.full(6 * 11 * 8, 1200, "<f4").tobytes()).hexdigest(),
    }
    assert results == {
        "z_map": "given",
        "space": "scanner",
        "lesion_volume_ml": LESION_VOXELS * 3 / 1000,
        "brain_volume_ml": round(BRAIN_VOXELS * 3 / 1000, 2),
        "lesion_share_of_brain": round(LESION_VOXELS / BRAIN_VOXELS, 6),
        "lesions": 2,
        "chance_of_lesion": None,
        "expected_dice": None,
        "empty_below": 0,
        "adc_unit": "1e-6mm2/s",
        "device": "cpu",
        "engine": "openvino",
        "weights": load(rule_weights).id,
        "networks": 1,
    }
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"weights: {load(rule_weights).id} from {rule_weights}",
        f"mask: {output / MASK}",
        *(f"warning: {warning}" for warning in warnings),
        f"lesion volume: 0.009 ml in 2 lesion(s), {seconds} s",
    ]


def test_case_without_a_lesion_gets_an_empty_mask(main, case_tree, output, rule_weights):
    zadc = np.zeros_like(small_maps()[1])
    assert main(arguments(case_tree(zadc=zadc), output, rule_weights)) == 0
    assert not voxels_of(output / MASK).any()
    results = results_of(output)
    assert (results["lesions"], results["lesion_volume_ml"], results["lesion_share_of_brain"]) == (0, 0, 0)
    assert results["lesion_list"] == []


def test_networks_are_loaded_once_for_several_cases(case_tree, output, rule_weights, tmp_path):
    """The second case does not need their files any more."""
    weights = shutil.copytree(rule_weights, tmp_path / "weights")
    segmenter = Segmenter(weights, "cpu")
    segment(case_tree(name="first"), output, segmenter)
    shutil.rmtree(weights)
    segment(case_tree(name="second"), output, segmenter)
    assert results_of(output)["weights"] == load(rule_weights).id


def test_server_reads_what_the_input_folder_is_by_then(main, case_tree, output, rule_weights, tmp_path, monkeypatch):
    """As the platform does, /input is a link that is replaced between the cases."""
    cases = [(maps, case_tree(*maps, name=name)) for name, maps in (("first", small_maps()), ("second", random_maps()))]
    link, masks = tmp_path / "link", []
    link.symlink_to(cases[0][1])

    def serve(job) -> None:
        for _, case in cases:
            link.unlink()
            link.symlink_to(case)
            job()
            masks.append(voxels_of(output / MASK))

    monkeypatch.setattr("process.serve", serve)
    assert main([*arguments(link, output, rule_weights), "--serve"]) == 0
    for mask, (maps, _) in zip(masks, cases, strict=True):
        np.testing.assert_array_equal(mask, rule(*maps))


def test_folders_are_the_platforms_where_none_are_named():
    args = parse_arguments([])
    assert (str(args.input), str(args.output)) == ("/input", "/output")
    assert (args.device, args.weights, args.serve, args.probabilities) == ("auto", None, False, False)


@pytest.mark.parametrize(
    ("seconds", "voxels", "said"),
    [
        (11.2, 128 * 128 * 54, "at most 5.2 s on two cores, CUDA took 11.2 s"),  # 0.8 + 5 * 0.885
        (0.79, 1, None),
        (5.8, 1_000_000, "at most 5.8 s on two cores, CUDA took 5.8 s"),
        (5.7, 1_000_000, None),
    ],
)
def test_a_case_that_waited_for_cuda_says_what_the_cpu_would_have_taken(seconds, voxels, said):
    assert process.sooner_on_cpu(seconds, voxels) == (
        f"--device cpu would have been faster for this case: {said}" if said else ""
    )


@pytest.mark.parametrize(("device", "lines"), [("auto", 1), ("cuda", 0)])
def test_where_no_device_is_named_it_is_said(main, case_tree, output, rule_weights, monkeypatch, capfd, device, lines):
    """CUDA is the CPU here under another name, and took long."""
    monkeypatch.setattr("model.networks.engines.no_cuda", lambda: "")
    monkeypatch.setattr("model.networks.torch_engine.pick_device", lambda name: (torch.device("cpu"), ""))
    monkeypatch.setattr(TorchEngine, "device", property(lambda self: "cuda", lambda self, name: None), raising=False)
    monkeypatch.setattr("process.STARTED", -1e6)
    assert main(arguments(case_tree(), output, rule_weights, device)) == 0
    assert capfd.readouterr().out.count("--device cpu would have been faster for this case") == lines


def stop(number: int) -> None:
    """Sends this process a signal, as Ctrl-C or the platform does."""
    assert signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler)  # which would end the tests
    os.kill(os.getpid(), number)
    signal.pause()


def fail() -> None:
    raise ZeroDivisionError("a mistake\nof ours")


@pytest.mark.parametrize(
    ("act", "code", "line"),
    [
        (lambda: stop(signal.SIGTERM), 143, "error: stopped by SIGTERM"),
        (lambda: stop(signal.SIGINT), 130, "error: stopped by SIGINT (Ctrl-C)"),
        (fail, 1, "error: unexpected ZeroDivisionError: a mistake of ours"),
    ],
)
def test_what_ends_a_run_while_it_writes_leaves_nothing(
    main, case_tree, output, rule_weights, monkeypatch, capfd, act, code, line
):
    """The probabilities are written then, in their place below a hidden folder."""
    monkeypatch.setattr("model.run.one_case.write_mask", lambda *_: act())
    try:
        ended = main([*arguments(case_tree(), output, rule_weights), "--probabilities"])
    except SystemExit as stopped:
        ended = stopped.code
    assert (ended, files_below(output)) == (code, [])
    assert capfd.readouterr().err.splitlines()[-1] == line


def test_probabilities_lie_on_the_adc_grid_in_a_folder_of_their_own(main, case_tree, output, tmp_path, capfd):
    """They are what the mask is drawn from: with a decision, calibrated."""
    weights = save_ensemble(tmp_path / "w", random_network(1), random_network(2))
    save_decision(weights, stump("z", -1.5, at_most=0.875, above=0.25), {})
    case = case_tree(*random_maps())
    assert main([*arguments(case, output, weights), "--probabilities"]) == 0
    assert files_below(output) == sorted([MASK, PROBABILITIES, RESULTS])
    found, adc = (sitk.ReadImage(str(path)) for path in (output / PROBABILITIES, case / ADC_FOLDER / "0f3c.mha"))
    assert found.GetPixelIDTypeAsString() == "32-bit float"
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(found, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
    voxels = sitk.GetArrayFromImage(found)
    expected = Predictor(load(weights)).segment(*random_maps(), GRID.spacing_mm)
    np.testing.assert_array_equal(voxels, expected.probabilities)
    for p in (0, 0.25, 0.875):  # in float32, through log odds and back
        assert np.isclose(voxels, p, rtol=0, atol=1e-6).any()
    np.testing.assert_array_equal(voxels_of(output / MASK), expected.mask)
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[2:4] == [f"mask: {output / MASK}", f"probabilities: {output / PROBABILITIES}"]
