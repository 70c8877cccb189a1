"""Files to arrays and back; the only module that imports SimpleITK.

Convention, fixed here for the whole project: arrays are (z, y, x), spacing is (z, y, x) in mm. Origin and direction are
kept as SimpleITK gives them (x, y, z), since they are only compared and copied.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from model.errors import UserError
from model.files import whole_file
from model.images.formats import check_header, check_whole, digest, suffix_of

# mm for spacing and origin, cosines for direction. Published files differ in the last printed digit, up to 0.001; the
# millionth on top is for the binary rounding of such a difference.
GRID_TOLERANCE = 1e-3 + 1e-6
MAX_VOXELS = 256**3  # four times the largest published grid, and still within 4 GB
SPACING_MM = (0.2, 100.0)  # what a voxel can measure; smoothing over millimetres takes ever longer on finer ones
SHEAR_TOLERANCE = 0.01  # of the axes' products; cosines may be rounded to two or three digits

sitk.ProcessObject.GlobalWarningDisplayOff()  # NIfTI leftovers in MHA headers warn on stderr, which must stay empty


@dataclass(frozen=True)
class Grid:
    """Where the voxels lie in the scanner's space."""

    size: tuple[int, int, int]  # voxels (z, y, x)
    spacing_mm: tuple[float, float, float]  # (z, y, x)
    origin_mm: tuple[float, float, float]  # (x, y, z) of the first voxel's centre
    direction: tuple[float, ...]  # nine cosines, row by row, as in SimpleITK

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.spacing_mm))

    def to_mm(self, index: np.ndarray) -> np.ndarray:
        """Where a place in the array, (z, y, x) and fractions too, lies in the scanner's space: (x, y, z) in mm."""
        return self.origin_mm + np.reshape(self.direction, (3, 3)) @ np.multiply(index, self.spacing_mm)[::-1]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels of one file: float32 (z, y, x), all finite, on `grid`."""

    voxels: np.ndarray
    grid: Grid
    path: Path
    oriented: bool = True  # whether the header says how the voxels lie in the patient
    sha256: str = ""  # of the file


def read_volume(path: Path) -> Volume:
    """Read one 3D scalar image as float32 (z, y, x).

    Raises UserError when the file cannot be read whole, is not 3D with one component, or holds NaN or infinite voxels.
    """
    _require_utf8(path)
    if path.exists() and not path.is_file():  # reading a pipe or a device might never end
        raise UserError(f"{path}: cannot be read, expected a file")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        check_header(path)
        reader.ReadImageInformation()
        _require_scalar_3d(reader, path)
        oriented, sha256 = check_whole(path), digest(path)
        image = reader.Execute()
    except (RuntimeError, MemoryError):  # ITK's own words mislead: a truncated file is "No such file or directory"
        raise UserError(f"{path}: {_unreadable(path)}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {_unreadable(path)} ({error})") from None
    voxels = sitk.GetArrayFromImage(image).astype(np.float32)
    wrong = voxels.size - np.count_nonzero(np.isfinite(voxels))
    if wrong:
        raise UserError(f"{path}: {wrong} of {voxels.size} voxels are NaN or infinite, expected finite values")
    grid = _grid(image)
    _require_usable_grid(grid, path)
    return Volume(voxels, grid, path, oriented, sha256)


def require_same_grid(first: Volume, second: Volume) -> None:
    """Raise UserError unless both lie on one grid within GRID_TOLERANCE; names both files and both values."""
    name = _difference(first.grid, second.grid)
    if name:
        values = f"{name} is {_short(getattr(first.grid, name))} and {_short(getattr(second.grid, name))}"
        raise UserError(f"{first.path} and {second.path} are not on one grid: {values}")


def _difference(first: Grid, second: Grid) -> str:
    """The first field in which two grids differ by more than GRID_TOLERANCE; empty when none does."""
    for name in ("size", "spacing_mm", "origin_mm", "direction"):
        if not np.allclose(getattr(first, name), getattr(second, name), rtol=0, atol=GRID_TOLERANCE):
            return name
    return ""


def write_mask(mask: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a boolean (z, y, x) mask as uint8 0/1 on `grid`, compressed, whole or not at all.

    The name's end decides the format; .mhd is two files and may be left half written. Raises UserError when the file cannot
    be written or its format cannot hold the grid, ValueError when the mask is not of the grid's size.
    """
    _write(mask.astype(np.uint8), grid, path)


def write_probabilities(probabilities: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a (z, y, x) map of finite numbers as float32 on `grid`; everything else as in `write_mask`."""
    _write(probabilities.astype(np.float32), grid, path)


def _write(voxels: np.ndarray, grid: Grid, path: Path) -> None:
    if voxels.shape != grid.size:
        raise ValueError(f"the array is {voxels.shape}, the grid is {grid.size}")
    _require_utf8(path)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    pair = suffix_of(path) == ".mhd"  # names the file of its voxels, so it is written under its own name
    try:
        with contextlib.nullcontext(path) if pair else whole_file(path) as partial:
            sitk.WriteImage(image, str(partial), useCompression=True)
            # ITK does not notice a disk that is full when the last bytes are flushed
            written = sitk.ReadImage(str(partial))
            if not np.array_equal(sitk.GetArrayFromImage(written), voxels):
                raise OSError("what was written does not read back")
            if lost := _difference(_grid(written), grid):
                raise OSError(f"the format cannot hold the grid's {lost}")
    except (RuntimeError, OSError) as error:
        raise UserError(f"{path}: cannot be written ({_reason(error)})") from None


def _grid(image: sitk.Image) -> Grid:
    return Grid(image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())


def _require_usable_grid(grid: Grid, path: Path) -> None:
    if not all(SPACING_MM[0] <= spacing <= SPACING_MM[1] for spacing in grid.spacing_mm):
        raise UserError(
            f"{path}: expected a spacing of {SPACING_MM[0]} to {SPACING_MM[1]} mm, not {_short(grid.spacing_mm)}"
        )
    axes = np.reshape(grid.direction, (3, 3))
    if np.abs(axes).max() > 2 or not np.allclose(axes @ axes.T, np.eye(3), rtol=0, atol=SHEAR_TOLERANCE):
        raise UserError(f"{path}: expected axes of length 1 at right angles, not the direction {_short(grid.direction)}")


def _require_scalar_3d(reader: sitk.ImageFileReader, path: Path) -> None:
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if reader.GetDimension() != 3 or components != 1:
        raise UserError(f"{path}: expected a 3D image of one component, found {reader.GetDimension()}D with {components}")
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise UserError(f"{path}: expected real numbers, found complex ones")
    if np.prod([float(n) for n in size]) > MAX_VOXELS:
        raise UserError(f"{path}: the header promises {' x '.join(map(str, size))} voxels, expected at most {MAX_VOXELS}")


def _require_utf8(path: Path) -> None:
    """ITK ends the process on a name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{str(path)!a}: expected a path that is UTF-8") from None


def _unreadable(path: Path) -> str:
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return f"expected a whole image file, found {size} bytes that are no readable image, or one that is cut off"


def _reason(error: BaseException) -> str:
    """The last line of an ITK message, which is the one that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.9g}" for value in values) + ")"
