"""Scores a folder of predicted masks against a folder of labels, in the challenge's own way, and writes metrics.json.

Example:

    python -m evaluation.evaluate --predictions masks --labels data/BONBID2023_Train/3LABEL --output metrics.json

    python -m evaluation.evaluate --predictions runs/masks --suffix _network --labels labels --output metrics.json

A label is called <case>_lesion.mha or <case>.mha, a prediction <case>.mha or <case>_<anything>.mha. A case has any name.
Both folders are searched with their subfolders, and hidden files and other types are left alone. The second line takes only
predictions whose name ends in _network.mha. Every label needs exactly one prediction on its grid, and the reverse. The
challenge's own scorer does not look at grids: with --as-the-challenge the voxel arrays alone are compared, whatever a
prediction's spacing, origin and direction are.

metrics.json has DiceCoefficient, MASD (mm) and NSD (at 2 mm) by case under "case", and their mean, spread and quartiles
under "aggregates". Where exactly one of the masks is empty, MASD does not exist: it is null, left out of the aggregates and
counted there as "nan"; "count" is the number of cases that remain.

When something is wrong the last line on stderr says what, the exit code is 2, and no metrics.json is left behind,
not even an earlier one. Any other file in its place is left alone, and the run refused.
"""

import collections
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
from evalutils import ClassificationEvaluation
from evalutils.exceptions import EvalUtilsError
from evalutils.io import SimpleITKLoader
from evalutils.validators import NumberOfCasesValidator
from pandas import DataFrame, Series

from model.errors import UserError
from model.files import write_whole
from model.images.volume import Volume, read_volume, require_same_grid
from training.common.cli import command_parser, run
from training.common.outputs import require_outside, require_own_file
from training.scores.metrics import METRICS as SCORES
from training.scores.metrics import score
from training.scores.names import case_of, case_of_label

METRICS = tuple(metric.official for metric in SCORES.values())


class LesionEvaluation(ClassificationEvaluation):
    """One evaluation: `LesionEvaluation(...).evaluate()` finds the files, pairs them by case, scores and saves.

    suffix: end of the predictions' names before .mha; cases: how many there must be; any_grid: do not compare the grids.
    Raises UserError or evalutils' ValidationError, each with one line for the user.
    """

    def __init__(
        self,
        predictions: Path,
        labels: Path,
        output: Path,
        suffix: str = "",
        cases: int | None = None,
        *,
        any_grid: bool = False,
    ) -> None:
        super().__init__(
            predictions_path=predictions,
            ground_truth_path=labels,
            output_file=output,
            file_loader=SimpleITKLoader(),  # which evalutils asks for; the masks are read by `read_mask`
            validators=(NumberOfCasesValidator(num_cases=cases),) if cases else (),
            join_key="case",
        )
        self.suffix, self.any_grid = suffix, any_grid

    def load(self) -> None:
        """Which file is of which case. Raises UserError unless each case has one label and one prediction; names all."""
        labels = {path: case_of_label(path.stem) for path in find_masks(self._ground_truth_path)}
        known = set(labels.values())
        found = find_masks(self._predictions_path, self.suffix)
        predictions = {path: case_of(path.stem.removesuffix(self.suffix), known) or path.stem for path in found}
        for files in (labels, predictions):
            counts = collections.Counter(files.values())
            if double := [path for path, case in files.items() if counts[case] > 1]:
                raise UserError(f"expected one file per case, found {', '.join(map(str, double))}")
        lonely = {
            "no prediction for": [path for path, case in labels.items() if case not in predictions.values()],
            "no label for": [path for path, case in predictions.items() if case not in known],
        }
        if problems := [f"{what} {', '.join(map(str, paths))}" for what, paths in lonely.items() if paths]:
            raise UserError("; ".join(problems))
        self._ground_truth_cases, self._predictions_cases = (
            DataFrame({"case": files.values(), "path": files.keys()}) for files in (labels, predictions)
        )

    def score_case(self, *, idx: int, case: Series) -> dict:
        """Dice, MASD in mm, NSD at 2 mm, and which files they come from.

        Raises UserError when a file is no mask, or the two differ in shape or grid.
        """
        label, prediction = read_mask(case["path_ground_truth"]), read_mask(case["path_prediction"])
        if prediction.grid.size != label.grid.size:
            sizes = [" x ".join(map(str, mask.grid.size[::-1])) for mask in (label, prediction)]
            raise UserError(f"{prediction.path}: expected {sizes[0]} voxels (x, y, z) as in {label.path}, found {sizes[1]}")
        if not self.any_grid:
            require_same_grid(label, prediction)
        scores = score(prediction.voxels == 1, label.voxels == 1, label.grid.spacing_mm)
        return {
            "case": case["case"],
            **dict(zip(METRICS, dataclasses.astuple(scores), strict=True)),
            "pred_fname": prediction.path.name,
            "gt_fname": label.path.name,
        }

    def score_aggregates(self) -> dict:
        """evalutils' summary of each metric, which leaves NaN out, and how many cases were NaN."""
        aggregates = {}
        for metric in METRICS:
            values = self._case_results[metric]
            counts = {"count": int(values.count()), "nan": int(values.isna().sum())}
            aggregates[metric] = self.aggregate_series(series=values) | counts
        return aggregates

    def save(self) -> None:
        """Write metrics.json whole or not at all. Raises UserError when that is not possible."""
        metrics = {"case": self._case_results.set_index("case").to_dict(), "aggregates": self._aggregate_results}
        text = json.dumps(_without_nan(metrics), indent=2, sort_keys=True, allow_nan=False)
        write_whole(self._output_file, f"{text}\n".encode())

    def summary(self) -> str:
        """One line: the number of cases, the means, and how many cases have no MASD."""
        dice, masd, nsd = (self._aggregate_results[metric] for metric in METRICS)
        distance = f"{masd['mean']:.3f} mm ({masd['nan']} without)"
        return f"{dice['count']} cases: Dice {dice['mean']:.4f}, MASD {distance}, NSD {nsd['mean']:.4f}"


