"""Published cases, where there are any, and the built-in one: whole runs compared with SimpleITK's own arithmetic."""

from pathlib import Path

import SimpleITK as sitk
from check_output import differences
from inference_helpers import ADC_FOLDER, MASK, ZADC_FOLDER, arguments
from phantom import SOCKETS

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "test" / "case"


def z_rule(adc: sitk.Image, zadc: sitk.Image) -> sitk.Image:
    zadc = sitk.Image(zadc)
    zadc.CopyInformation(adc)
    return (adc > 0) & (zadc < -2)


def check(mask_path: Path, adc_path: Path, zadc_path: Path) -> None:
    """The untrained network's mask is the rule, voxel by voxel, on the ADC map's grid."""
    mask, adc, zadc = (sitk.ReadImage(str(path)) for path in (mask_path, adc_path, zadc_path))
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
    expected = z_rule(adc, zadc)
    marked = sitk.GetArrayViewFromImage(expected).sum()
    assert marked > 0
    assert sitk.GetArrayViewFromImage(mask != expected).sum() == 0


def test_real_cases_get_the_rule_on_their_own_grid(main, real_cases, tmp_path, rule_weights, capfd):
    assert len(real_cases) >= 3
    for case in real_cases:
        root = tmp_path / case.name
        for path, where in ((case.adc, ADC_FOLDER), (case.zadc, ZADC_FOLDER)):
            (root / where).mkdir(parents=True)
            (root / where / path.name).symlink_to(path)
        assert main(arguments(root, root / "out", rule_weights)) == 0
        assert capfd.readouterr().err == ""
        check(root / "out" / MASK, case.adc, case.zadc)


def test_built_in_case_gets_the_rule_on_its_own_grid(main, tmp_path, rule_weights, capfd):
    assert main(arguments(CASE / "input", tmp_path, rule_weights)) == 0
    assert capfd.readouterr().err == ""
    zadc, adc = (CASE / "input" / where / name for _, where, name in SOCKETS.values())
    check(tmp_path / MASK, adc, zadc)


def test_built_in_case_and_the_weights_that_come_along_give_the_committed_mask(main, tmp_path, capfd):
    assert main(["--input", str(CASE / "input"), "--output", str(tmp_path), "--device", "cpu"]) == 0
    assert capfd.readouterr().err == ""
    _, where, name = SOCKETS["skull-stripped-adc"]
    assert differences(tmp_path, CASE / "expected.mha", CASE / "input" / where / name, max_voxels=10) == []
