"""Reads `cases.csv`, the table that lists cases and their files, as spreadsheets and scripts of several systems write it."""

import codecs
import csv
import io
import os
import re
import unicodedata
from pathlib import Path

from model.errors import UserError
from model.images.dicom.files import holds_dicom
from model.images.formats.names import READ
from model.inputs.contents import DICOM, UNREAD, dangling, is_dangling, visible_in
from model.inputs.found_case import FoundCase
from model.inputs.map_names import estimated_z_maps, is_z_map, shared_words
from model.inputs.mask_names import MaskKind, mask_kind

TABLE = "cases.csv"
COLUMNS = ("case", "adc", "zadc")  # a cell of the last may be empty; where Z maps are estimated it need not be there
BRAIN_MASK = "brain_mask"  # a column that need not be there; also with a blank, a hyphen or nothing between the words
MAY_BE = (MaskKind.BRAIN, MaskKind.DOUBTFUL)
ABSOLUTE = re.compile(r"\s*(/|\\|[A-Za-z]:[/\\])")  # of Linux, of a Windows share, of a Windows drive
UNCLOSED = "is a quotation mark not closed?"
DELIMITERS = ",;\t|"
BETWEEN = "commas, semicolons, tabs or bars between them"


def table_in(root: Path) -> Path | None:
    """The table of a folder, if it has one. Raises UserError where there are more, and OSError."""
    tables = [path for path in visible_in(root) if path.name.casefold() == TABLE]
    if len(tables) > 1:
        raise UserError(f"{root}: expected one {TABLE}, found {' and '.join(path.name for path in tables)}")
    return tables[0] if tables else None


def listed_cases(table: Path, *, estimate_z: bool = False) -> list[FoundCase]:
    """The cases that a table lists, those whose row is wrong with that problem.

    A cell names a file, or a folder of DICOM. A case without `zadc` is one whose Z map can be estimated; with `estimate_z`
    the whole column may be missing. There may be a column `brain_mask`. No other column may name files.

    Comma, semicolon, tab or bar between the columns; UTF-8, UTF-16 or Windows' own code page; header in any case. Raises
    UserError when there is no such table, or it lacks a column or has one twice.
    """
    if lost := dangling([table]):
        raise UserError(lost)
    try:
        columns, rows = _rows(_decoded(table.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{table}: no such file; a CSV is looked for in the input folder") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as CSV ({error})") from None
    _require_columns(columns, rows, table, estimate_z=estimate_z)
    return [_listed_case(columns, values, table, line) for line, values in rows]


def _require_columns(columns: list[str], rows: list[tuple[int, list[str]]], table: Path, *, estimate_z: bool) -> None:
    """Raise UserError when one is missing or stands twice, or when a column of another name may name a map or a mask."""
    if twice := [name for name in (*COLUMNS, BRAIN_MASK) if columns.count(name) > 1]:
        raise UserError(f"{table}: expected each column once, found {' and '.join(twice)} more than once; leave one of them")
    missing = set(COLUMNS) - set(columns)
    if missing and not (estimate_z and missing == {"zadc"}):
        like_z = [name for name in columns if name not in COLUMNS and is_z_map(Path(name))]
        hint = f"; is {like_z[0][:50]} the column zadc?" if like_z else "; the column zadc may be missing with --estimate-z"
        found = ",".join(columns)[:200] or "none"
        expected = f"expected a first line with the columns {','.join(COLUMNS)} ({BETWEEN})"
        raise UserError(f"{table}: {expected}, found {found}{hint if missing == {'zadc'} else ''}")
    _require_no_other_files(columns, rows, table)


def _require_no_other_files(columns: list[str], rows: list[tuple[int, list[str]]], table: Path) -> None:
    """Raise UserError where a column of no known name names files, or has no name and may hold a table's Z maps."""
    for number, name in enumerate(columns):
        if name in (*COLUMNS, BRAIN_MASK):
            continue
        cells = {values[number]: values for _, values in rows if len(values) > number and values[number].strip()}
        shown = name[:50] or f"{number + 1}, which has no name,"
        hint = (
            f"; is it {BRAIN_MASK}?" if mask_kind(Path(name)) in MAY_BE else "; is it zadc?" if "zadc" not in columns else ""
        )
        if any(_names_file(table.parent, name, cell, dict(zip(columns, row, strict=False))) for cell, row in cells.items()):
            only = f"which only {COLUMNS[1]}, {COLUMNS[2]} and {BRAIN_MASK} may"
            raise UserError(f"{table}: the column {shown} names files, {only}; rename or remove it{hint}")
        if cells and not name and "zadc" not in columns:
            raise UserError(f"{table}: the column {shown} has values, expected a name in the first line; is it zadc?")


def _names_file(folder: Path, column: str, cell: str, row: dict[str, str]) -> bool:
    """Whether a cell names what is there, or in a column that is called like a map or a mask is written as a path.

    A folder above the row's ADC map is none: it may be the name of the case.
    """
    adc = _file(folder, row.get("adc", "").strip())
    found = [path for path in (_file(folder, name) for name in (cell, cell.strip())) if os.path.lexists(path)]
    if any(not os.path.isdir(path) or not adc.is_relative_to(path) for path in found):
        return True
    like_path = "/" in cell or "\\" in cell or cell.strip().lower().endswith((*READ, *UNREAD[DICOM]))
    return like_path and not found and (is_z_map(Path(column)) or mask_kind(Path(column)) in MAY_BE)


def _decoded(data: bytes) -> str:
    """A table's text. Raises UnicodeDecodeError for bytes that are no text in any of the encodings."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _rows(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns' names in lower case, and every row that is not blank with the number of its line.

    Raises csv.Error where a quotation mark that is not closed may have taken lines together.
    """
    told = re.match(r"sep=(.)\r?\n", text)  # Excel's own note of the delimiter
    lines = io.StringIO(text, newline=None).readlines()[bool(told) :]
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=told[1] if told else max(DELIMITERS, key=first.count), strict=True)
    rows, before = [], int(bool(told))  # lines before a row
    try:
        for row in reader:
            before = reader.line_num + bool(told)
            rows += [(before, row)] if any(value.strip() for value in row) else []
    except csv.Error as error:
        raise csv.Error(f"line {before + 1}: {error}; {UNCLOSED}") from None
    header = [name.strip().casefold() for name in rows[0][1]] if rows else []
    columns = [BRAIN_MASK if re.fullmatch(r"brain[-_ ]*mask", name) else name for name in header]
    for number, row in rows:
        if any("\n" in value for name, value in zip(columns, row, strict=False) if name in (*COLUMNS, BRAIN_MASK)):
            raise csv.Error(f"line {number}: a line break in a cell; {UNCLOSED}")
    return columns, rows[1:]


