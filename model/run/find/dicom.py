"""DICOM files that lie beside the folders of other cases."""

from pathlib import Path

from model.images.dicom.files import is_dicom, is_named_dicom
from model.run.find.found_case import FoundCase


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
