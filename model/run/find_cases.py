"""Finds the cases of a folder: the data set's layout, a folder for each case, or a CSV that lists them."""

import csv
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from model.errors import UserError
from model.images.formats import stem_of, suffix_of
from model.run.platform_paths import DEFAULT_PATHS, MANIFEST, find_inputs
from model.run.published_layout import ADC_FOLDER, ADC_STEM, ZADC_FOLDER, ZADC_STEM

COLUMNS = ("case", "adc", "zadc")
TABLE = "cases.csv"
MASK_STEM = "lesions"  # of the mask in a case's folder in the output
SUMMARY, INDEX = "summary.csv", "index.html"  # in the output folder, so no case can have these names

# How the two maps are told apart in a case's own folder. The first is asked first: Z maps have "ADC" in their names too.
ZADC_HINT = re.compile(r"z[-_ .]?(score|map|adc)|adc[-_ .]?z", re.IGNORECASE)
ADC_HINT = re.compile("adc", re.IGNORECASE)
LAYOUTS = (
    f"{ADC_FOLDER}/ and {ZADC_FOLDER}/ as in the data set, or a folder for each case with its ADC and its Z map,"
    f" or a {TABLE} with the columns {', '.join(COLUMNS)}"
)


@dataclass(frozen=True)
class FoundCase:
    """A case and its two files, or why it cannot be run."""

    name: str
    adc: Path | None = None
    zadc: Path | None = None
    problem: str = ""


def find_cases(root: Path, table: Path | None = None) -> list[FoundCase]:
    """The cases below `root`, sorted by name, those with a problem too; with `table`, the ones that it lists.

    Raises UserError when there is no case, two have one name, or the table cannot be used.
    """
    if table is None and (root / TABLE).is_file():
        table = root / TABLE
    try:
        if table:
            cases = _listed_cases(table)
        elif (root / ADC_FOLDER).is_dir():
            cases = _published_cases(root)
        else:
            cases = [_case_of_folder(folder) for folder in visible_in(root) if folder.is_dir()]
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}: {error.filename})") from None
    if not cases:
        raise UserError(f"{table or root}: no case found, expected {LAYOUTS}")
    cases = sorted(map(_with_usable_name, cases), key=lambda case: case.name)
    double = {one.name for one, other in itertools.pairwise(cases) if one.name == other.name}
    if double:
        raise UserError(f"{table or root}: expected each case once, found more than one {', '.join(sorted(double))}")
    return cases


def _with_usable_name(case: FoundCase) -> FoundCase:
    """The case, or one with a problem when no folder of the output can have its name."""
    name = case.name
    usable = name.isprintable() and name == Path(name).name and not name.startswith(".") and len(name.encode()) <= 200
    if usable and name not in (SUMMARY, INDEX):
        return case
    shown = ascii(name)[:200]
    return FoundCase(shown, problem=f"{shown} cannot name a case, expected what a folder can be called")


def _listed_cases(table: Path) -> list[FoundCase]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows, columns = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise UserError(f"{table}: no such file; a CSV is looked for in the input folder") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as CSV ({error})") from None
    if not set(COLUMNS) <= set(columns):
        raise UserError(
            f"{table}: expected the columns {','.join(COLUMNS)}, with commas, found {','.join(columns) or 'none'}"
        )
    return [_listed_case(row, table, number) for number, row in enumerate(rows, 2)]


def _listed_case(row: dict, table: Path, line: int) -> FoundCase:
    values = [row[column] for column in COLUMNS]
    if not all(values) or row.get(None):
        raise UserError(f"{table}: line {line} does not have exactly one value for each of {', '.join(COLUMNS)}")
    name, adc, zadc = values[0], table.parent / values[1], table.parent / values[2]
    absent = [str(path) for path in (adc, zadc) if not os.path.isfile(path)]
    return FoundCase(name, problem=f"no such file: {', '.join(absent)}") if absent else FoundCase(name, adc, zadc)


def _published_cases(root: Path) -> list[FoundCase]:
    """By what the published archives call them; an ADC map of another name is a case of its own name, and has no Z map."""
    adc, zadc = (images_by_case(root / folder, stem) for folder, stem in ((ADC_FOLDER, ADC_STEM), (ZADC_FOLDER, ZADC_STEM)))
    return [_pair(name, adc.get(name, []), zadc.get(name, []), root) for name in adc.keys() | zadc.keys()]


def images_by_case(folder: Path, stem: re.Pattern) -> dict[str, list[Path]]:
    """The images of a folder by what `stem` calls `case` in their names, or by their stems where it does not match."""
    paths: dict[str, list[Path]] = {}
    for path in images_in(folder) if folder.is_dir() else []:
        match = stem.fullmatch(stem_of(path))
        paths.setdefault(match["case"] if match else stem_of(path), []).append(path)
    return paths


def _case_of_folder(folder: Path) -> FoundCase:
    """The platform's layout in it, or two files told apart by their names."""
    try:
        if (folder / MANIFEST).is_file() or any((folder / path).is_dir() for path in DEFAULT_PATHS.values()):
            return FoundCase(folder.name, *find_inputs(folder))
        images = images_in(folder)
    except (UserError, OSError) as error:
        return FoundCase(folder.name, problem=str(error))
    zadc = [path for path in images if ZADC_HINT.search(path.name)]
    adc = [path for path in images if ADC_HINT.search(path.name) and path not in zadc]
    return _pair(folder.name, adc, zadc, folder)


def _pair(name: str, adc: list[Path], zadc: list[Path], where: Path) -> FoundCase:
    """The case, unless there is not exactly one file for each of its maps."""
    for what, paths, hint in (("ADC map", adc, "'adc'"), ("Z map", zadc, "'zmap', 'zadc' or 'zscore'")):
        if len(paths) != 1:
            found = f"{len(paths)} could be it: {', '.join(path.name for path in paths)}"
            if not paths:
                found = f"none is there; its name should have {hint}, or list the files in a {TABLE}"
            return FoundCase(name, problem=f"{where}: expected one file of {name} that is the {what}, {found}")
    return FoundCase(name, adc[0], zadc[0])


def images_in(folder: Path) -> list[Path]:
    """The images of a known format in a folder itself, sorted, hidden ones left out. Raises OSError."""
    return [path for path in visible_in(folder) if suffix_of(path) and path.is_file()]


def visible_in(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted. Raises OSError."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