def read_mask(path: Path) -> Volume:
    """A file that holds nothing but 0 and 1. Raises UserError for others, and what cannot be read whole as 3D."""
    volume = read_volume(path)
    values = np.unique(volume.voxels)
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"{path}: expected only 0 and 1, found {values[:5].tolist()}")
    return volume


def find_masks(folder: Path, suffix: str = "") -> list[Path]:
    """The .mha files below `folder` that are not hidden and end in `suffix` before the .mha, sorted.

    Raises UserError when there is none.
    """
    try:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        paths = [p for p in sorted(folder.rglob("*")) if _is_visible_mha(p, folder) and p.stem.endswith(suffix)]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}: {error.filename})") from None
    if not paths:
        raise UserError(f"{folder}: no file *{suffix}.mha found")
    return paths


def _is_visible_mha(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() == ".mha" and not hidden and not path.is_dir()


def _without_nan(value: object) -> object:
    """The same nested dict with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def clear_output(path: Path) -> None:
    """Make the folder of `path` and remove an earlier result, so that none outlives a failure.

    Raises UserError when that is not possible, and when something else lies there, which is left alone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_own_file(path, _is_earlier_result, "a metrics.json")
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}: {error.filename})") from None


def _is_earlier_result(path: Path) -> bool:
    """Whether a file holds what `LesionEvaluation.save` writes. Raises OSError, ValueError or RecursionError."""
    found = json.loads(path.read_bytes())
    return isinstance(found, dict) and found.keys() == {"case", "aggregates"}


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--predictions", type=Path, default=Path("/input"), help="folder of masks (default: %(default)s)")
    parser.add_argument("--labels", type=Path, default=Path("/ground-truth"), help="folder (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("/output/metrics.json"), help="file (default: %(default)s)")
    parser.add_argument("--suffix", default="", help="end of the predictions' names before .mha, where there are more")
    parser.add_argument("--as-the-challenge", action="store_true", help="compare voxel arrays alone, on whatever grids")
    parser.add_argument("--cases", type=int, help="how many there must be (default: as many as there are labels)")
    args = parser.parse_args()
    if args.cases is not None and args.cases < 1:
        parser.error("--cases must be at least 1")
    require_outside(args.output, (args.predictions, args.labels))
    clear_output(args.output)
    evaluation = LesionEvaluation(
        args.predictions, args.labels, args.output, args.suffix, args.cases, any_grid=args.as_the_challenge
    )
    try:
        evaluation.evaluate()
    except EvalUtilsError as error:
        raise UserError(str(error)) from None
    print(evaluation.summary())


if __name__ == "__main__":
    run(main)
