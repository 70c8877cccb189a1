"""Cases without a Z map: one estimated from the ADC map, said wherever a result is. The estimate is known on paper."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary
from inference_helpers import (
    ADC_FOLDER,
    ESTIMATED_Z,
    GRID,
    LOW_ADC,
    MASK,
    NETWORKS_ALONE,
    PROBABILITIES,
    RESULTS,
    TINY,
    ZADC_FOLDER,
    arguments,
    files_below,
    lesion_mask,
    low_adc,
    results_of,
    save_ensemble,
    save_zmap,
    small_maps,
    voxels_of,
)
from phantom import write_image

from model.networks.network import LesionNet

ESTIMATED = "images/z-score-adc-estimated/z-score-adc.mha"
SINCE = " since; --overwrite does the case again and moves what is there to previous/"
WITH_MASK = ("--estimate-z", "--brain-mask", "--smallest-brain", "1")  # ml; the small case has 1.6
SAID = "The Z map was estimated from the ADC map (--estimate-z)"


@pytest.fixture
def alone(case_tree) -> Path:
    """A case in the platform's layout that has an ADC map and no folder for a Z map."""
    root = case_tree(low_adc(), manifest=False)
    shutil.rmtree(root / ZADC_FOLDER)
    return root


def test_case_is_segmented_on_an_estimated_z_map(main, alone, output, estimating_weights, capfd):
    words = [*arguments(alone, output, estimating_weights), "--estimate-z"]
    assert main([*words, "--probabilities"]) == 0
    assert files_below(output) == sorted([MASK, RESULTS, PROBABILITIES, ESTIMATED])
    np.testing.assert_array_equal(voxels_of(output / MASK), lesion_mask())
    results = results_of(output)
    assert results["z_map"] == "estimated"
    assert results["inputs"].keys() == {"adc"}
    assert results["warnings"][0].startswith(SAID)
    assert {lesion["lowest_z"] for lesion in results["lesion_list"]} == {-2.1}
    assert ESTIMATED in results["files"]
    assert f"warning: {SAID}" in capfd.readouterr().out
    image, of = sitk.ReadImage(str(output / ESTIMATED)), sitk.ReadImage(str(alone / ADC_FOLDER / "0f3c.mha"))
    adc = low_adc()
    expected = np.where(adc > 0, np.where(adc <= 1000 * LOW_ADC, *ESTIMATED_Z), 0)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image), expected, rtol=0, atol=1e-5)
    assert image.GetPixelIDTypeAsString() == "32-bit float"
    for what in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(image, f"Get{what}")() == getattr(of, f"Get{what}")(), what
    assert main(words) == 0  # in its place
    assert files_below(output) == [MASK, RESULTS]


def test_without_the_option_the_case_fails_and_the_option_is_named(main, alone, output, estimating_weights, capfd):
    assert main(arguments(alone, output, estimating_weights)) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert f"{alone / ZADC_FOLDER}: expected a folder with one .mha file" in last
    assert last.endswith("; --estimate-z does without one")
    assert files_below(output) == []


def test_given_z_map_is_used_as_ever(main, case_tree, output, estimating_weights, tmp_path):
    """And nothing for estimates is loaded."""
    case, weights = case_tree(), shutil.copytree(estimating_weights, tmp_path / "weights")
    assert main(arguments(case, output / "without", weights)) == 0
    (weights / "zmap" / "decision.safetensors").write_bytes(b"")
    assert main([*arguments(case, output / "with", weights), "--estimate-z", "--probabilities"]) == 0
    assert (output / "with" / MASK).read_bytes() == (output / "without" / MASK).read_bytes()
    without, with_option = (results_of(output / name) for name in ("without", "with"))
    assert with_option["z_map"] == without["z_map"] == "given"
    assert with_option["warnings"] == without["warnings"]
    assert files_below(output / "with") == sorted([MASK, RESULTS, PROBABILITIES])


def test_networks_with_a_weight_are_asked_on_the_estimate(main, alone, output, tmp_path):
    """The rule network marks where the estimate is below -2, as the trees do; here it alone decides."""
    weights = save_zmap(save_ensemble(tmp_path / "weights", LesionNet(TINY)), NETWORKS_ALONE)
    assert main([*arguments(alone, output, weights), "--estimate-z", "--engine", "torch"]) == 0
    np.testing.assert_array_equal(voxels_of(output / MASK), lesion_mask())


# --- folders of cases ---


@pytest.fixture
def scans(tmp_path) -> Path:
    """One case of an ADC map alone, one with a Z map too."""
    root = tmp_path / "scans"
    for name in ("alone", "both"):
        (root / name).mkdir(parents=True)
        write_image(low_adc(), GRID, root / name / "adc.nii.gz")
    write_image(small_maps()[1], GRID, root / "both" / "zadc.nii.gz")
    return root


