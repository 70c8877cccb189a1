"""What is unusual about a case, though it can be segmented: sentences for `results.json` and the report.

The limits lie around what the 44 labelled cases of the data set hold: brains of 319 to 547 ml, slices of 2 to 6 mm, Z
clipped at 10, no voxel of the brain at the sides of the volume, at most 0.4 % of a brain with a Z of exactly 0 and no Z
outside it, a median ADC of 909 to 1583 and fluid of at least 3659, a lowest Z of -3.1 or less and a highest of 9.4 or more,
8 to 90 % of the brain with Z below 0, a mean Z at least 0.03 away from 0. Details of the two maps: see `model.images.pair`.
"""

import math

import numpy as np

from model.images.adc_only_checks import FLUID_ADC, USUAL_HOLES, USUAL_MEDIAN, adc_doubts
from model.images.case import ADC_UNIT, Case
from model.images.limits import LARGEST_PUBLISHED_Z
from model.images.orientation import turn_to_canonical
from model.images.pair import LESION_Z, LOWEST_DETAIL, Pair, better_fit
from model.images.registered import Registration
from model.images.space import NAMED, TEMPLATE, in_template
from model.images.volume import Grid

BRAIN_ML = (150.0, 600.0)
THICKEST_SLICE_MM = 6.5  # in whatever direction they are stored
MOST_WITHOUT_Z = 0.05  # share of the brain
MOST_AT_THE_SIDES = 0.05  # share of each of the volume's four sides; the first and the last slice may be full
MOST_Z_OUTSIDE = 0.0015  # as a share of the brain's voxels
MOST_LESION_OUTSIDE = 4  # voxels
USUAL_Z = (-2.5, 8.0)  # the lowest is below, the highest above
LEAST_OF_A_SIGN = 0.03  # share of the brain
MEAN_TOO_EXACT = 0.002
USUAL_SPREAD = (1.8, 9.0)  # of Z's detail per 1000 of ADC's; 2.2 to 4.4 in the published cases
MOST_ALIKE = 0.95  # correlation of Z and ADC, at most 0.68 in the published cases
USUAL_CORRELATION = 0.24  # of the ADC with the atlas's; 0.25 to 0.69 in the 44 labelled cases, out of fold
USUAL_SCALE = (0.75, 1.25)  # along any axis; 0.83 to 1.11
USUAL_ADC_RATIO = (0.7, 1.3)  # of the brain's ADC to the atlas's; 0.72 to 1.17
ESTIMATED_WARNING = (
    "The Z map was estimated from the ADC map (--estimate-z): the mask is much less reliable"
    " than with the challenge's Z map."
)


def warnings_of(case: Case) -> list[str]:
    """One sentence for everything unusual; none for a case like the published ones."""
    unknown_sides = f"{case.adc.path.name} does not say how it lies in the patient: left and right are unknown."
    found = [
        ESTIMATED_WARNING if case.estimated else "",
        *case.remarks,
        "" if case.adc_unit == ADC_UNIT else f"The ADC map was converted from {case.adc_unit}, as asked for.",
        _brain_volume(case),
        _without_z(case),
        _sides(case),
        _z_range(case),
        _slices(case.grid),
        "" if case.adc.oriented else unknown_sides,
        _template(case),
        *(_pair(case, case.pair) if case.pair else []),
        *(adc_doubts(case.adc_figures) if case.adc_figures else []),
        _registration(case.registration) if case.registration else "",
    ]
    return [sentence for sentence in found if sentence]


def _pair(case: Case, pair: Pair) -> list[str]:
    return [
        _adc_scale(pair),
        _z_outside(case, pair),
        _holes(case, pair),
        _z_scale(pair),
        _z_signs(pair),
        _z_origin(pair),
        _z_place(case, pair),
    ]


def _registration(found: Registration) -> str:
    if not found.usable:
        correlation = f"{found.correlation:.2f}" if math.isfinite(found.correlation) else "not known"
        return (
            f"The brain could not be registered to the atlas (correlation {correlation}, usually"
            f" {USUAL_CORRELATION:g} or more): its Z map was estimated without the atlas, which is less exact."
        )
    low, high = min(found.scale), max(found.scale)
    if not USUAL_ADC_RATIO[0] <= found.adc_ratio <= USUAL_ADC_RATIO[1]:
        return (
            f"The brain's ADC is {found.adc_ratio:.2f} times that of the atlas, usually {USUAL_ADC_RATIO[0]:g} to"
            f" {USUAL_ADC_RATIO[1]:g}: are both of newborns, and by the same units?"
        )
    if found.correlation >= USUAL_CORRELATION and USUAL_SCALE[0] <= low <= high <= USUAL_SCALE[1]:
        return ""
    scale = " x ".join(f"{part:.2f}" for part in found.scale[::-1])
    return (
        f"The brain fits the atlas unusually (correlation {found.correlation:.2f}, usually {USUAL_CORRELATION:g} or more;"
        f" scaled by {scale}, usually {USUAL_SCALE[0]:g} to {USUAL_SCALE[1]:g}): is it whole, upright and a newborn's?"
    )


def _stripping(case: Case) -> str:
    """What to do about a map that is not skull-stripped."""
    return "" if case.brain_mask else " (--brain-mask applies a mask that lies beside the map)"


