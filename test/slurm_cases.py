"""What test/slurm.sh needs of Python: the cases that the study runs on, and a look at its results.

python test/slurm_cases.py write FOLDER             an invented case under each name of training/data/splits.json
python test/slurm_cases.py check CSV LOSS:FOLD...   the results hold the rule and exactly these runs
"""

import dataclasses
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from training_helpers import invented_case, write_packed

from training.data.splits import SPLITS, read_folds
from training.scores.methods import RULE
from training.scores.rows import Row, read_records


def write(folder: Path) -> None:
    for number, name in enumerate(read_folds(SPLITS).fold_of):
        write_packed(dataclasses.replace(invented_case(number), name=name), folder)


def check(results: Path, runs: list[str]) -> None:
    expected = [(RULE, fold, name) for name, fold in read_folds(SPLITS).fold_of.items()]
    for run in runs:
        loss, fold = run.split(":")
        expected += [(loss, int(fold), name) for name in read_folds(SPLITS).held_out[int(fold)]]
    found = [(row.method, row.fold, row.case) for row in read_records(results, Row)]
    if sorted(found) != sorted(expected):
        sys.exit(
            f"WRONG: {results} holds {dict(Counter(row[:2] for row in found))}, expected the rule and {', '.join(runs)}"
        )


if __name__ == "__main__":
    command, path, *words = sys.argv[1:]
    write(Path(path)) if command == "write" else check(Path(path), words)
