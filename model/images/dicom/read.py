"""DICOM in: a series of files or one enhanced file with many frames, by pydicom.

Voxels are what the file says that its stored numbers mean, slice by slice: a RealWorldValueMapping in a unit of diffusivity
where there is one, else the rescale of that slice. Where the header names the unit of the ADC, its values become 1e-6 mm2/s.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from model.errors import UserError
from model.files import joint_digest
from model.images.dicom.complete import require_complete
from model.images.dicom.frame import Frame
from model.images.dicom.padding import is_padding
from model.images.dicom.persons import counting, said_series
from model.images.dicom.pixels import PIXELS, require_decoder, stored_numbers
from model.images.dicom.series import Wanted, is_no_map, wanted
from model.images.dicom.stack import frames_of, stacked
from model.images.dicom.units import MAPPINGS, factor_of, plain, unit_of
from model.images.dicom.values import REMEDY, TagError, number, reading
from model.images.grid import DicomSource, Volume, require_scalar_3d
from model.images.streams import read_file

TRANSFORM, RESCALE = "PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")


def read_dicom(path: Path, series: Sequence[str] = (), adc: bool = False) -> Volume:
    """The one volume that a DICOM file, or a folder with the files of one patient, holds; see `wanted`.

    With `adc`, of a header that names its unit the values are 1e-6 mm2/s. Raises UserError when it cannot be read whole or
    is no regular stack.
    """
    found = wanted(path, series, adc)
    with counting(found.files, path):
        return _read_series(found, path, series, adc)


def _read_series(found: Wanted, path: Path, series: Sequence[str], adc: bool) -> Volume:
    frames: list[Frame] = []
    sums = []
    for file in found.files:
        dataset, sha256 = _read(file)
        with reading(file):
            frames += frames_of(dataset, file)
        sums.append(sha256)
    with reading(path):
        frames, grid = stacked(frames, path)
        odd = require_complete(frames, grid.spacing_mm[0], found.images, found.others, path)
    require_scalar_3d(grid.size[::-1], 1, path)
    source = _source(frames, path)
    voxels, is_background = np.empty(grid.size, np.float32), True
    unit, factor = _unit(frames, path) if adc else ("", 1.0)
    with reading(path):
        _require_rescale([frame for frame in frames if not (unit and _mapping(frame))], path)
    for slice_, frame, stored in zip(voxels, frames, stored_numbers(frames, path), strict=True):
        with reading(frame.path), np.errstate(over="ignore", invalid="ignore"):
            values, unknown = _values(frame, stored, bool(unit))
            slice_[:] = np.where(unknown, np.nan, values * factor)
            is_background &= bool((np.isfinite(values) & ((values < 0) | ~unknown)).all())
    remarks = _remarks(frames, unit if factor != 1 else "") + odd
    if adc and series and str(frames[0].dataset.SeriesInstanceUID) not in series:
        remarks += (f"No series that --series names is in {path.name}: its one ADC series was taken.",)
    sha256 = joint_digest(sums)
    volume = Volume(voxels, grid, path, sha256=sha256, remarks=remarks, dicom=source, unit=unit, unit_factor=factor)
    return replace(volume, nan_is_background=is_background)


def _read(path: Path) -> tuple[Dataset, str]:
    """A file's content and its SHA-256."""
    file = read_file(path)
    if len(file.data) != file.size:
        raise UserError(f"{path}: expected a DICOM file of at most {len(file.data)} bytes, found {file.size}")
    with reading(path):
        dataset = pydicom.dcmread(io.BytesIO(file.data), force=True)
        _name_syntax(dataset)
        if not any(dataset.get(name) for name in PIXELS):
            raise UserError(f"{path}: expected a DICOM image, found no pixels: is it whole?")
        if is_no_map(dataset):
            raise UserError(f"{path}: expected a map, found a secondary capture, a segmentation or a picture in colour")
        require_decoder(dataset.file_meta.TransferSyntaxUID)
    return dataset, hashlib.sha256(file.data).hexdigest()


def _name_syntax(dataset: Dataset) -> None:
    """Give a data set of a file without meta information the transfer syntax in which it was read."""
    if not dataset.file_meta.get("TransferSyntaxUID"):
        is_implicit, is_little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _source(frames: list[Frame], path: Path) -> DicomSource:
    files = tuple(frame.path for frame in frames)
    series = said_series(frames[0].dataset)
    if len(set(files)) == 1 and "NumberOfFrames" in frames[0].dataset:
        return DicomSource(files[:1], tuple(frame.number for frame in frames), series)
    if len(set(files)) != len(files):
        raise UserError(f"{path}: expected one file with many frames, or a file for each slice, found several with many")
    return DicomSource(files, series=series)


