"""`--empty-below`: masks of brains that probably have no lesion are left empty, and what is said of them."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from folder_helpers import summary
from inference_helpers import MASK, arguments, files_below, lesion_mask, results_of, small_maps, stump, voxels_of

from model.lesions.certainty import Certainty
from model.networks.stored import save_decision

CERTAINTY = Certainty(
    {
        "chance_real": {"intercept": 2.0, "log10_ml": 1.0},
        "expected_dice": {"intercept": 0.0, "logit_plug_in": 0.5},
        "chance_of_lesion": {"intercept": 2.0, "log10_mask_ml": 1.0, "log10_lesions": -1.0},
    }
)
# of 3 voxels of 0.003 ml in 2 lesions: log odds 2 + log10(0.009 + 0.01) - log10(3)
CHANCE = 1 / (1 + np.exp(-(2 + np.log10(0.019) - np.log10(3))))  # 0.45


@pytest.fixture
def deciding(tmp_path: Path, rule_weights: Path) -> Path:
    """A tree that gives 0.99 to the lesions and 0.01 to all other candidates, and says how sure its masks are."""
    folder = shutil.copytree(rule_weights, tmp_path / "deciding")
    save_decision(folder, dataclasses.replace(stump("z", -2.1, 0.99, 0.01), certainty=CERTAINTY), {})
    return folder


def test_chance_and_expected_dice_on_paper(main, case_tree, output, deciding):
    """Expected Dice: 2 * 3 * 0.99 over 3 and all probabilities; its calibration halves the log odds."""
    assert main(arguments(case_tree(), output, deciding)) == 0
    np.testing.assert_array_equal(voxels_of(output / MASK), lesion_mask())
    results = results_of(output)
    adc, zadc = small_maps()
    others = np.count_nonzero((adc > 0) & (1 / (1 + np.exp(2 * (zadc + 2))) > 0.05)) - 3
    plug_in = 2 * 3 * 0.99 / (3 + 3 * 0.99 + 0.01 * others)
    odds = np.sqrt(plug_in / (1 - plug_in))
    assert results["expected_dice"] == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert results["chance_of_lesion"] == pytest.approx(CHANCE, abs=1e-4)
    assert results["empty_below"] == 0
    chances = [1 / (1 + np.exp(-(2 + np.log10(ml)))) for ml in (0.006, 0.003)]
    assert [lesion["chance_real"] for lesion in results["lesion_list"]] == pytest.approx(chances, abs=1e-4)


@pytest.mark.parametrize(("level", "emptied"), [(0.44, False), (0.46, True)])
def test_a_mask_is_empty_below_the_chance_that_is_asked_for(main, case_tree, output, deciding, level, emptied):
    assert main([*arguments(case_tree(), output, deciding), "--empty-below", str(level), "--report"]) == 0
    results = results_of(output)
    np.testing.assert_array_equal(voxels_of(output / MASK), lesion_mask() & (not emptied))
    assert (results["lesions"], results["lesion_volume_ml"]) == ((0, 0) if emptied else (2, 0.009))
    assert (results["expected_dice"] is None) == emptied
    assert (results["empty_below"], results["chance_of_lesion"]) == (level, pytest.approx(CHANCE, abs=1e-4))
    words = f"45 %: probably no lesion{f', mask left empty as below {100 * level:g} %' if emptied else ''}<"
    assert words in (output / "report.html").read_text()


def test_weights_that_do_not_say_the_chance_are_refused(main, case_tree, output, rule_weights, capfd):
    assert main([*arguments(case_tree(), output, rule_weights), "--empty-below", "0.3"]) == 2
    assert re.search("error: --empty-below: weights .* do not say the chance of a lesion$", capfd.readouterr().err.strip())
    assert files_below(output) == []


def test_cases_of_a_folder_are_outdated_by_another_chance(main, good, output, deciding, capfd):
    words = [*arguments(good, output, deciding), "--cases"]
    assert main(words) == 0
    assert {row["chance_of_lesion"] for row in summary(output).values()} == {str(round(CHANCE, 4))}
    assert main([*words, "--empty-below", "0.46"]) == 2
    assert "--empty-below changed from 0 since; --overwrite does the case again" in capfd.readouterr().err
    assert main([*words, "--empty-below", "0.46", "--overwrite"]) == 0
    assert "s; probably no lesion, mask left empty as below 46 %\n" in capfd.readouterr().out
    assert {(row["lesions"], row["expected_dice"]) for row in summary(output).values()} == {("0", "")}
    assert main([*words, "--empty-below", "0.46"]) == 0
    assert {row["status"] for row in summary(output).values()} == {"done before"}