@pytest.fixture
def go(main, output, estimating_weights, scans, capfd):
    """Runs process.py --cases; returns the exit code, the summary, and the last line of stderr."""

    def run(*words: str) -> tuple[int, dict, str]:
        code = main([*arguments(scans, output, estimating_weights), "--cases", *words])
        rows = summary(output) if output.exists() else {}
        return code, rows, (capfd.readouterr().err.splitlines() or [""])[-1]

    return run


def test_folder_of_both_kinds(go, output):
    code, rows, _ = go("--estimate-z", "--probabilities", "--report")
    assert code == 0
    assert {name: (row["status"], row["z_map"]) for name, row in rows.items()} == {
        "alone": ("done", "estimated"),
        "both": ("done", "given"),
    }
    assert rows["alone"]["zadc"] == ""
    assert rows["alone"]["weights"] != rows["both"]["weights"]
    assert SAID in rows["alone"]["warnings"]
    assert SAID not in rows["both"]["warnings"]
    np.testing.assert_array_equal(voxels_of(output / "alone" / "lesions.nii.gz"), lesion_mask())
    assert "zmap-estimated.nii.gz" in files_below(output / "alone")
    assert "zmap-estimated.nii.gz" not in files_below(output / "both")
    assert [row["status"] for row in go("--estimate-z", "--probabilities")[1].values()] == ["done before"] * 2


def test_table_without_the_column_of_the_z_maps(go, scans, output):
    (scans / "cases.csv").write_text("case,adc\nbaby,alone/adc.nii.gz\n")
    code, _, line = go()
    assert (code, output.exists()) == (2, False)
    assert line.endswith("found case,adc; the column zadc may be missing with --estimate-z")
    code, rows, _ = go("--estimate-z")
    assert [(name, row["status"], row["z_map"]) for name, row in rows.items()] == [("baby", "done", "estimated")]


def test_z_map_that_appears_or_goes_makes_the_mask_outdated(go, scans, output):
    assert go("--estimate-z", "--probabilities")[0] == 0
    write_image(small_maps()[1], GRID, scans / "alone" / "zadc.nii.gz")
    code, rows, _ = go("--estimate-z")
    assert (code, rows["alone"]["reason"]) == (2, f"the Z map was added{SINCE}")
    assert go("--overwrite")[1]["alone"]["z_map"] == "given"
    assert "zmap-estimated.nii.gz" not in files_below(output / "alone")  # of the mask that is no more
    (scans / "alone" / "zadc.nii.gz").unlink()
    assert go("--estimate-z")[1]["alone"]["reason"] == f"the Z map was removed{SINCE}"
    assert go("--estimate-z", "--overwrite")[1]["alone"]["z_map"] == "estimated"


def test_other_weights_for_estimates_concern_those_masks_alone(go, estimating_weights, main, output, scans, tmp_path):
    assert go("--estimate-z")[0] == 0
    shutil.copytree(estimating_weights, tmp_path / "other")
    for name in ("decision.json", "decision.safetensors"):
        (tmp_path / "other" / "zmap" / name).unlink()
    save_zmap(tmp_path / "other", NETWORKS_ALONE)
    assert main([*arguments(scans, output, tmp_path / "other"), "--cases", "--estimate-z", "--engine", "torch"]) == 2
    rows = summary(output)
    assert (rows["alone"]["status"], rows["both"]["status"]) == ("outdated", "done before")
    assert rows["alone"]["reason"].startswith("the weights were replaced since")


def test_folder_whose_weights_do_not_estimate_is_refused_before_anything_is_written(
    main, scans, output, rule_weights, capfd
):
    assert main([*arguments(scans, output, rule_weights), "--cases", "--estimate-z"]) == 2
    reason = "these weights cannot estimate a Z map, no estimate.safetensors; `python -m training.zmap --ship` makes it"
    assert capfd.readouterr().err.splitlines()[-1] == f"error: --estimate-z: {rule_weights / 'zmap'}: {reason}"
    assert files_below(output) == []


# --- brain masks ---


@pytest.fixture
def heads(scans) -> Path:
    """The same cases, not skull-stripped, each with a brain mask beside it."""
    brain = low_adc() > 0
    for name in ("alone", "both"):
        write_image(np.where(brain, low_adc(), 190).astype(np.float32), GRID, scans / name / "adc.nii.gz")
        write_image(brain.astype(np.uint8), GRID, scans / name / "adc_mask.nii.gz")
    return scans


@pytest.mark.usefixtures("heads")
def test_masks_are_applied_and_recorded(go, output):
    code, rows, _ = go(*WITH_MASK)
    assert code == 0
    np.testing.assert_array_equal(voxels_of(output / "alone" / "lesions.nii.gz"), lesion_mask())
    np.testing.assert_array_equal(voxels_of(output / "both" / "lesions.nii.gz"), (low_adc() > 0) & (small_maps()[1] < -2))
    for name, row in rows.items():
        results = results_of(output / name)
        assert results["inputs"]["brain_mask"]["file"] == "adc_mask.nii.gz"
        assert len(results["inputs"]["brain_mask"]["sha256"]) == 64
        assert row["brain_mask"].endswith(f"{name}/adc_mask.nii.gz")
        assert "The brain mask adc_mask.nii.gz was applied, as asked for" in row["warnings"]
    assert [row["status"] for row in go(*WITH_MASK)[1].values()] == ["done before"] * 2