def _remarks(frames: list[Frame], converted_from: str) -> tuple[str, ...]:
    found = [f"The ADC map was converted from {converted_from}, the unit in its DICOM header."] if converted_from else []
    if any(frame.dataset.get("LossyImageCompression") == "01" for frame in frames):
        found.append("Its DICOM header says that the image was compressed with loss: its values are not exact.")
    return tuple(found)


# --- what the stored numbers mean ---


def _unit(frames: list[Frame], path: Path) -> tuple[str, float]:
    """The ADC's unit as the headers name it, and what a value in it is in 1e-6 mm2/s; ("", 1) where they do not."""
    found = {_unit_of_frame(frame) for frame in frames}
    if len(found) != 1:
        raise UserError(f"{path}: expected slices in one unit, found {', '.join(sorted(unit or 'none' for unit in found))}")
    unit = found.pop()
    return unit, factor_of(unit) or 1.0


def _unit_of_frame(frame: Frame) -> str:
    with reading(frame.path):
        if (chosen := _mapping(frame)) is not None:
            return plain(unit_of(chosen))
        text = plain(str(_transform(frame).get("RescaleType", "")))
        return text if factor_of(text) else ""


def _mapping(frame: Frame) -> Dataset | None:
    """Which of a frame's RealWorldValueMappings is in a unit of diffusivity, its own group's first; None where none is."""
    item = next((item for item in (*frame.groups, frame.dataset) if item.get(MAPPINGS)), Dataset())
    return next((mapping for mapping in item.get(MAPPINGS, ()) if unit_of(mapping)), None)


def _values(frame: Frame, stored: np.ndarray, mapped: bool) -> tuple[np.ndarray, np.ndarray]:
    """A frame's values, float64 (rows, columns), from its stored numbers; and where nothing is known, boolean.

    mapped: its RealWorldValueMapping counts, where it has one of a unit. Nothing is known of pixels that are padding or that
    the mapping has no say on, unless they are 0.
    """
    unknown = is_padding(frame, stored)
    chosen = _mapping(frame) if mapped else None
    if chosen is not None:
        values, not_mapped = _mapped(stored, chosen)
        unknown |= not_mapped
    else:
        values = _rescaled(stored, _transform(frame))
    return values, unknown & (values != 0)


def _mapped(stored: np.ndarray, mapping: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The values that a RealWorldValueMapping gives to stored numbers, and which of those it has no say on."""
    if "RealWorldValueLUTData" in mapping:
        raise TagError("its RealWorldValueMapping has a look-up table, which is not read")
    kind = "DoubleFloat" if "DoubleFloatRealWorldValueFirstValueMapped" in mapping else ""
    first, last = (number(mapping, f"{kind}RealWorldValue{which}ValueMapped") for which in ("First", "Last"))
    if stored.dtype.kind == "f":
        first, last = np.array([first, last], stored.dtype).tolist()
    values = stored * number(mapping, "RealWorldValueSlope") + number(mapping, "RealWorldValueIntercept")
    return values, (stored < first) | (stored > last)


def _rescaled(stored: np.ndarray, item: Dataset) -> np.ndarray:
    """The values that a rescale, or a table, gives to stored numbers; these themselves where there is none."""
    if item.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, item), float)
    slope, intercept = (number(item, name) if name in item else None for name in RESCALE)
    if (slope is None and intercept) or (intercept is None and slope not in (None, 1)):
        raise TagError(f"it has {' without '.join(RESCALE if slope else RESCALE[::-1])}; {REMEDY}")
    return stored.astype(float) * (1 if slope is None else slope) + (intercept or 0)


def _require_rescale(frames: list[Frame], path: Path) -> None:
    """Raise UserError where some slices have a RescaleSlope and others none, unless it changes nothing."""
    found = [item for frame in frames if "RescaleSlope" in (item := _transform(frame))]
    if 0 < len(found) < len(frames) and any(number(item, "RescaleSlope") != 1 for item in found):
        lacking = len(frames) - len(found)
        raise UserError(f"{path}: expected a RescaleSlope in each slice or in none, {lacking} of {len(frames)} have none")


def _transform(frame: Frame) -> Dataset:
    """What has the rescale of a frame: its functional group, else the file."""
    return next((item[TRANSFORM][0] for item in frame.groups if item.get(TRANSFORM)), frame.dataset)
