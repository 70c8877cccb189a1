"""Who may import whom, beyond what `lint-imports` checks by pyproject.toml, and what a process may load."""

import ast
import csv
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted([ROOT / "process.py", *(ROOT / "model").rglob("*.py")])
TRAINING = sorted((ROOT / "training").rglob("*.py"))
COMMANDS = [path for path in TRAINING if path.parent.name == "training" and path.name != "__init__.py"]
REQUIREMENTS = {"torch", "monai", "numpy", "safetensors", "SimpleITK", "nibabel", "openvino", "tqdm", "PIL", "pydicom"}


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Every module that a file names in an import, wherever in the file; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, which this test does not follow"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SHIPPED, ids=ids)
def test_what_the_image_ships_needs_only_its_requirements(path):
    needed = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
    assert needed <= REQUIREMENTS | {"highdicom", "model", "process"}


@pytest.mark.parametrize("path", TRAINING, ids=ids)
def test_commands_lie_at_the_top_of_training_and_nothing_imports_them(path):
    assert ("__main__" in path.read_text(encoding="utf-8")) == (path in COMMANDS)
    assert not imported(path) & {f"training.{command.stem}" for command in COMMANDS}


@pytest.mark.parametrize("path", sorted((ROOT / "model" / "outputs").glob("*.py")), ids=ids)
def test_what_is_written_needs_nothing_that_finds_cases(path):
    inputs = {name.split(".")[2] for name in imported(path) if name.startswith("model.inputs.")}
    assert inputs <= {"found_case", "contents", "bids"}


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_tables_and_pages_load_no_network_and_tables_no_image_reader():
    pages = [f"training.pages.{path.stem}" for path in (ROOT / "training" / "pages").glob("[a-z]*.py")]
    assert len(pages) > 4
    pages += ["model.report.case_page", "model.report.folder_page", "model.report.results"]
    show = "print(*sys.modules)"
    done = python(f"import sys, training.tables, training.accuracy; {show}; import {', '.join(pages)}; {show}")
    of_tables, of_pages = (set(line.split()) for line in done.stdout.splitlines())
    assert "matplotlib" in of_tables
    assert not {"torch", "monai", "sklearn", "SimpleITK"} & of_tables
    assert not {"torch", "monai", "sklearn"} & of_pages


def test_training_starts_where_there_is_no_simpleitk_and_no_edt():
    done = python("import sys; sys.modules |= {'SimpleITK': None, 'edt': None}; import training.train, training.splits")
    assert done.returncode == 0, done.stderr


def test_two_folders_are_scored_without_torch(tmp_path):
    """The label of the built-in case against itself."""
    for name in ("masks", "labels"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "test" / "case" / "label.mha", tmp_path / name / "phantom.mha")
    words = ["evaluate", *(str(tmp_path / name) for name in ("masks", "labels")), "--out", str(tmp_path / "scores")]
    done = python(f"import sys, training.evaluate as e; sys.argv = {words}; e.main(); print(*sys.modules)")
    assert "SimpleITK" in done.stdout.split(), done.stderr
    assert not {"torch", "monai"} & set(done.stdout.split())
    with (tmp_path / "scores" / "scores.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["dice"]) == 1


def test_a_bad_case_is_refused_before_torch_is_loaded():
    code = "import sys, process; process.main(['--input', '/nowhere', '--output', '/proc/nowhere']); print(*sys.modules)"
    done = python(code)
    assert done.stderr.startswith("error: /proc/nowhere")
    loaded = set(done.stdout.split())
    assert "SimpleITK" in loaded
    assert not {"torch", "monai", "safetensors", "PIL", "pydicom", "highdicom", "http.server", "ssl"} & loaded
