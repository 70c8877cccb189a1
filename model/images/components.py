"""Connected components of a mask, and how deep its voxels lie. Arrays are (z, y, x)."""

import numpy as np
import SimpleITK as sitk


def connected_components(mask: np.ndarray, *, by_faces: bool = False) -> tuple[np.ndarray, int]:
    """Label the 26-connected components of a boolean (z, y, x) mask: (labels from 1, 0 outside; their number).

    by_faces: the 6-connected ones, whose voxels touch with their faces.
    """
    labels = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), not by_faces)
    labels = sitk.GetArrayFromImage(labels)
    return labels, int(labels.max())


def largest_first(mask: np.ndarray) -> np.ndarray:
    """The `connected_components` of a boolean (z, y, x) mask numbered from 1 by their size, the largest first; 0 outside."""
    labels, count = connected_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    numbers = np.zeros(count + 1, labels.dtype)
    numbers[np.argsort(-sizes, kind="stable") + 1] = np.arange(1, count + 1)
    return numbers[labels]


def depth_mm(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Distance of each voxel of a boolean (z, y, x) mask to the nearest voxel outside, float32 mm; 0 outside.

    The volume's border counts as inside; infinite where the mask fills the volume.
    """
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    outside = sitk.GetImageFromArray((~mask).astype(np.uint8))
    outside.SetSpacing(spacing_mm[::-1])
    distance = sitk.SignedMaurerDistanceMap(outside, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)
