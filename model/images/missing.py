"""NaN and infinity in the maps: nothing was measured there. Outside the brain they are 0, inside they are refused.

Where the brain is, is known from ADC > 0. A voxel whose ADC itself is missing lies in the brain when

- it is cut off from the background by voxels of the brain, or most of what its region touches is brain. Small regions
  without a Z value are background all the same: 41 of the 44 labelled brains have such holes, of at most 128 mm3; or
- it belongs to a larger region that has Z values, while most of the background has none.
"""

from dataclasses import replace

import numpy as np

from model.errors import UserError
from model.images.components import connected_components
from model.images.grid import Volume

SMALL_MM3 = 200.0


def without_missing(adc: Volume, zadc: Volume | None) -> tuple[Volume, Volume | None, str]:
    """(ADC map, Z map, a sentence on what was taken as 0): maps on one grid, all finite; the sentence may be empty.

    It says nothing of padding below 0 in DICOM, which is background.

    Without a Z map no voxel has a Z value. Raises UserError when a voxel of the brain is NaN or infinite in one of them.
    """
    missing_adc = ~np.isfinite(adc.voxels)
    missing_z = np.zeros_like(missing_adc) if zadc is None else ~np.isfinite(zadc.voxels)
    if not missing_adc.any() and not missing_z.any():
        return adc, zadc, ""
    brain = ~missing_adc & (adc.voxels > 0)
    if missing_adc.any():
        z = np.zeros_like(adc.voxels) if zadc is None else zadc.voxels
        _refuse(_in_brain(missing_adc, brain, z, adc.grid.voxel_mm3), adc)
    counts = [_counted(adc, missing_adc)]
    adc = _with_0(adc, missing_adc)
    if zadc:
        _refuse(missing_z & brain, zadc)
        counts.append(_counted(zadc, missing_z))
        zadc = _with_0(zadc, missing_z)
    said = " and ".join(filter(None, counts))
    return adc, zadc, f"NaN or infinite voxels outside the brain were taken as 0: {said}." if said else ""


def _counted(volume: Volume, missing: np.ndarray) -> str:
    return f"{np.count_nonzero(missing)} in {volume.path.name}" if missing.any() and not volume.nan_is_background else ""


def _with_0(volume: Volume, missing: np.ndarray) -> Volume:
    return replace(volume, voxels=np.where(missing, np.float32(0), volume.voxels))


def _refuse(wrong: np.ndarray, volume: Volume) -> None:
    count = np.count_nonzero(wrong)
    if count:
        where = "are NaN or infinite inside the brain, expected finite values there"
        raise UserError(f"{volume.path}: {count} of {wrong.size} voxels {where}")


def _in_brain(missing: np.ndarray, brain: np.ndarray, zadc: np.ndarray, voxel_mm3: float) -> np.ndarray:
    """Which of the voxels without ADC lie in the brain: boolean (z, y, x)."""
    has_z = np.isfinite(zadc) & (zadc != 0)
    regions, count = connected_components(missing, by_faces=True)
    if len(_border(regions)) == count and not (missing & has_z).any():  # all is background
        return np.zeros_like(missing)
    others, _ = connected_components(~brain, by_faces=True)
    background = np.isin(others, _border(others))
    z_is_masked = not background.any() or has_z[background].mean() < 0.5
    nan_is_background = background.any() and np.isnan(zadc[background]).mean() > 0.5
    without_z = (zadc == 0) | (np.isnan(zadc) & nan_is_background)
    enclosed = missing & (~background | _mostly_in(brain, regions)[regions])
    excused = without_z & _small(regions, voxel_mm3)
    with_z = missing & has_z
    large_with_z = with_z & ~_small(connected_components(with_z, by_faces=True)[0], voxel_mm3)
    return (enclosed & ~excused) | (large_with_z & z_is_masked)


def _small(regions: np.ndarray, voxel_mm3: float) -> np.ndarray:
    """Where the labelled regions are at most SMALL_MM3 large."""
    return (np.bincount(regions.ravel()) * voxel_mm3 <= SMALL_MM3)[regions]


def _mostly_in(brain: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """By region: whether it stays off the volume's border, and most of the faces that it shares with others are brain's."""
    faces = np.zeros((2, regions.max() + 1), int)
    for axis in range(3):
        for ahead, behind in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            here, there = ((slice(None),) * axis + (part,) for part in (ahead, behind))
            touching = (regions[here] > 0) & (regions[there] == 0)
            for kind in (0, 1):
                chosen = regions[here][touching & (brain[there] == kind)]
                faces[kind] += np.bincount(chosen, minlength=faces.shape[1])
    at_border = np.isin(np.arange(faces.shape[1]), _border(regions))
    return ~at_border & (faces[1] > faces[0])


def _border(labels: np.ndarray) -> np.ndarray:
    """The labels above 0 on the volume's six sides. A volume of one slice has its border around the slice."""
    sides = [labels[:, [0, -1]], labels[:, :, [0, -1]], *([labels[[0, -1]]] if len(labels) > 2 else [])]
    found = np.unique(np.concatenate([side.ravel() for side in sides]))
    return found[found > 0]
