"""The names of the image formats that are read and written, and the digest of an image's files."""

import hashlib
from pathlib import Path

from model.images.metaimage import voxel_file

SUFFIXES = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")


def suffix_of(path: Path) -> str:
    """The format's suffix in lower case, `.nii.gz` too; empty for a name that is of no known format."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The name without the format's suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def digest(path: Path) -> str:
    """SHA-256 of an image, with the file of its voxels where that is another one. Raises OSError or ValueError.

    `read_volume` gives the same of what it read; this is for a file that need not be read again.
    """
    digests = hashlib.sha256()
    for part in (path, voxel_file(path)) if suffix_of(path) == ".mhd" else (path,):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digests.update(block)
    return digests.hexdigest()
