"""The layout of the published archive: which files a case has, and how they are read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import UserError
from model.images.case import Case, read_case
from model.images.orientation import turn_to_canonical
from model.images.volume import Volume, read_volume, require_same_grid
from model.inputs.published_layout import ADC_FOLDER, ADC_NAME, LABEL_FOLDER, LABEL_NAME, ZADC_FOLDER, ZADC_NAME

STEMS = {ADC_FOLDER: ADC_NAME, ZADC_FOLDER: ZADC_NAME, LABEL_FOLDER: LABEL_NAME}  # of a case's files, by folder
PUBLISHED_NAME = re.compile(r"MGHNICU_\d+-VISIT_\d+")  # others are of whoever follows the layout


@dataclass(frozen=True)
class CaseFiles:
    """The three files of one case."""

    name: str
    adc: Path
    zadc: Path
    label: Path


def published_cases(root: Path) -> list[CaseFiles]:
    """The cases below `root` in the published layout (`1ADC_ss`, `2Z_ADC`, `3LABEL`), sorted by name.

    Raises UserError when there is no case, one of a case's three files is missing or a file's name fits no case.
    """
    names: set[str] = set()
    for folder, stem in STEMS.items():
        for path in sorted((root / folder).glob("[!.]*.mha")):
            match = re.fullmatch(stem.format("(.+)"), path.stem)
            if not match:
                raise UserError(f"{path}: expected a name like {stem.format('MGHNICU_010-VISIT_01')}.mha")
            names.add(match[1])
    if not names:
        raise UserError(f"{root}: no case found, expected files {ADC_FOLDER}/*-ADC_ss.mha")
    cases = []
    for name in sorted(names):
        paths = [root / folder / f"{stem.format(name)}.mha" for folder, stem in STEMS.items()]
        for path in paths:
            if not path.is_file():
                raise UserError(f"{path}: missing, expected beside the other files of {name}")
        cases.append(CaseFiles(name, *paths))
    return cases


def published_arrays(files: CaseFiles) -> dict[str, Any]:
    """As `canonical_arrays`. Raises UserError for a file that is not usable."""
    case = read_case(files.adc, files.zadc)
    return canonical_arrays(case, read_label(files.label, case.adc))


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
