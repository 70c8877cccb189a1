"""Series and multi-frame files of DICOM, made of any volume; run as a script, a study of the invented newborn.

    python test/dicom_phantom.py scans        # scans/baby/ with a localiser, a trace, an ADC and an exponential ADC series

Nothing in it comes from a patient; the patient's name and number in the tags are there to be looked for in what is written.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only this folder is on the path

from phantom import require_new
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import set_pixel_data
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, MRImageStorage, generate_uid

from model.files import require_writable
from model.images.grid import Grid
from training.common.cli import run

NAME, NUMBER, BIRTH = "Mustermann^Erika", "PAT-4711", "20260131"  # of the patient
ROOT = "1.2.826.0.1.3680043.10.1234."  # of the UIDs that tests name
STUDY = ROOT + "1"
ADC_TYPE = ("DERIVED", "PRIMARY", "DIFFUSION", "ADC")


@dataclass(kw_only=True)
class Series:
    """How a volume becomes DICOM. slopes: by slice, in turn. more: further attributes of every file."""

    uid: str = ROOT + "2"
    image_type: tuple[str, ...] = ADC_TYPE
    description: str = "ep2d_diff_3scan_trace_ADC"
    slopes: tuple[float, ...] = (1.0,)
    intercept: float = 0.0
    rescale_type: str = ""
    unit: str = ""  # UCUM, of a RealWorldValueMapping; the rescale is without a say then
    syntax: str = ExplicitVRLittleEndian
    study: str = STUDY
    more: dict[str, object] = field(default_factory=dict)


def write_series(
    folder: Path,
    voxels: np.ndarray,
    grid: Grid,
    series: Series | None = None,
    *,
    seed: int = 0,
    each: Callable[[int], dict] = lambda z: {},
) -> list[Path]:
    """Write (z, y, x) voxels as one file for each slice; returns the files from the first slice to the last.

    Names and instance numbers are in an order of their own, drawn with `seed`. each: tags of one slice; None leaves one out.
    """
    series = series or Series()
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(seed).permutation(len(voxels)) + 1
    paths = []
    for z, number in enumerate(numbers.tolist()):
        dataset, slope = _image(series, MRImageStorage, number), series.slopes[z % len(series.slopes)]
        for part in (_plane(grid, z), _measures(grid), _values(series, slope)):
            dataset.update(part)
        set_pixel_data(dataset, _stored(voxels[z], series, slope), "MONOCHROME2", 16, generate_instance_uid=False)
        _compress(dataset, series)
        put(dataset, each(z))
        paths.append(folder / f"IM{number:04d}")
        save(dataset, paths[-1])
    return paths


def write_multiframe(
    path: Path, stacks: list[tuple[np.ndarray, Grid]], series: Series | None = None, *, seed: int = 0
) -> Path:
    """Write stacks of slices of one size, (z, y, x) each, as one enhanced file, its frames in an order drawn with `seed`."""
    series = series or Series()
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [(str(n + 1), z, voxels, grid) for n, (voxels, grid) in enumerate(stacks) for z in range(len(voxels))]
    frames = [frames[n] for n in np.random.default_rng(seed).permutation(len(frames))]
    dataset = _image(series, EnhancedMRImageStorage, 1)
    dataset.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.MRImageFrameTypeSequence = [_item(FrameType=list(series.image_type))]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups, stored = [], []
    for stack, z, voxels, grid in frames:
        slope = series.slopes[z % len(series.slopes)]
        group = Dataset()
        group.FrameContentSequence = [
            _item(StackID=stack, InStackPositionNumber=z + 1, DimensionIndexValues=[int(stack), z + 1])
        ]
        plane = _plane(grid, z)
        group.PlanePositionSequence = [_item(ImagePositionPatient=plane.ImagePositionPatient)]
        group.PlaneOrientationSequence = [_item(ImageOrientationPatient=plane.ImageOrientationPatient)]
        group.PixelMeasuresSequence = [_measures(grid)]
        values = _values(series, slope)
        if "RealWorldValueMappingSequence" in values:
            group.RealWorldValueMappingSequence = values.RealWorldValueMappingSequence
        else:
            group.PixelValueTransformationSequence = [values]
        groups.append(group)
        stored.append(_stored(voxels[z], series, slope))
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=ROOT + "9")]
    dataset.DimensionIndexSequence = [
        _item(DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111, DimensionOrganizationUID=ROOT + "9")
        for pointer in (0x00209056, 0x00209057)
    ]
    set_pixel_data(dataset, np.stack(stored), "MONOCHROME2", 16, generate_instance_uid=False)
    _compress(dataset, series)
    save(dataset, path)
    return path


def write_study(folder: Path, voxels: np.ndarray, grid: Grid, syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a study as a scanner does: an ADC map among a localiser, a trace, a b0 and an exponential ADC series.

    syntax: the transfer syntax of the ADC map.
    """
    others = {
        "1": ("localizer", ("ORIGINAL", "PRIMARY", "M", "NORM"), np.full((3, 20, 24), 300.0), 10.0),
        "2": ("ep2d_diff_3scan_trace_TRACEW", ("DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"), voxels / 4, 0),
        "3": ("ep2d_diff_3scan_trace_b0", ("ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"), voxels / 2, 0),
        "5": ("ep2d_diff_3scan_trace_eADC", ("DERIVED", "PRIMARY", "DIFFUSION", "EADC"), np.exp(-voxels / 1000) * 1000, 0),
    }
    for number, (description, image_type, values, shift) in others.items():
        series = Series(uid=f"{ROOT}2.{number}", description=description, image_type=image_type)
        x, y, z = grid.origin_mm
        place = Grid(values.shape, grid.spacing_mm, (x + shift, y, z), grid.direction)
        write_series(folder / f"SE{number}", values, place, series)
    write_series(folder / "SE4", voxels, grid, Series(uid=ROOT + "2.4", syntax=syntax))


