"""The image formats that are read and written, one entry for each, their names, and the digest of an image's files."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.files import joint_digest, sha256_of
from model.images.dicom.files import is_dicom, is_named_dicom
from model.images.formats import metaimage, mgh, nifti, nrrd, segmentation
from model.images.grid import Grid, Volume
from model.images.not_fetched import not_fetched

DETACHED_HEADER = ".mhd"  # of two files: the header, and the voxels in one beside it
DEFAULT = ".nii.gz"  # in which masks are written of maps whose own format is only read, DICOM too


@dataclass(frozen=True, eq=False)
class Format:
    """An image format.

    suffixes: ends of its names, in lower case. read: raises OSError, ValueError where a file is cut off or damaged, and
    UserError where it is no single 3D map. written: the suffixes in which masks are written, each with a mask's first bytes;
    none where the format is only read. encode: (voxels, grid, compress, description) -> a file; None where ITK writes it.
    load: imports the library that it needs. voxel_file: of a header, the file of its voxels; None where all is in one file.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], Volume]
    written: Mapping[str, bytes] = field(default_factory=dict)
    encode: Callable[[np.ndarray, Grid, bool, str], bytes] | None = None
    load: Callable[[], None] | None = None
    voxel_file: Callable[[Path], Path] | None = None


NIFTI = Format(
    (".nii", ".nii.gz"),
    nifti.read_nifti,
    {".nii": (348).to_bytes(4, "little"), ".nii.gz": b"\x1f\x8b"},
    nifti.encode_nifti,
    nifti.load_nibabel,
)
SEGMENTATION = Format(
    (".seg.nrrd",), segmentation.read_segmentation
)  # of 3D Slicer: one or more masks, each called a segment
FORMATS = (
    Format((".mha",), metaimage.read_metaimage, {".mha": b"ObjectType"}),
    Format((DETACHED_HEADER,), metaimage.read_metaimage, {DETACHED_HEADER: b"ObjectType"}, voxel_file=metaimage.voxel_file),
    NIFTI,
    SEGMENTATION,  # before .nrrd, with which its names end too
    Format((".nrrd",), nrrd.read_nrrd, {".nrrd": b"NRRD"}),
    Format((".mgz", ".mgh"), mgh.read_mgh),
)
READ = tuple(suffix for one in FORMATS if one is not SEGMENTATION for suffix in one.suffixes)  # of maps
WRITTEN = tuple(suffix for one in FORMATS for suffix in one.written)


def format_of(path: Path) -> Format | None:
    """The format that a name says, in whatever case; None for a name that is of no known one."""
    return next((one for one in FORMATS if path.name.lower().endswith(one.suffixes)), None)


def suffix_of(path: Path) -> str:
    """The format's suffix in lower case, `.nii.gz` too; empty for a name that is of no known format."""
    found = format_of(path)
    return next(suffix for suffix in found.suffixes if path.name.lower().endswith(suffix)) if found else ""


def mask_suffix(adc: Path) -> str:
    """The suffix of the mask of an ADC map: the map's own where masks are written in its format, else DEFAULT."""
    return suffix_of(adc) if suffix_of(adc) in WRITTEN else DEFAULT


def is_segmentation(path: Path) -> bool:
    """Whether a name is that of a segmentation as 3D Slicer saves it."""
    return format_of(path) is SEGMENTATION


def is_header(path: Path) -> bool:
    """Whether a name is that of a header, whose voxels may be in another file."""
    found = format_of(path)
    return found is not None and found.voxel_file is not None


def voxel_file(path: Path) -> Path:
    """The file that holds an image's voxels, itself where `is_header` is not so. Raises OSError, ValueError or UserError."""
    found = format_of(path)
    return found.voxel_file(path) if found and found.voxel_file else path


def stem_of(path: Path) -> str:
    """The name without the format's suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def is_dicom_path(path: Path) -> bool:
    """Whether a path is to be read as DICOM: a folder, or a file with DICOM's mark or name and no other format's name."""
    return not suffix_of(path) and (path.is_dir() or is_dicom(path) or (is_named_dicom(path) and path.is_file()))


def digest(path: Path, series: Sequence[str] = (), adc: bool = False) -> str:
    """SHA-256 of an image, with the file of its voxels where that is another one. Raises OSError, ValueError or UserError.

    Of a DICOM series, chosen as `read_volume` does, the `joint_digest` of its files. `read_volume` gives the same of what it
    read; this is for a file that need not be read again.
    """
    if is_dicom_path(path):
        from model.images.dicom.series import wanted

        return joint_digest(sha256_of(file) for file in wanted(path, series, adc).files)
    digests = hashlib.sha256()
    for part in dict.fromkeys((path, voxel_file(path))):
        if reason := not_fetched(part):
            raise UserError(f"{part}: {reason}")
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digests.update(block)
    return digests.hexdigest()
