"""A reader who knows the label finishes a draft, with the means of the page: rejects, adds, resizes.

What a size and a click do is what `review_voxels.js` of `model.report` does, but on probabilities that are not rounded to
bytes. Arrays are (z, y, x) in the box of the brain; a region is the flat places of its voxels there.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from model.lesions.candidates import sigmoid
from model.lesions.certainty import REAL_SHARE
from model.reviews.review_file import SIZES

LOGIT_STEP = 0.35  # of a size, in log odds
FAINTEST_ADDED = 0.02  # peak of the probability, below which a click adds nothing
NEIGHBOURS = np.ones((3, 3, 3))
Region = np.ndarray


@dataclass(frozen=True, eq=False)
class Draft:
    """A draft mask, its lesions in the order of their numbers, and the label. chances: of each lesion to be real."""

    probabilities: np.ndarray  # float32
    lesions: np.ndarray  # int: the number of the draft's lesion, 0 outside
    chances: np.ndarray
    label: np.ndarray  # boolean
    _sized: dict[tuple[int, int], Region] = field(default_factory=dict, init=False)

    @functools.cached_property
    def order(self) -> list[int]:
        """The numbers of the lesions as the page goes through them: those least likely to be real first."""
        return (1 + np.argsort(self.chances, kind="stable")).tolist()

    @functools.cached_property
    def real(self) -> list[bool]:
        """By number, from 0 for outside: whether at least REAL_SHARE of a lesion is labelled."""
        count = len(self.chances)
        return [False, *(ndimage.mean(self.label, self.lesions, np.arange(1, count + 1)) >= REAL_SHARE).tolist()]

    @functools.cached_property
    def missed(self) -> list[int]:
        """Where to click for each labelled lesion that no real one of the draft touches, the largest first."""
        found, count = ndimage.label(self.label, NEIGHBOURS)
        touched = np.unique(found[np.array(self.real)[self.lesions]])
        regions = [np.flatnonzero(found == number) for number in range(1, count + 1) if number not in touched]
        outside = [region[self.lesions.ravel()[region] == 0] for region in sorted(regions, key=len, reverse=True)]
        return [int(region[self.probabilities.ravel()[region].argmax()]) for region in outside if len(region)]

    @functools.cached_property
    def border(self) -> float:
        """The smallest probability in the draft."""
        return float(self.probabilities[self.lesions > 0].min())

    def connected(self, seeds: Region, level: float) -> Region:
        """What is connected to the seeds outside the draft's other lesions and at least as probable as the level."""
        allowed = (self.lesions == 0) & (self.probabilities >= level)
        allowed.ravel()[seeds] = True
        labels, _ = ndimage.label(allowed, NEIGHBOURS)
        return np.flatnonzero(np.isin(labels, np.unique(labels.ravel()[seeds])))

    def sized(self, key: int, size: int) -> Region:
        """A lesion of the draft by its number, or minus the number of a missed one by the click on it; found once."""
        if (key, size) not in self._sized:
            self._sized[key, size] = self.resized(key, size) if key > 0 else self.added(self.missed[-key - 1], size)
        return self._sized[key, size]

    def resized(self, number: int, size: int) -> Region:
        """A lesion of the draft, grown or shrunk by the probability."""
        own = np.flatnonzero(self.lesions == number)
        level = moved(self.border, size)
        if size > 0:
            return self.connected(own, level)
        inside = self.probabilities.ravel()[own]
        return own if size == 0 else own[inside >= min(level, inside.max())]

    def added(self, voxel: int, size: int) -> Region:
        """What a click there adds: around the peak near it, what is half as probable. Empty where nothing speaks for one."""
        path = [voxel]
        while (best := self._steepest(path[-1])) != path[-1]:
            path.append(best)
        peak = float(self.probabilities.ravel()[path[-1]])
        if self.probabilities.ravel()[voxel] == 0 or peak < FAINTEST_ADDED:
            return np.zeros(0, int)
        return self.connected(np.array(path), moved(peak / 2, size))

    def _steepest(self, voxel: int) -> int:
        """The most probable voxel outside the draft among a voxel and its 26 neighbours."""
        place = np.unravel_index(voxel, self.lesions.shape)
        around = [slice(max(int(n) - 1, 0), int(n) + 2) for n in place]
        p = np.where(self.lesions[*around] == 0, self.probabilities[*around], -1)
        if p.max() <= self.probabilities[place]:
            return voxel
        best = [int(n) + part.start for n, part in zip(np.unravel_index(p.argmax(), p.shape), around, strict=True)]
        return int(np.ravel_multi_index(best, self.lesions.shape))


def moved(border: float, size: int) -> float:
    """The probability at the border of a region with a size: lower where it is grown."""
    p = min(max(border, 1e-6), 1 - 1e-6)
    return float(sigmoid(np.log(p / (1 - p)) - LOGIT_STEP * size))


def mask_of(draft: Draft, regions: dict[int, Region]) -> np.ndarray:
    """The union of some regions, boolean."""
    mask = np.zeros(draft.lesions.shape, bool)
    for region in regions.values():
        mask.ravel()[region] = True
    return mask


def read(draft: Draft, reader: str, is_wrong: Callable[[], bool], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The mask as it comes and after each action of one of READERS, boolean.

    is_wrong: asked before each action. A wrong one rejects a real lesion or keeps a false one, overlooks a missed lesion, or
    sets a size by chance.
    """
    regions = {number: draft.sized(number, 0) for number in draft.order}
    yield mask_of(draft, regions)
    for number in draft.order:
        if draft.real[number] == is_wrong():
            del regions[number]
        yield mask_of(draft, regions)
    if reader == "strikes":
        return
    for key in range(-1, -1 - len(draft.missed), -1):
        region = draft.sized(key, 0)
        useful = len(region) > 0 and draft.label.ravel()[region].mean() >= REAL_SHARE
        if useful and not is_wrong():
            regions[key] = region
            yield mask_of(draft, regions)
    if reader == "adds":
        return
    for key in [key for key in regions if key < 0 or draft.real[key]]:
        others = mask_of(draft, {other: region for other, region in regions.items() if other != key})
        size = int(rng.choice(SIZES)) if is_wrong() else best_size(draft, others, functools.partial(draft.sized, key))
        if size:
            regions[key] = draft.sized(key, size)
            yield mask_of(draft, regions)


def best_size(draft: Draft, others: np.ndarray, make: Callable[[int], Region]) -> int:
    """The size of a region that gives the mask with the others the highest Dice; of equal ones the one nearest to 0."""
    label, other = draft.label.ravel(), others.ravel()
    voxels, both, all_true = int(other.sum()), int((other & label).sum()), int(label.sum())

    def dice(size: int) -> float:
        region = make(size)
        new = region[~other[region]]
        return 2 * (both + int(label[new].sum())) / (voxels + len(new) + all_true)

    return max(sorted(SIZES, key=abs), key=dice)
