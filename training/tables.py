"""Turns the rows of the study into docs/study.md, its figures and the table in the README. Same rows, same bytes.

Example:

    python -m training.tables
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from model.errors import UserError
from training.common.cli import run
from training.data.splits import FOLDS
from training.pages.cells import SCORE_HEADER, first_word, score_cells
from training.pages.cohort import require_elsewhere
from training.pages.markdown import table, wrapped
from training.pages.publish import page_arguments, publish
from training.pages.study_page import figures_of, short_answer, study_text
from training.pages.study_tables import TITLES, Study, method_lines
from training.scores.configuration import read_configuration
from training.scores.methods import RULE
from training.scores.rows import RUN, Epoch, Row, curves_path, read_frame


def load_study(results: Path, protocol: str) -> Study:
    """The checked rows and curves of one protocol, both empty when there is no file.

    Raises UserError for a table of something else, and for a run that is not whole.
    """
    path = results / f"{protocol}.csv"
    rows, epochs = read_frame(path, Row), read_frame(curves_path(path), Epoch)
    of_losses = rows[rows["method"] != RULE]
    cases = (rows if of_losses.empty else of_losses)["case"]
    finished = rows[RUN].drop_duplicates()  # a run that was killed while its rows were added has curves only
    configuration = read_configuration(path) if path.with_suffix(".json").exists() else {}
    study = Study(protocol, rows[rows["case"].isin(cases)], epochs.merge(finished), configuration)
    require_whole_runs(rows, path, study.folds)
    return study


def require_whole_runs(rows: pd.DataFrame, path: Path, folds: Sequence[Sequence[str]]) -> None:
    """Raise UserError when a run's cases are not the held-out cases of its fold: a mean over some would mislead."""
    if len(folds) != FOLDS:
        raise UserError(f"{path}: rows of {len(folds)} folds, the page is for studies of {FOLDS}")
    for (method, seed, fold), run_rows in rows.groupby(RUN):
        differing = sorted(set(run_rows["case"]) ^ set(folds[fold]))
        if differing:
            raise UserError(
                f"{path}: {method}, fold {fold}, seed {seed}: missing or not of this fold: {', '.join(differing)}"
            )


def readme_block(studies: list[Study]) -> str:
    """The README's table of the native protocol, and what it says; empty without rows."""

    def line(_: str, rows: pd.DataFrame) -> list[str]:
        dice, *others, _ = score_cells(rows)
        return [dice, *map(first_word, others)]

    study = next((study for study in studies if study.protocol == "native" and not study.rows.empty), None)
    if study is None:
        return ""
    return f"{table([study.title.lower(), *SCORE_HEADER[:-1]], method_lines(study, line))}\n\n{wrapped(short_answer(study))}"


def main() -> None:
    args = page_arguments(__doc__)
    studies = [load_study(args.results, protocol) for protocol in TITLES]
    if all(study.rows.empty for study in studies):
        names = " or ".join(f"{protocol}.csv" for protocol in TITLES)
        raise UserError(f"{args.results}: no results, expected {names} from python -m training.study")
    for study in studies:
        require_elsewhere(study.folds, args.docs, args.readme)
    figures = {figure.name: functools.partial(figure.draw, figure.data) for study in studies for figure in figures_of(study)}
    publish("tables", args.docs / "study.md", study_text(studies), figures, args.readme, readme_block(studies))


if __name__ == "__main__":
    run(main)
