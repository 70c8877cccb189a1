"""Where each voxel of one newborn's brain lies in a template, by SimpleITK. Arrays are (z, y, x), lengths in mm.

Both images are in the canonical order without the scanner's angles. First the brain's box is scaled to the template's, then
an affine map is sought by correlation, then a smooth field by demons. One thread, so that the same map gives the same bits.
"""

import math
from typing import TypeVar

import numpy as np
import SimpleITK as sitk

from model.images.brain import brain_mask
from model.images.registered import GRID_MM, Registration, Spacing, box_mm, relative, sampled

TILTS = (-30.0, -15.0, 15.0, 30.0)  # degrees about each axis, of starts of the affine map
BEST_STARTS = 4  # of which the affine map is sought
COARSE = 2  # voxels of the template, in one of which the demons work
ITERATIONS = 30
FIELD_SD = 2.25  # of these coarse voxels, by which the update and the whole field are smoothed
LEAST_KNOWN = 0.5  # share of a brain that has to lie in the template's
LOWEST = 0.8  # of the template's value, to which lower ones are lifted, lest lesions pull


def register(adc: np.ndarray, spacing_mm: Spacing, template: np.ndarray, box: np.ndarray) -> Registration:
    """Register a brain to a template, float32 with voxels of GRID_MM; box: of the template's brain, (2, 3) in mm."""
    indices = np.argwhere(brain_mask(adc))
    own_mm = indices * spacing_mm
    own = box_mm(own_mm)
    scale = (box[1] - box[0]) / np.maximum(own[1] - own[0], GRID_MM)
    scaled_mm = (own_mm - own.mean(0)) * scale + box.mean(0)
    to_own = _as_transform(np.diag(1 / scale), np.zeros(3), own.mean(0) - box.mean(0) / scale)
    values = relative(adc)
    moving = _image(template, (GRID_MM,) * 3)
    fixed = _resampled(_image(values, spacing_mm), moving, to_own)
    affine = _affine(fixed, moving, scale)
    field = _field(fixed, _resampled(moving, moving, affine))
    fields = sitk.GetArrayFromImage(field)[..., ::-1]
    moved_mm = sampled(fields, scaled_mm / GRID_MM)
    matrix = np.reshape(affine.GetMatrix(), (3, 3))[::-1, ::-1]
    centre, shift = (np.array(v)[::-1] for v in (affine.GetCenter(), affine.GetTranslation()))
    places = (((scaled_mm + moved_mm - centre) @ matrix.T + centre + shift) / GRID_MM).astype(np.float32)
    there, known = sampled(np.stack([template, template > 0], -1), places).T
    whole = scale * np.linalg.norm(matrix, axis=0)
    return Registration(
        places,
        _correlation(values[tuple(indices.T)], there, known > 0.99),  # on all sides
        tuple(whole.tolist()),
        float(np.linalg.norm(moved_mm, axis=1).max()),
    )


def _correlation(here: np.ndarray, there: np.ndarray, known: np.ndarray) -> float:
    """Of the values of voxels where those there are known; nan where that is less than half of them, or one is constant."""
    if known.mean() < LEAST_KNOWN or min(np.ptp(here[known]), np.ptp(there[known])) == 0:
        return math.nan
    return float(np.corrcoef(here[known], there[known])[0, 1])


def _image(values: np.ndarray, spacing_mm: Spacing) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(mm) for mm in spacing_mm[::-1]])
    return image


Filter = TypeVar("Filter", bound=sitk.ProcessObject)


def _one_thread(filter_: Filter) -> Filter:
    filter_.SetNumberOfThreads(1)
    filter_.SetNumberOfWorkUnits(1)
    return filter_


