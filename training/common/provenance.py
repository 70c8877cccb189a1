"""Which code, and which data's licence, weights come from."""

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LICENCE = "trained on BONBID-HIE (Zenodo 10602767), whose licence statements conflict: treat as non-commercial"


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


def of_fit(module: str, cases: Iterable[str]) -> dict[str, Any]:
    """What the sidecar of fitted trees says about how they were made by this run of a command of `training`."""
    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "git_commit": git_commit(),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "lightgbm", "scikit-learn")},
        "cases": {"training": sorted(cases)},
        "data_licence": LICENCE,
    }
