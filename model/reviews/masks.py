"""A lesion mask that a reader made elsewhere: read, and put onto the grid of the case's ADC map."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.errors import UserError
from model.images.case import Case
from model.images.formats.names import is_dicom_path, is_segmentation
from model.images.grid import Grid, Volume, require_same_grid
from model.images.orientation import reordered
from model.images.streams import MOST_BYTES, BoundedFile
from model.images.stripping import filled_to_map, other_values
from model.images.volume import read_volume

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

SAME_SLICES = 0.999  # of two slices' normals, the cosine from which on they are parallel


def read_mask(path: Path, case: Case) -> tuple[np.ndarray, str]:
    """A mask of lesions, boolean (z, y, x) on the case's grid, with the SHA-256 of its file; of any format or a DICOM SEG.

    Raises UserError where it is on another grid, holds other values than 0 and 1, or not one segment.
    """
    of_dicom = is_dicom_path(path)
    mask = _read_dicom_segmentation(path, case) if of_dicom else read_volume(path, of_brain=False)
    if mask.oriented and case.adc.oriented:  # other programs store voxels in another order
        mask = reordered(case.adc, mask)
    if of_dicom or is_segmentation(path):
        mask = filled_to_map(mask, case.adc)
    require_same_grid(case.adc, mask)
    if shown := other_values(mask):
        raise UserError(f"{path}: expected a mask of lesions with the values 0 and 1, found {shown}")
    return mask.voxels == 1, mask.sha256


def _read_dicom_segmentation(path: Path, case: Case) -> Volume:
    import highdicom as hd
    from pydicom import dcmread

    from model.images.dicom.persons import quiet  # which brings pydicom

    try:
        with BoundedFile(path) as file:
            if file.size > MOST_BYTES:
                raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB, expected a DICOM segmentation")
            data = file.read()
        with quiet():
            read = dcmread(io.BytesIO(data))
            _say_spacing(read, case)
            found = hd.seg.Segmentation.from_dataset(read, copy=False)
            _require_of_case(found, path, case)
            if not found.get_volume_geometry():
                raise UserError(f"{path}: its slices are not regular")
            volume = found.get_volume(combine_segments=True, allow_missing_positions=True)
            if np.count_nonzero(volume.array) != np.count_nonzero(found.pixel_array):
                raise UserError(f"{path}: has frames of no segment, expected one segment")
    except UserError:
        raise
    except Exception as error:  # of a file that comes from outside: highdicom and pydicom raise whatever they meet
        raise UserError(f"{path}: cannot be read as a DICOM segmentation ({type(error).__name__})") from None
    steps = volume.affine[:3, :3]
    spacing_mm = np.linalg.norm(steps, axis=0)
    cosines = tuple((steps / spacing_mm)[:, ::-1].ravel().tolist())
    grid = Grid(volume.spatial_shape, tuple(spacing_mm.tolist()), tuple(volume.affine[:3, 3].tolist()), cosines)
    return Volume((volume.array > 0).astype(np.float32), grid, path, sha256=hashlib.sha256(data).hexdigest())


def _require_of_case(found: Segmentation, path: Path, case: Case) -> None:
    from model.images.dicom.pixels import NATIVE

    if found.file_meta.TransferSyntaxUID not in NATIVE:  # a decoder can end the process
        raise UserError(f"{path}: is compressed, expected an uncompressed segmentation")
    if (segments := found.number_of_segments) != 1:
        raise UserError(f"{path}: expected one segment, found {segments}")
    if found.SegmentationType != "BINARY":
        raise UserError(f"{path}: expected a binary segmentation, found another type")
    uid = case.adc.dicom.series.get("uid") if case.adc.dicom else None
    referenced = {str(series.SeriesInstanceUID) for series in found.get("ReferencedSeriesSequence", ())}
    if uid and referenced and uid not in referenced:
        raise UserError(f"{path}: expected a segmentation of the case's ADC series, found one of another series")


def _say_spacing(read: Dataset, case: Case) -> None:
    """Write the case's spacing into a segmentation of its slices that leaves out how far they lie apart, as it may.

    Else the smallest distance of two of its frames would be taken for that, and 1 mm where there is one. Thicker slices than
    the case's are others.
    """
    spacing_mm, axes = case.grid.spacing_mm[0], np.reshape(case.grid.direction, (3, 3))
    for shared in read.get("SharedFunctionalGroupsSequence", ()):
        for measures, plane in zip(
            shared.get("PixelMeasuresSequence", ()), shared.get("PlaneOrientationSequence", ()), strict=False
        ):
            normal = np.cross(*np.reshape(plane.ImageOrientationPatient, (2, 3)).astype(float))
            thin = float(measures.get("SliceThickness") or 0) < 1.5 * spacing_mm
            if thin and abs(normal @ axes[:, 2]) > SAME_SLICES and not measures.get("SpacingBetweenSlices"):
                measures.SpacingBetweenSlices = f"{spacing_mm:.10g}"
