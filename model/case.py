"""One patient's two maps, checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.preprocess import brain_mask
from model.volume import Grid, Volume, read_volume, require_same_grid

LARGEST_Z, LARGEST_ADC = 100.0, 1e5  # ten and twenty times what the published maps reach
PLAUSIBLE_ADC = (100.0, 10000.0)  # median of the brain in 1e-6 mm2/s; newborns have about 1000 to 1600


@dataclass(frozen=True, eq=False)
class Case:
    """ADC map (1e-6 mm2/s, skull-stripped, 0 outside the brain) and Z map (standard deviations) on one grid."""

    adc: Volume
    zadc: Volume

    @property
    def grid(self) -> Grid:
        """The ADC map's grid, which is the mask's too."""
        return self.adc.grid


def read_case(adc_path: Path, zadc_path: Path) -> Case:
    """Read and check both maps.

    Raises UserError when a file is unusable, the grids differ, the maps look swapped, there is no brain or its ADC is in
    another unit.
    """
    case = Case(read_volume(adc_path), read_volume(zadc_path))
    require_same_grid(case.adc, case.zadc)
    largest_adc, largest_z = (float(np.abs(volume.voxels).max()) for volume in (case.adc, case.zadc))
    if largest_z > LARGEST_Z or largest_adc > LARGEST_ADC:
        swapped = "; the two look swapped" if largest_adc < LARGEST_Z < largest_z else ""
        raise UserError(
            f"{adc_path} and {zadc_path}: expected ADC in 1e-6 mm2/s and a Z map clipped at 10,"
            f" found largest values {largest_adc:.4g} and {largest_z:.4g}{swapped}"
        )
    brain = brain_mask(case.adc.voxels)
    if not brain.any():
        raise UserError(f"{adc_path}: no brain, expected voxels with ADC above 0")
    typical_adc = float(np.median(case.adc.voxels[brain]))
    if not PLAUSIBLE_ADC[0] <= typical_adc <= PLAUSIBLE_ADC[1]:
        raise UserError(
            f"{adc_path}: expected ADC in 1e-6 mm2/s, about 1000 in a brain, found median of {typical_adc:.4g}: other unit?"
        )
    return case
