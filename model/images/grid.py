"""What a file becomes: voxels on a grid in the scanner's space.

Convention, fixed here for the whole project: arrays are (z, y, x), spacing is (z, y, x) in mm. Origin and direction are
(x, y, z) in mm to the patient's left, back and top, as SimpleITK gives them.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.limits import SPACING_MM
from model.images.space import SCANNER

# mm for spacing and origin, cosines for direction. Published files differ in the last printed digit, up to 0.001; the
# millionth on top is for the binary rounding of such a difference.
GRID_TOLERANCE = 1e-3 + 1e-6
MAX_VOXELS = 256**3  # four times the largest published grid, and still within 4 GB
ORDER = {"size": "z, y, x", "spacing_mm": "z, y, x", "origin_mm": "x, y, z", "direction": "row by row"}  # in messages
SHEAR_TOLERANCE = 0.01  # of the axes' products; cosines may be rounded to two or three digits


@dataclass(frozen=True)
class Grid:
    """Where the voxels lie in the scanner's space."""

    size: tuple[int, int, int]  # voxels (z, y, x)
    spacing_mm: tuple[float, float, float]  # (z, y, x)
    origin_mm: tuple[float, float, float]  # (x, y, z) of the first voxel's centre
    direction: tuple[float, ...]  # nine cosines, row by row, as in SimpleITK
    # The header of the NIfTI file that the grid comes from: a NIfTI file on this grid repeats its transforms bit for bit.
    nifti_header: bytes = field(default=b"", compare=False, repr=False)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.spacing_mm))

    def to_mm(self, index: np.ndarray) -> np.ndarray:
        """Where a place in the array, (z, y, x) and fractions too, lies in the scanner's space: (x, y, z) in mm."""
        return self.origin_mm + np.reshape(self.direction, (3, 3)) @ np.multiply(index, self.spacing_mm)[::-1]

    def to_index(self, place_mm: np.ndarray) -> np.ndarray:
        """The place in the array, (z, y, x) and fractions too, of (x, y, z) in mm in the scanner's space."""
        along = np.linalg.solve(np.reshape(self.direction, (3, 3)), place_mm - np.asarray(self.origin_mm))
        return along[::-1] / self.spacing_mm


@dataclass(frozen=True)
class DicomSource:
    """The DICOM files that a volume was read from, for what is written to refer to them.

    files: one for each slice, in the order of the volume's z axis; one alone where it holds several frames. frames: of that
    one, the number (from 1) of each slice's frame; empty where each slice is a file. series: what may be told of the series,
    "uid", "study_date" and "description", each only where it names nobody.
    """

    files: tuple[Path, ...]
    frames: tuple[int, ...] = ()
    series: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels of one file, or of a DICOM series: float32 (z, y, x) on `grid`."""

    voxels: np.ndarray
    grid: Grid
    path: Path
    oriented: bool = True  # whether the header says how the voxels lie in the patient
    sha256: str = ""  # of the file
    remarks: tuple[str, ...] = ()  # what is unusual about the file, though it can be read
    dicom: DicomSource | None = None  # where it was read from DICOM
    unit: str = ""  # of an ADC map, where its DICOM header names it; the voxels are in 1e-6 mm2/s then
    unit_factor: float = 1.0  # what they were multiplied by
    space: str = SCANNER  # in which the grid lies, as `model.images.space` has it; also where the header cannot say
    nan_is_background: bool = False  # whether NaN stands for numbers below 0 alone that a DICOM header calls padding


class NotOneGrid(UserError):
    """Two volumes do not lie on one grid."""

    volumes: tuple[Volume, Volume]


def require_same_grid(first: Volume, second: Volume, hint: str = "") -> None:
    """Raise NotOneGrid unless both lie on one grid within GRID_TOLERANCE; names both files and both values, and the hint."""
    name = difference(first.grid, second.grid)
    if name:
        values = f"{name} ({ORDER[name]}) is {_short(getattr(first.grid, name))} and {_short(getattr(second.grid, name))}"
        error = NotOneGrid(f"{first.path} and {second.path} are not on one grid: {values}{hint}")
        error.volumes = first, second
        raise error


def difference(first: Grid, second: Grid) -> str:
    """The first field in which two grids differ by more than GRID_TOLERANCE; empty when none does."""
    for name in ("size", "spacing_mm", "origin_mm", "direction"):
        if not np.allclose(getattr(first, name), getattr(second, name), rtol=0, atol=GRID_TOLERANCE):
            return name
    return ""


def require_scalar_3d(size: tuple[int, ...], components: int, path: Path) -> None:
    """Raise UserError unless a header's size (x, y, z) and components are those of one map of at most MAX_VOXELS.

    Comes before memory is allocated.
    """
    if len(size) != 3 or components != 1:
        volumes = int(np.prod([float(n) for n in size[3:]]))
        found = f"{volumes} volumes, expected one" if len(size) > 3 and components == 1 else components
        raise UserError(f"{path}: expected a 3D image of one component, found {len(size)}D with {found}")
    if np.prod([float(n) for n in size]) > MAX_VOXELS:
        raise UserError(f"{path}: the header promises {' x '.join(map(str, size))} voxels, expected at most {MAX_VOXELS}")


def require_usable_grid(grid: Grid, path: Path) -> None:
    """Raise UserError unless the spacing is one of SPACING_MM, the origin somewhere and the axes are at right angles."""
    if not np.isfinite(grid.origin_mm).all():
        raise UserError(f"{path}: expected an origin in mm, not {_short(grid.origin_mm)}")
    if not all(SPACING_MM[0] <= spacing <= SPACING_MM[1] for spacing in grid.spacing_mm):
        raise UserError(
            f"{path}: expected a spacing of {SPACING_MM[0]} to {SPACING_MM[1]} mm, not {_short(grid.spacing_mm)}"
        )
    axes = np.reshape(grid.direction, (3, 3))
    if np.abs(axes).max() > 2 or not np.allclose(axes @ axes.T, np.eye(3), rtol=0, atol=SHEAR_TOLERANCE):
        raise UserError(f"{path}: expected axes of length 1 at right angles, not the direction {_short(grid.direction)}")


def number_of(word: str) -> float:
    """A number in the text of a header. Raises ValueError for anything else, also for what Python alone takes, as 1_0."""
    if "_" in word:
        raise ValueError(f"{word[:50]!a} is no number")
    return float(word)


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.9g}" for value in values) + ")"
