"""Writes the input folder of a case on the data set's largest grid, 256 x 256 x 64 voxels of 1 mm, brain of about 500 ml.

    .venv/bin/python test/write_largest.py FOLDER

An ellipsoid of noise with three blobs of low Z: as much work as a real case of that size. Nothing in it is from a patient.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from phantom import SOCKETS, write_image
from scipy import ndimage

from model.images.volume import Grid
from training.common.cli import run
from training.common.outputs import require_new

GRID = Grid((64, 256, 256), (1.0, 1.0, 1.0), (-128.0, -128.0, -32.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
BLOBS = (((5, 20, 30), 9), ((-12, -30, -20), 5), ((14, 0, -35), 3))  # (z, y, x) and radius in mm from the middle


def maps() -> tuple[np.ndarray, np.ndarray]:
    """ADC and Z map, float32 (z, y, x)."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[-32:32, -128:128, -128:128]
    brain = ((z + 2) / 27) ** 2 + ((y - 11) / 78) ** 2 + ((x + 5) / 57) ** 2 < 1
    noise = ndimage.gaussian_filter(rng.normal(size=GRID.size), 1.5)
    zadc = noise / noise.std()
    for (cz, cy, cx), radius in BLOBS:
        zadc -= 4 * (((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) < radius**2)
    adc = np.where(brain, np.clip(1300 + 150 * zadc, 300, 3000), 0)
    return adc.astype(np.float32), np.where(brain, np.clip(zadc, -10, 10), 0).astype(np.float32)


def main() -> None:
    root = Path(sys.argv[1])
    require_new(root)
    adc, zadc = maps()
    for slug, voxels in (("skull-stripped-adc", adc), ("z-score-apparent-diffusion-coefficient-map", zadc)):
        _, where, _ = SOCKETS[slug]
        (root / where).mkdir(parents=True)
        write_image(voxels, GRID, root / where / "map.mha")
    print(f"{root}: brain {np.count_nonzero(adc) / 1000:.0f} ml, Z < -2 in {np.count_nonzero(zadc < -2) / 1000:.0f} ml")


if __name__ == "__main__":
    run(main)
