"""DICOM files that lie beside the folders of other cases, or beside other images of a case."""

from pathlib import Path

from model.errors import UserError
from model.images.dicom.files import is_dicom, is_named_dicom
from model.inputs.found_case import FoundCase


def multi_frame_case(path: Path) -> FoundCase | None:
    """The case that a DICOM file with more than one frame is, called as the file; None for any other file.

    A file with one frame is a slice, which is no case without the others.
    """
    if path.name.startswith(".") or not is_dicom(path):
        return None
    from model.images.dicom.series import frames_in

    if frames_in(path) < 2:
        return None
    same = [other for other in path.parent.iterdir() if other != path and path.stem in (other.name, other.stem)]
    return FoundCase(path.stem if is_named_dicom(path) and not same else path.name, path)


def may_hold_adc_map(folder: Path) -> bool:
    """Whether the DICOM files of a folder may be read as an ADC map; True where their headers cannot be read.

    Reads them all, so it is for folders in which another ADC map lies.
    """
    from model.images.dicom.series import has_adc_map
    from model.images.dicom.values import reading

    try:
        with reading(folder):
            return has_adc_map(folder)
    except UserError:
        return True