@pytest.mark.usefixtures("heads")
def test_mask_is_not_used_without_the_option_which_the_warning_names(go, output):
    code, rows, _ = go("--estimate-z")
    assert code == 0
    assert voxels_of(output / "alone" / "lesions.nii.gz").sum() > lesion_mask().sum()
    assert "not skull-stripped (--brain-mask applies a mask that lies beside the map)" in rows["alone"]["warnings"]
    assert "brain_mask" not in results_of(output / "alone")["inputs"]
    assert rows["alone"]["brain_mask"] == ""


def test_mask_that_changes_makes_a_mask_outdated(go, heads):
    assert go(*WITH_MASK)[0] == 0
    brain = (low_adc() > 0).astype(np.uint8)
    brain[-1] = 0
    write_image(brain, GRID, heads / "alone" / "adc_mask.nii.gz")
    code, rows, _ = go(*WITH_MASK)
    assert (code, rows["alone"]["reason"]) == (2, f"the brain mask was replaced{SINCE}")
    assert rows["both"]["status"] == "done before"
    (heads / "both" / "adc_mask.nii.gz").unlink()
    assert go(*WITH_MASK)[1]["both"]["reason"].startswith("the brain mask was removed since")
    assert go("--estimate-z")[1]["alone"]["reason"].startswith("the brain mask was removed since")


def test_case_without_a_mask_is_used_as_it_is_and_says_so(go, scans):
    code, rows, _ = go(*WITH_MASK)
    assert code == 0
    assert "No brain mask was found for adc.nii.gz: it was used as it is (--brain-mask)." in rows["alone"]["warnings"]
    write_image((low_adc() > 0).astype(np.uint8), GRID, scans / "alone" / "mask.nii.gz")
    assert go(*WITH_MASK)[1]["alone"]["reason"].startswith("the brain mask was added since")


@pytest.mark.usefixtures("heads")
@pytest.mark.parametrize("words", [(), ("--smallest-brain", "1.59")])
def test_mask_that_leaves_too_little_fails_its_case(go, words, output):
    """528 voxels of 3 mm3 are 1.584 ml."""
    code, rows, _ = go("--estimate-z", "--brain-mask", *words)
    assert (code, [row["status"] for row in rows.values()]) == (2, ["failed"] * 2)
    expected = f"it leaves 1.584 ml with ADC above 0, expected at least {words[1] if words else 100} ml of brain"
    assert expected in rows["alone"]["reason"]
    assert "--smallest-brain ML lowers that" in rows["alone"]["reason"]
    assert not (output / "alone").exists()


def test_own_image_by_another_name_is_no_input(go, scans, output):
    assert go("--estimate-z", "--probabilities")[0] == 0
    given = shutil.copy(output / "alone" / "zmap-estimated.nii.gz", scans / "alone" / "zmap.nii.gz")
    code, rows, _ = go("--estimate-z", "--brain-mask", "--overwrite")
    assert code == 2
    said = f"{given}: expected a given Z map, found an estimated Z map that hie-lesions wrote"
    assert rows["alone"]["reason"].startswith(said)


def test_own_images_by_their_names_are_left_out_with_a_word(go, scans, output):
    assert go("--estimate-z", "--probabilities")[0] == 0
    for path in (output / "alone").iterdir():
        shutil.copy(path, scans / "alone")
    code, rows, _ = go("--estimate-z", "--brain-mask", "--overwrite")
    assert (code, rows["alone"]["status"], rows["alone"]["z_map"]) == (0, "done before", "estimated")
    shutil.rmtree(output)
    warnings = go("--estimate-z", "--brain-mask")[1]["alone"]["warnings"]
    assert "zmap-estimated.nii.gz was left out: its name says that it is an estimated Z map, not a given one." in warnings
    assert "No brain mask was found for adc.nii.gz (lesions.nii.gz is none by its name): it was used as it is" in warnings


def test_mask_of_one_case_in_the_platforms_layout(main, alone, output, estimating_weights, capfd):
    brain = low_adc() > 0
    write_image(np.where(brain, low_adc(), 190).astype(np.float32), GRID, alone / ADC_FOLDER / "0f3c.mha")
    write_image(brain.astype(np.uint8), GRID, alone / ADC_FOLDER / "0f3c_mask.mha")
    assert main([*arguments(alone, output, estimating_weights), *WITH_MASK]) == 0
    np.testing.assert_array_equal(voxels_of(output / MASK), lesion_mask())
    assert results_of(output)["inputs"].keys() == {"adc", "brain_mask"}
