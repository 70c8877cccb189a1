"""An invented newborn's brain with lesions of several sizes: the ADC map, the Z map and the label of one case.

Nothing in it comes from a patient. Arrays are (z, y, x), z up, y to the back, x to the left before the grid is turned;
lengths are mm from the brain's middle. The voxels are the same on every machine and numpy release: noise is integer sums
of raw PCG64 bits, the rest is elementwise arithmetic and square roots, and both maps are rounded.
"""

import argparse
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only this folder is on the path

from model.errors import UserError
from model.files import require_writable
from model.images.volume import Grid
from training.common.cli import run

Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # (z, y, x) in mm, shaped to broadcast to a volume
Triple = tuple[float, float, float]  # (z, y, x)

SIZE = (30, 88, 76)
SPACING_MM = (3.0, 1.6, 1.5)
ORIGIN_MM = (-31.25, -78.5, -12.75)  # (x, y, z)
TURN = (30, 4, -3, 5)  # quaternion (w, x, y, z) of an oblique scan, 27 degrees; not normalised

# The platform's names for this challenge's two inputs, written out and not imported: tests compare the code with them.
SOCKETS = {
    "z-score-apparent-diffusion-coefficient-map": ("Z-score ADC", "images/z-score-adc", "phantom_zadc.mha"),
    "skull-stripped-adc": ("Skull-stripped ADC", "images/skull-stripped-adc-brain-mri", "phantom_adc.mha"),
}
# What NIfTI leaves behind in the headers of converted files; the NUL characters make ITK warn when it writes them on.
LEFTOVERS = {"descrip": "phantom", "dim_info": "\0", "qform_code": "1", "slice_code": "\0", "slice_start": "0"}


@dataclass(frozen=True, eq=False)
class Phantom:
    """Both maps and the truth.

    adc: float32, whole 1e-6 mm2/s, 0 outside the brain, a few negative voxels at its edge; zadc: float32, standard
    deviations within +-10; label: boolean; all (z, y, x) on `grid`.
    """

    adc: np.ndarray
    zadc: np.ndarray
    label: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class Lesion:
    """A blob: the `voxels` tissue voxels that lie nearest to its centre, with soft edges in the maps."""

    voxels: int
    centre_mm: Triple
    stretch: Triple  # relative lengths of its axes
    z_drop: float  # standard deviations in the middle, half of it at the label's edge
    adc_drop: float  # 1e-6 mm2/s, likewise


LESIONS = (
    Lesion(1390, (3, -1, -16), (0.9, 1.5, 0.9), 5.5, 520),  # 10 ml: basal ganglia and thalamus of one side
    Lesion(140, (19, 24, 27), (0.9, 1.2, 0.8), 5.2, 450),  # 1 ml: parietal cortex
    Lesion(38, (24, -18, -15), (1.0, 1.0, 1.0), 5.6, 420),
    Lesion(17, (-20, 30, 15), (1.2, 0.9, 1.0), 5.4, 400),
    Lesion(7, (-2, 34, 22), (1.3, 1.0, 1.0), 6.0, 400),
    Lesion(3, (14, -30, 13), (1.6, 1.0, 0.9), 6.5, 380),
)


def make_phantom() -> Phantom:
    """The case; the same voxels at every call."""
    points = _points()
    shell = _shell(points)
    csf = _csf(points, shell)
    label, z_drop, adc_drop = _lesions(points, tissue=(shell < 0.97) & (csf < 0.35))
    adc = _tissue_adc(points, shell) - adc_drop + 32 * _noise(1, (0, 1, 1)) + 35 * _noise(2, (1, 4, 4))
    adc += csf * (3050 - adc + 380 * _noise(3, (0, 1, 1)))
    zadc = 0.2 + 0.8 * _noise(4, (1, 3, 3)) + 0.35 * _noise(5, (0, 1, 1)) - z_drop + 9 * csf
    brain = shell < 1
    adc = np.where(brain, np.clip(np.rint(adc), 1, 4095), 0)
    adc[_dark_edge(shell)] = -12
    zadc = np.where(brain, np.clip(np.round(zadc, 3), -10, 10), 0)
    return Phantom(adc.astype(np.float32), zadc.astype(np.float32), label, make_grid())


def make_grid() -> Grid:
    """Anisotropic, unequal in plane, oblique, away from the scanner's origin."""
    return Grid(SIZE, SPACING_MM, ORIGIN_MM, _rotation(TURN))


