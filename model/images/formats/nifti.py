"""NIfTI files (.nii, .nii.gz) in and out, by nibabel, whose import costs half a second and waits until it is needed.

NIfTI counts mm to the right, the front and the top (RAS), where `Grid` counts to the left, the back and the top: two signs
change. A file has up to two transforms, each with a code. The sform counts, as in nibabel, and the qform where it alone has
a code. Where both have one and differ, the scanner's counts before a template's (3 Talairach, 4 MNI). Codes 1 (scanner) and
2 (aligned) are both taken as the scanner's space: two such transforms that differ are refused, since either may be right.

A file without any transform (both codes 0) does not say how it lies in the patient. It is taken as nibabel takes it, x from
right to left, y from back to front, z from bottom to top, the volume's middle at 0, and written the same: a mask has its
ADC map's transforms, codes included, bit for bit.
"""

import gzip
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.errors import UserError
from model.images.grid import Grid, Volume, require_scalar_3d
from model.images.space import TEMPLATES, UNKNOWN, space_by_codes
from model.images.streams import FileBytes, plain_stream, read_file, require_plausible

if TYPE_CHECKING:
    from nibabel import Nifti1Header

LONGEST_HEADER = 540  # bytes: NIfTI-2's
BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}  # by datatype, those read
WRITABLE_TYPES = ("uint8", "int16", "float32")
MM = {1: 1000.0, 3: 0.001}  # a metre and a micrometre; other units, and none, are mm
TOLERANCE_MM = 0.1  # float32 quaternions of volumes of 250 mm are right to less
TO_LPS = np.array([-1, -1, 1])  # (x, y, z) in mm: right, front, top to left, back, top
QFORM = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
SFORM = ("srow_x", "srow_y", "srow_z")
PLACE = ("xyzt_units", "qform_code", "sform_code", *QFORM, *SFORM)  # beside pixdim, all that the transforms need


def read_nifti(path: Path) -> Volume:
    """One 3D map, NaN and infinity kept; compressed or not by what the file is, whatever its name. Opened once.

    Raises ValueError when it is cut off, damaged or no NIfTI file, UserError when it is whole but not usable.
    """
    file = read_file(path)
    with plain_stream(file) as stream, np.errstate(invalid="ignore", over="ignore"):  # too large for float32 is infinite
        head = stream.read(LONGEST_HEADER)
        header = _header(head, path)
        shape = _shape(header, path)
        place = _place(header, path)
        voxels, more = _voxels(stream, head, header, shape, file, path)
        grid = _grid(place, shape, header)
    remarks = (f"{path.name} has {more} bytes behind its voxels, which were not read.",) if more else ()
    space = space_by_codes(int(header["qform_code"]), int(header["sform_code"]))
    sha256 = hashlib.sha256(file.data).hexdigest()
    return Volume(voxels, grid, path, space != UNKNOWN, sha256, remarks, space=space)


def load_nibabel() -> None:
    """Import it now and not with the first file."""
    import nibabel  # noqa: F401


def encode_nifti(voxels: np.ndarray, grid: Grid, compress: bool = True, description: str = "") -> bytes:
    """A NIfTI file of (z, y, x) voxels of one of the WRITABLE_TYPES on `grid`; the same bytes at every call.

    On the grid of a NIfTI file it has that file's transforms, else `grid` as qform and sform, in the scanner's space.
    description: for the header, up to 79 letters. Raises ValueError when the array is of another type or not of the grid's
    size.
    """
    import nibabel

    if voxels.dtype.name not in WRITABLE_TYPES or voxels.shape != grid.size:
        raise ValueError(f"expected {', '.join(WRITABLE_TYPES)} of {grid.size}, found {voxels.dtype.name} of {voxels.shape}")
    header = _empty_header(grid)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(grid.size[::-1])
    header["descrip"] = description
    of_version = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    data = of_version(voxels.T, None, header).to_bytes()
    return gzip.compress(data, compresslevel=6, mtime=0) if compress else data


