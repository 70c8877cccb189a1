"""What is said about maps that were spoiled on purpose: refused, warned of, or nothing, counted over real cases.

    .venv/bin/python test/pair_variants.py data/BONBID2023_Train

Every published case is spoiled in each way of VARIANTS, and its ADC map alone, before a Z map is estimated from it, in each
of OF_ADC. Prints a line for each way and the milliseconds that all checks of a case take. Exit code 1 when a case that is
not spoiled is warned of.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np

from model.errors import UserError
from model.images.brain import brain_box
from model.images.case import Case, read_case, require_usable
from model.images.checks import warnings_of
from model.images.components import depth_mm
from model.images.grid import Grid
from training.data.published import published_cases

Maps = tuple[np.ndarray, np.ndarray]
Spoil = Callable[[np.ndarray, np.ndarray, Maps], Maps]  # ADC, Z, and both maps of another case
SpoilAdc = Callable[[np.ndarray, np.ndarray, tuple[float, float, float]], np.ndarray]  # ADC, Z, spacing
ADULT_ML = 1200.0
ADULT = "adult's size"


def in_brain(adc: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(adc > 0, values, 0)


def fitted(adc: np.ndarray, other: Maps) -> np.ndarray:
    """Another case's Z map, its brain's box resampled to this brain's."""
    ours, theirs = brain_box(adc > 0, 0), brain_box(other[0] > 0, 0)
    places = []
    for here, there in zip(ours, theirs, strict=True):
        n, have = here.stop - here.start, there.stop - there.start
        places.append(there.start + np.minimum((np.arange(n) + 0.5) * have / n, have - 1).astype(int))
    result = np.zeros_like(adc)
    result[ours] = other[1][np.ix_(*places)]
    return result


