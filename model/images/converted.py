"""Files that a converter made of DICOM and left beside it: whether they are of the series that was read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.grid import Volume, difference
from model.images.orientation import in_order_of
from model.images.volume import read_volume

MOST_EMPTY = 0.01  # share of the voxels with ADC; a copy has none


def of_converted(adc: Volume, converted: Sequence[Path]) -> list[str]:
    """A sentence on what was left out for an ADC map in DICOM; none where nothing was.

    adc: with a brain mask applied, if there is one. Raises UserError where a file on the same grid was stripped since: which
    of the two is meant is not known. The files' names are not told, for converters put the patient's there.
    """
    if not converted:
        return []
    found = [other for path in converted if (other := _read(path, adc))]
    on_grid = [other for other in found if not difference(adc.grid, other.grid)]
    with_adc = adc.voxels > 0
    if on_grid and min(float(np.mean(other.voxels[with_adc] == 0)) for other in on_grid) > MOST_EMPTY:
        raise UserError(
            f"{adc.path}: the file beside the DICOM that was converted from it is empty in places with ADC: was it"
            " skull-stripped, or is it of another study? List the one to use in a cases.csv, or remove it"
        )
    left_out = "The ADC map was taken from DICOM, not from the file beside it that was converted from DICOM"
    if found and not on_grid:
        return [f"{left_out}, which lies on another grid: is it of another study?"]
    return [f"{left_out}."]


def _read(path: Path, adc: Volume) -> Volume | None:
    """None for a file that cannot be read."""
    try:
        return in_order_of(adc, read_volume(path, keep_nan=True))
    except UserError:
        return None
