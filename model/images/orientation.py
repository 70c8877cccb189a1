"""Arrays from the order in which a file stores them to the canonical order, that of the training, and back, exactly.

Canonical order: (z, y, x) of axial slices that run to the patient's top, back and left, as the published cases are stored.
The axes of an oblique scan are taken as the nearest of the patient's; nothing is interpolated.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from model.images.volume import Grid, Volume

THICK = 1.199  # times the other two spacings: an axis that counts slices; no round number, which scans have
NEAR = 0.1  # of the cosines' sum, about 2 degrees next to 45: two orders fit equally well
NOISE = 1e-4  # of a cosine or their sum: what formats, with as little as float32 quaternions, lose of it stays below


@dataclass(frozen=True)
class Turn:
    """How one grid's arrays become arrays in the canonical order."""

    axes: tuple[int, int, int]  # which stored axis is the canonical z, y and x
    reversed: tuple[bool, bool, bool]  # whether the canonical z, y and x run against it

    def to_canonical(self, stored: np.ndarray) -> np.ndarray:
        """The array in the canonical order, contiguous; axes before the last three stay."""
        lead = stored.ndim - 3
        turned = np.transpose(stored, (*range(lead), *(lead + axis for axis in self.axes)))
        return np.ascontiguousarray(np.flip(turned, self._flips(lead)))

    def from_canonical(self, turned: np.ndarray) -> np.ndarray:
        """What `there` was given."""
        lead = turned.ndim - 3
        axes = (*range(lead), *(lead + int(axis) for axis in np.argsort(self.axes)))
        return np.ascontiguousarray(np.transpose(np.flip(turned, self._flips(lead)), axes))

    def spacing_mm(self, grid: Grid) -> tuple[float, float, float]:
        """The grid's spacing in the canonical order, (z, y, x)."""
        z, y, x = (grid.spacing_mm[axis] for axis in self.axes)
        return z, y, x

    def _flips(self, lead: int) -> tuple[int, ...]:
        return tuple(lead + axis for axis, is_reversed in enumerate(self.reversed) if is_reversed)


def turn_to_canonical(grid: Grid) -> Turn:
    """The turn after which each axis runs along the nearest of the patient's.

    It depends on where the voxels lie and not on how they are stored: all 48 storages of a scan become one array. Between
    two orders that fit equally well, at about 45 degrees, slices stay slices. Where that does not settle it, the lines along
    which the axes run do, without their sense; no two axes share one, so one order is left. The header's last bits have no
    say, but for angles at which two orders differ by just NEAR or NOISE.
    """
    cosines = np.reshape(grid.direction, (3, 3))[::-1, ::-1].T  # [stored axis, patient's axis], both (z, y, x)
    orders = np.array(list(itertools.permutations(range(3))))
    lines = cosines[orders]  # [order, canonical axis, patient's axis]
    own = np.diagonal(lines, axis1=1, axis2=2)  # of each canonical axis with the patient's axis of the same name
    lines = lines * np.where(own < 0, -1, 1)[..., np.newaxis]  # as they run after the turn
    fits = np.abs(own).sum(1)
    z, y, x = np.array(grid.spacing_mm)[orders].T
    keep = fits > fits.max() - NEAR
    for values in (z > THICK * np.maximum(y, x), fits, *lines.reshape(6, 9).T):
        keep &= values > values[keep].max() - NOISE
    (number,) = np.flatnonzero(keep)
    first, second, third = orders[number].tolist()
    reversed_z, reversed_y, reversed_x = (own[number] < 0).tolist()
    return Turn((first, second, third), (reversed_z, reversed_y, reversed_x))


def in_order_of(adc: Volume, other: Volume) -> Volume:
    """A volume that belongs to an ADC map in DICOM, its voxels in that map's order; beside any other map as it is.

    DICOM has no order of voxels that files made from it keep: converters turn rows or slices around.
    """
    return other if adc.dicom is None else reordered(adc, other)


def reordered(adc: Volume, other: Volume) -> Volume:
    """Another volume with its voxels in the order of an ADC map's, by what the headers say.

    Nothing is interpolated, and whether the two lie on one grid is still to be asked.
    """
    here, there = turn_to_canonical(adc.grid), turn_to_canonical(other.grid)
    numbers = here.from_canonical(there.to_canonical(np.arange(other.voxels.size).reshape(other.grid.size)))
    ends = [(0, 0, 0), *(tuple(int(axis == n) * (size - 1) for n in range(3)) for axis, size in enumerate(numbers.shape))]
    first, *lasts = (other.grid.to_mm(np.array(np.unravel_index(numbers[end], other.grid.size))) for end in ends)
    axes = np.reshape(adc.grid.direction, (3, 3)).T[::-1].copy()  # of an axis with one voxel nothing tells another
    for axis, last in enumerate(lasts):
        if numbers.shape[axis] > 1:
            axes[axis] = (last - first) / np.linalg.norm(last - first)
    learnt_mm = there.spacing_mm(other.grid)
    z, y, x = (learnt_mm[here.axes.index(axis)] for axis in range(3))
    grid = Grid(numbers.shape, (z, y, x), tuple(first.tolist()), tuple(axes[::-1].T.ravel().tolist()))
    return replace(other, voxels=other.voxels.ravel()[numbers], grid=grid)
