"""Who may import whom, read from the source, and what a process may load."""

import ast
import csv
import functools
import graphlib
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("model", "training", "evaluation", "process", "test", "benchmarks")
SHIPPED = sorted([ROOT / "process.py", *(ROOT / "model").rglob("*.py")])
# files to arrays and back, and connected components
NAMES = ("volume.py", "components.py", "dicom/jpeg.py")
USERS_OF_SIMPLEITK = [ROOT / "model" / "images" / name for name in NAMES]
TRAINING = sorted((ROOT / "training").rglob("*.py"))
INITS = [path for top in ("model", "training") for path in (ROOT / top).rglob("*/__init__.py")]
WITH_ROOMS = sorted({path.parents[1] for path in INITS} - {ROOT})
COMMANDS = [path for path in TRAINING if path.parent.name == "training" and path.name != "__init__.py"]


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


SCORES = ("training.scores.metrics", "training.scores.names")


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at():
    assert len(SHIPPED) > 10
    assert len(TRAINING) > 8


@pytest.mark.parametrize("path", SHIPPED, ids=ids)
def test_what_the_image_ships_needs_nothing_else_of_ours(path):
    assert packages(path) & set(OURS) <= {"model"}


@pytest.mark.parametrize("path", SHIPPED, ids=ids)
def test_what_the_image_ships_needs_only_its_requirements(path):
    requirements = {
        "torch",
        "numpy",
        "safetensors",
        "SimpleITK",
        "nibabel",
        "openvino",
        "tqdm",
        "PIL",
        "pydicom",
        "highdicom",
    }
    assert packages(path) - set(sys.stdlib_module_names) - set(OURS) <= requirements


@pytest.mark.parametrize("path", SHIPPED + TRAINING, ids=ids)
def test_only_reading_writing_and_components_use_simpleitk(path):
    assert ("SimpleITK" in packages(path)) == (path in USERS_OF_SIMPLEITK)


@pytest.mark.parametrize("path", TRAINING, ids=ids)
def test_training_needs_only_itself_and_model(path):
    assert packages(path) & set(OURS) <= {"model", "training"}


@pytest.mark.parametrize("path", TRAINING, ids=ids)
def test_nothing_in_training_imports_a_command(path):
    commands = {f"training.{command.stem}" for command in COMMANDS}
    assert not {name for name in imported(path) if name in commands}


@pytest.mark.parametrize("path", TRAINING, ids=ids)
def test_commands_lie_at_the_top_of_training(path):
    assert ("__main__" in path.read_text(encoding="utf-8")) == (path in COMMANDS)


def test_the_tables_load_no_network_and_no_image_reader():
    done = python("import sys, training.tables, training.accuracy; print(*sys.modules)")
    assert "matplotlib" in done.stdout.split()
    assert not {"torch", "monai", "sklearn", "SimpleITK"} & set(done.stdout.split())


def test_pages_load_no_network():
    pages = [f"training.pages.{path.stem}" for path in (ROOT / "training" / "pages").glob("[a-z]*.py")]
    assert len(pages) > 4
    reports = ["model.report.case_page", "model.report.folder_page", "model.report.results"]
    done = python(f"import sys, {', '.join(pages + reports)}; print(*sys.modules)")
    assert "matplotlib" in done.stdout.split()
    assert not {"torch", "monai", "sklearn"} & set(done.stdout.split())


@pytest.mark.parametrize("path", sorted((ROOT / "evaluation").rglob("*.py")), ids=ids)
def test_the_evaluation_needs_only_what_its_image_has(path):
    names = {name for name in imported(path) if name.split(".")[0] in ("model", "training")}
    allowed = ("model.command", "model.errors", "model.files", "model.images", "training.common", *SCORES)
    assert all(name.startswith(allowed) for name in names)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("learning/distance", set()),
        ("scores/metrics", set()),
        ("scores/names", set()),
        ("learning/losses", {"training.learning.distance", "training.common.loss_names"}),
    ],
)
def test_mathematics_stands_alone(name, allowed):
    names = imported(ROOT / "training" / f"{name}.py")
    ours = {module for module in names if module.split(".")[0] in OURS} - allowed
    assert {module for module in ours if module.rpartition(".")[0] not in allowed} == set()


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


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
    assert "SimpleITK" in done.stdout.split()
    assert not {"torch", "monai", "safetensors", "PIL", "pydicom", "highdicom", "http.server", "ssl"} & set(
        done.stdout.split()
    )


