"""Which masks of a folder that process.py wrote still hold, by `summary.csv` there and `results.json` beside each mask."""

import csv
from dataclasses import dataclass
from pathlib import Path

from model.errors import UserError
from model.images.formats.names import digest, suffix_of
from model.names.output_names import SUMMARY
from model.names.platform_paths import RESULTS_PATH
from model.outputs.record import is_current, read_own_results
from model.outputs.summary import CHANGED, FAILED, GONE, OUTDATED, cell
from training.scores.names import case_of

NOT_CURRENT = (OUTDATED, CHANGED, FAILED, GONE)  # statuses of summary.csv
MAPS = {"adc": "ADC map", "zadc": "Z map", "brain_mask": "brain mask"}  # columns of summary.csv, inputs of results.json


@dataclass(frozen=True)
class Run:
    """What a folder of masks says of the run that wrote it. rows: of summary.csv by case; None without such a file."""

    folder: Path
    rows: dict[str, dict[str, str]] | None

    def reason(self, case: str, masks: list[Path], adc: Path | None) -> str:
        """Why the mask of a case is not to be scored; empty where it holds or is of no run.

        masks: of the case; adc: the map that it is scored with. Raises UserError when a file cannot be read.
        """
        row = (self.rows or {}).get(case)
        if row and row["status"] in NOT_CURRENT:
            return row["status"]
        for mask in masks:
            if mask.parent != self.folder and (reason := self._reason(mask, row, adc)):
                return reason
        return ""

    def _reason(self, mask: Path, row: dict[str, str] | None, adc: Path | None) -> str:
        record = mask.parent / RESULTS_PATH
        results = read_own_results(record)
        if results is None and record.exists():
            return f"its {record.name} is not as the run wrote it"
        if results is None:
            return f"no {record.name} beside it" if self.rows is not None else ""
        if self.rows is not None and row is None:
            return f"not in {SUMMARY}"
        if not is_current(mask.parent, mask.name, results):
            return "the mask was changed since the run"
        return _replaced(results.get("inputs", {}), row or {}, adc)


def read_run(folder: Path, cases: list[str], masks: list[Path]) -> Run:
    """What lies in a folder of masks; a `summary.csv` of something else counts as none. Raises OSError or UserError."""
    path = folder / SUMMARY
    if not path.is_file():
        return Run(folder, None)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = list(csv.DictReader(file, restval=""))
    except csv.Error as error:
        raise UserError(f"{path}: not readable as a table ({error})") from None
    if not rows or not {"case", "status"} <= rows[0].keys():
        return Run(folder, None)
    as_cells = {cell(name): name for name in (*cases, *(mask.parent.name for mask in masks))}
    names = [as_cells.get(row["case"], row["case"]) for row in rows]
    return Run(folder, {case_of(name, cases) or name: row for name, row in zip(names, rows, strict=True)})


def _replaced(inputs: dict, row: dict[str, str], adc: Path | None) -> str:
    """Which of the files that the mask was made from is another now, where that can be told; else empty."""
    if adc and _is_another(adc, inputs.get("adc")):
        return f"made from another ADC map than {adc.name}"
    for what, words in MAPS.items():
        path = Path(row.get(what) or "")
        if path.is_file() and _is_another(path, inputs.get(what)):
            return f"the {words} was replaced since the run"
    return ""


def _is_another(path: Path, made_from: dict | None) -> bool:
    """Whether an image is another than the one that results name; not told for one in another format, or in DICOM."""
    if not made_from or not suffix_of(path) or suffix_of(path) != suffix_of(Path(made_from["file"])):
        return False
    try:
        return digest(path) != made_from["sha256"]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
