"""Files of every format that is read."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from inference_helpers import GRID, small_maps
from phantom import write_image

from model.images.formats.nifti import affine_ras

ADC = small_maps()[0]


def saved(path: Path, data: bytes, *, compress: bool | None = None) -> Path:
    """Write bytes, through gzip where the name or `compress` says so."""
    by_name = path.suffix.lower() in (".gz", ".mgz")
    path.write_bytes(gzip.compress(data, mtime=0) if (by_name if compress is None else compress) else data)
    return path


def file_of(path: Path, voxels: np.ndarray = ADC, *, compress: bool | None = None) -> Path:
    """A map on GRID; compress: whatever the name says. FreeSurfer's without what may follow the voxels."""
    if path.suffix in (".mgz", ".mgh"):
        data = nibabel.MGHImage(voxels.T, affine_ras(GRID)).to_bytes()
        return saved(path, data[: 284 + voxels.nbytes], compress=compress)
    write_image(voxels, GRID, path)
    if path.suffix in (".nii", ".gz") and compress is not None:
        data = path.read_bytes()
        return saved(path, gzip.decompress(data) if path.suffix == ".gz" else data, compress=compress)
    if compress is False:
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path), useCompression=False)
    return path


def voxels_of(path: Path) -> Path:
    """Where the voxels are: the file itself, or the one that lies beside a header."""
    beside = [other for other in path.parent.iterdir() if other != path and other.name.startswith(f"{path.stem}.")]
    return next((other for other in beside if other.name.encode() in path.read_bytes()), path)
