"""What is written for an archive (PACS) beside a mask whose ADC map came as DICOM: a segmentation and a picture of it."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from model.errors import UserError, one_line
from model.images.case import Case
from model.images.dicom.persons import counting, quiet
from model.report.dicom.source import INSTEAD, Source, read_source


def require_objects(case: Case) -> None:
    """Raise UserError when no DICOM object can refer to the images that the case's ADC map was read from."""
    from model.report.dicom.segmentation import segmentation

    with quiet():
        source = _source_of(case)
        try:
            segmentation(source, np.zeros(case.grid.size, bool), {"weights": "none", "z_map": "none"})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{case.adc.path}: {one_line(error)}: no DICOM segmentation {INSTEAD}") from None


def write_objects(segmentation_path: Path, capture_path: Path, case: Case, mask: np.ndarray, results: dict) -> None:
    """Write both objects for a boolean (z, y, x) mask on the case's grid; `results`: what results.json holds.

    Raises UserError when no object can refer to the source, OSError when a file cannot be written.
    """
    from model.report.dicom.capture import capture  # and Pillow and highdicom only where they are needed
    from model.report.dicom.segmentation import segmentation

    with quiet():
        source = _source_of(case)
        _save(segmentation(source, mask, results), segmentation_path)
        _save(capture(source, case, mask, results), capture_path)


def _source_of(case: Case) -> Source:
    if case.adc.dicom is None:
        raise ValueError("the ADC map was not read from DICOM")
    with counting(case.adc.dicom.files, case.adc.path):
        return read_source(case.adc.dicom, case.grid)


def _save(made: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