def _resampled(image: sitk.Image, like: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    resample = _one_thread(sitk.ResampleImageFilter())
    resample.SetReferenceImage(like)
    resample.SetTransform(transform)
    return resample.Execute(image)


def _affine(fixed: sitk.Image, moving: sitk.Image, scale: np.ndarray) -> sitk.AffineTransform:
    """From points of `fixed`, a brain whose box was scaled, to points of `moving`.

    Sought from the best of some starts: the box as it is, or the brain with its own shape, upright or tilted.
    """
    method = _one_thread(sitk.ImageRegistrationMethod())
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 60)
    method.SetOptimizerScalesFromPhysicalShift()

    coarse = [sitk.BinShrink(image, [COARSE] * 3) for image in (fixed, moving)]

    def misfit(transform: sitk.AffineTransform, images: list[sitk.Image]) -> float:
        method.SetInitialTransform(transform, inPlace=True)
        return float(method.MetricEvaluate(*images))

    def improved(start: sitk.AffineTransform, images: list[sitk.Image]) -> sitk.AffineTransform:
        before = misfit(start, images)
        found = sitk.AffineTransform(start)
        method.SetInitialTransform(found, inPlace=True)
        try:
            method.Execute(*images)
        except RuntimeError:  # the two came to lie apart
            return start
        return found if method.GetMetricValue() <= before else start

    starts = sorted(_starts(coarse[0], coarse[1], scale), key=lambda start: misfit(start, coarse))[:BEST_STARTS]
    best = min((improved(start, coarse) for start in starts), key=lambda found: misfit(found, coarse))
    return improved(best, [fixed, moving])


def _starts(fixed: sitk.Image, moving: sitk.Image, scale: np.ndarray) -> list[sitk.AffineTransform]:
    brains = [sitk.GetArrayViewFromImage(image) > 0 for image in (fixed, moving)]
    here, there = (
        np.array(image.TransformContinuousIndexToPhysicalPoint(np.argwhere(brain).mean(0)[::-1].tolist()))[::-1]
        for image, brain in zip((fixed, moving), brains, strict=True)
    )
    volumes = [max(int(np.count_nonzero(brain)), 1) for brain in brains]
    wider = float(volumes[1] / volumes[0] * np.prod(scale)) ** (1 / 3)
    shape = np.diag(wider / scale)
    turns = [np.eye(3), *(_turn(axis, degrees) for axis in range(3) for degrees in TILTS)]
    starts = [sitk.AffineTransform(3), *(_as_transform(turn @ shape, here, there - here) for turn in turns)]
    starts[0].SetCenter(here[::-1].tolist())
    return starts


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation about one of (z, y, x), of vectors in that order."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = (other for other in range(3) if other != axis)
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def _as_transform(matrix: np.ndarray, centre: np.ndarray, shift: np.ndarray) -> sitk.AffineTransform:
    """Of a matrix and vectors in the order (z, y, x)."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[::-1, ::-1].ravel().tolist())
    transform.SetCenter(centre[::-1].tolist())
    transform.SetTranslation(shift[::-1].tolist())
    return transform


def _field(fixed: sitk.Image, moving: sitk.Image) -> sitk.Image:
    """The displacement, in mm, of points of `fixed` to points of `moving`."""
    values, there = sitk.GetArrayFromImage(fixed), sitk.GetArrayFromImage(moving)
    fixed = _image(np.where(values > 0, np.maximum(values, LOWEST * there), values), fixed.GetSpacing())
    demons = _one_thread(sitk.FastSymmetricForcesDemonsRegistrationFilter())
    demons.SetNumberOfIterations(ITERATIONS)
    demons.SetSmoothDisplacementField(True)
    demons.SetSmoothUpdateField(True)
    demons.SetStandardDeviations(FIELD_SD)
    demons.SetUpdateFieldStandardDeviations(FIELD_SD)
    coarse = (sitk.BinShrink(image, [COARSE] * 3) for image in (fixed, moving))
    return _resampled(demons.Execute(*coarse), fixed, sitk.Transform(3, sitk.sitkIdentity))
