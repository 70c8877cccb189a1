"""Files that a converter made of DICOM and left beside it: whether they are of the series that was read."""

from collections.abc import Sequence
from pathlib import Path

from model.errors import UserError
from model.images.grid import Grid, Volume, difference
from model.images.orientation import in_order_of
from model.images.volume import read_volume


def of_converted(adc: Volume, converted: Sequence[Path]) -> list[str]:
    """A sentence on what was left out for an ADC map in DICOM; none where nothing was.

    Their names are not told: converters put the patient's there.
    """
    if not converted:
        return []
    left_out = "The ADC map was taken from DICOM, not from the file beside it that was converted from DICOM"
    grids = [grid for path in converted if (grid := _grid_of(path, adc))]
    if grids and all(difference(adc.grid, grid) for grid in grids):
        return [f"{left_out}, which lies on another grid: is it of another study?"]
    return [f"{left_out}."]


def _grid_of(path: Path, adc: Volume) -> Grid | None:
    """None for a file that cannot be read."""
    try:
        return in_order_of(adc, read_volume(path, keep_nan=True)).grid
    except UserError:
        return None
