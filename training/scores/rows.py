"""Per-case rows of the study: one CSV per protocol, whole or not at all.

`training/results/<protocol>.csv` has the columns of `Row`, `<protocol>-curves.csv` those of `Epoch`, and
`<protocol>.json` the configuration that all rows share: the digests of their data among it. `crossval.csv` and
`estimated.csv` have the columns of `Row`, too, `learning_curve.csv` those of `CurvePoint`, each beside a `.json` with the
digests; `crossval-lesions.csv` and `estimated-lesions.csv` those of `MarkedLesion`, `crossval-cases.csv` and
`estimated-cases.csv` those of `MarkedCase`. Numbers that do not exist are `nan`. The scores of a folder of masks are written
in the same way, with the columns of `CaseScore`.
"""

import csv
import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import pandas as pd

from model.errors import UserError
from model.files import only_run, whole_file
from training.scores.configuration import require_configuration, write_configuration

RESULTS = Path(__file__).parents[1] / "results"
LEARNING_CURVE, READER = "learning_curve.csv", "reader.csv"


@dataclass(frozen=True)
class Row:
    """One case, segmented by one method. Surface distances and volumes on the patient's grid."""

    case: str
    method: str  # what made the mask: training.scores.methods
    fold: int  # the fold in which the case is held out
    seed: int
    dice: float
    masd_mm: float
    nsd: float
    nan_reason: str  # why there is no MASD: "no prediction", "no lesion", or empty
    predicted_ml: float
    true_ml: float
    lesion_load: float  # lesion as a share of the brain
    slice_mm: float
    predicted_lesions: int  # 26-connected components
    true_lesions: int
    lesion_precision: float  # predicted lesions that touch a true one; nan without any
    lesion_recall: float  # true lesions that are touched; nan without any
    grid_dice: float  # on the resampled grid, against the resampled label; nan in the native protocol
    grid_masd_mm: float
    grid_nsd: float
    train_seconds: float  # of the run that made the network; nan for the rule
    epochs: int  # that it ran; 0 for the rule
    predict_seconds: float
    peak_mb: float  # resident memory of the process
    machine: str


@dataclass(frozen=True)
class CaseScore:
    """One case of a folder of masks against its label, on the label's grid; what `Row` has too means the same there."""

    case: str
    dice: float
    masd_mm: float
    nsd: float
    nan_reason: str
    predicted_ml: float
    true_ml: float
    lesion_load: float  # nan where no ADC map says how large the brain is
    predicted_lesions: int
    true_lesions: int
    lesion_precision: float
    lesion_recall: float
    mask: str  # its path in the folder of masks
    label: str  # likewise


@dataclass(frozen=True)
class Epoch:
    """One epoch of one run. The scores are means over the held-out cases, nan where they were not computed."""

    method: str
    fold: int
    seed: int
    epoch: int
    loss: float
    dice: float
    nsd: float


@dataclass(frozen=True)
class ZError:
    """How far an estimated Z map is from the given one, in units of Z. Medians over voxels; nan where there are none."""

    case: str
    method: str  # by which features, as in estimated.csv
    fold: int  # that was held out
    brain_median: float  # of the absolute error
    brain_p90: float  # its 90th percentile
    low_median: float  # where the given Z is below -1
    lesion_median: float  # in the labelled lesions
    lesion_bias: float  # estimated minus given, there
    correlation: float  # over the brain


@dataclass(frozen=True)
class AtlasCase:
    """A case of the atlas that all labelled cases make: how it fits, and what of it the atlas keeps."""

    case: str
    correlation: float  # of its ADC with the atlas's
    scale_z: float  # the atlas's size over the brain's
    scale_y: float
    scale_x: float
    largest_mm: float  # displacement beyond the affine map
    kept: float  # correlation of the case's ADC minus the mean with what leaving it out changes in the mean
    change: float  # median of that change, without sign, 1e-6 mm2/s
    own_lesion: float  # share of its own in what the atlas's map says of lesions, mean over its lesions; nan without any


@dataclass(frozen=True)
class CurvePoint:
    """One case that has a lesion, segmented by trees that were fitted to some of the other folds' cases."""

    case: str
    size: int  # how many cases
    draw: int  # which of the draws of that many
    dice: float


@dataclass(frozen=True)
class MarkedLesion:
    """A 26-connected component of a mask that was drawn out of fold, and how much of it a reader marked too."""

    case: str
    fold: int
    number: int  # in the case, from 1
    volume_ml: float
    marked_share: float  # of its voxels, by the reader
    chance_real: float  # from the fit to the lesions of the other folds; nan where nothing could be fitted


CASE, TWIN, SHAM = "case", "twin", "sham"  # of a `MarkedCase`


@dataclass(frozen=True)
class MarkedCase:
    """One mask that was drawn out of fold, of a case or of what `training.data.twins` makes of it, and what was expected.

    Figures are from the fit to the cases of the other folds, nan where nothing could be fitted.
    """

    case: str
    kind: str  # CASE, TWIN or SHAM
    fold: int
    true_ml: float  # the reader's
    mask_ml: float
    lesions: int  # 26-connected components of the mask
    dice: float
    plug_in: float  # the expected Dice by which the mask was chosen
    expected_dice: float
    chance_of_lesion: float


