"""What is said about an ADC map alone that was spoiled on purpose, before a Z map is estimated from it, over real cases.

    .venv/bin/python test/adc_only_variants.py data/BONBID2023_Train

Every published ADC map is spoiled in each way of VARIANTS. Prints how many are refused, warned of and silent. Exit code 1
when one that is not spoiled is warned of.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from pair_variants import in_brain, read_arguments, tell

from model.images.brain import brain_box
from model.images.case import Case
from model.images.checks import warnings_of
from model.images.components import depth_mm
from model.images.grid import Grid

Spoil = Callable[[np.ndarray, np.ndarray, tuple[float, float, float]], np.ndarray]  # ADC, Z, spacing
ADULT_ML = 1200.0


def around(adc: np.ndarray, spacing_mm: tuple[float, float, float], nearest: float, farthest: float) -> np.ndarray:
    """The ADC map with uneven tissue, 300 to 1500, where the brain is so far away in mm."""
    distance = depth_mm(adc <= 0, spacing_mm)
    shell = (distance > nearest) & (distance < farthest)
    return np.where(shell, np.random.default_rng(0).uniform(300, 1500, adc.shape), adc)


def as_bright(adc: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in the brain with the ADC map's median, so that it does not give them away."""
    inside = adc > 0
    return in_brain(adc, values * (np.median(adc[inside]) / np.median(values[inside])))


def half(adc: np.ndarray, axis: int, *, first: bool) -> np.ndarray:
    """One half of the brain's box along an axis."""
    part = brain_box(adc > 0, 0)[axis]
    kept = (np.arange(adc.shape[axis]) < (part.start + part.stop) // 2) == first
    return adc * kept.reshape([-1 if n == axis else 1 for n in range(3)])


VARIANTS: dict[str, Spoil] = {
    "as published": lambda a, z, mm: a,
    "Z map in place of ADC": lambda a, z, mm: z,
    "Z map times 300": lambda a, z, mm: z * 300,
    "ADC inverted": lambda a, z, mm: as_bright(a, np.clip(3000 - a, 1, None)),
    "diffusion-weighted, b = 1000": lambda a, z, mm: as_bright(a, np.exp(-a / 1000)),
    "the same, T2 in it": lambda a, z, mm: as_bright(a, (1 + a / 2000) * np.exp(-a / 1000)),
    "the same, as scanned": lambda a, z, mm: in_brain(a, 1000 * np.exp(-a / 1000)),
    "b0": lambda a, z, mm: as_bright(a, 1 + a / 1000),
    "one number": lambda a, z, mm: in_brain(a, np.float32(1200)),
    "one number and noise": lambda a, z, mm: in_brain(a, np.random.default_rng(0).normal(1200, 30, a.shape)),
    "skull, a gap before it": lambda a, z, mm: around(a, mm, 4, 10),
    "skull and scalp, no gap": lambda a, z, mm: around(a, mm, 0, 8),
    "noise in the background": lambda a, z, mm: np.where(a > 0, a, np.random.default_rng(0).uniform(1, 3000, a.shape)),
    "times 0.4": lambda a, z, mm: a * 0.4,
    "times 3": lambda a, z, mm: a * 3,
    "cut off at 2000": lambda a, z, mm: np.minimum(a, 2000),
    "0 where Z < -2": lambda a, z, mm: np.where(z < -2, 0, a),
    "left half": lambda a, z, mm: half(a, 2, first=False),
    "right half": lambda a, z, mm: half(a, 2, first=True),
    "front half": lambda a, z, mm: half(a, 1, first=True),
    "back half": lambda a, z, mm: half(a, 1, first=False),
    "top half": lambda a, z, mm: half(a, 0, first=False),
    "bottom half": lambda a, z, mm: half(a, 0, first=True),
}


def adult(grid: Grid, brain: np.ndarray) -> Grid:
    """The grid on which the brain is as large as an adult's."""
    factor = (ADULT_ML / (np.count_nonzero(brain) * grid.voxel_mm3 / 1000)) ** (1 / 3)
    z, y, x = (mm * factor for mm in grid.spacing_mm)
    return replace(grid, spacing_mm=(z, y, x))


def warnings_of_estimate(case: Case) -> list[str]:
    """What is said when the case's Z map is estimated, without that it is."""
    return warnings_of(case.with_estimate(np.zeros_like(case.adc.voxels)))[1:]


def spoil(cases: list[Case], name: str) -> Iterator[Case]:
    """The ADC map alone of every case, spoiled."""
    for case in cases:
        spoiled = VARIANTS.get(name, VARIANTS["as published"])(case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm)
        grid = case.grid if name in VARIANTS else adult(case.grid, case.brain)
        yield Case(replace(case.adc, voxels=np.ascontiguousarray(spoiled, np.float32), grid=grid, sha256=""), None)


def main() -> None:
    cases, show = read_arguments(__doc__)
    names = [*VARIANTS, "adult's size"]
    told = {name: tell(name, spoil(cases, name), show, warnings_of_estimate) for name in names}
    print(f"all checks of a case: {np.median([ms for each, _ in told.values() for ms in each]):.0f} ms of processor time")
    sys.exit(bool(told["as published"][1]))


if __name__ == "__main__":
    main()
