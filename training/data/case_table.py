"""Checks every case of a folder in the published layout, as training would read it, and lists them in a table."""

import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.errors import UserError
from model.images.case import read_case
from model.inputs.published_layout import ADC_FOLDER, ADC_NAME, LABEL_FOLDER, LABEL_NAME, ZADC_FOLDER, ZADC_NAME
from training.data.dataset import PackedCase
from training.data.published import CaseFiles, canonical_arrays, published_cases, read_label
from training.data.strata import LOADS, SLICES, is_thick

NAMES = {ADC_FOLDER: f"{ADC_NAME}.mha", ZADC_FOLDER: f"{ZADC_NAME}.mha", LABEL_FOLDER: f"{LABEL_NAME}.mha"}
WIDTH = 10  # of a column of the second table


def check(root: Path, *, must_be_labelled: bool) -> list[str]:
    """Read every case, print the table; what is not usable, one line each.

    Where labels may lack and there is none at all, only the two maps are checked, and a line says so.
    """
    labelled = must_be_labelled or any((root / LABEL_FOLDER).glob("*.mha"))
    cases, strays = list_cases(root)
    lines, strata, bad = [header()], [], [f"{path}: a name that fits no case" for path in strays]
    for files in tqdm(cases, desc="checking", unit="case"):
        try:
            case = read_checked(files, labelled=labelled)
            lines.append(row(case, labelled=labelled))
            strata.append((is_thick(case.spacing_mm[0]), case.load_class))
        except UserError as error:
            lines.append(f"{files.name:<24} not usable, see below")
            bad.append(f"{files.name}: {error}")
    if not bad:
        bad += refusal(root, len(cases), labelled=labelled)
    lines += ["", *totals(strata)] if labelled else ["", f"no labels in {root / '3LABEL'}: only the two maps were checked"]
    print(f"{root}: {len(strata)} usable cases", *lines, *(f"NOT USABLE: {reason}" for reason in bad), sep="\n", end="\n\n")
    return bad


def refusal(root: Path, count: int, *, labelled: bool) -> list[str]:
    """Why training would refuse the folder although every case can be read; empty when it would not."""
    if not labelled:
        return [] if count else [f"{root}: no case found, expected files {ADC_FOLDER}/*-ADC_ss.mha"]
    try:
        found = len(published_cases(root))
    except UserError as error:
        return [str(error)]
    return [] if found == count else [f"{root}: training finds {found} cases, not {count}"]


def list_cases(root: Path) -> tuple[list[CaseFiles], list[Path]]:
    """Every case of which at least one file is there, by name, and the `.mha` files whose names fit no case."""
    names, strays = set(), []
    for folder, pattern in NAMES.items():
        expected = re.compile(re.escape(pattern).replace(r"\{\}", "(.+)"))
        for path in sorted((root / folder).glob("*.mha")):
            if match := expected.fullmatch(path.name):
                names.add(match[1])
            else:
                strays.append(path)
    files = [[root / folder / pattern.format(name) for folder, pattern in NAMES.items()] for name in sorted(names)]
    return [CaseFiles(name, *paths) for name, paths in zip(sorted(names), files, strict=True)], strays


def read_checked(files: CaseFiles, *, labelled: bool) -> PackedCase:
    """The case, its label empty where `labelled` is not. Raises UserError when a file is missing or not usable."""
    case = read_case(files.adc, files.zadc)
    label = read_label(files.label, case.adc) if labelled else np.zeros(case.grid.size, bool)
    return PackedCase(files.name, **canonical_arrays(case, label))


def row(case: PackedCase, *, labelled: bool) -> str:
    """A line of the table: name, voxels and mm (z y x), brain and lesion in ml, lesions' share of the brain in %."""
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    brain_ml, lesion_ml = case.brain.sum() * voxel_ml, case.label.sum() * voxel_ml
    lesion = f"{lesion_ml:>10.2f} {case.lesion_load:>8.2%}" if labelled else f"{'-':>10} {'-':>8}"
    size, spacing = " ".join(f"{n:>3}" for n in case.adc.shape), " ".join(f"{mm:5.2f}" for mm in case.spacing_mm)
    return f"{case.name:<24} {size:>12} {spacing:>18} {brain_ml:>9.1f} {lesion}"


def header() -> str:
    """The table's first line."""
    return f"{'case':<24} {'size z y x':>12} {'spacing mm z y x':>18} {'brain ml':>9} {'lesion ml':>10} {'load':>8}"


def totals(strata: list[tuple[bool, int]]) -> list[str]:
    """The table of how many cases there are by slice thickness and load class: (thick slices, load class) of each."""
    lines = [f"{'':<16}" + "".join(f"{name:>{WIDTH}}" for name in (*LOADS, "all"))]
    for name, kinds in ((SLICES[0], (False,)), (SLICES[1], (True,)), ("all", (False, True))):
        counts = [sum(thick in kinds and number == of for thick, of in strata) for number in range(len(LOADS))]
        lines.append(f"{name:<16}" + "".join(f"{count:>{WIDTH}}" for count in (*counts, sum(counts))))
    return lines