READERS = ("strikes", "adds", "resizes")  # what a simulated reader does: each does what those before it do, too
AFTER, ALL = (0, 1, 2, 3, 5, 10), "all"  # actions after which its masks are scored


@dataclass(frozen=True)
class ReaderRow:
    """One case after some actions of a simulated reader; means over the draws of wrong decisions."""

    case: str
    fold: int  # that was held out
    z_map: str  # "given" or "estimated"
    reader: str  # of READERS
    wrong: float  # share of the decisions
    after: str  # how many actions, or ALL
    dice: float
    nsd: float
    clicks: float  # actions until there


Record = TypeVar("Record", Row, CaseScore, Epoch, ZError, AtlasCase, CurvePoint, MarkedLesion, MarkedCase, ReaderRow)
RUN = ["method", "seed", "fold"]  # columns that name the run that a row comes from
KEYS = {
    Row: [*RUN, "case"],
    Epoch: [*RUN, "epoch"],
    CaseScore: ["case"],
    ZError: ["method", "case"],
    AtlasCase: ["case"],
    CurvePoint: ["size", "draw", "case"],
    ReaderRow: ["z_map", "reader", "wrong", "after", "case"],
    MarkedLesion: ["case", "number"],
    MarkedCase: ["case", "kind"],
}  # what rows are about


def as_frame(records: Iterable[Record], kind: type[Record]) -> pd.DataFrame:
    """The records as a table, sorted by what they are about; a column per field, of the field's type."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    frame = pd.DataFrame([vars(record) for record in records], columns=list(types)).astype(types)
    return frame.sort_values(KEYS[kind], ignore_index=True)


def read_frame(path: Path, kind: type[Record]) -> pd.DataFrame:
    """What `read_records` gives, as a table."""
    return as_frame(read_records(path, kind), kind)


def require_frame(path: Path, kind: type[Record], maker: str) -> pd.DataFrame:
    """What `read_frame` gives. Raises UserError where there are no rows; maker: which command writes them."""
    frame = read_frame(path, kind)
    if frame.empty:
        raise UserError(f"{path}: no rows, made by python -m training.{maker}")
    return frame


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """The records of a CSV file, none when there is no file.

    Raises UserError when a column is missing or unknown, or a value is not of its column's type.
    """
    if not path.exists():
        return []
    fields = dataclasses.fields(kind)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or []) != [field.name for field in fields]:
            raise UserError(f"{path}: expected the columns {', '.join(field.name for field in fields)}")
        try:
            return [_record(line, kind) for line in reader]
        except (ValueError, csv.Error) as error:
            raise UserError(f"{path}: line {reader.line_num}: {error}") from None


def write_records(records: Iterable[Record], path: Path, kind: type[Record]) -> None:
    write_frame(as_frame(records, kind), path, kind)


def write_frame(frame: pd.DataFrame, path: Path, kind: type[Record]) -> None:
    """Write a table of records, sorted, whole or not at all. Floats have six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        ordered = frame.sort_values(KEYS[kind])
        ordered.to_csv(partial, index=False, float_format="%.6g", na_rep="nan", lineterminator="\n")


def replace_records(records: Iterable[Record], path: Path, kind: type[Record], configuration: dict) -> None:
    """Write a results file anew, and what its rows share; a kill leaves no rows beside what others share."""
    path.unlink(missing_ok=True)
    write_configuration(configuration, path)
    write_records(records, path, kind)


def run_key(record: Row | Epoch) -> tuple:
    return tuple(getattr(record, name) for name in RUN)


def add_results(rows: list[Row], epochs: list[Epoch], configuration: dict, path: Path) -> None:
    """Add the records of whole runs to `path` and its curves; what was there stays.

    Raises UserError, and changes nothing, when the file's rows come from another configuration or hold a run already.
    """
    curves = curves_path(path)
    with only_run(path.parent, wait=True):
        require_configuration(configuration, path)
        known = read_records(path, Row)
        twice = set(map(run_key, known)) & set(map(run_key, rows))
        if twice:
            raise UserError(f"{path}: holds {min(twice)} already; nothing was added")
        added = set(map(run_key, epochs))  # a kill between the two files leaves curves without rows: they are replaced
        kept = [epoch for epoch in read_records(curves, Epoch) if run_key(epoch) not in added]
        write_records([*kept, *epochs], curves, Epoch)
        write_records([*known, *rows], path, Row)  # last: a run that has rows is done


def curves_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-curves.csv")


def _record(line: dict[str, str], kind: type[Record]) -> Record:
    """Raises ValueError for a line that is too short or too long, or a value of another type."""
    fields = dataclasses.fields(kind)
    if None in line or None in line.values():
        raise ValueError(f"expected {len(fields)} values")
    return kind(**{field.name: cast(type, field.type)(line[field.name]) for field in fields})
