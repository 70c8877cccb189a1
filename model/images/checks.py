"""What is unusual about a case, though it can be segmented: sentences for `results.json` and the report.

The limits lie around what the 44 labelled cases of the data set hold: brains of 319 to 547 ml, slices of 2 to 6 mm, Z
clipped at 10, no voxel of the brain at the sides of the volume, at most 0.4 % of a brain with a Z of exactly 0.
"""

import numpy as np

from model.images.case import ADC_UNIT, Case
from model.images.volume import Grid

BRAIN_ML = (150.0, 700.0)
LARGEST_PUBLISHED_Z = 10.0
THICKEST_SLICE_MM = 6.5  # in whatever direction they are stored
MOST_WITHOUT_Z = 0.05  # share of the brain
MOST_AT_THE_SIDES = 0.05  # share of each of the volume's four sides; the first and the last slice may be full


def warnings_of(case: Case) -> list[str]:
    """One sentence for everything unusual; none for a case like the published ones."""
    found = [
        *case.remarks,
        _unit(case),
        _brain_volume(case),
        _without_z(case),
        _sides(case),
        _z_range(case),
        _slices(case.grid),
        _orientation(case),
    ]
    return [sentence for sentence in found if sentence]


def _unit(case: Case) -> str:
    return "" if case.adc_unit == ADC_UNIT else f"The ADC map was converted from {case.adc_unit}, as asked for."


def _brain_volume(case: Case) -> str:
    volume_ml = np.count_nonzero(case.brain) * case.grid.voxel_mm3 / 1000
    if BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        return ""
    hint = "is it skull-stripped?" if volume_ml > BRAIN_ML[1] else "is it a whole newborn's brain, with the right spacing?"
    return f"The brain measures {volume_ml:.0f} ml, expected {BRAIN_ML[0]:g} to {BRAIN_ML[1]:g} ml: {hint}"


def _without_z(case: Case) -> str:
    share = float(np.mean(case.zadc.voxels[case.brain] == 0))
    if share <= MOST_WITHOUT_Z:
        return ""
    hint = "the ADC map does not look skull-stripped, or the Z map is not of this brain"
    return f"{share:.0%} of the voxels with ADC above 0 have a Z of exactly 0, expected next to none: {hint}."


def _sides(case: Case) -> str:
    brain = case.brain
    share = max(float(side.mean()) for side in (brain[:, 0], brain[:, -1], brain[:, :, 0], brain[:, :, -1]))
    if share <= MOST_AT_THE_SIDES:
        return ""
    hint = "the ADC map is not skull-stripped, or the brain is cut off"
    return f"ADC is above 0 in {share:.0%} of a side of the volume, expected background there: {hint}."


def _z_range(case: Case) -> str:
    largest = float(np.abs(case.zadc.voxels).max())
    if largest <= LARGEST_PUBLISHED_Z:
        return ""
    return f"The Z map reaches {largest:.4g}, expected it clipped at {LARGEST_PUBLISHED_Z:g} as published."


def _slices(grid: Grid) -> str:
    thick = max(grid.spacing_mm)
    if thick <= THICKEST_SLICE_MM:
        return ""
    return f"Slices are {thick:.3g} mm apart, expected at most {THICKEST_SLICE_MM:g} mm."


def _orientation(case: Case) -> str:
    if case.adc.oriented:
        return ""
    return f"{case.adc.path.name} does not say how it lies in the patient: left and right are unknown."
