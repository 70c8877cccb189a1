"""Checks every case of a folder in the published layout, as training would read it, and lists them in a table."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.errors import UserError
from model.inputs.published_layout import LABEL_FOLDER
from training.data.dataset import PackedCase
from training.data.published import list_cases, published_arrays

HEADER = f"{'case':<24} {'size z y x':>12} {'spacing mm z y x':>18} {'brain ml':>9} {'lesion ml':>10} {'load':>8}"


def check(root: Path, *, must_be_labelled: bool) -> list[str]:
    """Read every case, print the table; what is not usable, one line each.

    Where labels may lack and there is none at all, only the two maps are checked, and a line says so.
    """
    labelled = must_be_labelled or any((root / LABEL_FOLDER).glob("*.mha"))
    cases, strays = list_cases(root)
    lines, bad = [HEADER], [f"{path}: a name that fits no case" for path in strays]
    for files in tqdm(cases, desc="checking", unit="case"):
        try:
            lines.append(row(PackedCase(files.name, **published_arrays(files, labelled=labelled)), labelled=labelled))
        except UserError as error:
            lines.append(f"{files.name:<24} not usable, see below")
            bad.append(f"{files.name}: {error}")
    if not cases:
        bad.append(f"{root}: no case found, expected files 1ADC_ss/*-ADC_ss.mha")
    if not labelled:
        lines += ["", f"no labels in {root / LABEL_FOLDER}: only the two maps were checked"]
    print(f"{root}: {len(cases)} cases", *lines, *(f"NOT USABLE: {reason}" for reason in bad), sep="\n", end="\n\n")
    return bad


def row(case: PackedCase, *, labelled: bool) -> str:
    """A line of the table: name, voxels and mm (z y x), brain and lesion in ml, lesions' share of the brain in %."""
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    brain_ml, lesion_ml = case.brain.sum() * voxel_ml, case.label.sum() * voxel_ml
    lesion = f"{lesion_ml:>10.2f} {case.lesion_load:>8.2%}" if labelled else f"{'-':>10} {'-':>8}"
    size, spacing = " ".join(f"{n:>3}" for n in case.adc.shape), " ".join(f"{mm:5.2f}" for mm in case.spacing_mm)
    return f"{case.name:<24} {size:>12} {spacing:>18} {brain_ml:>9.1f} {lesion}"
