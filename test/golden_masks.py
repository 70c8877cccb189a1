"""The masks whose scores are derived on paper in test_evaluation.py, and the grid of their labels. Arrays are (z, y, x)."""

from pathlib import Path

import numpy as np
from phantom import make_grid, write_image

from model.images.volume import Grid

SIZE = (9, 12, 15)
# 4 mm slices, 1.5 mm from row to row, 1 mm from column to column: voxels of 0.006 ml. The scorer measures rows with 1 and
# columns with 1.5 mm
GRID = Grid(SIZE, (4.0, 1.5, 1.0), (-31.25, 12.5, -70.75), make_grid().direction)
NAMES = ("MGHNICU_010-VISIT_01", "MGHNICU_010-VISIT_02", "MGHNICU_009-VISIT_01")  # two visits of one patient
ONE, TWO = ((3, 4, 6),), ((3, 4, 6), (3, 4, 9))


def voxels(*indices: tuple[int, int, int]) -> np.ndarray:
    """A mask of SIZE, uint8, 1 at the given places."""
    mask = np.zeros(SIZE, np.uint8)
    for index in indices:
        mask[index] = 1
    return mask


class Folders:
    """Masks and labels of cases on disk."""

    def __init__(self, root: Path) -> None:
        self.masks, self.labels = root / "masks", root / "labels"

    def write(self, path: Path, voxels: np.ndarray, grid: Grid = GRID) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(voxels, grid, path)
        return path

    def mask(self, name: str, voxels: np.ndarray, grid: Grid = GRID) -> Path:
        return self.write(self.masks / name, voxels, grid)

    def label(self, name: str, voxels: np.ndarray) -> Path:
        return self.write(self.labels / name, voxels.astype(np.float32))  # as the published labels are
