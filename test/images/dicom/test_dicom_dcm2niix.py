"""The same series by Debian's dcm2niix: the same values at the same places; its arrays are in another order."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_phantom import Series, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.uid import JPEGLosslessSV1, RLELossless

from model.images.case import read_case
from model.images.formats.nifti import affine_ras
from model.images.volume import read_volume

pytestmark = pytest.mark.skipif(
    not shutil.which("dcm2niix") and os.environ.get("CI") != "true", reason="no dcm2niix (apt-get install dcm2niix)"
)
SIZE = (6, 40, 44)
VOXELS = np.random.default_rng(3).integers(0, 4096, SIZE).astype(np.float32)
RIGHT, DOWN, NORMAL = np.reshape(GRID.direction, (3, 3)).T
DIRECTIONS = {
    "oblique": np.stack([RIGHT, DOWN, NORMAL], axis=1),
    "feet first": np.stack([-RIGHT, DOWN, -NORMAL], axis=1),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal, slices from the front": np.array([[1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
}
CODED = {"feet first": RLELossless, "sagittal": JPEGLosslessSV1}


def by_dcm2niix(source: Path) -> nibabel.Nifti1Image:
    (source.parent / "nii").mkdir()
    subprocess.run(["dcm2niix", "-o", source.parent / "nii", "-f", "out", source], check=True, capture_output=True)
    (path,) = source.parent.glob("nii/*.nii")
    return nibabel.load(path)


def assert_same(source: Path) -> None:
    """Every voxel of ours lies on one of dcm2niix's with its value."""
    theirs, ours = by_dcm2niix(source), read_volume(source, adc=True)
    index = np.moveaxis(np.indices(ours.grid.size[::-1]), 0, -1).reshape(-1, 3)  # (x, y, z)
    places = nibabel.affines.apply_affine(affine_ras(ours.grid), index)
    found = nibabel.affines.apply_affine(np.linalg.inv(theirs.affine), places)
    assert np.abs(found - np.rint(found)).max() < 1e-3
    voxels = np.asarray(theirs.dataobj)[tuple(np.rint(found).astype(int).T)]
    np.testing.assert_allclose(ours.voxels[tuple(index[:, ::-1].T)], voxels, rtol=1e-6)
    np.testing.assert_allclose(np.sort(ours.voxels.ravel()), np.sort(VOXELS.ravel()), rtol=1e-6)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_series_in_any_direction(tmp_path, name):
    """Each slice with a slope of its own, or compressed."""
    grid = replace(GRID, size=SIZE, direction=tuple(DIRECTIONS[name].ravel().tolist()))
    series = Series(syntax=CODED[name]) if name in CODED else Series(slopes=(1.0, 0.25))
    write_series(tmp_path / "s", VOXELS, grid, series)
    assert_same(tmp_path / "s")


def test_one_enhanced_file(tmp_path):
    path = write_multiframe(tmp_path / "s" / "scan.dcm", [(VOXELS, replace(GRID, size=SIZE))])
    assert_same(path.parent)


def test_a_z_map_and_a_brain_mask_made_from_its_nifti_file_fit_the_series(tmp_path):
    """Other programs get their maps from dcm2niix, whose order of voxels is another one."""
    rng = np.random.default_rng(4)
    write_series(tmp_path / "s", rng.integers(900, 1500, SIZE).astype(np.float32), replace(GRID, size=SIZE))
    theirs = by_dcm2niix(tmp_path / "s")
    brain = np.zeros(theirs.shape, np.uint8)
    brain[5:-9, 3:-4, 1:] = 1
    z = np.round(theirs.get_fdata() / 400 - 3 + rng.normal(0, 1, theirs.shape), 3) * brain
    nibabel.save(nibabel.Nifti1Image(brain, theirs.affine), tmp_path / "brain.nii.gz")
    nibabel.save(nibabel.Nifti1Image(z.astype(np.float32), theirs.affine), tmp_path / "z.nii.gz")
    case = read_case(tmp_path / "s", tmp_path / "z.nii.gz", mask_path=tmp_path / "brain.nii.gz", smallest_brain_ml=0)
    assert np.count_nonzero(case.brain) == brain.sum()
    pairs = np.stack([case.adc.voxels[case.brain], case.zadc.voxels[case.brain]], axis=1)
    expected = np.stack([theirs.get_fdata()[brain == 1], z[brain == 1]], axis=1)
    np.testing.assert_allclose(pairs[np.lexsort(pairs.T)], expected[np.lexsort(expected.T)], atol=1e-6)
