"""Folders of small cases, and the summary of a run."""

import contextlib
import csv
import itertools
import time
from pathlib import Path

import numpy as np
from inference_helpers import GRID, small_maps
from phantom import write_image

from model.networks.windows import before_network
from model.run.at_once import Stopped

GOOD = {f"case{n}": suffix for n, suffix in enumerate([".mha", ".nii.gz", ".nrrd"] * 2 + [".mhd", ".nii"])}
NUMBERS = itertools.count()
REASONS = {"broken": "expected a whole image file", "twice": "2 could be it: adc.mha, adc.nrrd"}


def new_maps() -> tuple[np.ndarray, np.ndarray]:
    """`small_maps`, with an ADC map that no other case has."""
    adc, zadc = small_maps()
    adc[adc > 0] += next(NUMBERS) / 16
    return adc, zadc


def write_maps(folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True)
    for name, voxels in zip(("adc", "zadc"), new_maps(), strict=True):
        write_image(voxels, GRID, folder / f"{name}{suffix}")
    return folder


def summary(output: Path) -> dict[str, dict]:
    with (output / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def wait_for_stop() -> None:
    """In a case's thread: until the run of the folder is being stopped, a minute at most."""
    with contextlib.suppress(Stopped):
        for _ in range(6000):
            before_network.get()()
            time.sleep(0.01)
