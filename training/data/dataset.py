"""Packed cases in memory, and the batches an epoch is made of. Needs no SimpleITK."""

import dataclasses
import functools
import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from model.errors import UserError, listed, one_line
from model.images.brain import brain_box, brain_mask
from model.images.limits import LARGEST_Z, SPACING_MM
from model.networks.config import ModelConfig
from model.networks.inputs import network_input
from training.data.splits import SPLITS, Folds, fold_words, folds_of
from training.data.strata import load_class

# what numpy and zipfile raise for files that are missing, empty, cut off, altered or of another kind
DAMAGE = (OSError, EOFError, KeyError, TypeError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error)
MAKE_IT = "make it with python -m training.cases"
# median of a brain in 1e-6 mm2/s, 909 to 1583 in 44 published cases; no living tissue is below, free water at 37 C is above
BRAIN_ADC = (300.0, 3000.0)
PUBLISHED, OWN, REVIEWED = "published", "own", "reviewed"  # where a packed case's label is from; older files do not say


@dataclass(frozen=True, eq=False)
class PackedCase:
    """One labelled case on the patient's grid; arrays (z, y, x) in the orientation of `model.images.orientation`."""

    name: str
    adc: np.ndarray  # float32, 1e-6 mm2/s
    zadc: np.ndarray  # float32, standard deviations
    label: np.ndarray  # bool
    spacing_mm: tuple[float, float, float]  # (z, y, x)
    fold: int | None = None  # that holds it out, where it was read with its folds
    source: str = PUBLISHED  # of its label: PUBLISHED, OWN or REVIEWED

    @functools.cached_property
    def brain(self) -> np.ndarray:
        """Boolean (z, y, x)."""
        return brain_mask(self.adc)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the maps, the label and the spacing, in hexadecimal; the name does not count."""
        sums = hashlib.sha256(repr((self.adc.shape, self.spacing_mm)).encode())
        for voxels in (self.adc, self.zadc, self.label):
            sums.update(np.ascontiguousarray(voxels).data)
        return sums.hexdigest()

    @functools.cached_property
    def scan_digest(self) -> str:
        """SHA-256 of the ADC in the brain's box, in hexadecimal: the same of one scan with other labels or names."""
        adc = np.where(self.brain, self.adc, 0)[brain_box(self.brain, margin=0)]
        return hashlib.sha256(repr(adc.shape).encode() + np.ascontiguousarray(adc).tobytes()).hexdigest()

    @property
    def lesion_load(self) -> float:
        """Lesion voxels as a share of the brain's."""
        return float(self.label.sum() / self.brain.sum())

    @property
    def load_class(self) -> int:
        """Which of `strata.LOADS` it belongs to."""
        return load_class(self.lesion_load, bool(self.label.any()))


@dataclass(frozen=True, eq=False)
class Sample:
    """A brain crop on the training device."""

    inputs: torch.Tensor  # float32 (channel, z, y, x)
    target: torch.Tensor  # float32 (1, z, y, x), 0 and 1
    spacing_mm: torch.Tensor  # float32 (3,), on the CPU


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples padded to one shape."""

    inputs: torch.Tensor  # float32 (batch, channel, z, y, x)
    target: torch.Tensor  # float32 (batch, 1, z, y, x)
    spacing_mm: torch.Tensor  # float32 (batch, 3), on the CPU


def load_case(path: Path) -> PackedCase:
    """Read one `.npz` of `training.cases`. Raises UserError when it is missing, damaged or no case to learn from."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("adc", "zadc", "label", "spacing_mm")}
            source = str(file["source"]) if "source" in file else PUBLISHED
    except DAMAGE as error:
        raise UserError(f"{path}: not a packed case ({one_line(error)}); {MAKE_IT}") from None
    if problem := _problem(**arrays):
        raise UserError(f"{path}: {problem}; {MAKE_IT}")
    adc, zadc = (arrays[name].astype(np.float32, copy=False) for name in ("adc", "zadc"))
    spacing_mm = tuple(arrays["spacing_mm"].tolist())
    return PackedCase(path.stem, adc, zadc, arrays["label"].astype(bool), spacing_mm, source=source)


def _problem(adc: np.ndarray, zadc: np.ndarray, label: np.ndarray, spacing_mm: np.ndarray) -> str:
    """What is wrong with a case's arrays; empty when nothing is."""
    if not adc.shape == zadc.shape == label.shape or adc.ndim != 3:
        return f"expected three volumes of one shape, found adc {adc.shape}, zadc {zadc.shape}, label {label.shape}"
    if spacing_mm.shape != (3,) or not np.all((spacing_mm >= SPACING_MM[0]) & (spacing_mm <= SPACING_MM[1])):  # nor NaN
        return f"expected spacings z y x of {SPACING_MM[0]} to {SPACING_MM[1]} mm, found {spacing_mm.tolist()}"
    for name, voxels in (("ADC", adc), ("Z", zadc)):
        if wrong := voxels.size - np.count_nonzero(np.isfinite(voxels)):
            return f"{wrong} of {voxels.size} voxels of {name} are NaN or infinite"
    other = np.setdiff1d(label, (0, 1))
    if other.size:
        return f"the label holds {', '.join(f'{value:g}' for value in other[:5])}, expected 0 and 1 alone"
    brain = brain_mask(adc)
    if not brain.any():
        return "no brain, expected voxels with ADC above 0"
    median = float(np.median(adc[brain]))
    if not BRAIN_ADC[0] <= median <= BRAIN_ADC[1]:
        return f"ADC in another unit than 1e-6 mm2/s: its median in the brain is {median:.4g}, expected about 1000 to 1600"
    if (largest := float(np.abs(zadc).max())) > LARGEST_Z:
        return f"Z reaches {largest:.4g}, expected it clipped at 10"
    return ""


