"""Whether an ADC map and a Z map belong together: figures about the pair. Arrays are (z, y, x) in the canonical order.

A Z map is the ADC map minus a smooth healthy mean over a smooth healthy spread. So the fine detail of the two is the same,
while that of maps of two cases, or of maps that lie apart by a voxel or a flip, is not.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from model.images.brain import Box, brain_box, brain_mask

FEWEST_VOXELS = 2000  # of a brain; figures about fewer say nothing
ADC_DETAIL, Z_DETAIL = 0.16, 2.0  # second differences are cut off here, as a share of the brain's median ADC and in Z
LOWEST_DETAIL = 0.45  # 0.51 to 0.79 in the published cases, at most 0.39 after a shift by one voxel
LOWEST_OVERLAP = 0.5  # 1 in the published cases
FEWEST_NEGATIVE = 1e-3  # share of the brain; 0.08 to 0.9 in the published cases
LESION_Z = -2.0  # a lesion in the rule of the data set's authors
SLICES = 4  # that a hint is looked for in
LARGEST_SHIFT = 3  # voxels, likewise
WAYS = ("top to bottom", "front to back", "left to right")  # along z, y and x
# by the axes along which a map with rows and columns exchanged is also flipped
EXCHANGES = {
    (): "with rows and columns exchanged",
    (1,): f"with rows and columns exchanged and then flipped {WAYS[1]}, which is a quarter turn",
    (2,): f"with rows and columns exchanged and then flipped {WAYS[2]}, which is a quarter turn",
    (1, 2): f"with rows and columns exchanged and then flipped {WAYS[1]} and {WAYS[2]}",
}


@dataclass(frozen=True)
class Pair:
    """Figures about a pair of maps; shares are of the brain's voxels."""

    overlap: float  # of ADC > 0 and Z != 0, as a share of the smaller
    z_outside: int  # voxels with a Z where ADC is not above 0
    lesion_outside: int  # those of them with Z < LESION_Z
    lowest_z: float
    highest_z: float
    mean_z: float
    negative: float
    positive: float
    median_adc: float
    highest_adc: float
    correlation: float  # of ADC and Z
    detail: float  # correlation of their second differences in the slices
    spread: float  # typical second difference of Z over that of ADC, per 1000 of ADC
    holes: int  # voxels without ADC that have brain on all six sides, near or far


def pair_of(adc: np.ndarray, zadc: np.ndarray) -> Pair | None:
    """The figures; None where the brain is too small for any."""
    brain, has_z = brain_mask(adc), zadc != 0
    count, with_z = np.count_nonzero(brain), np.count_nonzero(has_z)
    if count < FEWEST_VOXELS:
        return None
    outside = zadc[has_z & ~brain]
    inside, values = adc[brain], zadc[brain]
    median = float(np.median(inside))
    box = brain_box(brain, 0)
    details = _details(adc[box], zadc[box])
    return Pair(
        overlap=(with_z - outside.size) / min(count, max(with_z, 1)),
        z_outside=outside.size,
        lesion_outside=int(np.count_nonzero(outside < LESION_Z)),
        lowest_z=float(values.min()),
        highest_z=float(values.max()),
        mean_z=float(values.mean(dtype=np.float64)),
        negative=np.count_nonzero(values < 0) / count,
        positive=np.count_nonzero(values > 0) / count,
        median_adc=median,
        highest_adc=float(inside.max()),
        correlation=_correlation(inside - inside.mean(dtype=np.float64), values - values.mean(dtype=np.float64)),
        detail=_agreement(*details, median),
        spread=_spread(*details),
        holes=holes_in(brain[box]),
    )


def misfit(pair: Pair) -> str:
    """Why no reading of the pair makes sense, to be put behind the names of both files; empty where one does."""
    if pair.lowest_z == pair.highest_z:
        return f"are no pair: Z is {pair.lowest_z:.4g} in all of the brain, expected it to differ from voxel to voxel"
    if pair.overlap < LOWEST_OVERLAP:
        return f"do not belong together: only {pair.overlap:.0%} of the Z map lies in the brain of the ADC map, expected all"
    if pair.negative < FEWEST_NEGATIVE:
        hint = "|Z|, p-values, probabilities or a mask?" if pair.highest_z > 0 else "a mask?"
        return (
            f"are no pair: Z is between {pair.lowest_z:.4g} and {pair.highest_z:.4g} in the brain, {hint}"
            " Expected the signed Z map, below 0 in lesions, or no file and --estimate-z"
        )
    if pair.detail < -LOWEST_DETAIL:
        return (
            f"are no pair: Z falls where ADC rises (correlation of their fine detail {pair.detail:.2f}, expected"
            f" {LOWEST_DETAIL} or more): Z of the wrong sign, or diffusion-weighted images in place of the ADC map?"
        )
    return ""


