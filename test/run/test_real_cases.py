"""Published cases, where there are any: whole runs compared with SimpleITK's own arithmetic."""

import SimpleITK as sitk
from inference_helpers import ADC_FOLDER, MASK, ZADC_FOLDER, arguments


def test_real_cases_get_the_rule_on_their_own_grid(main, real_cases, tmp_path, rule_weights, capfd):
    """The untrained network's mask is the rule, voxel by voxel, on the ADC map's grid."""
    assert len(real_cases) >= 3
    for case in real_cases:
        root = tmp_path / case.name
        for path, where in ((case.adc, ADC_FOLDER), (case.zadc, ZADC_FOLDER)):
            (root / where).mkdir(parents=True)
            (root / where / path.name).symlink_to(path)
        assert main(arguments(root, root / "out", rule_weights)) == 0
        assert capfd.readouterr().err == ""
        mask, adc, zadc = (sitk.ReadImage(path) for path in (root / "out" / MASK, case.adc, case.zadc))
        for name in ("Size", "Spacing", "Origin", "Direction"):
            assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name
        zadc.CopyInformation(adc)
        expected = (adc > 0) & (zadc < -2)
        assert sitk.GetArrayViewFromImage(expected).any()
        assert not sitk.GetArrayViewFromImage(mask != expected).any()