def centred(adc: np.ndarray, other: Maps) -> np.ndarray:
    """Another case's Z map, cut or padded to this grid around the middle."""
    z = other[1]
    for axis, n in enumerate(adc.shape):
        short = max(n - z.shape[axis], 0)
        z = np.pad(z, [(short // 2, short - short // 2) if a == axis else (0, 0) for a in range(3)])
        start = (z.shape[axis] - n) // 2
        z = np.take(z, range(start, start + n), axis)
    return z


def holes(adc: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.where(z < -2, 0, adc)


def cube(adc: np.ndarray) -> np.ndarray:
    """A box in the brain's middle, a quarter as wide as the brain along each axis."""
    inside = np.zeros(adc.shape, bool)
    part = [(part.start + part.stop) // 2 for part in brain_box(adc > 0, 0)]
    half = [(part.stop - part.start) // 8 for part in brain_box(adc > 0, 0)]
    inside[tuple(slice(n - h, n + h + 1) for n, h in zip(part, half, strict=True))] = True
    return inside


def head(adc: np.ndarray) -> np.ndarray:
    """A rim of 600 around the brain's box in place of skull and scalp."""
    z, y, x = brain_box(adc > 0, 6)
    whole = adc.copy()
    whole[z, y, x] = np.where(adc[z, y, x] > 0, adc[z, y, x], 600)
    return whole


VARIANTS: dict[str, Spoil] = {
    "as published": lambda a, z, o: (a, z),
    "Z flipped top to bottom": lambda a, z, o: (a, z[::-1]),
    "Z flipped front to back": lambda a, z, o: (a, z[:, ::-1]),
    "Z flipped left to right": lambda a, z, o: (a, z[:, :, ::-1]),
    "Z flipped on two axes": lambda a, z, o: (a, z[:, ::-1, ::-1]),
    "ADC flipped left to right": lambda a, z, o: (a[:, :, ::-1], z),
    "Z's rows and columns exchanged": lambda a, z, o: (a, z.transpose(0, 2, 1)),
    "Z shifted by a voxel left to right": lambda a, z, o: (a, np.roll(z, 1, 2)),
    "Z shifted by a voxel front to back": lambda a, z, o: (a, np.roll(z, 1, 1)),
    "Z shifted by a slice": lambda a, z, o: (a, np.roll(z, 1, 0)),
    "Z shifted by 5 voxels on two axes": lambda a, z, o: (a, np.roll(z, (5, 5), (1, 2))),
    "Z of another case, cut or padded": lambda a, z, o: (a, centred(a, o)),
    "Z of another case, resampled to this brain": lambda a, z, o: (a, fitted(a, o)),
    "Z negated": lambda a, z, o: (a, -z),
    "|Z|": lambda a, z, o: (a, np.abs(z)),
    "-|Z|": lambda a, z, o: (a, -np.abs(z)),
    "sigmoid of Z, 0 outside": lambda a, z, o: (a, in_brain(a, 1 / (1 + np.exp(-z)))),
    "sigmoid of Z, 0.5 outside": lambda a, z, o: (a, 1 / (1 + np.exp(-z))),
    "p-values of |Z|": lambda a, z, o: (a, in_brain(a, np.exp(-np.abs(z)))),
    "Z times 0.1": lambda a, z, o: (a, z * 0.1),
    "Z times 0.5": lambda a, z, o: (a, z * 0.5),
    "Z times 2": lambda a, z, o: (a, z * 2),
    "Z times 2, clipped at 10": lambda a, z, o: (a, np.clip(z * 2, -10, 10)),
    "Z times 3, clipped at 10": lambda a, z, o: (a, np.clip(z * 3, -10, 10)),
    "Z times 4, clipped at 10": lambda a, z, o: (a, np.clip(z * 4, -10, 10)),
    "Z clipped at 3": lambda a, z, o: (a, np.clip(z, -3, 3)),
    "Z clipped at 5": lambda a, z, o: (a, np.clip(z, -5, 5)),
    "Z without its positive values": lambda a, z, o: (a, np.minimum(z, 0)),
    "Z without its negative values": lambda a, z, o: (a, np.maximum(z, 0)),
    "Z one number in the brain": lambda a, z, o: (a, in_brain(a, np.float32(1.5))),
    "Z zero": lambda a, z, o: (a, np.zeros_like(z)),
    "Z noise": lambda a, z, o: (a, in_brain(a, np.random.default_rng(0).normal(0, 2.5, z.shape).clip(-10, 10))),
    "Z minus its mean in the brain": lambda a, z, o: (a, in_brain(a, z - z[a > 0].mean(dtype=float))),
    "Z minus its mean everywhere": lambda a, z, o: (a, z - z.mean(dtype=float)),
    "ADC standardised in place of Z": lambda a, z, o: (a, in_brain(a, (a - a[a > 0].mean()) / a[a > 0].std())),
    "Z is a mask (Z < -2)": lambda a, z, o: (a, (z < -2).astype(np.float32)),
    "both maps the ADC": lambda a, z, o: (a, a),
    "both maps the Z": lambda a, z, o: (z, z),
    "swapped": lambda a, z, o: (z, a),
    "Z is the ADC in 1e-3 mm2/s": lambda a, z, o: (a, a / 1000),
    "ADC 0 where Z < -2": lambda a, z, o: (holes(a, z), z),
    "ADC and Z 0 where Z < -2": lambda a, z, o: (holes(a, z), np.where(z < -2, 0, z)),
    "ADC and Z 0 in a box a quarter as wide as the brain": lambda a, z, o: (a * ~cube(a), z * ~cube(a)),
    "ADC 0 below 700": lambda a, z, o: (np.where(a < 700, 0, a), z),
    "ADC 0 above 2000": lambda a, z, o: (np.where(a > 2000, 0, a), z),
    "ADC cut off at 2000": lambda a, z, o: (np.minimum(a, 2000), z),
    "ADC of another case": lambda a, z, o: (fitted(z + 20.0 * (z != 0), (o[0], o[0])), z),
    "ADC with a head around it": lambda a, z, o: (head(a), z),
    "ADC times 0.1": lambda a, z, o: (a * 0.1, z),
    "ADC times 0.4": lambda a, z, o: (a * 0.4, z),
    "ADC times 3": lambda a, z, o: (a * 3, z),
    "ADC times 6": lambda a, z, o: (a * 6, z),
    "diffusion-weighted (b = 1000) in place of ADC": lambda a, z, o: (in_brain(a, 4000 * np.exp(-a / 1000)), z),
    "half of the brain": lambda a, z, o: (a * (np.arange(a.shape[2]) < a.shape[2] // 2), z),
}


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


OF_ADC: dict[str, SpoilAdc] = {
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
    ADULT: lambda a, z, mm: a,
}


def adult(grid: Grid, brain: np.ndarray) -> Grid:
    """The grid on which the brain is as large as an adult's."""
    factor = (ADULT_ML / (np.count_nonzero(brain) * grid.voxel_mm3 / 1000)) ** (1 / 3)
    z, y, x = (mm * factor for mm in grid.spacing_mm)
    return replace(grid, spacing_mm=(z, y, x))


def of_estimate(case: Case) -> list[str]:
    """What is said when the case's Z map is estimated, without that it is."""
    return warnings_of(case.with_estimate(np.zeros_like(case.adc.voxels)))[1:]


def verdict(case: Case, warn: Callable[[Case], list[str]]) -> tuple[str, str]:
    """What is said, and the words."""
    try:
        require_usable(case)
    except UserError as error:
        return "refused", str(error)
    warnings = warn(case)
    return ("warned", " ".join(warnings)) if warnings else ("silent", "")


def tell(name: str, spoiled: Iterable[Case], show: bool, warn: Callable[[Case], list[str]]) -> tuple[list[float], int]:
    """Print what is said of cases that were spoiled in one way, and with `show` the words about the first.

    The milliseconds of processor time that each took, and of how many something is said.
    """
    milliseconds, counts = [], Counter[str]()
    for number, case in enumerate(spoiled):
        started = time.process_time()
        what, words = verdict(case, warn)
        milliseconds.append(1000 * (time.process_time() - started))
        counts[what] += 1
        if show and number == 0:
            print(f"    {words}")
    print(f"{name}: {', '.join(f'{counts[what]} {what}' for what in ('refused', 'warned', 'silent') if counts[what])}")
    return milliseconds, counts["warned"] + counts["refused"]


def of_pairs(cases: list[Case], way: Spoil) -> Iterator[Case]:
    """Every case with its maps spoiled; the next one's are at hand."""
    for case, other in zip(cases, [*cases[1:], cases[0]], strict=True):
        maps = way(case.adc.voxels, case.zadc.voxels, (other.adc.voxels, other.zadc.voxels))
        adc, zadc = (np.ascontiguousarray(voxels, dtype=np.float32) for voxels in maps)
        yield Case(replace(case.adc, voxels=adc, sha256=""), replace(case.zadc, voxels=zadc, sha256=""))


def of_adc(cases: list[Case], name: str, way: SpoilAdc) -> Iterator[Case]:
    """The ADC map alone of every case, spoiled."""
    for case in cases:
        voxels = np.ascontiguousarray(way(case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm), np.float32)
        grid = adult(case.grid, case.brain) if name == ADULT else case.grid
        yield Case(replace(case.adc, voxels=voxels, grid=grid, sha256=""), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds 1ADC_ss, 2Z_ADC and 3LABEL")
    parser.add_argument("--show", action="store_true", help="print what is said, too")
    args = parser.parse_args()
    cases, unspoiled = [read_case(files.adc, files.zadc) for files in published_cases(args.data)], 0
    pairs = {name: tell(name, of_pairs(cases, way), args.show, warnings_of) for name, way in VARIANTS.items()}
    print("the ADC map alone:")
    alone = {name: tell(name, of_adc(cases, name, way), args.show, of_estimate) for name, way in OF_ADC.items()}
    for told, what in ((pairs, "a pair"), (alone, "an ADC map alone")):
        unchanged, said = told.pop("as published")
        unspoiled += said
        for name, times in (("as published", unchanged), ("spoiled", [ms for each, _ in told.values() for ms in each])):
            middle, most = np.percentile(times, (50, 99))
            print(f"all checks of {what} {name}: {middle:.0f} ms of processor time, in 99 of 100 at most {most:.0f} ms")
    sys.exit(bool(unspoiled))


if __name__ == "__main__":
    main()
