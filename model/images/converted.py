"""Files that a converter made of DICOM and left beside it: whether they are of the series that was read."""

from collections.abc import Sequence
from pathlib import Path

from model.errors import UserError
from model.images.grid import Volume, difference
from model.images.orientation import in_order_of
from model.images.volume import read_volume


def of_converted(adc: Volume, converted: Sequence[Path]) -> list[str]:
    """A sentence on what was left out for an ADC map in DICOM; none where nothing was."""
    if not converted:
        return []
    left_out = f"The ADC map was taken from DICOM, not from {converted[0].name} beside it, which was converted from DICOM"
    if any(_on_the_grid(path, adc) for path in converted):
        return [f"{left_out}."]
    return [f"{left_out} and lies on another grid: is it of another study?"]


def _on_the_grid(path: Path, adc: Volume) -> bool:
    try:
        return not difference(adc.grid, in_order_of(adc, read_volume(path, keep_nan=True)).grid)
    except UserError:
        return False