def affine_ras(grid: Grid) -> np.ndarray:
    """From voxel (x, y, z) to mm to the right, the front and the top: float64 (4, 4)."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(grid.direction, (3, 3)) * grid.spacing_mm[::-1]
    affine[:3, 3] = grid.origin_mm
    affine[:3] *= TO_LPS[:, None]
    return affine


def _header(head: bytes, path: Path) -> "Nifti1Header":
    """The header, with what a voxel measures made positive, as the standard has it."""
    import nibabel

    of_version = next((one for one in (nibabel.Nifti1Header, nibabel.Nifti2Header) if one.may_contain_header(head)), None)
    if of_version is None:
        raise ValueError("expected a NIfTI header of 348 or 540 bytes")
    header = of_version(head[: of_version.sizeof_hdr], check=False)
    if header["magic"].item() == header.pair_magic:
        raise UserError(f"{path}: its voxels are in another file (.img), expected header and voxels in one file")
    if int(header["sizeof_hdr"]) != header.sizeof_hdr or header["magic"].item() != header.single_magic:
        raise ValueError("expected header and voxels in one NIfTI file (magic n+1 or n+2)")
    header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    header["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    return header


def _shape(header: "Nifti1Header", path: Path) -> tuple[int, int, int]:
    """Voxels (x, y, z). Further dimensions may be there, of one volume."""
    dimensions, *sizes = (int(n) for n in header["dim"])
    if not 1 <= dimensions <= 7 or min(sizes[:dimensions]) < 1:
        raise ValueError(f"the header promises no voxel: dim = {dimensions}, {sizes}")
    sizes = sizes[:dimensions]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    require_scalar_3d(tuple(sizes), 1, path)
    datatype, bits = int(header["datatype"]), int(header["bitpix"])
    if BITS.get(datatype) != bits:
        raise UserError(f"{path}: expected whole or real numbers, found datatype {datatype} with {bits} bits")
    x, y, z = sizes
    return x, y, z


def _voxels(
    stream: io.BytesIO | gzip.GzipFile,
    head: bytes,
    header: "Nifti1Header",
    shape: tuple[int, int, int],
    file: FileBytes,
    path: Path,
) -> tuple[np.ndarray, int]:
    """The voxels as float32 (z, y, x), scaled, and how many bytes follow them: less than a slice.

    As many bytes are decompressed as the header promises; the checksum comes after them.
    """
    from nibabel.spatialimages import HeaderDataError

    offset, element = float(header["vox_offset"]), header.get_data_dtype().itemsize
    if not header.sizeof_hdr <= offset <= 1 << 24 or offset != int(offset):
        raise ValueError(f"the header has no usable vox_offset: {offset}")
    promised = int(offset) + int(np.prod(shape)) * element
    require_plausible(file.size, promised)
    spare = shape[0] * shape[1] * element  # a slice more would be one that the header does not know
    data = head + stream.read(promised + spare - len(head))
    if not promised <= len(data) < promised + spare:
        raise ValueError(f"the header promises {promised} bytes, found {'more' if len(data) > promised else len(data)}")
    try:
        found = header.data_from_fileobj(io.BytesIO(data))
    except HeaderDataError as error:  # a slope without an intercept
        raise UserError(f"{path}: its scl_slope and scl_inter make no values ({error})") from None
    return np.ascontiguousarray(found.reshape(shape, order="F").T, np.float32), len(data) - promised


def _place(header: "Nifti1Header", path: Path) -> np.ndarray:
    """The affine (4, 4) that counts, RAS and in the header's unit. Raises UserError where there is not one alone."""
    codes = int(header["qform_code"]), int(header["sform_code"])
    if max(codes) <= 0:
        return header.get_base_affine()
    of_template = [code in TEMPLATES for code in codes]
    both = min(codes) > 0
    qform = _qform(header, path) if codes[0] > 0 and not (both and of_template == [True, False]) else None
    sform = _sform(header, path) if codes[1] > 0 and not (both and of_template == [False, True]) else None
    places = [place for place in (qform, sform) if place is not None]
    if len(places) == 2:
        _require_one_place(places[0], places[1], header, path)
    return places[-1]


def _sform(header: "Nifti1Header", path: Path) -> np.ndarray:
    sform, spacing = header.get_sform(), header["pixdim"][1:4]
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.isfinite(spacing).all() and header["qform_code"] <= 0:  # which nobody needs then
        header["pixdim"][1:4] = lengths
    elif not np.allclose(lengths, spacing, rtol=0, atol=TOLERANCE_MM):
        raise UserError(f"{path}: its sform has voxels of {lengths.round(4)} mm, its pixdim says {spacing.round(4)}")
    return sform


def _require_one_place(qform: np.ndarray, sform: np.ndarray, header: "Nifti1Header", path: Path) -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (header["dim"][1:4].astype(float) - 1)
    apart = np.abs(corners @ (qform - sform)[:3, :3].T + (qform - sform)[:3, 3]).max()
    if not apart <= TOLERANCE_MM:  # as NaN is not
        codes = f"its qform (code {header['qform_code']}) and its sform (code {header['sform_code']})"
        raise UserError(f"{path}: {codes} put the voxels up to {apart:.3g} mm apart, expected one place")


def _qform(header: "Nifti1Header", path: Path) -> np.ndarray:
    from nibabel.spatialimages import HeaderDataError

    try:
        return header.get_qform()
    except (ValueError, HeaderDataError) as error:
        raise UserError(f"{path}: its qform is no rotation ({error})") from None


def _grid(affine: np.ndarray, shape: tuple[int, int, int], header: "Nifti1Header") -> Grid:
    affine = TO_LPS[:, None] * affine[:3] * MM.get(int(header["xyzt_units"]) & 7, 1.0)
    spacing_mm = np.linalg.norm(affine[:, :3], axis=0)
    direction = affine[:, :3] / np.where(spacing_mm > 0, spacing_mm, 1)  # what is not finite is refused with the grid
    x, y, z = affine[:, 3].tolist()
    sx, sy, sz = spacing_mm.tolist()
    return Grid(shape[::-1], (sz, sy, sx), (x, y, z), tuple(direction.ravel().tolist()), header.binaryblock)


def _empty_header(grid: Grid) -> "Nifti1Header":
    """A header that says where the grid lies, and nothing else."""
    import nibabel

    if not grid.nifti_header:
        header, affine = nibabel.Nifti1Header(), affine_ras(grid)
        header.set_xyzt_units("mm")
        header.set_qform(affine, code="scanner")
        header.set_sform(affine, code="scanner")
        return header
    of_version = nibabel.Nifti1Header if len(grid.nifti_header) == 348 else nibabel.Nifti2Header
    source, header = of_version(grid.nifti_header, check=False), of_version()
    header["pixdim"][:4] = _or_zero(source["pixdim"][:4])
    for name in PLACE:
        header[name] = _or_zero(source[name])
    return header


def _or_zero(values: np.ndarray) -> np.ndarray:
    """Numbers of a transform that no code makes valid may be NaN, on which ITK hangs."""
    return np.where(np.isfinite(values), values, 0)
