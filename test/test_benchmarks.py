"""Benchmarks that only a GPU's owner runs: their parts that need none."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from training_helpers import invented_case

from benchmarks import gpu_masks, gpu_nnunet, training, without_simpleitk
from model.errors import UserError
from model.images import components
from training.learning.train_config import TrainConfig

SPACING_MM = (5.0, 1.5, 1.25)


def test_waits_of_the_host_are_counted_by_place(monkeypatch):
    modes = []

    def epoch(*_: object) -> None:
        if modes == ["warn"]:
            for _ in range(3):
                warnings.warn("called a synchronizing CUDA operation (x)", stacklevel=1)
            warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(training, "train_epoch", epoch)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    waits, steps = training.host_waits([invented_case(n) for n in range(3)], TrainConfig(), torch.device("cpu"))
    assert (list(waits.values()), steps) == ([3], 2)
    assert next(iter(waits)).startswith("test_benchmarks.py:")
    assert modes == ["warn", "default"]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.97])
@pytest.mark.parametrize("by_faces", [False, True])
def test_scipys_filters_are_those_of_simpleitk(share, by_faces):
    mask = np.random.default_rng(1).random((7, 15, 12)) < share
    labels, count = without_simpleitk.connected_components(mask, by_faces=by_faces)
    expected, number = components.connected_components(mask, by_faces=by_faces)
    assert count == number
    assert len(set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))) == count + 1  # one to one
    depth = without_simpleitk.depth_mm(mask, SPACING_MM)
    np.testing.assert_allclose(depth, components.depth_mm(mask, SPACING_MM), rtol=1e-5)


def test_a_mask_that_fills_the_volume_has_no_depth():
    assert np.isposinf(without_simpleitk.depth_mm(np.ones((2, 3, 4), bool), SPACING_MM)).all()


def test_masks_that_are_too_far_apart_fail(tmp_path, capsys):
    case = invented_case(0)
    predictor = gpu_masks.make_predictor("torch", "cpu")
    mask = gpu_masks.masks_of([case], predictor)[case.name]
    for voxels, fits in ((gpu_masks.LARGEST_DIFFERENCE, True), (gpu_masks.LARGEST_DIFFERENCE + 1, False)):
        other = mask.copy()
        other.flat[:voxels] ^= True
        gpu_masks.write_masks({case.name: other}, tmp_path / "expected.npz")
        if fits:
            gpu_masks.compare([case], predictor, tmp_path / "expected.npz")
        else:
            with pytest.raises(UserError, match=f"case0: {voxels} voxels differ"):
                gpu_masks.compare([case], predictor, tmp_path / "expected.npz")
        assert f"- case0: {voxels} of" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected a mask of case1"):
        gpu_masks.differing_voxels({"case1": mask}, tmp_path / "expected.npz")


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
