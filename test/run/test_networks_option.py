"""`--networks`: how many networks are run beside the trees, and what is fitted to as many."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folder_helpers import summary
from inference_helpers import (
    MASK,
    NETWORKS_ALONE,
    PROBABILITIES,
    TINY,
    ZADC_FOLDER,
    arguments,
    files_below,
    lesion_mask,
    random_network,
    results_of,
    save_ensemble,
    save_zmap,
    stump,
    voxels_of,
)

from model.lesions.certainty import Certainty
from model.lesions.decision import Calibration
from model.networks.config import InferenceConfig
from model.networks.stored import save_decision
from model.networks.torch_engine import save_weights
from training.learning.onnx_graph import export

ROOT = Path(__file__).resolve().parents[2]
ALONE = dataclasses.replace(
    stump("z", -2.1, 0.8, 0.01, Calibration(0.5, 0.0, 1.0)),
    certainty=Certainty({"chance_of_lesion": {"intercept": -1.0, "log10_mask_ml": 0.0, "log10_lesions": 0.0}}),
)
DECISION = dataclasses.replace(stump("z", -2.1, 0.8, 0.01, NETWORKS_ALONE), trees_alone=ALONE)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five networks, which alone decide; without them the trees do."""
    folder = save_ensemble(tmp_path_factory.mktemp("five"), *map(random_network, range(5)))
    save_decision(folder, DECISION, {})
    export(folder)
    return folder


@pytest.fixture
def run(main, case_tree, output):
    """Runs process.py on the small case; returns results, mask and probabilities."""
    case = case_tree()

    def go(weights: Path, *words: str) -> tuple[dict, np.ndarray, np.ndarray]:
        assert main([*arguments(case, output, weights), "--probabilities", *words]) == 0
        images = (voxels_of(output / name) for name in (MASK, PROBABILITIES))
        return results_of(output), *images

    return go


def test_without_networks_the_trees_decide_as_they_were_calibrated_for_that(run, five):
    """Log odds of 0.8 and 0.01, plus 0.5; the chance that the brain has a lesion is that of log odds -1."""
    results, mask, probabilities = run(five, "--networks", "0")
    np.testing.assert_array_equal(mask, lesion_mask())
    np.testing.assert_allclose(probabilities[lesion_mask()], 4 / (4 + np.exp(-0.5)), rtol=1e-5)
    assert (results["networks"], results["engine"], results["device"]) == (0, "numpy", "cpu")
    assert results["chance_of_lesion"] == pytest.approx(1 / (1 + np.e), abs=1e-4)


def test_one_network_is_the_first_one_and_all_are_the_default(run, five, tmp_path):
    only = save_ensemble(tmp_path / "only", random_network(0))
    save_decision(only, DECISION, {})
    export(only)
    one, all_five = run(five, "--networks", "1"), run(five)
    np.testing.assert_array_equal(one[2], run(only)[2])
    assert np.abs(one[2] - all_five[2]).max() > 0.01
    assert (one[0]["networks"], all_five[0]["networks"]) == (1, 5)
    assert one[0]["weights"] == all_five[0]["weights"] + "-1of5"  # DICOM, BIDS and the table name the weights alone


def test_neither_engine_is_imported_without_networks(tmp_path):
    """The shipped trees on the built-in case."""
    words = ["--input", "test/case/input", "--output", tmp_path, "--networks", "0"]
    subprocess.run([sys.executable, "process.py", *words], cwd=ROOT, check=True, capture_output=True)
    results = results_of(tmp_path)
    assert not {"torch", "openvino"} & results["software"].keys()
    assert (results["networks"], results["lesions"] > 0) == (0, True)


def test_cases_of_a_folder_are_outdated_by_another_number(main, good, output, five, capfd):
    words = [*arguments(good, output, five), "--cases"]
    assert main(words) == 0
    for number, before in (("0", 5), ("1", 0)):
        assert main([*words, "--networks", number]) == 2
        assert f"the networks (--networks) changed from {before} since; --overwrite" in capfd.readouterr().err
        assert {row["status"] for row in summary(output).values()} == {"outdated"}
        assert main([*words, "--networks", number, "--overwrite"]) == 0
        assert main([*words, "--networks", number]) == 0
        assert {row["status"] for row in summary(output).values()} == {"done before"}


def test_estimates_that_ask_no_network_hold_with_any_number(main, good, output, five, tmp_path):
    weights = save_zmap(shutil.copytree(five, tmp_path / "weights"))
    for path in good.rglob("zadc*"):
        path.unlink()
    words = [*arguments(good, output, weights), "--cases", "--estimate-z"]
    for number in ("0", "1", "5"):
        assert main([*words, "--networks", number]) == 0
        assert {row["status"] for row in summary(output).values()} == {"done" if number == "0" else "done before"}


def several_at_a_time(folder: Path) -> None:
    for name in ("fold0-a", "fold0-b", "fold1-a"):
        save_weights(folder / f"{name}.safetensors", random_network(1), TINY, InferenceConfig(), {})
    save_decision(folder, DECISION, {})


def one_alone(folder: Path) -> None:
    save_ensemble(folder, random_network(1))


REFUSED = {
    "more than there are": ("5", one_alone, "has 1"),
    "no trees": ("0", one_alone, "has no trees that were calibrated without networks"),
    "a part of a fold": ("1", several_at_a_time, "was fitted to several networks at a time"),
}


@pytest.mark.parametrize(("number", "write", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_nothing_was_fitted_to_is_refused(main, case_tree, output, tmp_path, capfd, number, write, reason):
    write(tmp_path / "weights")
    assert main([*arguments(case_tree(), output, tmp_path / "weights"), "--networks", number]) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert (line.startswith(f"error: --networks {number}: "), str(tmp_path / "weights") in line, reason in line) == (
        True,
    ) * 3
    assert files_below(output) == []


def test_estimates_that_need_networks_are_refused_without(main, case_tree, output, five, tmp_path, capfd):
    """Such a decision would take the missing answer for a sure no."""
    weights = save_zmap(shutil.copytree(five, tmp_path / "weights"), NETWORKS_ALONE)
    case = case_tree(manifest=False)
    shutil.rmtree(case / ZADC_FOLDER)
    assert main([*arguments(case, output, weights), "--estimate-z", "--networks", "0"]) == 2
    assert f"--networks 0: the decision in {weights / 'zmap'} weighs networks" in capfd.readouterr().err
