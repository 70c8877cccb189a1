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

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from evalutils import ClassificationEvaluation
from evalutils.exceptions import EvalUtilsError, ValidationError
from evalutils.io import SimpleITKLoader
from evalutils.validators import DataFrameValidator, NumberOfCasesValidator
from pandas import DataFrame, Series, merge

from model.errors import UserError
from model.files import write_whole
from model.images.volume import read_volume, require_same_grid
from training.common.cli import run
from training.common.outputs import require_outside, require_own_file
from training.scores.metrics import METRICS as SCORES
from training.scores.metrics import score
from training.scores.names import case_of, case_of_label

METRICS = tuple(metric.official for metric in SCORES.values())


class MaskLoader(SimpleITKLoader):
    """evalutils' loader, behind a check that the file is whole, readable and a mask."""

    def load(self, *, fname: Path) -> list[dict]:
        """One row of evalutils' table: path, a hash of the voxels, and the volume without them.

        Raises UserError when the file cannot be read whole, is not 3D, or holds other values than 0 and 1.
        """
        volume = read_volume(fname)
        values = np.unique(volume.voxels)
        if not np.isin(values, (0, 1)).all():
            raise UserError(f"{fname}: expected only 0 and 1, found {values[:5].tolist()}")
        header = dataclasses.replace(volume, voxels=values)
        return [row | {"header": header} for row in super().load(fname=fname)]

    @staticmethod
    def load_image(fname: Path) -> sitk.Image:
        """The image; of evalutils' own way only the format is not guessed, which fails for .MHA."""
        return sitk.ReadImage(str(fname), imageIO="MetaImageIO")


class UniqueCasesValidator(DataFrameValidator):
    """One file per case. evalutils' own validator takes the first number of a name, which two visits of a patient share."""

    def validate(self, *, df: DataFrame) -> None:
        """Raise ValidationError that names every file of the cases that have more than one."""
        double = df[df["case"].duplicated(keep=False)].sort_values("case")
        if len(double):
            raise ValidationError(f"expected one file per case, found {_names(double['path'])}")


class LesionEvaluation(ClassificationEvaluation):
    """One evaluation: `LesionEvaluation(...).evaluate()` loads, validates, pairs, scores and saves.

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
            file_loader=MaskLoader(),
            validators=(UniqueCasesValidator(),),
            join_key="case",
        )
        self.folders = {"ground_truth": labels, "prediction": predictions}
        self.suffix, self.output, self.any_grid = suffix, output, any_grid
        self.number = NumberOfCasesValidator(num_cases=cases) if cases else None
        self.tables: dict[str, DataFrame] = {}  # of the files, by the names of `folders`
        self.cases = self.case_results = DataFrame()
        self.aggregates: dict[str, dict] = {}

    def load(self) -> None:
        """Read every file once. Unlike evalutils' own way, one that cannot be used is an error and not passed over."""
        labels = {path: case_of_label(path.stem) for path in find_masks(self.folders["ground_truth"])}
        known = set(labels.values())
        found = find_masks(self.folders["prediction"], self.suffix)
        predictions = {path: case_of(path.stem.removesuffix(self.suffix), known) or path.stem for path in found}
        for name, paths in (("ground_truth", labels), ("prediction", predictions)):
            rows = [row | {"case": case} for path, case in paths.items() for row in MaskLoader().load(fname=path)]
            self.tables[name] = DataFrame(rows)

    def validate(self) -> None:
        """Raise ValidationError when a case has several labels or several predictions."""
        for table in self.tables.values():
            UniqueCasesValidator().validate(df=table)

    def merge_ground_truth_and_predictions(self) -> None:
        """Pair the files by case; a column says where one is missing."""
        suffixes = [f"_{name}" for name in self.tables]
        self.cases = merge(*self.tables.values(), on="case", how="outer", suffixes=suffixes, indicator="pairing")

    def cross_validate(self) -> None:
        """Raise UserError when a case has a label only or a prediction only; names all of them."""
        lonely = {
            "no prediction for": self.cases["path_ground_truth"][self.cases["pairing"] == "left_only"],
            "no label for": self.cases["path_prediction"][self.cases["pairing"] == "right_only"],
        }
        problems = [f"{what} {_names(paths)}" for what, paths in lonely.items() if len(paths)]
        if problems:
            raise UserError("; ".join(problems))
        if self.number:
            self.number.validate(df=self.cases)

    def score(self) -> None:
        """Score every case, then all of them."""
        self.case_results = DataFrame([self.score_case(idx=idx, case=case) for idx, case in self.cases.iterrows()])
        self.aggregates = self.score_aggregates()

    def score_case(self, *, idx: int, case: Series) -> dict:
        """Dice, MASD in mm, NSD at 2 mm, and which files they come from.

        Raises UserError when the two differ in shape or grid, or a file is no longer what was checked.
        """
        label, prediction = self._read(case, "ground_truth"), self._read(case, "prediction")
        if prediction.GetSize() != label.GetSize():
            sizes = [" x ".join(map(str, image.GetSize())) for image in (label, prediction)]
            paths = [case["path_ground_truth"], case["path_prediction"]]
            raise UserError(f"{paths[1]}: expected {sizes[0]} voxels (x, y, z) as in {paths[0]}, found {sizes[1]}")
        if not self.any_grid:
            require_same_grid(case["header_ground_truth"], case["header_prediction"])
        mask, truth = (sitk.GetArrayViewFromImage(image) == 1 for image in (prediction, label))
        scores = score(mask, truth, label.GetSpacing()[::-1])
        return {
            "case": case["case"],
            **dict(zip(METRICS, dataclasses.astuple(scores), strict=True)),
            "pred_fname": case["path_prediction"].name,
            "gt_fname": case["path_ground_truth"].name,
        }

    def _read(self, case: Series, which: str) -> sitk.Image:
        path = case[f"path_{which}"]
        image = MaskLoader.load_image(path)
        if MaskLoader.hash_image(image) != case[f"hash_{which}"]:
            raise UserError(f"{path}: changed while it was scored")
        return image

    def score_aggregates(self) -> dict:
        """evalutils' summary of each metric, which leaves NaN out, and how many cases were NaN."""
        aggregates = {}
        for metric in METRICS:
            values = self.case_results[metric]
            counts = {"count": int(values.count()), "nan": int(values.isna().sum())}
            aggregates[metric] = self.aggregate_series(series=values) | counts
        return aggregates

    def save(self) -> None:
        """Write metrics.json whole or not at all. Raises UserError when that is not possible."""
        metrics = {"case": self.case_results.set_index("case").to_dict(), "aggregates": self.aggregates}
        text = json.dumps(_without_nan(metrics), indent=2, sort_keys=True, allow_nan=False)
        write_whole(self.output, f"{text}\n".encode())

    def summary(self) -> str:
        """One line: the number of cases, the means, and how many cases have no MASD."""
        dice, masd, nsd = (self.aggregates[metric] for metric in METRICS)
        distance = f"{masd['mean']:.3f} mm ({masd['nan']} without)"
        return f"{dice['count']} cases: Dice {dice['mean']:.4f}, MASD {distance}, NSD {nsd['mean']:.4f}"


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


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
