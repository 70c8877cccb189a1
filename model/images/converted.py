"""Files that a converter made of DICOM and left beside it: whether they are copies of the series that was read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import NotOneGrid, Volume, difference
from model.images.orientation import in_order_of
from model.images.volume import read_volume

MOST_EMPTY, MOST_OTHER = 0.01, 0.001  # shares of the voxels with ADC; a copy has none
ROUNDING, ROUNDING_ADC = 0.01, 2.0  # by how much the values of a copy may differ: as a share, or in 1e-6 mm2/s
FACTORS = (1.0, 1e3, 1e6)  # between the units that ADC is stored in
CHOOSE = "List the one to use in a cases.csv, or remove it"


def of_converted(adc: Volume, converted: Sequence[Path]) -> list[str]:
    """A sentence on what was left out for an ADC map in DICOM; none where nothing was.

    adc: with a brain mask applied, if there is one. Raises UserError where the files on the same grid have other values:
    which of the two is meant is not known. The files' names are not told, for converters put the patient's there.
    """
    if not converted:
        return []
    found = [other for path in converted if (other := _read(path, adc))]
    on_grid = [other for other in found if not difference(adc.grid, other.grid)]
    with_adc = adc.voxels > 0
    others = [share for other in on_grid if (share := _share_of_others(adc, other)) > MOST_OTHER]
    if on_grid and len(others) == len(on_grid):
        if min(float(np.mean(other.voxels[with_adc] == 0)) for other in on_grid) > MOST_EMPTY:
            raise UserError(
                f"{adc.path}: the file beside the DICOM that was converted from it is empty in places with ADC: was it"
                f" skull-stripped, or is it of another study? {CHOOSE}"
            )
        raise UserError(
            f"{adc.path}: the file beside the DICOM that looks converted from it has other values in {min(others):.1%} of"
            f" the voxels with ADC: was it processed since, or is it of another study? {CHOOSE}"
        )
    left_out = "The ADC map was taken from DICOM, not from the file beside it that was converted from DICOM"
    if others:
        return [f"{left_out}, nor from {len(others)} more with other values."]
    if found and not on_grid:
        return [f"{left_out}, which lies on another grid: is it of another study?"]
    return [f"{left_out}."]


def of_other_grid(error: NotOneGrid, converted: Sequence[Path]) -> str:
    """What to add to the message where a map or mask fits a converted file and not the DICOM; else empty."""
    adc, other = error.volumes
    if not any(copy and not difference(copy.grid, other.grid) for copy in (_read(path, adc) for path in converted)):
        return ""
    return (
        f"; {other.path.name} is on the grid of the file beside the DICOM that looks converted from it, and which was left"
        " out: list the one to use in a cases.csv"
    )


def _share_of_others(adc: Volume, other: Volume) -> float:
    """Of the voxels with ADC, the share whose value is another one, in whatever unit."""
    with_adc = adc.voxels > 0
    here, there = adc.voxels[with_adc], other.voxels[with_adc]
    allowed = np.maximum(here * ROUNDING, ROUNDING_ADC)
    return min(float(np.mean(~(np.abs(there * np.float32(factor) - here) <= allowed))) for factor in FACTORS)


def _read(path: Path, adc: Volume) -> Volume | None:
    """None for a file that cannot be read."""
    try:
        return in_order_of(adc, read_volume(path, keep_nan=True))
    except UserError:
        return None