def _details(adc: np.ndarray, zadc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The second differences of both maps along rows and columns, where all three voxels lie in the brain."""
    brain = brain_mask(adc)
    a, z = [], []
    for axis in (1, 2):
        before, here, behind = _along(brain, axis)
        inside = before & here & behind
        a.append(_second_difference(adc, axis)[inside])
        z.append(_second_difference(zadc, axis)[inside])
    return np.concatenate(a), np.concatenate(z)


def _agreement(adc_detail: np.ndarray, z_detail: np.ndarray, median_adc: float) -> float:
    """Their correlation, -1 to 1, cut off at a multiple of what tissue has: fluid's edges must not outweigh the rest."""
    limit = ADC_DETAIL * median_adc
    return _correlation(adc_detail.clip(-limit, limit), z_detail.clip(-Z_DETAIL, Z_DETAIL))


def _spread(adc_detail: np.ndarray, z_detail: np.ndarray) -> float:
    """Typical detail of Z over that of ADC, per 1000 of ADC; 0 where ADC has none."""
    typical_adc, typical_z = (float(np.median(np.abs(d))) if d.size else 0.0 for d in (adc_detail, z_detail))
    return 1000 * typical_z / typical_adc if typical_adc else 0.0


def better_fit(adc: np.ndarray, zadc: np.ndarray) -> tuple[str, float] | None:
    """What would have to be done to the Z map so that the details fit, and how well they would; None if nothing is found.

    Tried are flips of one to three axes, rows for columns, and shifts along one axis.
    """
    box = _middle_slices(brain_mask(adc))
    crop = adc[box]
    median_adc = float(np.median(crop[brain_mask(crop)]))
    found = [(words, _agreement(*_details(crop, moved), median_adc)) for words, moved in _moved(zadc, box)]
    best = max(found, key=lambda one: one[1])
    return best if best[1] >= LOWEST_DETAIL else None


def _moved(zadc: np.ndarray, box: Box):
    """(what was done, the Z map's part in the box after it) for all that is tried."""
    for axes in (axes for n in (1, 2, 3) for axes in itertools.combinations(range(3), n)):
        yield f"flipped {' and '.join(WAYS[axis] for axis in axes)}", np.flip(zadc, axes)[box]
    if zadc.shape[1] == zadc.shape[2]:
        for axes in ((), (1,), (2,), (1, 2)):
            yield EXCHANGES[axes], np.flip(zadc.transpose(0, 2, 1), axes)[box]
    for axis, voxels in itertools.product(range(3), (n for n in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1) if n)):
        places = [np.arange(part.start, part.stop) for part in box]
        places[axis] = (places[axis] + voxels) % zadc.shape[axis]
        yield f"shifted by {abs(voxels)} voxel{'s' if abs(voxels) > 1 else ''} {WAYS[axis]}", zadc[np.ix_(*places)]


def _middle_slices(brain: np.ndarray) -> Box:
    """The brain's box, of its slices the ones around the one with most brain."""
    z, y, x = brain_box(brain, 0)
    fullest = int(np.count_nonzero(brain, axis=(1, 2)).argmax())
    start = min(max(fullest - SLICES // 2, z.start), max(z.stop - SLICES, z.start))
    return slice(start, min(start + SLICES, z.stop)), y, x


def _along(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each voxel's neighbour before it, itself, and the neighbour behind it, without the first and the last."""
    at = np.moveaxis(values, axis, 0)
    return at[:-2], at[1:-1], at[2:]


def _second_difference(values: np.ndarray, axis: int) -> np.ndarray:
    before, here, behind = _along(values, axis)
    return before + behind - 2 * here


def holes_in(brain: np.ndarray) -> int:
    """How many voxels outside the brain have brain before and behind them along every axis."""
    inside = ~brain
    for axis in range(3):
        inside &= np.logical_or.accumulate(brain, axis)
        inside &= np.flip(np.logical_or.accumulate(np.flip(brain, axis), axis), axis)
    return int(np.count_nonzero(inside))


def _correlation(a: np.ndarray, z: np.ndarray) -> float:
    """Of two arrays whose means are about 0; 0 where one does not vary."""
    size = float(np.sqrt(float(a @ a) * float(z @ z)))
    return float(a @ z) / size if size > 0 else 0.0