def _listed_case(columns: list[str], values: list[str], table: Path, line: int) -> FoundCase:
    row = dict(zip(columns, values + [""] * len(columns), strict=False))
    name, empty = row["case"], [column for column in COLUMNS if not row.get(column, "").strip()]
    cannot_run = empty not in ([], ["zadc"])
    if cannot_run or any(value.strip() for value in values[len(columns) :]):
        wrong = f"no {' and no '.join(empty)}" if cannot_run else f"more than {len(columns)} values"
        return FoundCase(name.strip() or f"line {line}", problem=f"{table}: line {line} has {wrong}")
    if name != name.strip():
        return FoundCase(name, problem=f"{table}: line {line}: the case's name begins or ends with a blank: {name!r}")
    given = {column: row[column] for column in ("adc", "zadc", BRAIN_MASK) if row.get(column, "").strip()}
    files = {column: _file(table.parent, cell) for column, cell in given.items()}
    mask = files.pop(BRAIN_MASK, None)
    if problem := _lost(list(files.values()), given, table):
        return FoundCase(name, problem=problem)
    if files.get("zadc") in estimated_z_maps(list(files.values())):
        return FoundCase(name, problem=f"{files['zadc']}: its name says that it is an estimated Z map, expected a given one")
    no_mask = (_lost([mask], given, table) or _no_brain_mask(mask, list(files.values()))) if mask else ""
    no_z = "" if "zadc" in files else f"{table}: line {line} has no zadc"
    return FoundCase(name, files["adc"], files.get("zadc"), brain_mask=mask, no_z=no_z, no_mask=no_mask)


def _no_brain_mask(mask: Path, maps: list[Path]) -> str:
    """Why a mask is none of a brain by its name; empty where it may be one."""
    if mask_kind(mask, shared_words(maps)) is not MaskKind.OTHER:
        return ""
    return f"{mask}: its name says that it is a mask of something in the brain, expected a brain mask"


def _lost(paths: list[Path], cells: dict[str, str], table: Path) -> str:
    """Which of the files of a row are not there; empty where all are."""
    if empty := [path for path in paths if os.path.isdir(path) and not holds_dicom(path)]:
        return f"{', '.join(map(_shown, empty))}: a folder without DICOM, expected a file or a folder of DICOM"
    absent = [_shown(path) for path in paths if not os.path.exists(path) and not is_dangling(path)]
    problem = f"no such file: {', '.join(absent)}" if absent else dangling(paths)
    if absent and any(ABSOLUTE.match(cell) for cell in cells.values()):
        problem += f"; write paths from the folder of {table.name} on, since a container sees the mounted folder alone"
    return problem


def _file(folder: Path, name: str) -> Path:
    r"""The path that a cell names, also as Windows (`maps\adc.mha`) or a Mac (an umlaut as two signs) writes it."""
    spellings = [unicodedata.normalize(form, text) for text in (name, name.replace("\\", "/")) for form in ("NFC", "NFD")]
    return next((folder / text for text in [name, *spellings] if os.path.exists(folder / text)), folder / name)


def _shown(path: Path) -> str:
    """A path as it is, or between quotation marks where blanks at its end would not be seen."""
    return repr(str(path)) if any(part != part.strip() for part in path.parts) else str(path)
