"""From a case's maps to lesion probabilities and the mask."""

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np

from model.errors import UserError
from model.images.brain import Box, brain_box, brain_mask, uncrop
from model.lesions.brain_map import Spacing
from model.lesions.candidates import CaseMaps, sigmoid
from model.lesions.certainty import NOT_FITTED, Certainty
from model.lesions.decision import most_dice
from model.networks.config import InferenceConfig, ModelConfig, Triple
from model.networks.inputs import network_input
from model.networks.stored import Ensemble
from model.networks.windows import Network, in_windows, window_boxes

LARGER_WINDOW_FACTOR = 2  # times the voxels of `max_patch` in a window, where flips are asked one by one
# share of such a window that its neighbour covers too, at most: with half, each axis of many windows would double the work
LARGER_WINDOW_OVERLAP = 0.2


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What an ensemble says about one case."""

    mask: np.ndarray  # boolean (z, y, x)
    probabilities: np.ndarray  # float32 (z, y, x) in 0..1, of the mean over the groups
    certainty: Certainty = NOT_FITTED  # what tells how sure the mask is


class Predictor:
    """An ensemble, asked about cases."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.device = ensemble.device
        self._members = list(zip(ensemble.networks, ensemble.models, strict=True))

    def network_probabilities(self, adc: np.ndarray, zadc: np.ndarray) -> np.ndarray:
        """Mean lesion probability over the groups, in each over its networks and flips: float32 (z, y, x) in 0..1.

        0 outside the brain, and without networks. adc (1e-6 mm2/s) and zadc: float32 (z, y, x) of one shape, with at least
        one brain voxel.
        """
        brain = brain_mask(adc)
        groups = self.ensemble.groups or tuple(map(str, range(len(self._members))))
        names = list(dict.fromkeys(groups))
        mean = np.zeros(adc.shape, np.float32)
        inputs: dict[ModelConfig, tuple[Box, np.ndarray]] = {}
        for name in names:
            members = [member for member, group in zip(self._members, groups, strict=True) if group == name]
            of_group = np.zeros_like(mean)
            for network, model in members:
                if model not in inputs:
                    box = brain_box(brain, model.margin)
                    inputs[model] = box, network_input(adc[box], zadc[box], model)
                box, crop = inputs[model]
                of_group[box] += predict_crop(network, crop, model, self.ensemble.inference)
            mean += np.divide(of_group, len(members), out=of_group)
        if not np.isfinite(mean).all():
            raise UserError(f"weights {self.ensemble.id}: the network's answer is not finite, no mask can be drawn from it")
        mean /= max(len(names), 1)
        mean[~brain] = 0
        return mean

    def segment(self, adc: np.ndarray, zadc: np.ndarray, spacing_mm: Spacing) -> Segmentation:
        """The mask of the same maps and the probabilities that it was drawn from. spacing_mm: (z, y, x).

        With a decision: trees first, then the networks, one calibration, and the mask of the highest expected Dice.
        """
        # in the box of the brain, all that counts: volumes are several times as large
        box = brain_box(brain_mask(adc), max((model.margin for model in self.ensemble.models), default=1))
        maps = np.ascontiguousarray(adc[box]), np.ascontiguousarray(zadc[box])
        if decision := self.ensemble.decision:
            first_stage = decision.first_stage(CaseMaps(*maps, spacing_mm))
            probabilities = decision.calibrate(self.network_probabilities(*maps), first_stage)
            mask, certainty = most_dice(probabilities), decision.certainty
        else:
            probabilities = self.network_probabilities(*maps)
            mask, certainty = probabilities > self.ensemble.inference.threshold, NOT_FITTED
        return Segmentation(uncrop(mask, box, adc.shape), uncrop(probabilities, box, adc.shape), certainty)

    def mask(self, adc: np.ndarray, zadc: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
        """The mask of `segment` alone."""
        return self.segment(adc, zadc, spacing_mm).mask


def predict_crop(network: Network, inputs: np.ndarray, model: ModelConfig, inference: InferenceConfig) -> np.ndarray:
    """Mean probability of one network over the flips: inputs float32 (channel, z, y, x) -> float32 (z, y, x)."""
    patch = patch_size(inputs.shape[1:], model.divisor, inference.max_patch)
    flips = [c for n in range(len(inference.flip_axes) + 1) for c in itertools.combinations(inference.flip_axes, n)]
    if all(size <= side for size, side in zip(inputs.shape[1:], patch, strict=True)):  # faster than one by one
        batch = np.stack([_flipped(inputs, axes) for axes in flips])
        answers = iter(sigmoid(in_windows(network, batch, patch, inference.overlap)))
    else:  # one by one takes less memory, which larger windows may have
        overlap = min(inference.overlap, LARGER_WINDOW_OVERLAP)
        patch = larger_window(inputs.shape[1:], model.divisor, dataclasses.replace(inference, overlap=overlap))
        answers = (sigmoid(in_windows(network, _flipped(inputs, axes)[None], patch, overlap)[0]) for axes in flips)
    total = np.zeros(inputs.shape[1:], np.float32)
    for answer, axes in zip(answers, flips, strict=True):
        total += np.flip(answer, axes)
    return np.divide(total, len(flips), out=total)


def _flipped(inputs: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Inputs (channel, z, y, x), flipped along some of the last three axes."""
    return np.flip(inputs, tuple(axis + 1 for axis in axes))


def larger_window(shape: tuple[int, ...], divisor: Triple, inference: InferenceConfig) -> Triple:
    """The windows for a crop that is larger than `max_patch`: those that take the fewest voxels in all.

    They have at most LARGER_WINDOW_FACTOR times the voxels of `max_patch`, and along no axis less than it, or than the crop.
    """
    axes = []
    for size, d, largest in zip(shape, divisor, inference.max_patch, strict=True):
        sides = [-(-size // d) * d]
        while sides[-1] > largest:  # one window more
            covered = 1 + len(sides) * (1 - inference.overlap)
            sides.append(max(math.ceil(size / covered / d) * d, largest))
        axes.append(sides)
    windows = [
        (z, y, x)
        for z, y, x in itertools.product(*axes)
        if z * y * x <= LARGER_WINDOW_FACTOR * math.prod(inference.max_patch)
    ]

    def voxels(window: Triple) -> int:
        padded = tuple(max(size, side) for size, side in zip(shape, window, strict=True))
        return len(window_boxes(padded, window, inference.overlap)) * math.prod(window)

    return min(windows, key=voxels)


def patch_size(shape: tuple[int, ...], divisor: Triple, largest: Triple) -> Triple:
    """The window for a crop: the crop itself rounded up to multiples of `divisor`, at most `largest` per axis.

    A crop of a few voxels gets a window twice as wide, since instance normalisation cannot work on a single voxel at the
    lowest level.
    """
    z, y, x = (min(-(-size // d) * d, limit) for size, d, limit in zip(shape, divisor, largest, strict=True))
    return (z, y, 2 * x) if (z, y, x) == divisor else (z, y, x)