def write_case(folder: Path) -> None:
    """Write the case as the platform lays it out: `input/` with `inputs.json` and two images, and beside it `label.mha`.

    As in published files, the Z map's direction differs from the ADC map's in the last digits.
    """
    phantom = make_phantom()
    z_direction = tuple(round(cosine, 5) for cosine in phantom.grid.direction)
    maps = ((phantom.zadc, z_direction), (phantom.adc, phantom.grid.direction))
    for (_, where, name), (voxels, direction) in zip(SOCKETS.values(), maps, strict=True):
        path = folder / "input" / where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(voxels, phantom.grid, path, direction, LEFTOVERS)
    manifest = json.dumps([_manifest_entry(slug) for slug in SOCKETS], indent=2) + "\n"
    (folder / "input" / "inputs.json").write_text(manifest, encoding="utf-8")
    write_image(phantom.label.astype(np.uint8), phantom.grid, folder / "label.mha")


def require_new(path: Path) -> None:
    """Raise UserError when something lies at a path, an empty folder excepted."""
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: is there already and stays; name a new one")


def write_image(
    voxels: np.ndarray,
    grid: Grid,
    path: Path,
    direction: tuple[float, ...] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write (z, y, x) voxels of any type on `grid`, compressed; `direction`, where given, instead of the grid's."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(direction or grid.direction)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)


def _manifest_entry(slug: str) -> dict:
    """One input as the platform lists it: today's `socket` and, for older containers, the same as `interface`."""
    title, where, name = SOCKETS[slug]
    number = list(SOCKETS).index(slug) + 1
    socket = {
        "title": title,
        "description": "",
        "slug": slug,
        "kind": "Image",
        "pk": number,
        "default_value": None,
        "super_kind": "Image",
        "relative_path": where,
        "overlay_segments": [],
        "look_up_table": None,
    }
    image = {"pk": f"00000000-0000-4000-8000-{number:012d}", "name": name}
    return {"socket": socket, "interface": socket, "value": None, "file": None, "image": image, "pk": number}


def _rotation(quaternion: tuple[int, int, int, int]) -> tuple[float, ...]:
    """The nine cosines of a rotation, row by row; exact fractions, so that no sine is rounded."""
    w, x, y, z = quaternion
    rows = (
        (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    )
    length = w * w + x * x + y * y + z * z
    return tuple(value / length for row in rows for value in row)


def _points() -> Points:
    """Voxel centres in mm; the middle lies off the voxels, so that no flip leaves the case as it is."""
    middle = (14.3, 43.7, 37.6)
    axes = [(np.arange(n) - m) * mm for n, m, mm in zip(SIZE, middle, SPACING_MM, strict=True)]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def _noise(stream: int, reach: tuple[int, int, int]) -> np.ndarray:
    """Smooth noise, mean 0, variance 1: uniform integers, twice box-summed over 2 reach + 1 voxels along each axis."""
    bits = np.random.PCG64(stream).random_raw(math.prod(SIZE)) >> np.uint64(48)
    field = bits.astype(np.int64).reshape(SIZE) - 2**15
    variance = 2**32 / 12
    for axis, r in enumerate(reach):
        for _ in range(2):
            field = sum(np.roll(field, shift, axis) for shift in range(-r, r + 1))
        box = np.ones(2 * r + 1, dtype=np.int64)
        variance *= int((np.convolve(box, box) ** 2).sum())
    return field / math.sqrt(variance)


def _radius(points: Points, centre_mm: Triple, radii_mm: Triple) -> np.ndarray:
    """Distance from an ellipsoid's middle: 1 on its surface."""
    return np.sqrt(sum(((p - c) / r) ** 2 for p, c, r in zip(points, centre_mm, radii_mm, strict=True)))


def _ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before `start`, 1 past `end`, straight in between; falls where `end` is the smaller."""
    return np.clip((values - start) / (end - start), 0, 1)


def _cerebellum(points: Points) -> np.ndarray:
    """Radius of the cerebellum and brain stem: 1 on their surface."""
    return np.minimum(_radius(points, (-27, 29, 1), (13, 18, 26)), _radius(points, (-30, 11, 0), (17, 9, 10)))


def _shell(points: Points) -> np.ndarray:
    """Radius of the whole brain, below 1 inside: narrower in front, flatter below, one side wider, a little uneven."""
    z, y, x = points
    half_width = np.where(x > 0, 44.5, 43) + 0.09 * y
    cerebrum = np.sqrt((z / np.where(z > 0, 37, 28)) ** 2 + (y / 54) ** 2 + (x / half_width) ** 2)
    return np.minimum(cerebrum + 0.012 * _noise(6, (1, 3, 3)), _cerebellum(points))


def _csf(points: Points, shell: np.ndarray) -> np.ndarray:
    """Share of fluid in each voxel: rim, sulci, fissures and ventricles, smoothed in plane for partial volume."""
    z, y, x = points
    rim = _ramp(shell, 0.94, 1.02)
    sulci = _ramp(np.abs(_noise(7, (1, 3, 3))), 0.32, 0.08) * _ramp(shell, 0.78, 0.9) * (_cerebellum(points) > 1)
    midline = np.abs(x - 0.5 - 0.012 * y)
    fissure = _ramp(midline, 1.8, 0.6) * _ramp(shell, 0.5, 0.62) * (z > -12)
    sylvian = _ramp(_radius(points, (-1, -9, 40), (4, 13, 10)), 1.1, 0.8)
    sylvian = np.maximum(sylvian, _ramp(_radius(points, (-2, -10, -39), (4, 12, 9)), 1.1, 0.8))
    fluid = np.maximum.reduce([rim, sulci, fissure, sylvian, _ventricles(points)])
    for axis in (1, 2):
        fluid = (np.roll(fluid, 1, axis) + 2 * fluid + np.roll(fluid, -1, axis)) / 4
    return fluid


def _ventricles(points: Points) -> np.ndarray:
    """Share of ventricle: both lateral ones (the left is wider), third and fourth."""
    rooms = (
        ((11, -6, 7), (6, 21, 4.2)),
        ((6, 19, 16), (8, 11, 5.5)),
        ((11, -6, -7), (5.5, 20, 3.4)),
        ((6, 18, -15), (7, 10, 4.5)),
        ((0, 3, 0.5), (8, 10, 1.6)),
        ((-20, 20, 0), (6, 4, 5)),
    )
    return np.maximum.reduce([_ramp(_radius(points, *room), 1.15, 0.85) for room in rooms])


def _tissue_adc(points: Points, shell: np.ndarray) -> np.ndarray:
    """ADC of the healthy tissue, 1e-6 mm2/s: unmyelinated white matter highest, deep grey matter lowest."""
    deep = [
        _ramp(_radius(points, (z, y, side * x), radii), 1.15, 0.85)
        for side in (-1, 1)
        for z, y, x, radii in ((4, 9, 9, (9, 12, 8)), (3, -9, 16, (9, 14, 7)))
    ]
    adc = 1390 - 170 * _ramp(shell, 0.8, 0.86)
    adc += np.maximum.reduce(deep) * (1120 - adc)
    return adc + _ramp(_cerebellum(points), 1.05, 0.95) * (1190 - adc)


def _lesions(points: Points, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The label, and by how much the lesions lower the Z map and the ADC map."""
    label = np.zeros(SIZE, bool)
    z_drop, adc_drop = np.zeros(SIZE), np.zeros(SIZE)
    uneven = 1 + 0.12 * _noise(8, (1, 3, 3))
    for lesion in LESIONS:
        distance = np.where(tissue, _radius(points, lesion.centre_mm, lesion.stretch) * uneven, 1e6)
        edge = np.sort(distance, axis=None)[lesion.voxels - 1 : lesion.voxels + 1].mean()
        depth = _ramp(distance, edge + 2.5, edge - 2.5)  # mm; half at the label's edge
        label |= distance < edge
        z_drop = np.maximum(z_drop, lesion.z_drop * depth)
        adc_drop = np.maximum(adc_drop, lesion.adc_drop * depth)
    return label, z_drop, adc_drop


def _dark_edge(shell: np.ndarray) -> np.ndarray:
    """A few voxels of the outermost layer, where resampled files go below zero."""
    return (shell > 0.98) & (shell < 1) & (_noise(9, (0, 0, 0)) > 1.68)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the invented case in the platform's layout, with its label.")
    parser.add_argument("folder", type=Path, help="where to write input/ and label.mha")
    folder = parser.parse_args().folder
    for name in ("input", "label.mha"):
        require_new(folder / name)
    require_writable(folder)
    write_case(folder)


if __name__ == "__main__":
    run(main)
