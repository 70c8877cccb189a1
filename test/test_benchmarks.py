"""What a GPU's owner runs beside ours."""

import numpy as np
import SimpleITK as sitk
from training_helpers import invented_case

from benchmarks import gpu_nnunet


def test_nnunets_raw_dataset_is_the_packed_case(tmp_path):
    case = invented_case(1)
    gpu_nnunet.write_raw([case], tmp_path)
    image = sitk.ReadImage(str(tmp_path / "imagesTr" / "case1_0001.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), case.adc)
    np.testing.assert_allclose(image.GetSpacing()[::-1], case.spacing_mm)
    for name in ("case1_0000", "case1"):
        (tmp_path / f"{name}.nii.gz").write_bytes(next(tmp_path.glob(f"*Tr/{name}.nii.gz")).read_bytes())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "case1_0000.nii.gz"))), case.zadc)
    (scores,) = gpu_nnunet.fold_scores([case], tmp_path)
    assert (scores.dice, scores.masd_mm, scores.nsd) == (1, 0, 1)
