"""Whether an ADC map alone is a newborn's, skull-stripped: figures about it. Arrays are (z, y, x) in the canonical order.

Where a Z map is given, how the two fit says most of this (`model.images.pair`). Where it is estimated nothing else tells
that the estimate makes sense, so more is refused. The ranges in comments are those of the 44 labelled cases of the data set.
"""

from dataclasses import dataclass

import numpy as np

from model.images.brain import brain_box, brain_mask
from model.images.components import connected_components
from model.images.pair import FEWEST_VOXELS, holes_in

FLUID_ADC = 2500.0  # 1e-6 mm2/s, which fluid alone reaches; for figures about a whole map
LARGEST_ML = 900.0  # 319 to 547
MOST_NEGATIVE = 0.02  # voxels below 0 per voxel of the brain; at most 0.0013
POSSIBLE_MEDIAN = (600.0, 2200.0)  # 909 to 1583
LEAST_CONTRAST = 0.06  # distance of the quartiles as a share of the median; 0.17 to 0.41
LEAST_SKEW = 1.0  # how far the highest 5 % lie from the median, as a multiple of the lowest 5 %; 1.47 to 4.9
LEAST_IN_ONE_PART = 0.9  # share of the brain in its largest connected part; 0.999 to 1
USUAL_MEDIAN = (800.0, 1800.0)  # 1e-6 mm2/s
USUAL_CONTRAST = (0.12, 0.6)
USUAL_FLUID = (0.005, 0.15)  # 0.0098 to 0.066
USUAL_SKEW = 1.35
USUAL_IN_ONE_PART = 0.99
USUAL_HOLES = 0.008  # at most 0.005
USUAL_WIDTH, USUAL_HEIGHT = (0.6, 1.1), (0.62, 1.1)  # 0.69 to 0.94, 0.67 to 1.01
MOST_HOLES = 0.05  # voxels without ADC that have brain on all sides, per voxel of the brain


@dataclass(frozen=True)
class AdcFigures:
    """Figures about an ADC map; shares are of the brain's voxels."""

    volume_ml: float
    median: float  # 1e-6 mm2/s, of the brain
    negative: float
    contrast: float  # distance of the quartiles, over the median
    skew: float  # distance of the 95th percentile from the median over that of the 5th; 0 where there is none
    fluid: float  # share above FLUID_ADC
    holes: float
    largest_part: float
    width: float  # left to right, over length, which is front to back
    height: float  # top to bottom, over length


def adc_figures(adc: np.ndarray, spacing_mm: tuple[float, float, float]) -> AdcFigures | None:
    """The figures of an ADC map in 1e-6 mm2/s; None where the brain is too small for any."""
    brain = brain_mask(adc)
    count = np.count_nonzero(brain)
    if count < FEWEST_VOXELS:
        return None
    box = brain_box(brain, 0)
    crop = brain[box]
    height, length, width = (size * mm for size, mm in zip(crop.shape, spacing_mm, strict=True))
    p5, p25, median, p75, p95 = np.percentile(adc[brain], (5, 25, 50, 75, 95)).tolist()
    sizes = np.bincount(connected_components(crop)[0].ravel())[1:]
    return AdcFigures(
        volume_ml=count * float(np.prod(spacing_mm)) / 1000,
        median=median,
        negative=np.count_nonzero(adc < 0) / count,
        contrast=(p75 - p25) / median,
        skew=(p95 - median) / (median - p5) if median > p5 else 0.0,
        fluid=np.count_nonzero(adc > FLUID_ADC) / count,
        holes=holes_in(crop) / count,
        largest_part=int(sizes.max()) / count,
        width=width / length,
        height=height / length,
    )


def no_adc(adc: AdcFigures) -> str:
    """Why an image is no ADC map in any unit, to be put behind its file's name; empty where it may be one."""
    if adc.negative <= MOST_NEGATIVE:
        return ""
    found = f"has {adc.negative:.0%} as many voxels below 0 as above, an ADC map has next to none"
    return f"{found}: is it a Z map, or another kind of image?"


def adc_misfit(adc: AdcFigures) -> str:
    """Why no Z map can be estimated from an ADC map, to be put behind its file's name; empty where it can."""
    if adc.volume_ml > LARGEST_ML:
        return (
            f"holds a brain of {adc.volume_ml:.0f} ml, newborns have 300 to 600 ml: an older patient's, or not"
            " skull-stripped (--brain-mask)?"
        )
    if not _within(adc.median, POSSIBLE_MEDIAN):
        return (
            f"has a median of {adc.median:.0f} in the brain in 1e-6 mm2/s, a newborn's ADC has 900 to 1600: is it"
            " diffusion-weighted, or scaled by a factor of the vendor's?"
        )
    if adc.contrast < LEAST_CONTRAST:
        apart = f"quartiles {adc.contrast:.1%} of the median apart, usually 17 % or more"
        return f"is nearly the same everywhere in the brain ({apart}): is it an ADC map?"
    if adc.skew < LEAST_SKEW:
        return (
            "is no ADC map of a brain alone, in which fluid is far brighter than tissue: is it diffusion-weighted, or not"
            " skull-stripped (--brain-mask)?"
        )
    if adc.largest_part < LEAST_IN_ONE_PART or adc.holes > MOST_HOLES:
        return (
            f"is not one brain: its largest connected part has {adc.largest_part:.0%} of its voxels, and it has"
            f" {adc.holes:.1%} as many holes; is the skull in it (--brain-mask), or tissue cut out?"
        )
    return ""


def adc_doubts(adc: AdcFigures) -> list[str]:
    """What is unusual about an ADC map from which a Z map was estimated all the same: sentences, none for a usual one."""
    doubts = {
        f"The brain's median ADC is {adc.median:.0f} in 1e-6 mm2/s, usually 900 to 1600: is the map scaled by a factor of"
        " the vendor's?": not _within(adc.median, USUAL_MEDIAN),
        f"{adc.fluid:.1%} of the brain has an ADC above {FLUID_ADC:.0f}, usually 1 to 7 %: was the map cut off or scaled, or"
        " is it another kind of image?": not _within(adc.fluid, USUAL_FLUID),
        f"The brain's ADC spreads unusually (quartiles {adc.contrast:.0%} of the median apart, usually 17 to 41 %; the"
        f" highest 5 % {adc.skew:.1f} times as far from it as the lowest, usually 1.5 to 5): is it a brain's ADC alone?": (
            not _within(adc.contrast, USUAL_CONTRAST) or adc.skew < USUAL_SKEW
        ),
        f"The brain of the ADC map has holes of {adc.holes:.1%} of its volume or lies in several parts (the largest has"
        f" {adc.largest_part:.1%}): is skull in it, or are lesions cut out?": (
            adc.holes > USUAL_HOLES or adc.largest_part < USUAL_IN_ONE_PART
        ),
        f"The brain is {adc.width:.2f} times as wide and {adc.height:.2f} times as high as long, usually 0.7 to 0.95 and 0.7"
        " to 1: is it a whole brain?": not _within(adc.width, USUAL_WIDTH) or not _within(adc.height, USUAL_HEIGHT),
    }
    return [doubt for doubt, holds in doubts.items() if holds]


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
