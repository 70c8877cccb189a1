"""The image formats that are read and written, and the check that a file is whole before ITK reads it.

ITK reads a cut or damaged NIfTI, MetaImage or compressed NRRD file without an error and leaves zeros, or what the memory
held before, in the rest of the volume; a mask drawn on that would look valid.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from model import metaimage
from model.metaimage import check_metaimage
from model.nifti import check_nifti
from model.nrrd import check_nrrd

# What the check of a format returns: whether the header says how the voxels lie in the patient.
CHECKS: dict[str, Callable[[Path], bool]] = {
    ".mha": check_metaimage,
    ".mhd": check_metaimage,
    ".nii": check_nifti,
    ".nii.gz": check_nifti,
    ".nrrd": check_nrrd,
}
SUFFIXES = tuple(CHECKS)


def suffix_of(path: Path) -> str:
    """The format's suffix in lower case, `.nii.gz` too; empty for a name that is of no known format."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The name without the format's suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def check_header(path: Path) -> None:
    """Raise ValueError unless the file is of a known format and its header one that ITK may see; OSError if unreadable."""
    if not suffix_of(path):
        raise ValueError(f"expected a name that ends in one of {', '.join(SUFFIXES)}")
    if CHECKS[suffix_of(path)] is check_metaimage:
        metaimage.check_header(path)


def check_whole(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient.

    Raises ValueError unless the file holds the voxels that its header promises, and OSError when it cannot be read.
    """
    return CHECKS[suffix_of(path)](path)


def digest(path: Path) -> str:
    """SHA-256 of an image, with the file of its voxels where that is another one. Raises OSError or ValueError."""
    paths = [path]
    if suffix_of(path) == ".mhd":
        paths.append(metaimage.voxel_file(path))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
