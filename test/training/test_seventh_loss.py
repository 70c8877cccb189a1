"""Another loss is a name in one list and a function: study, tables and figures follow. Tried in a copy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from training_helpers import write_study

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = '''def squared_error(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Brier's score."""
    return (torch.sigmoid(logits.float()) - target).square().mean()


LOSSES: dict'''
COMMANDS = """
import sys, training.study, training.tables
from training.learning.protocols import PROTOCOLS, Native
from training_helpers import SMALL, Here
PROTOCOLS["native"] = lambda model=None: Native(SMALL)
training.study.LocalExecutor = lambda slots: Here()
for module, words in ((training.study, {study}), (training.tables, {tables})):
    sys.argv = words
    module.main()
"""


def test_another_loss_is_trained_and_shown(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "training", tmp_path / "training", ignore=shutil.ignore_patterns("results", "__pycache__"))
    for name in ("model", "test"):
        (tmp_path / name).symlink_to(ROOT / name)
    for path, old, new in (
        ("training/common/loss_names.py", "LOSS_NAMES = (", 'LOSS_NAMES = ("squared-error", '),
        ("training/learning/losses.py", "LOSSES: dict", FUNCTION),
    ):
        text = (tmp_path / path).read_text()
        assert text.count(old) == 1
        (tmp_path / path).write_text(text.replace(old, new))
    (tmp_path / "packed").mkdir()
    write_study(tmp_path / "packed")
    shutil.copy(tmp_path / "packed" / "splits.json", tmp_path / "training/data/splits.json")
    small = ["--epochs", "1", "--warmup-epochs", "0", "--folds", "0", "--device", "cpu"]
    places = ["--data", "packed", "--runs", "runs", "--results", "results"]
    study = ["study", "--losses", "squared-error", *small, *places]
    tables = ["tables", "--results", "results", "--docs", "pages", "--readme", "README.md"]
    code = COMMANDS.format(study=study, tables=tables)
    paths = os.environ | {"PYTHONPATH": f"{tmp_path}:{tmp_path / 'test'}"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=paths, check=True, capture_output=True)
    page = (tmp_path / "pages/study.md").read_text()
    for heading in ("### Scores", "### By lesion load"):
        assert "| squared-error |" in page[page.index(heading) :]
    assert {path.name for path in (tmp_path / "pages/figures").iterdir()} == {"native-curves.png", "native-dice.png"}
