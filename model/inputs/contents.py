"""What lies in a folder of scans: images, images of formats that are not read, links to nothing, and what is no image."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from model.images.dicom.files import DICOM_SUFFIXES, MOST_FILES_EXAMINED, files_in, is_dicom
from model.images.formats.names import READ, suffix_of
from model.images.not_fetched import FETCH_ANNEX, is_link_of_annex, not_fetched
from model.names.output_names import PREVIOUS, TIME_NAME

DICOM = "DICOM"  # read from a folder for each case, not where other images lie
PICTURE, ARRAY, ARCHIVE = "picture", "array", "archive"
UNREAD = {  # kind by the ends of its names
    DICOM: DICOM_SUFFIXES,
    "TIFF": (".tif", ".tiff"),
    "MINC": (".mnc", ".mnc.gz"),
    "Analyze or two-file NIfTI": (".hdr", ".img", ".hdr.gz", ".img.gz"),
    "detached NRRD": (".nhdr",),
    PICTURE: (".png", ".jpg", ".jpeg", ".bmp", ".gif"),
    ARCHIVE: (".zip", ".tar", ".tgz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst"),
    "Philips": (".par", ".rec"),
    ARRAY: (".npy", ".npz", ".mat", ".h5", ".hdf5"),
    "AFNI": (".head", ".brik"),
    "GIPL or VTK": (".gipl", ".vtk", ".vti"),
}
NO_IMAGE = (  # ends of names of what plainly is no image
    *(".txt", ".md", ".rst", ".rtf", ".pdf", ".doc", ".docx", ".odt", ".csv", ".tsv", ".xls", ".xlsx", ".ods", ".json"),
    *(".yaml", ".yml", ".xml", ".html", ".htm", ".log", ".py", ".sh", ".m", ".r", ".ipynb", ".ini", ".db", ".lnk", ".url"),
    *(".bval", ".bvec", ".sha256", ".md5", ".ppt", ".pptx", ".toml", ".cfg", ".bak", ".tmp", "readme", "changes", "license"),
)
SYSTEM_FOLDERS = ("@eadir", "__macosx", "lost+found", "$recycle.bin", "system volume information")
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
INDEX_OF_CD = "dicomdir"
NOT_THERE = "a disk that is not mounted, or data not fetched"
MOST_LISTED = 3  # files that a message names


def visible_in(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted. Raises OSError."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def named_as_images(folder: Path) -> list[Path]:
    """What has the name of an image of a known format in a folder itself, links to nothing too, sorted. Raises OSError."""
    return [path for path in visible_in(folder) if suffix_of(path) and not os.path.isdir(path)]


def images_or_none(folder: Path) -> list[Path]:
    """As `named_as_images`; none of a folder that cannot be listed."""
    try:
        return named_as_images(folder)
    except OSError:
        return []


def images_below(folder: Path, deepest: int) -> dict[Path, list[Path]]:
    """The folders in a folder, down to `deepest` below it, in order, each with its `images_or_none`."""
    found = {}
    for place, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not is_of_the_system(Path(place, name)))
        if len(Path(place).relative_to(folder).parts) >= deepest:
            names.clear()
        if place != str(folder):
            found[Path(place)] = images_or_none(Path(place))
    return found


def is_dangling(path: Path) -> bool:
    """Whether a path is a link to what is not there."""
    return os.path.islink(path) and not os.path.exists(path)  # unlike pathlib's, no error for a path that cannot be


def dangling(paths: Iterable[Path | None]) -> str:
    """The reason why a case whose files are links to nothing, or stand for data not fetched, cannot be run; else empty."""
    given = [path for path in paths if path]
    links = [path for path in given if is_dangling(path)]
    reasons = [f"{path}: {kind}" for path in given if path not in links and (kind := not_fetched(path))]
    if links:
        lost = ", ".join(f"{path}: a link to {os.readlink(path)}" for path in links)
        of_annex = any(map(is_link_of_annex, links))
        why = f"{FETCH_ANNEX}, or lie outside of the mounted folder" if of_annex else NOT_THERE
        reasons.insert(0, f"{lost}, which is not there: {why}")
    return "; ".join(reasons)


def is_of_the_system(path: Path) -> bool:
    """Whether a file or folder is one that operating systems leave everywhere, or holds what moved aside for a run."""
    return path.name.startswith(".") or path.name.casefold() in (*SYSTEM_FILES, *SYSTEM_FOLDERS) or is_previous(path)


def is_previous(path: Path) -> bool:
    """Whether a folder holds earlier results that moved aside for later ones: by its name and by the names in it alone."""
    if path.name != PREVIOUS or not os.path.isdir(path):
        return False
    try:
        names = os.listdir(path)
    except OSError:
        return False
    return bool(names) and all(map(TIME_NAME.fullmatch, names))


def is_no_image(path: Path) -> bool:
    """Whether a file is none that could hold a scan, by its name, also compressed."""
    name = path.name.casefold()
    return is_of_the_system(path) or is_index_of_cd(path) or name.removesuffix(".gz").endswith(NO_IMAGE)


def is_index_of_cd(path: Path) -> bool:
    """Whether a file lists the images of a CD of DICOM (DICOMDIR) and is none."""
    return path.name.casefold().removesuffix(";1").rstrip(".") == INDEX_OF_CD


def is_scan(path: Path) -> bool:
    """Whether a file is an image, DICOM or an archive, read or not, or is named so; a picture or an array is none."""
    return not path.name.startswith(".") and (bool(suffix_of(path)) or unread_kind(path) not in ("", PICTURE, ARRAY))


def holds_scan(folder: Path, *, of_cd: bool = False) -> bool:
    """Whether an `is_scan` is among the first files in a folder and below it, or a folder there cannot be read.

    What is hidden is left out, and an archive `of_cd`: it belongs to the viewer.
    """
    if is_of_the_system(folder):
        return False
    try:
        files = itertools.islice(files_in(folder, strict=True), MOST_FILES_EXAMINED)
        return any(is_scan(path) and not (of_cd and unread_kind(path) == ARCHIVE) for path in files)
    except OSError:
        return True


def unread_kind(path: Path) -> str:
    """The image format of a file that is not read; empty for one that is read or no image."""
    name = path.name.casefold()
    if suffix_of(path) or is_no_image(path):
        return ""
    kinds = [kind for kind, ends in UNREAD.items() if name.endswith(ends)]
    return kinds[0] if kinds else DICOM if is_dicom(path) else ""


def describe_unread(folder: Path) -> str:
    """What lies in a folder, or below it, that is an image and is not read; empty where there is nothing.

    Files of DICOM are counted: their names may be the patient's.
    """
    kinds: dict[str, list[str]] = {}
    for path in itertools.islice(files_in(folder), MOST_FILES_EXAMINED):
        if kind := unread_kind(path):
            kinds.setdefault(kind, []).append(str(path.relative_to(folder)))
    found = [f"{f'{len(names)} file(s)' if kind == DICOM else _some(names)} ({kind})" for kind, names in kinds.items()]
    expected = f"which is not read there; expected {', '.join(READ)}{where_dicom_is_read(kinds)}"
    return f"{' and '.join(found)}, {expected}" if found else ""


def where_dicom_is_read(kinds: Iterable[str]) -> str:
    """The advice to add where DICOM lies among what is not read; else empty."""
    return "; DICOM is read with --cases, from a folder for each case" if DICOM in kinds else ""


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_LISTED])
    return shown if len(names) <= MOST_LISTED else f"{len(names)} files, {shown}, ..."
