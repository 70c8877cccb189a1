"""An invented brain as a function of place, so that it can be scanned from any side and at any spacing."""

import functools

import numpy as np

from model.images.registered import GRID_MM
from model.lesions.atlas import MAPS_MM, Atlas, maps_shape

HALF_MM = np.array([38.0, 50.0, 41.0])  # half axes of the brain, (z, y, x)
MARGIN_MM = 12.0
SIZE = tuple(np.ceil(2 * (HALF_MM + MARGIN_MM) / GRID_MM).astype(int).tolist())
CENTRE = (HALF_MM + MARGIN_MM) / GRID_MM  # in voxels of the atlas
FLUID = ((8.0, -10.0, 9.0), (8.0, -10.0, -9.0), (4.0, 22.0, 0.0))  # centres in mm; no two sides are alike
GREY = ((-2.0, 2.0, 14.0), (-2.0, 2.0, -14.0), (-22.0, 26.0, 0.0), (15.0, -30.0, 12.0))
MAP_SLOPES = ((0.01, 0.0, 0.0), (0.0, 0.02, 0.0), (0.0, 0.0, 0.03), (0.01, -0.02, 0.01))  # of each map, a voxel of the atlas


def adc_at(places_mm: np.ndarray) -> np.ndarray:
    """ADC in 1e-6 mm2/s at places (..., 3) from the brain's centre; 0 outside."""

    def blobs(centres: tuple, width: float) -> np.ndarray:
        return sum(np.exp(-(((places_mm - centre) / width) ** 2).sum(-1)) for centre in centres)

    adc = 1350 + 1200 * blobs(FLUID, 7.0) - 350 * blobs(GREY, 9.0) + 4 * places_mm[..., 0]
    return np.where(((places_mm / HALF_MM) ** 2).sum(-1) <= 1, adc, 0).astype(np.float32)


def scan(spacing_mm: tuple[float, float, float], matrix: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A map of the brain after a linear map of it, and where each brain voxel's tissue lies in the atlas, in its voxels."""
    matrix = np.eye(3) if matrix is None else matrix
    reach = np.abs(matrix) @ HALF_MM + 8.0
    size = np.ceil(2 * reach / spacing_mm).astype(int)
    from_centre = np.moveaxis(np.indices(size), 0, -1) * np.array(spacing_mm) - reach
    tissue_mm = from_centre @ np.linalg.inv(matrix).T
    adc = adc_at(tissue_mm)
    return adc, tissue_mm[adc > 0] / GRID_MM + CENTRE


@functools.cache
def invented_atlas(sd: float = 200.0) -> Atlas:
    places = np.moveaxis(np.indices(SIZE), 0, -1)
    mean = adc_at((places - CENTRE) * GRID_MM)
    coarse = np.moveaxis(np.indices(maps_shape(SIZE)), 0, -1) * (MAPS_MM / GRID_MM) - CENTRE
    maps = np.stack([coarse @ weights for weights in MAP_SLOPES], axis=-1).astype(np.float32)
    return Atlas(mean, np.where(mean > 0, sd, 0).astype(np.float32), maps)
