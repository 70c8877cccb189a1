"""Same input and weights, same bytes: in processes of their own, with one thread or two; on CUDA up to a few voxels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from inference_helpers import MASK, PROBABILITIES

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "test" / "case" / "input"
CUDA_VOXELS = 10  # that may differ between the CPU's mask and CUDA's, as between two machines


def segment(output: Path, threads: int) -> None:
    """The built-in case with the weights that come along, in a fresh process."""
    words = [sys.executable, str(ROOT / "process.py"), "--input", str(CASE), "--output", str(output), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run([*words, "--probabilities"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_thread_and_two_write_the_same_bytes(tmp_path):
    for threads in (1, 2):
        segment(tmp_path / str(threads), threads)
    for path in (MASK, PROBABILITIES):
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes(), path


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_marks_the_same_voxels(main, tmp_path):
    masks = []
    for device in ("cpu", "cuda"):
        assert main(["--input", str(CASE), "--output", str(tmp_path / device), "--device", device]) == 0
        masks.append(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / device / MASK))))
    assert np.count_nonzero(masks[0] != masks[1]) <= CUDA_VOXELS
