"""DICOM in: a series of files or one enhanced file with many frames, by pydicom.

Voxels are what the file says that its stored numbers mean, slice by slice: a RealWorldValueMapping in a unit of diffusivity
where there is one, else the rescale of that slice. Where the header names the unit of the ADC, its values become 1e-6 mm2/s.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from model.errors import UserError
from model.images.dicom.persons import counting, said_series
from model.images.dicom.pixels import is_decoded, stored_numbers
from model.images.dicom.series import is_no_map, joint_digest, reading, wanted_files
from model.images.dicom.stack import Frame, frames_of, stacked
from model.images.grid import DicomSource, Volume, require_scalar_3d
from model.images.streams import read_file

# 10-6 mm2/s, 10*-6.mm2/s, 1e-3 mm2/s, um2/s, mm2/s, mm2/sec, mm2.s-1, after `_plain`
DIFFUSIVITY = re.compile(r"(?:x?1(?:0|e)(?P<power>-0?\d)[.x]?)?(?P<length>m|cm|mm|um)2(?:/s(?:ec)?|\.?s-1)")
MAPPINGS, TRANSFORM = "RealWorldValueMappingSequence", "PixelValueTransformationSequence"
SQUARE_UM = {"m": 1e12, "cm": 1e8, "mm": 1e6, "um": 1.0}  # in a square of that length; 1 um2/s is 1e-6 mm2/s


def read_dicom(path: Path, series: Sequence[str] = (), adc: bool = False) -> Volume:
    """The one volume that a DICOM file, or a folder with the files of one patient, holds; see `wanted_files`.

    With `adc`, of a header that names its unit the values are 1e-6 mm2/s. Raises UserError when it cannot be read whole or
    is no regular stack.
    """
    files = wanted_files(path, series, adc)
    with counting(files, path):
        return _read_series(files, path, series, adc)


def _read_series(files: list[Path], path: Path, series: Sequence[str], adc: bool) -> Volume:
    frames: list[Frame] = []
    sums = []
    for file in files:
        dataset, sha256 = _read(file)
        with reading(file):
            frames += frames_of(dataset, file)
        sums.append(sha256)
    with reading(path):
        frames, grid = stacked(frames, path)
    require_scalar_3d(grid.size[::-1], 1, path)
    source = _source(frames, path)
    voxels = np.empty(grid.size, np.float32)
    unit, factor = _unit(frames, path) if adc else ("", 1.0)
    for slice_, frame, stored in zip(voxels, frames, stored_numbers(frames, path), strict=True):
        with reading(frame.path), np.errstate(over="ignore", invalid="ignore"):
            slice_[:] = _values(frame, stored, bool(unit)) * factor
    remarks = _remarks(frames, unit if factor != 1 else "")
    if adc and series and str(frames[0].dataset.SeriesInstanceUID) not in series:
        remarks += (f"No series that --series names is in {path.name}: its one ADC series was taken.",)
    return Volume(voxels, grid, path, True, joint_digest(sums), remarks, source, unit, factor)


def _read(path: Path) -> tuple[Dataset, str]:
    """A file's content and its SHA-256."""
    file = read_file(path)
    if len(file.data) != file.size:
        raise UserError(f"{path}: expected a DICOM file of at most {len(file.data)} bytes, found {file.size}")
    with reading(path):
        dataset = pydicom.dcmread(io.BytesIO(file.data))
        names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
        if not any(name in dataset for name in names):
            raise UserError(f"{path}: expected a DICOM image, found no pixels: is it whole?")
        if is_no_map(dataset):
            raise UserError(f"{path}: expected a map, found a secondary capture, a segmentation or a picture in colour")
        syntax = dataset.file_meta.TransferSyntaxUID
        if not is_decoded(syntax):
            raise UserError(f"{path}: its pixels are compressed as {syntax.name}, which is not read; decompress it first")
    return dataset, hashlib.sha256(file.data).hexdigest()


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
    return unit, _factor(unit) or 1.0


def _unit_of_frame(frame: Frame) -> str:
    with reading(frame.path):
        if (chosen := _mapping(frame)) is not None:
            return _plain(chosen[1])
        text = _plain(str(_transform(frame).get("RescaleType", "")))
        return text if _factor(text) else ""


def _with(frame: Frame, sequence: str) -> list[Dataset]:
    """Of a frame's functional groups and the file, those that have a sequence: its own group first."""
    return [item for item in (*frame.groups, frame.dataset) if item.get(sequence)]


def _mapping(frame: Frame) -> tuple[int, str] | None:
    """Which of a frame's RealWorldValueMappings is in a unit of diffusivity, and that unit's code; None where none is."""
    for item in _with(frame, MAPPINGS)[:1]:
        for number, mapping in enumerate(item[MAPPINGS].value):
            codes = mapping.get("MeasurementUnitsCodeSequence") or [Dataset()]
            for name in ("CodeValue", "LongCodeValue", "CodeMeaning"):
                if _factor(_plain(text := str(codes[0].get(name, "")))):
                    return number, text
    return None


def _plain(text: str) -> str:
    text = text.lower().translate(str.maketrans("\u00b2\u00b5\u03bc\u00b7\u00d7", "2uu.x", " ^*{}()[]"))
    return text.replace("10e-", "1e-")


def _factor(unit: str) -> float | None:
    """What one of a unit, as `_plain` gives it, is in 1e-6 mm2/s; None for another unit than one of diffusivity."""
    match = DIFFUSIVITY.fullmatch(unit)
    return SQUARE_UM[match["length"]] * 10.0 ** int(match["power"] or 0) if match else None


def _values(frame: Frame, stored: np.ndarray, mapped: bool) -> np.ndarray:
    """A frame's values, float64 (rows, columns), from its stored numbers.

    mapped: its RealWorldValueMapping counts, where it has one of a unit. Pixels that are padding, or that the mapping has no
    say on, are NaN where they would be above 0.
    """
    unknown = stored == frame.dataset.get("PixelPaddingValue")
    chosen = _mapping(frame) if mapped else None
    if chosen:
        values, not_mapped = _mapped(stored, _with(frame, MAPPINGS)[0][MAPPINGS][chosen[0]])
        unknown = unknown | not_mapped
    else:
        values = np.asarray(apply_modality_lut(stored, _transform(frame)), float)
    return np.where(unknown & (values > 0), np.nan, values)


def _mapped(stored: np.ndarray, mapping: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The values that a RealWorldValueMapping gives to stored numbers, and which of those it has no say on."""
    ends = [mapping.get(f"RealWorldValue{which}ValueMapped") for which in ("First", "Last")]
    if None in ends:
        ends = [mapping[f"DoubleFloatRealWorldValue{which}ValueMapped"].value for which in ("First", "Last")]
    first, last = map(float, ends)
    if table := mapping.get("RealWorldValueLUTData"):
        places = np.clip(stored.astype(np.int64) - int(first), 0, len(table) - 1)
        return np.array(table, float)[places], (stored < first) | (stored > last)
    values = stored * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)
    return values, (stored < first) | (stored > last)


def _transform(frame: Frame) -> Dataset:
    """What has the rescale of a frame: its functional group, else the file."""
    return next((item[TRANSFORM][0] for item in frame.groups if item.get(TRANSFORM)), frame.dataset)
