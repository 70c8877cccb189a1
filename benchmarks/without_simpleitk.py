"""The lesion decision's two filters by scipy, for a machine that lacks SimpleITK. Arrays are (z, y, x)."""

import math
import sys
from types import ModuleType

import numpy as np
from scipy import ndimage

NAME = "model.images.components"


def connected_components(mask: np.ndarray, *, by_faces: bool = False) -> tuple[np.ndarray, int]:
    """As in `model.images.components`, up to the order of the labels."""
    return ndimage.label(mask, None if by_faces else np.ones((3, 3, 3)))


def depth_mm(mask: np.ndarray, spacing_mm: tuple[float, float, float], deepest_mm: float = math.inf) -> np.ndarray:
    """As in `model.images.components`."""
    if mask.all():
        return np.full(mask.shape, deepest_mm, np.float32)
    return np.minimum(ndimage.distance_transform_edt(mask, spacing_mm), deepest_mm).astype(np.float32)


def stand_in() -> str:
    """Put these filters in the place of `model.images.components` where SimpleITK is missing; says which are used."""
    try:
        import model.images.components
    except ImportError:
        module = ModuleType(NAME)
        vars(module).update(connected_components=connected_components, depth_mm=depth_mm)
        sys.modules[NAME] = module
        return "scipy"
    return "SimpleITK" if hasattr(model.images.components, "sitk") else "scipy"
