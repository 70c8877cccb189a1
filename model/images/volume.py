"""Files to arrays and back.

The arrays' order, the units and the handedness are those of model/images/grid.py.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from model.errors import UserError
from model.files import whole_file
from model.images import mark
from model.images.formats import segmentation
from model.images.formats.names import DETACHED_HEADER, READ, SEGMENTATION, WRITTEN, format_of, is_dicom_path, suffix_of
from model.images.grid import GRID_TOLERANCE, Grid, Volume, difference, require_same_grid, require_usable_grid
from model.images.space import space_of

__all__ = ["GRID_TOLERANCE", "Grid", "Volume", "read_volume", "require_same_grid", "write_mask", "write_probabilities"]

sitk.ProcessObject.GlobalWarningDisplayOff()  # NIfTI leftovers in MHA headers warn on stderr, which must stay empty


def read_volume(
    path: Path, keep_nan: bool = False, *, series: Sequence[str] = (), adc: bool = False, of_brain: bool = True
) -> Volume:
    """Read one 3D scalar image as float32 (z, y, x); each file that belongs to it is opened once.

    A folder is read as DICOM: the one of `series`, UIDs, that lies in it, else the one ADC series with `adc`, or its only
    series. Its files' headers are looked at before. of_brain: which segment of a segmentation of 3D Slicer is read, see
    `segmentation.read_segmentation`.

    Raises UserError when the file cannot be read whole, is not 3D with one component, or holds NaN or infinite voxels and
    `keep_nan` is false.
    """
    _require_utf8(path)
    of_dicom = is_dicom_path(path)
    if path.exists() and not path.is_file() and not of_dicom:  # reading a pipe or a device might never end
        raise UserError(f"{path}: cannot be read, expected a file")
    try:
        if of_dicom:
            from model.images.dicom.read import read_dicom  # whose libraries take a second to load

            volume = read_dicom(path, series, adc)
        else:
            volume = _read_file(path, of_brain)
    except MemoryError:
        raise UserError(f"{path}: not enough memory to read it") from None
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        said = "" if isinstance(error, FileNotFoundError | RuntimeError) else f" ({error})"
        raise UserError(f"{path}: {_unreadable(path)}{said}") from None
    require_usable_grid(volume.grid, path)
    if volume.nan_is_background and not keep_nan:
        return replace(volume, voxels=np.nan_to_num(volume.voxels))
    wrong = 0 if keep_nan else volume.voxels.size - np.count_nonzero(np.isfinite(volume.voxels))
    if wrong:
        raise UserError(f"{path}: {wrong} of {volume.voxels.size} voxels are NaN or infinite, expected finite values")
    return volume


def load_libraries(paths: Iterable[Path]) -> None:
    """Import what is needed to read, or to write, files of these names."""
    paths = list(paths)
    for form in {form for path in paths if (form := format_of(path))}:
        if form.load:
            form.load()
    if any(map(is_dicom_path, paths)):
        import model.images.dicom.read  # noqa: F401


def _read_file(path: Path, of_brain: bool = True) -> Volume:
    form = format_of(path)
    if form is None:
        raise ValueError(f"expected a name that ends in one of {', '.join(READ)}")
    brains = of_brain or form is not SEGMENTATION
    volume = form.read(path) if brains else segmentation.read_segmentation(path, of_brain=False)
    return replace(volume, space=space_of(path, volume.space))


def write_mask(mask: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a boolean (z, y, x) mask as uint8 0/1 on `grid`, compressed and marked, whole or not at all.

    The name's end decides the format; .mhd is two files and may be left half written. Raises UserError when the file cannot
    be written or its format cannot hold the grid, ValueError when the mask is not of the grid's size.
    """
    _write(mask.astype(np.uint8), grid, path, mark.MASK)


def write_probabilities(probabilities: np.ndarray, grid: Grid, path: Path, what: str = mark.PROBABILITIES) -> None:
    """Write a (z, y, x) map of finite numbers as float32 on `grid`; everything else as in `write_mask`.

    what: says the mark that it is.
    """
    _write(probabilities.astype(np.float32), grid, path, what)


def _write(voxels: np.ndarray, grid: Grid, path: Path, what: str) -> None:
    if voxels.shape != grid.size:
        raise ValueError(f"the array is {voxels.shape}, the grid is {grid.size}")
    _require_utf8(path)
    form = format_of(path)
    if form is None or suffix_of(path) not in WRITTEN:
        raise UserError(f"{path}: cannot be written, expected a name that ends in one of {', '.join(WRITTEN)}")
    pair = suffix_of(path) == DETACHED_HEADER  # names the file of its voxels, so it is written under its own name
    try:
        with contextlib.nullcontext(path) if pair else whole_file(path) as partial:
            if form.encode is None:
                _write_with_itk(voxels, grid, partial, what)
            else:
                partial.write_bytes(form.encode(voxels, grid, suffix_of(path).endswith(".gz"), mark.text_of(what)))
            written = _read_file(partial)  # ITK does not notice a disk that is full when the last bytes are flushed
            if not np.array_equal(written.voxels, voxels):
                raise OSError("what was written does not read back")
            if lost := difference(written.grid, grid):
                raise OSError(f"the format cannot hold the grid's {lost}")
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be written ({_reason(error)})") from None


def _write_with_itk(voxels: np.ndarray, grid: Grid, path: Path, what: str) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    signed = what == mark.MASK and suffix_of(path) == mark.SUFFIX
    image.SetMetaData(mark.FIELD, mark.UNSIGNED if signed else mark.text_of(what))
    sitk.WriteImage(image, str(path), useCompression=True)
    if signed:
        mark.sign(path)


def _require_utf8(path: Path) -> None:
    """Raise UserError for a name that is not UTF-8, which ends the process in ITK."""
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
    return lines[-1] if lines else "no reason given"
