"""Invented cases of any size for the benchmarks, on disk laid out as the platform does."""

from pathlib import Path

import numpy as np

from model.inputs.platform import ADC_SLUG, DEFAULT_PATHS, ZADC_SLUG
from model.lesions.brain_map import blur

# Of each axis, (z, y, x), the box around a brain takes this share: in the published cases 0.86, 0.50 and 0.39 in the median,
# 1.0, 0.62 and 0.55 at most.
SHARE = (0.9, 0.6, 0.5)
SPACING_MM = (2.0, 1.65, 1.65)  # (z, y, x)
BRAIN_ML = 500.0  # at most: the voxels of a larger grid are made smaller, or its brain would be refused


def invented_maps(size: tuple[int, int, int], full: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """ADC and Z map, float32 (z, y, x). The brain is an ellipsoid; `full`: everything is brain."""
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij", sparse=True)
    distance = sum((place / share) ** 2 for place, share in zip(places, SHARE, strict=True))
    brain = np.ones(size, bool) if full else distance <= 1
    noise = blur(rng.normal(size=size), 2, SPACING_MM)  # published Z maps are smoothed over 2 mm
    z_scores = noise / noise.std() - 0.5 - 4 * np.exp(-40 * sum((p - 0.1) ** 2 for p in places))  # one lesion
    adc = rng.normal(1200, 150, size).clip(100)
    return np.where(brain, adc, 0).astype(np.float32), np.where(brain, z_scores, 0).astype(np.float32)


def write_case(root: Path, size: tuple[int, int, int], full: bool = False, seed: int = 0) -> Path:
    """An input folder with `invented_maps`; returns it."""
    import SimpleITK as sitk  # which a machine that only trains may lack

    maps = invented_maps(size, full, seed)
    ml = float(np.count_nonzero(maps[0]) * np.prod(SPACING_MM)) / 1000
    spacing_mm = [mm * min(1.0, (BRAIN_ML / ml) ** (1 / 3)) for mm in SPACING_MM]
    for slug, voxels in zip((ADC_SLUG, ZADC_SLUG), maps, strict=True):
        folder = root / DEFAULT_PATHS[slug]
        folder.mkdir(parents=True)
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(spacing_mm[::-1])
        sitk.WriteImage(image, str(folder / "map.mha"), useCompression=True)
    return root