def save(dataset: Dataset, path: Path) -> None:
    """Write a dataset as a DICOM file, also one that the standard would not allow."""
    dataset.save_as(path, enforce_file_format=True)


def put(dataset: Dataset, values: dict[str, object]) -> None:
    """Set tags of a data set; None takes one out."""
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
        elif name in dataset:
            del dataset[name]


def edited(paths: Iterable[Path], edit: Callable[[Dataset], object]) -> None:
    """Write files again with a change of their data sets."""
    for path in paths:
        dataset = dcmread(path)
        edit(dataset)
        save(dataset, path)


def change(path: Path, **values: object) -> None:
    """Set tags of a file; None takes one out."""
    edited([path], lambda dataset: put(dataset, values))


def _image(series: Series, kind: str, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid(ROOT, [series.uid, str(number)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = NAME, NUMBER, BIRTH, "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = series.study, series.uid
    dataset.FrameOfReferenceUID = ROOT + "3"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20260203", "101112", "1", "ACC-4711"
    dataset.ReferringPhysicianName, dataset.InstitutionName = "Arzt^Anna", "Klinik"
    dataset.Modality, dataset.Manufacturer = "MR", "Phantom"
    dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = series.description, 1, number
    dataset.ImageType = list(series.image_type)
    dataset.PatientPosition, dataset.PositionReferenceIndicator = "HFS", ""
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions, dataset.MRAcquisitionType = "EP", "SK", "", "2D"
    dataset.EchoTime, dataset.RepetitionTime = 90, 5000
    put(dataset, series.more)
    return dataset


def _item(**values: object) -> Dataset:
    item = Dataset()
    put(item, values)
    return item


def _plane(grid: Grid, z: int) -> Dataset:
    rows = np.reshape(grid.direction, (3, 3)).T
    position = grid.to_mm(np.array([z, 0, 0]))
    return _item(
        ImagePositionPatient=[round(float(value), 6) for value in position],
        ImageOrientationPatient=[round(float(value), 8) for value in (*rows[0], *rows[1])],
    )


def _measures(grid: Grid) -> Dataset:
    z, y, x = grid.spacing_mm
    return _item(PixelSpacing=[y, x], SliceThickness=z, SpacingBetweenSlices=z)


def _values(series: Series, slope: float) -> Dataset:
    if not series.unit:
        kind = {"RescaleType": series.rescale_type} if series.rescale_type else {}
        return _item(RescaleSlope=slope, RescaleIntercept=series.intercept, **kind)
    mapping = _item(RealWorldValueSlope=float(slope), RealWorldValueIntercept=float(series.intercept))
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, 65535
    mapping.LUTLabel, mapping.LUTExplanation = "ADC", "ADC"
    code = _item(CodeValue=series.unit, CodingSchemeDesignator="UCUM", CodeMeaning=series.unit)
    mapping.MeasurementUnitsCodeSequence = [code]
    return _item(RealWorldValueMappingSequence=[mapping])


def _stored(values: np.ndarray, series: Series, slope: float) -> np.ndarray:
    return np.clip(np.rint((values - series.intercept) / slope), 0, 65535).astype(np.uint16)


def _compress(dataset: Dataset, series: Series) -> None:
    if series.syntax == JPEGLosslessSV1:  # which pydicom does not write
        from imagecodecs import ljpeg_encode  # which the tests' environment alone has

        frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        dataset.PixelData = encapsulate([ljpeg_encode(frame, bitspersample=16) for frame in frames])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = series.syntax
    elif series.syntax != ExplicitVRLittleEndian:
        dataset.compress(series.syntax, generate_instance_uid=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, help="folder to write the study's folder into")
    folder = parser.parse_args().scans / "baby"
    from phantom import make_phantom

    require_new(folder)
    require_writable(folder)
    phantom = make_phantom()
    write_study(folder, np.maximum(phantom.adc, 0), phantom.grid)


if __name__ == "__main__":
    run(main)
