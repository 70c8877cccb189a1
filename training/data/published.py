"""The layout of the published archive: which files a case has, and how its label is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import UserError
from model.images.case import Case
from model.images.orientation import turn_to_canonical
from model.images.volume import Volume, read_volume, require_same_grid
from model.inputs.published_layout import ADC_FOLDER, ADC_STEM, LABEL_FOLDER, LABEL_NAME, ZADC_FOLDER, ZADC_NAME


@dataclass(frozen=True)
class CaseFiles:
    """The three files of one case."""

    name: str
    adc: Path
    zadc: Path
    label: Path


def published_cases(root: Path) -> list[CaseFiles]:
    """The cases below `root` in the published layout (`1ADC_ss`, `2Z_ADC`, `3LABEL`), sorted by name.

    Raises UserError when there is no case or one of a case's three files is missing.
    """
    cases = []
    for adc in sorted((root / ADC_FOLDER).glob("*.mha")):
        match = ADC_STEM.fullmatch(adc.stem)
        if not match:
            raise UserError(f"{adc}: expected a name like MGHNICU_010-VISIT_01-ADC_ss.mha")
        name = match["case"]
        zadc = root / ZADC_FOLDER / f"{ZADC_NAME.format(name)}.mha"
        label = root / LABEL_FOLDER / f"{LABEL_NAME.format(name)}.mha"
        for path in (zadc, label):
            if not path.is_file():
                raise UserError(f"{path}: missing, expected beside {adc}")
        cases.append(CaseFiles(name, adc, zadc, label))
    known = {path for files in cases for path in (files.zadc, files.label)}
    for path in sorted([*(root / ZADC_FOLDER).glob("*.mha"), *(root / LABEL_FOLDER).glob("*.mha")]):
        if path not in known:
            raise UserError(f"{path}: belongs to no ADC map in {root / ADC_FOLDER}")
    if not cases:
        raise UserError(f"{root}: no case found, expected files {ADC_FOLDER}/*-ADC_ss.mha")
    return cases


def read_label(path: Path, adc: Volume) -> np.ndarray:
    """The lesion mask of a case as boolean (z, y, x).

    Raises UserError when it does not lie on the ADC map's grid or holds other values than 0 and 1.
    """
    label = read_volume(path)
    require_same_grid(adc, label)
    require_mask(label)
    return label.voxels > 0


def require_mask(volume: Volume) -> None:
    """Raise UserError when a volume holds other values than 0 and 1."""
    values = np.unique(volume.voxels)
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"{volume.path}: expected only 0 and 1, found {values[:5].tolist()}")


def canonical_arrays(case: Case, label: np.ndarray) -> dict[str, Any]:
    """The arrays of a packed case by name, and its spacing (z, y, x) in mm, in the orientation of the networks."""
    turn = turn_to_canonical(case.grid)
    maps = {"adc": case.adc.voxels, "zadc": case.zadc.voxels, "label": label}
    return {name: turn.to_canonical(voxels) for name, voxels in maps.items()} | {"spacing_mm": turn.spacing_mm(case.grid)}
