"""Same input and weights, same bytes, with one thread or two, and the committed mask; on CUDA up to a few voxels."""

from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from check_output import differences
from inference_helpers import ADC_FOLDER, MASK, PROBABILITIES

CASE = Path(__file__).resolve().parents[1] / "case"
CASE_WORDS = ["--input", str(CASE / "input"), "--probabilities"]
MAX_VOXELS = 10  # that may differ between two machines, or between the CPU's mask and CUDA's


def require_committed_mask(output: Path) -> None:
    (adc,) = (CASE / "input" / ADC_FOLDER).iterdir()
    assert differences(output, CASE / "expected.mha", adc, max_voxels=MAX_VOXELS) == []


def test_one_thread_and_two_write_the_same_bytes(main, tmp_path, monkeypatch, capfd):
    """Of the built-in case, with the weights that come along."""
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert main([*CASE_WORDS, "--output", str(tmp_path / threads), "--device", "cpu"]) == 0
    assert capfd.readouterr().err == ""
    for path in (MASK, PROBABILITIES):
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes(), path
    require_committed_mask(tmp_path / "1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_marks_the_same_voxels(main, tmp_path):
    assert main([*CASE_WORDS, "--output", str(tmp_path), "--device", "cuda"]) == 0
    assert sitk.GetArrayViewFromImage(sitk.ReadImage(tmp_path / MASK)).any()
    require_committed_mask(tmp_path)
