"""The image formats that are read and written, and the check that a file is whole before ITK reads it.

ITK crashes or hangs on some headers. It also reads a cut or damaged NIfTI, MetaImage or compressed NRRD file without a word
and leaves zeros, or what the memory held before, in the rest of the volume; a mask drawn on that would look valid.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from model.images import metaimage, nifti, nrrd

# By suffix: the check of the header, which comes before ITK sees the file, and the one of the whole file, which returns
# whether the header says how the voxels lie in the patient.
CHECKS: dict[str, tuple[Callable[[Path], None], Callable[[Path], bool]]] = {
    ".mha": (metaimage.check_header, metaimage.check_metaimage),
    ".mhd": (metaimage.check_header, metaimage.check_metaimage),
    ".nii": (nifti.check_header, nifti.check_nifti),
    ".nii.gz": (nifti.check_header, nifti.check_nifti),
    ".nrrd": (nrrd.check_header, nrrd.check_nrrd),
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
    CHECKS[suffix_of(path)][0](path)


def check_whole(path: Path) -> bool:
    """Whether the header says how the voxels lie in the patient.

    Raises ValueError unless the file holds the voxels that its header promises, and OSError when it cannot be read.
    """
    return CHECKS[suffix_of(path)][1](path)


def digest(path: Path) -> str:
    """SHA-256 of an image, with the file of its voxels where that is another one. Raises OSError or ValueError."""
    paths = [path]
    if suffix_of(path) == ".mhd":
        paths.append(metaimage.voxel_file(path))
    digests = hashlib.sha256()
    for part in paths:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digests.update(block)
    return digests.hexdigest()
