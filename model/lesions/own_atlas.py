"""A user's own normative atlas, from two images: the mean ADC of normal newborns and its standard deviation.

The images have no maps of where lesions lay. Those of the built-in atlas are brought to where they belong in this one: its
mean is registered to the built-in atlas as a case is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.errors import UserError
from model.images.brain import brain_box
from model.images.grid import require_same_grid
from model.images.orientation import turn_to_canonical
from model.images.registered import GRID_MM, MARGIN_MM, sampled
from model.images.volume import read_volume
from model.lesions.atlas import MAPS_MM, Atlas, maps_shape
from model.lesions.brain_map import blur

if TYPE_CHECKING:
    from model.images.grid import Volume
    from model.lesions.brain_map import Spacing

MEDIAN_ADC = (800.0, 2200.0)  # 1e-6 mm2/s, of the mean
SD_SHARE = (0.08, 0.5)  # median of the standard deviation over the mean
BRAIN_ML = (150.0, 900.0)
LEAST_WITH_SD = 0.95  # share of the mean's brain
LARGEST_SD_RATIO = 5.0  # of the standard deviation to its median, either way; at most 3.7 in the built-in atlas


def read_atlas(mean_path: Path, sd_path: Path, built_in: Atlas) -> Atlas:
    """Read and check the two images, which lie on one grid, in 1e-6 mm2/s, 0 outside the brain.

    built_in: from which the maps are taken.
    Raises UserError when they cannot be read, are swapped, in another unit, a variance, not of a newborn's brain alone, or
    do not fit the built-in atlas.
    """
    try:
        mean, sd = read_volume(mean_path), read_volume(sd_path)
        require_same_grid(mean, sd)
    except UserError as error:
        raise UserError(f"--atlas: {error}") from None
    if not mean.oriented:
        raise UserError(f"--atlas: {mean_path}: does not say how it lies in the patient, expected a header that does")
    turn = turn_to_canonical(mean.grid)
    of_mean, of_sd = (turn.to_canonical(volume.voxels) for volume in (mean, sd))
    if problem := _misfit(mean, of_mean, sd, of_sd):
        raise UserError(f"--atlas: {problem}")
    on_grid = _on_grid(of_mean, of_sd, turn.spacing_mm(mean.grid))
    registration = built_in.register(on_grid[0], (GRID_MM,) * 3)
    if not registration.usable:
        raise UserError(
            f"--atlas: {mean_path}: could not be registered to the built-in atlas, expected a newborn's mean ADC"
        )
    atlas = Atlas(*on_grid, _maps(on_grid[0] > 0, registration.places, built_in))
    return replace(atlas, name=f"{mean_path.name}, {sd_path.name} ({atlas.digest[:12]})")


def _misfit(mean: Volume, of_mean: np.ndarray, sd: Volume, of_sd: np.ndarray) -> str:
    """Why two images are no atlas; empty where they may be one."""
    brain = of_mean > 0
    if not brain.any() or np.count_nonzero(of_mean < 0) > 0.01 * np.count_nonzero(brain):
        return f"{mean.path}: expected a mean ADC, above 0 in the brain and 0 elsewhere, found values below 0 or none above"
    volume_ml = np.count_nonzero(brain) * mean.grid.voxel_mm3 / 1000
    if not BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        return (
            f"{mean.path}: is above 0 in {volume_ml:.0f} ml, expected a newborn's brain of 300 to 600 ml: is it"
            " skull-stripped, with the right spacing?"
        )
    with_sd = brain & (of_sd > 0)
    share = np.count_nonzero(with_sd) / np.count_nonzero(brain)
    if share < LEAST_WITH_SD:
        return f"{sd.path}: is above 0 in {share:.0%} of the brain of {mean.path.name}, expected it everywhere there"
    middle, spread = float(np.median(of_mean[brain])), float(np.median(of_sd[with_sd]))
    found = f"medians of {middle:.4g} and {spread:.4g} in the brain"
    wanted = f"expected 1e-6 mm2/s, about 1200 and 250, found {found}"
    if MEDIAN_ADC[0] <= spread <= MEDIAN_ADC[1] and middle < spread:
        return f"{mean.path} and {sd.path}: the two look swapped; {wanted}"
    if not MEDIAN_ADC[0] <= middle <= MEDIAN_ADC[1]:
        return f"{mean.path}: the mean is in another unit, or no newborn's ADC; {wanted}"
    if not SD_SHARE[0] <= spread / middle <= SD_SHARE[1]:
        return f"{sd.path}: no standard deviation in the mean's unit: is it a variance, or an error of the mean? {wanted}"
    unlike = np.abs(np.log(of_sd[with_sd] / spread)) > np.log(LARGEST_SD_RATIO)
    if unlike.mean() > 1 - LEAST_WITH_SD:
        return (
            f"{sd.path}: is more than {LARGEST_SD_RATIO:g} times above or below its median in {unlike.mean():.0%} of the"
            " brain, expected a standard deviation of much the same size everywhere"
        )
    return ""


def _on_grid(mean: np.ndarray, sd: np.ndarray, spacing_mm: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Both, sampled linearly with voxels of GRID_MM in the box of their brain, 0 outside it."""
    known = (mean > 0) & (sd > 0)
    box = brain_box(known, 0)
    channels = np.stack([known, mean * known, sd * known], axis=-1)[box].astype(np.float32)
    channels = np.pad(channels, ((1, 1), (1, 1), (1, 1), (0, 0)))
    size = np.ceil((np.array(channels.shape[:3]) * spacing_mm + 2 * MARGIN_MM) / GRID_MM).astype(int).tolist()
    places = np.moveaxis(np.indices(size), 0, -1).reshape(-1, 3)
    share, *values = sampled(channels, (places * GRID_MM - MARGIN_MM) / spacing_mm).T
    inside = share > 0.5
    of_mean, of_sd = (np.where(inside, v / np.where(inside, share, 1), 0).astype(np.float32).reshape(size) for v in values)
    return of_mean, of_sd


def _maps(brain: np.ndarray, places: np.ndarray, built_in: Atlas) -> np.ndarray:
    """The built-in atlas's maps in an atlas with that brain, whose voxels lie at `places` in the built-in one.

    Outside the brain they go on as they are at its surface, and far from it have the brain's mean.
    """
    values = sampled(built_in.maps, places * (GRID_MM / MAPS_MM))
    maps = np.empty((*maps_shape(brain.shape), values.shape[1]), np.float32)
    grid = (GRID_MM,) * 3
    share = np.maximum(blur(brain, GRID_MM, grid), 1e-3)
    centres = np.moveaxis(np.indices(maps.shape[:3]), 0, -1).reshape(-1, 3) * (MAPS_MM / GRID_MM)
    for number, mean in enumerate(values.mean(axis=0)):
        apart = np.zeros(brain.shape)
        apart[brain] = values[:, number] - mean
        smooth = mean + blur(apart, GRID_MM, grid) / share
        maps[..., number] = sampled(smooth[..., None], centres).reshape(maps.shape[:3])
    return maps
