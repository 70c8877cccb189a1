"""A brain mask that lies beside a map which is not skull-stripped: read, checked and applied."""

from dataclasses import replace

import numpy as np

from model.errors import UserError
from model.images.formats.names import is_segmentation
from model.images.limits import SMALLEST_BRAIN_ML
from model.images.orientation import in_order_of
from model.images.volume import Volume, require_same_grid

LEAST_WITH_ADC = 0.9  # share of a mask; less is told
# of a map that was skull-stripped before: the most ml with ADC above 0, the least share of 0 elsewhere, and the share of
# its ADC above 0 from which on a mask that takes it away is told
LARGEST_STRIPPED_ML, LEAST_ZEROS, MOST_TAKEN = 600.0, 0.99, 0.2
BETWEEN_VOXELS = 0.05  # of a voxel, by which a mask's may lie beside the map's


def usable_brain_mask(mask: Volume, adc: Volume, smallest_ml: float = SMALLEST_BRAIN_ML) -> Volume:
    """A brain mask in the order of an ADC map's voxels, 1 in the brain and 0 elsewhere.

    Raises UserError, which names both files, when it is on another grid, empty, holds other values, or less than
    `smallest_ml`, or no voxel, with ADC above 0 lies in it. A segmentation of 3D Slicer, which is cut to what it holds, is
    filled with 0 to the map's grid.
    """
    mask = in_order_of(adc, mask)
    mask = filled_to_map(mask, adc) if is_segmentation(mask.path) else mask
    require_same_grid(adc, mask)
    both = f"{mask.path} is no brain mask for {adc.path}"
    if shown := other_values(mask):
        raise UserError(f"{both}: expected the values 0 and 1, found {shown}")
    if not mask.voxels.any():
        raise UserError(f"{both}: it is empty, expected 1 in the brain")
    with_adc = (adc.voxels > 0) & (mask.voxels == 1)
    if not with_adc.any():
        raise UserError(f"{both}: no voxel with ADC above 0 lies in it")
    if (left_ml := _ml(with_adc, adc)) < smallest_ml:
        raise UserError(
            f"{both}: it leaves {left_ml:.4g} ml with ADC above 0, expected at least {smallest_ml:g} ml of brain; is it the"
            " mask of a part, or of lesions? --smallest-brain ML lowers that for a preterm baby"
        )
    return mask


def other_values(mask: Volume) -> str:
    """Which values but 0 and 1 a mask holds, the first three in words; empty where it holds none."""
    values = np.unique(mask.voxels)
    others = values[~np.isin(values, (0, 1))]
    return ", ".join(f"{value:.4g}" for value in others[:3]) + (", ..." if others.size > 3 else "")


def filled_to_map(mask: Volume, adc: Volume) -> Volume:
    """A mask whose voxels are some of an ADC map's, on all of its grid.

    Raises UserError where it has other steps, lies between the map's voxels, or has voxels beyond the map.
    """
    grid = adc.grid
    require_same_grid(adc, replace(mask, grid=replace(mask.grid, size=grid.size, origin_mm=grid.origin_mm)))
    axes = np.reshape(mask.grid.direction, (3, 3))  # by which it was cut out; DICOM's may be rounded to three digits
    place = np.linalg.solve(axes, np.subtract(mask.grid.origin_mm, grid.origin_mm))[::-1] / grid.spacing_mm
    first = place.round().astype(int)
    if np.abs(place - first).max() > BETWEEN_VOXELS:
        shown = ", ".join(f"{number:.2f}" for number in place)
        raise UserError(
            f"{adc.path} and {mask.path} are not on one grid: the mask's first voxel is the map's ({shown}) (z, y, x),"
            " expected whole numbers"
        )
    marked = np.argwhere(mask.voxels) + first
    if (marked < 0).any() or (marked >= grid.size).any():
        raise UserError(f"{mask.path}: reaches beyond the ADC map, expected a mask that lies in it")
    voxels = np.zeros(grid.size, np.float32)
    voxels[tuple(marked.T)] = 1
    return replace(mask, voxels=voxels, grid=grid)


def stripped(adc: Volume, zadc: Volume | None, mask: Volume) -> tuple[Volume, Volume | None, list[str]]:
    """Both maps with 0 outside the mask, missing values there too, and sentences on what that changed."""
    inside = mask.voxels == 1
    with_adc = adc.voxels > 0
    remarks = [
        f"The brain mask {mask.path.name} was applied, as asked for: {_ml(with_adc & ~inside, adc):.1f} ml with ADC above 0"
        f" lay outside of it, {_ml(with_adc & inside, adc):.1f} ml inside."
    ]
    share = float(with_adc[inside].mean())
    if share < LEAST_WITH_ADC:
        remarks.append(f"Only {share:.0%} of the brain mask {mask.path.name} has ADC above 0: is it of this map?")
    if (taken := float(1 - inside[with_adc].mean())) > MOST_TAKEN and _looks_stripped(adc):
        remarks.append(
            f"The brain mask {mask.path.name} takes away {taken:.0%} of the voxels with ADC above 0 of a map that is 0"
            " elsewhere and may be skull-stripped already: is it the mask of a whole brain?"
        )
    if zadc and (zadc.voxels[~inside] != 0).any():
        lost_ml = _ml((zadc.voxels != 0) & ~inside, adc)
        remarks.append(f"The Z map had values in {lost_ml:.1f} ml outside the brain mask; they were set to 0.")
    return _inside(adc, inside), zadc and _inside(zadc, inside), remarks


def _looks_stripped(adc: Volume) -> bool:
    """Whether a map is 0 but in a volume no larger than a newborn's brain."""
    elsewhere = adc.voxels[~(adc.voxels > 0)]
    zeros = np.count_nonzero(np.nan_to_num(elsewhere) == 0)
    return bool(zeros) and bool(zeros >= LEAST_ZEROS * elsewhere.size) and _ml(adc.voxels > 0, adc) <= LARGEST_STRIPPED_ML


def _inside(volume: Volume, inside: np.ndarray) -> Volume:
    return replace(volume, voxels=np.where(inside, volume.voxels, np.float32(0)))


def _ml(voxels: np.ndarray, volume: Volume) -> float:
    return np.count_nonzero(voxels) * volume.grid.voxel_mm3 / 1000
