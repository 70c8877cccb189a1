"""Invented cases for the benchmarks, laid out as the platform does, of any size."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from model.candidates import blur
from model.sockets import ADC_SLUG, DEFAULT_PATHS, ZADC_SLUG

# Of each axis, (z, y, x), the box around a brain takes this share: in the published cases 0.86, 0.50 and 0.39 in the median,
# 1.0, 0.62 and 0.55 at most.
SHARE = (0.9, 0.6, 0.5)
SPACING_MM = (2.0, 1.65, 1.65)  # (z, y, x)


def write_case(root: Path, size: tuple[int, int, int], full: bool = False, seed: int = 0) -> Path:
    """An input folder of `size` voxels (z, y, x); returns it. Its brain is an ellipsoid; `full`: everything is brain."""
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij", sparse=True)
    distance = sum((place / share) ** 2 for place, share in zip(places, SHARE, strict=True))
    brain = np.ones(size, bool) if full else distance <= 1
    noise = blur(rng.normal(size=size), 2, SPACING_MM)  # published Z maps are smoothed over 2 mm
    z_scores = noise / noise.std() - 0.5 - 4 * np.exp(-40 * sum((p - 0.1) ** 2 for p in places))  # one lesion
    adc = np.where(brain, rng.normal(1200, 150, size).clip(100), 0)
    for slug, voxels in ((ADC_SLUG, adc), (ZADC_SLUG, np.where(brain, z_scores, 0))):
        folder = root / DEFAULT_PATHS[slug]
        folder.mkdir(parents=True)
        image = sitk.GetImageFromArray(voxels.astype(np.float32))
        image.SetSpacing(SPACING_MM[::-1])
        sitk.WriteImage(image, str(folder / "map.mha"), useCompression=True)
    return root