def test_no_modules_import_each_other_in_a_circle():
    """Along every import, also those inside functions: each module can be understood after the ones that it imports."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in [*SHIPPED, *TRAINING]}
    follows = {name: imported(path) & files.keys() for name, path in files.items()}
    order = graphlib.TopologicalSorter(follows)
    order.prepare()  # raises CycleError, which names the circle


def between_rooms(package: Path) -> dict[str, dict[str, str]]:
    """By room, which is a package within `package`: the other rooms that it imports, each with an import as an example."""
    rooms = {".".join(file.parent.relative_to(ROOT).parts): file.parent for file in package.glob("*/__init__.py")}
    uses: dict[str, dict[str, str]] = {room: {} for room in rooms}
    for room, folder in rooms.items():
        for path, other in itertools.product(sorted(folder.rglob("*.py")), rooms.keys() - {room}):
            if found := [name for name in imported(path) if f"{name}.".startswith(f"{other}.")]:
                uses[room][other] = f"{ids(path)} imports {max(found, key=len)}"
    return uses


@pytest.mark.parametrize("package", WITH_ROOMS, ids=ids)
def test_no_rooms_import_each_other_in_a_circle(package):
    """Each room can be understood after the ones that it imports. Modules beside them may use all and be used by all."""
    uses = between_rooms(package)
    try:
        graphlib.TopologicalSorter(uses).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
        pytest.fail("; ".join(uses[room][other] for room, other in itertools.pairwise(circle)))


def test_the_rooms_of_model_are_looked_at():
    uses = between_rooms(ROOT / "model")
    assert {room: list(others) for room, others in uses.items() if room in ("model.images", "model.lesions")} == {
        "model.images": [],
        "model.lesions": ["model.images"],
    }


@pytest.mark.parametrize("path", SHIPPED + TRAINING, ids=ids)
def test_only_one_module_knows_nifti(path):
    assert ("nibabel" in packages(path)) == (path == ROOT / "model" / "images" / "formats" / "nifti.py")


def test_nibabel_and_pydicom_are_loaded_for_their_formats_alone():
    """They cost half a second each, and the evaluation's image has none."""
    code = "import sys; sys.modules |= {'nibabel': None, 'pydicom': None}; from pathlib import Path;"
    code += " from model.images.case import read_case;"
    code += " p = Path('test/case/input/images'); a, z = (next((p / d).glob('*.mha')) for d in %r); print(read_case(a, z))"
    done = python(code % (("skull-stripped-adc-brain-mri", "z-score-adc"),))
    assert done.stdout.startswith("Case("), done.stderr


def test_a_case_that_is_no_dicom_is_done_without_the_packages_for_it(tmp_path):
    """They cost a second, and the platform's cases have no DICOM."""
    words = ["--input", "test/case/input", "--output", str(tmp_path)]
    done = python(f"import sys, process; print(process.main({words}), *sys.modules)")
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert not {"pydicom", "highdicom", "nibabel", "PIL"} & set(loaded)


@pytest.mark.parametrize(("room", "needs"), [("names", set()), ("outputs", {"found_case", "contents", "bids"})])
def test_what_is_written_and_how_it_is_called_needs_nothing_that_finds_cases(room, needs):
    for path in sorted((ROOT / "model" / room).glob("*.py")):
        inputs = {name.split(".")[2] for name in imported(path) if name.startswith("model.inputs.")}
        assert inputs <= needs, path.name