def _brain_volume(case: Case) -> str:
    volume_ml = np.count_nonzero(case.brain) * case.grid.voxel_mm3 / 1000
    if BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        return ""
    large, small = f"is it skull-stripped{_stripping(case)}?", "is it a whole newborn's brain, with the right spacing?"
    hint = large if volume_ml > BRAIN_ML[1] else small
    return f"The brain measures {volume_ml:.0f} ml, expected {BRAIN_ML[0]:g} to {BRAIN_ML[1]:g} ml: {hint}"


def _without_z(case: Case) -> str:
    if case.estimated:
        return ""
    share = float(np.mean(case.zadc.voxels[case.brain] == 0))
    if share <= MOST_WITHOUT_Z:
        return ""
    hint = f"the ADC map does not look skull-stripped{_stripping(case)}, or the Z map is not of this brain"
    return f"{share:.0%} of the voxels with ADC above 0 have a Z of exactly 0, expected next to none: {hint}."


def _sides(case: Case) -> str:
    _, y, x = turn_to_canonical(case.grid).axes
    share = max(float(np.take(case.brain, end, axis).mean()) for axis in (y, x) for end in (0, -1))
    if share <= MOST_AT_THE_SIDES:
        return ""
    hint = f"the ADC map is not skull-stripped{_stripping(case)}, or the brain is cut off"
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


def _template(case: Case) -> str:
    if case.space.startswith(NAMED):
        label = case.space.removeprefix(NAMED)
        return f"A name says space-{label}, which is not known here: volumes may not be the patient's."
    if not in_template(case.space):
        return ""
    label = case.space.removeprefix(TEMPLATE)
    return f"The image is in a template's space ({label}): volumes are the template's, not the patient's."


def _adc_scale(pair: Pair) -> str:
    if not USUAL_MEDIAN[0] <= pair.median_adc <= USUAL_MEDIAN[1]:
        return (
            f"The brain's median ADC is {pair.median_adc:.0f} in 1e-6 mm2/s, usually 900 to 1600: is the map scaled by"
            " a factor of the vendor's?"
        )
    if pair.highest_adc < FLUID_ADC:
        return f"The ADC map ends at {pair.highest_adc:.0f}, fluid usually has 3000 and more: was it cut off?"
    return ""


def _z_outside(case: Case, pair: Pair) -> str:
    most = MOST_Z_OUTSIDE * np.count_nonzero(case.brain)
    if pair.z_outside <= most and pair.lesion_outside <= MOST_LESION_OUTSIDE:
        return ""
    all_ml, lesion_ml = (voxels * case.grid.voxel_mm3 / 1000 for voxels in (pair.z_outside, pair.lesion_outside))
    return (
        f"The Z map has values in {all_ml:.2f} ml where ADC is not above 0, below {LESION_Z:g} in {lesion_ml:.2f} ml,"
        " expected 0 there: is a part of the brain, or a lesion, cut out of the ADC map?"
    )


def _holes(case: Case, pair: Pair) -> str:
    if pair.holes <= USUAL_HOLES * np.count_nonzero(case.brain):
        return ""
    volume_ml = pair.holes * case.grid.voxel_mm3 / 1000
    return f"The brain of the ADC map has holes of {volume_ml:.1f} ml, expected next to none: are lesions cut out?"


def _z_scale(pair: Pair) -> str:
    if pair.detail < LOWEST_DETAIL:
        return ""  # of other places: `_z_place` says so
    if pair.lowest_z > USUAL_Z[0] or pair.highest_z < USUAL_Z[1]:
        return (
            f"Z in the brain is between {pair.lowest_z:.3g} and {pair.highest_z:.3g}, usually from below -3 to 10:"
            " is the Z map scaled, or clipped elsewhere than at 10?"
        )
    usual_adc = USUAL_MEDIAN[0] <= pair.median_adc <= USUAL_MEDIAN[1]
    if usual_adc and not USUAL_SPREAD[0] <= pair.spread <= USUAL_SPREAD[1]:
        return f"Z varies by {pair.spread:.2g} per 1000 of ADC, usually by 2 to 5: is one of the two maps scaled?"
    return ""


def _z_signs(pair: Pair) -> str:
    if min(pair.negative, pair.positive) >= LEAST_OF_A_SIGN:
        return ""
    return f"Z is below 0 in {pair.negative:.1%} of the brain and above in {pair.positive:.1%}, usually 8 to 92 % each."


def _z_origin(pair: Pair) -> str:
    if abs(pair.mean_z) < MEAN_TOO_EXACT:
        return f"The mean Z of the brain is {pair.mean_z:.4f}: was the mean subtracted? Z counts from the healthy mean."
    if pair.correlation > MOST_ALIKE:
        return (
            f"The Z map is almost the ADC map itself (correlation {pair.correlation:.3f}, usually 0.1 to 0.7): is it made"
            " with a healthy mean for each place?"
        )
    return ""


def _z_place(case: Case, pair: Pair) -> str:
    if pair.detail >= LOWEST_DETAIL:
        return ""
    turn = turn_to_canonical(case.grid)
    better = better_fit(turn.to_canonical(case.adc.voxels), turn.to_canonical(case.zadc.voxels))
    hint = "is it the Z map of another case, or does it lie elsewhere?"
    if better:
        hint = f"it would fit ({better[1]:.2f}) {better[0]}."
    return f"The Z map does not fit the ADC map in detail (correlation {pair.detail:.2f}, usually 0.5 to 0.8): {hint}"