def require_packed(folder: Path) -> None:
    """Raise UserError when there is no such folder, or it is not open to this user."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no folder of packed cases; {MAKE_IT}")


def load_cases(folder: Path, names: list[str] | None = None) -> list[PackedCase]:
    """Read the named packed cases of a folder, or all of them."""
    require_packed(folder)
    paths = [folder / f"{name}.npz" for name in names] if names is not None else sorted(folder.glob("*.npz"))
    if not paths:
        raise UserError(f"{folder}: no packed case, expected .npz files made by python -m training.cases")
    return [load_case(path) for path in paths]


def folds_of_packed(folder: Path) -> tuple[Folds, str]:
    """The folds of a folder of packed cases, and a line that says which they are and how many cases have none.

    Raises UserError when a case of the folds is not there. With a splits.json of its own every packed case must have a fold.
    """
    require_packed(folder)
    folds = folds_of(folder)
    names, packed = set(folds.fold_of), {path.stem for path in folder.glob("*.npz")}
    how = f"python -m training.splits --data {folder} deals folds for the cases that are there"
    if missing := listed(names - packed):
        raise UserError(f"{folder}: no packed case {missing}, which {folds.path} has a fold for; {how}")
    without = packed - names
    if without and folds.path != SPLITS:
        raise UserError(f"{folder}: {listed(without)}: without a fold in {folds.path}; {how}")
    left_out = f"; {len(without)} more in {folder} have no fold and are not used: {how}" if without else ""
    return folds, f"{fold_words(folds.held_out)}{left_out}"


def load_folds(folder: Path) -> dict[str, PackedCase]:
    """Read the cases of all folds, by name, fold by fold, each with its fold; a line on stdout says which folds.

    Raises UserError as `folds_of_packed` does, and when two cases are one scan.
    """
    folds, words = folds_of_packed(folder)
    print(words, flush=True)
    cases = load_cases(folder, list(folds.fold_of))
    require_each_scan_once(cases)
    return {case.name: dataclasses.replace(case, fold=folds.fold_of[case.name]) for case in cases}


def require_each_scan_once(cases: Iterable[PackedCase]) -> None:
    """Raise UserError when two cases have the same ADC map: one could be trained on and the other scored as held out."""
    names: dict[str, str] = {}
    for case in cases:
        if (other := names.setdefault(case.scan_digest, case.name)) != case.name:
            raise UserError(f"{' and '.join(sorted((other, case.name)))} are one scan, expected each scan under one name")


def to_sample(case: PackedCase, config: ModelConfig, device: torch.device) -> Sample:
    """The case's brain crop, preprocessed as in inference."""
    box = brain_box(case.brain, config.margin)
    inputs = network_input(case.adc[box], case.zadc[box], config)
    target = case.label[box].astype(np.float32)[None]
    return Sample(torch.from_numpy(inputs).to(device), torch.from_numpy(target).to(device), torch.tensor(case.spacing_mm))


def epoch_batches(samples: list[Sample], size: int, seed: int) -> Iterator[list[Sample]]:
    """Every sample once, in batches of at most `size` whose slices are of like thickness, so that padding stays small."""
    rng = np.random.default_rng(seed)
    order = sorted(rng.permutation(len(samples)), key=lambda i: samples[i].inputs.shape[1] >= 32)
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    for chunk in rng.permutation(len(chunks)):
        yield [samples[i] for i in chunks[chunk]]


def collate(samples: list[Sample], divisor: tuple[int, int, int]) -> Batch:
    """Pad with zeros at each axis' end to one shape, a multiple of `divisor`, and stack."""
    largest = np.max([sample.inputs.shape[1:] for sample in samples], axis=0)
    shape = [-(-int(n) // d) * d for n, d in zip(largest, divisor, strict=True)]

    def pad(tensor: torch.Tensor) -> torch.Tensor:
        missing = [n - have for n, have in zip(shape, tensor.shape[1:], strict=True)]
        return functional.pad(tensor, [side for n in reversed(missing) for side in (0, n)])

    return Batch(
        torch.stack([pad(sample.inputs) for sample in samples]),
        torch.stack([pad(sample.target) for sample in samples]),
        torch.stack([sample.spacing_mm for sample in samples]),
    )
