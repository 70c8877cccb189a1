"""Small invented cases and a small network for the tests of training. Arrays are (z, y, x), spacing (z, y, x) in mm."""

import dataclasses
import json
from collections.abc import Callable, Collection
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import torch

from model.images.grid import Grid
from model.networks.config import ModelConfig
from training.data.dataset import PackedCase

SMALL = ModelConfig(
    channels=(4, 6, 8), kernel_sizes=((1, 3, 3), (3, 3, 3), (3, 3, 3)), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2))
)  # divisor (2, 4, 4)


def invented_case(number: int) -> PackedCase:
    """A brain that fills a box off the middle, with one lesion box in which Z is low; elsewhere Z is noise.

    Z is low outside the brain too, where it means nothing. Within, it is a multiple of 1/4, so that it is compared with -2
    without rounding. The slice thickness tells cases apart.
    """
    shape = (8, 24, 20)
    rng = np.random.default_rng(number)
    brain, label = np.zeros(shape, bool), np.zeros(shape, bool)
    brain[1:-1, 4:-2, 3:-5] = True
    z, y, x = rng.integers((2, 6, 5), (4, 9, 8))
    label[z : z + 3, y : y + 6, x : x + 4] = True
    adc = np.where(brain, rng.uniform(600, 1800, shape), 0).astype(np.float32)
    zadc = np.round(4 * rng.normal(np.where(label, -3, 0), 1.2)) / 4
    zadc = np.where(brain, zadc, -5).astype(np.float32)
    return PackedCase(f"case{number}", adc, zadc, label, (2 + number / 4, 1.5, 1.25))


FOLDS = [["case0", "case1"], ["case2", "case3"], ["case4"], ["case5"], ["case6"]]  # of a small study
CASES = {case.name: case for case in map(invented_case, range(7))}


def write_study(folder: Path, cases: dict[str, PackedCase] = CASES, folds: list[list[str]] = FOLDS) -> None:
    """Write cases packed, and their folds as splits.json."""
    for case in cases.values():
        write_packed(case, folder)
    (folder / "splits.json").write_text(json.dumps({"seed": 0, "folds": folds}))


def write_packed(case: PackedCase, folder: Path, **changes: np.ndarray) -> None:
    """Write the case in the packed form that training reads, with some other arrays."""
    arrays = {"adc": case.adc, "zadc": case.zadc, "label": case.label, "spacing_mm": np.array(case.spacing_mm)}
    np.savez_compressed(folder / f"{case.name}.npz", **arrays | changes)


def grid_of(case: PackedCase) -> Grid:
    """Along the axes."""
    return Grid(case.adc.shape, case.spacing_mm, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def publish(case: PackedCase, root: Path, grid: Grid | None = None) -> None:
    """Write the case where the published archive has it; on `grid_of` it, or another grid."""
    from phantom import write_image  # needs SimpleITK, which a machine that only trains may lack

    files = {
        f"1ADC_ss/{case.name}-ADC_ss.mha": case.adc,
        f"2Z_ADC/Zmap_{case.name}-ADC_smooth2mm_clipped10.mha": case.zadc,
        f"3LABEL/{case.name}_lesion.mha": case.label.astype(np.uint8),
    }
    for name, voxels in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(voxels, grid or grid_of(case), root / name)


OTHER_DATA = {  # what of a case differs in a folder of packed cases that looks like another
    "labels inverted": lambda case: {"label": ~case.label & case.brain},
    "Z negated": lambda case: {"zadc": -case.zadc},
    "one voxel of ADC": lambda case: {
        "adc": np.where(np.arange(case.adc.size) == 2500, 700, case.adc.ravel()).reshape(case.adc.shape)
    },
    "axes exchanged": lambda case: {name: getattr(case, name).swapaxes(1, 2) for name in ("adc", "zadc", "label")},
    "another spacing": lambda case: {"spacing_mm": (*case.spacing_mm[:2], 1.0)},
}


def write_other_study(folder: Path, kind: str, names: Collection[str]) -> Path:
    """Write the study with other data of the named cases; returns the folder."""
    folder.mkdir()
    write_study(folder)
    for name in names:
        write_packed(dataclasses.replace(CASES[name], **OTHER_DATA[kind](CASES[name])), folder)
    return folder


def tensors(values: object, name: str = "") -> dict[str, torch.Tensor]:
    """Every tensor in nested tables, by its path."""
    if isinstance(values, torch.Tensor):
        return {name: values}
    pairs = values.items() if isinstance(values, dict) else ()
    return {path: tensor for key, value in pairs for path, tensor in tensors(value, f"{name}/{key}").items()}


class Here:
    """An executor of the study that runs each job at once, in this process."""

    def submit(self, function: Callable, job: object) -> Future:
        future = Future()
        try:
            future.set_result(function(job))
        except Exception as error:
            future.set_exception(error)
        return future
