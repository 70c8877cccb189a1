"""The names of the image formats that are read and written, and the digest of an image's files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from model.errors import UserError
from model.files import joint_digest, sha256_of
from model.images.dicom.files import is_dicom, is_named_dicom
from model.images.formats.metaimage import voxel_file
from model.images.not_fetched import not_fetched

SUFFIXES = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")
SEGMENTATION = ".seg.nrrd"  # of 3D Slicer: one or more masks, each called a segment


def suffix_of(path: Path) -> str:
    """The format's suffix in lower case, `.nii.gz` too; empty for a name that is of no known format."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def is_segmentation(path: Path) -> bool:
    """Whether a name is that of a segmentation as 3D Slicer saves it."""
    return path.name.lower().endswith(SEGMENTATION)


def stem_of(path: Path) -> str:
    """The name without the format's suffix, and without all of SEGMENTATION."""
    return path.name[: len(path.name) - len(SEGMENTATION if is_segmentation(path) else suffix_of(path))]


def is_dicom_path(path: Path) -> bool:
    """Whether a path is to be read as DICOM: a folder, or a file with DICOM's mark or name and no other format's name."""
    return not suffix_of(path) and (path.is_dir() or is_dicom(path) or (is_named_dicom(path) and path.is_file()))


def digest(path: Path, series: Sequence[str] = (), adc: bool = False) -> str:
    """SHA-256 of an image, with the file of its voxels where that is another one. Raises OSError, ValueError or UserError.

    Of a DICOM series, chosen as `read_volume` does, the `joint_digest` of its files. `read_volume` gives the same of what it
    read; this is for a file that need not be read again.
    """
    if is_dicom_path(path):
        from model.images.dicom.series import wanted_files

        return joint_digest(sha256_of(file) for file in wanted_files(path, series, adc))
    digests = hashlib.sha256()
    for part in (path, voxel_file(path)) if suffix_of(path) == ".mhd" else (path,):
        if reason := not_fetched(part):
            raise UserError(f"{part}: {reason}")
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digests.update(block)
    return digests.hexdigest()
