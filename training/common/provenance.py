"""Which code, and which data's licence, weights come from."""

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.data.dataset import OWN, PUBLISHED, REVIEWED, PackedCase
from training.data.seen import SCANS
from training.data.splits import fold_words, folds_by_number

LICENCES = {  # by the source of the labels
    PUBLISHED: "trained on BONBID-HIE (Zenodo 10602767), whose licence statements conflict: treat as non-commercial",
    OWN: "trained on {} labelled cases of one's own: whoever labelled them knows their terms",
    REVIEWED: "trained on {} reviewed cases of one's own: whoever reviewed them knows their terms",
}


def git_commit() -> str:
    """The commit of this code, "-dirty" where model/ or training/ differ from it.

    Without git or a repository, as on a machine that was sent the bare files: $GIT_COMMIT, or "unknown".
    """

    def git(*words: str) -> str:
        root = Path(__file__).parents[2]
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "HEAD") if shutil.which("git") else ""
    if not commit:
        return os.environ.get("GIT_COMMIT", "unknown")
    code = ("model", "training", ":!model/weights", ":!training/results")
    return commit + ("-dirty" if git("status", "--porcelain", "--", *code) else "")


def licence(cases: Iterable[PackedCase]) -> str:
    """Under which terms weights that were trained on some cases are, by where their labels come from."""
    counts = Counter(case.source for case in cases)
    return "; ".join(words.format(counts[source]) for source, words in LICENCES.items() if counts[source])


def of_fit(module: str, cases: Mapping[str, PackedCase]) -> dict[str, Any]:
    """What the sidecar of fitted trees says about how they were made by this run of a command of `training`.

    cases: by name, those that they were fitted to, each with its fold.
    """
    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "git_commit": git_commit(),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "lightgbm", "scikit-learn")},
        "cases": {"training": sorted(cases)},
        SCANS: sorted(case.scan_digest for case in cases.values()),
        "folds": fold_words(folds_by_number(cases.values())),
        "data_licence": licence(cases.values()),
    }
