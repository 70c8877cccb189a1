"""Where the commands of training, the benchmarks and the scripts write: not over others' files, not among their inputs."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_masks import GRID, ONE, voxels
from phantom import write_image
from PIL import Image
from test_training_evaluate import publish
from training_helpers import CASES, SMALL, invented_case, write_packed

from model.errors import UserError
from model.networks.config import InferenceConfig
from model.networks.network import LesionNet
from model.networks.torch_engine import save_weights
from training import cases, evaluate, splits, tables, zmap
from training.common.cli import run
from training.common.outputs import RECORD, own_files_into, require_new, require_outside, require_own_file
from training.learning.onnx_graph import export
from training.learning.train_config import TrainConfig
from training.learning.training_run import require_no_other_weights
from training.lesions.networks import require_sidecars
from training.pages import plots
from training.ship import REPLACED

ROOT = Path(__file__).resolve().parents[2]
ODD = {  # what someone else may have in a place
    "text": lambda path: path.write_text("mine"),
    "empty": lambda path: path.touch(),
    "picture": lambda path: Image.new("L", (4, 3)).save(path, "PNG"),
    "figure": lambda path: Image.new("L", (4, 3)).save(path, "PNG", dpi=(72, 72)),
    "table": lambda path: path.write_text("case,dice\na,1\n"),
    "json": lambda path: path.write_text('{"seed": 0, "folds": [], "mine": 1}'),
    "link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "folder": lambda path: path.mkdir(),
}


def everything(root: Path) -> dict[str, object]:
    """What lies below a folder: contents of files, targets of links."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        content = os.readlink(path) if path.is_symlink() else path.is_dir() or path.read_bytes()
        found[str(path.relative_to(root))] = content
    return found


def refusal(main: Callable[[], None], monkeypatch, capsys, *words: object) -> str:
    """The one line with which a command refuses."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


# --- the helpers ---


def write(folder: Path, **files: str) -> None:
    with own_files_into(folder, files) as staged:
        for name, text in files.items():
            (staged / name).write_text(text)


def test_a_folder_is_written_again_over_its_own_files_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    write(folder, a="1", b="1")
    (folder / "notes").write_text("mine")
    write(folder, a="2", b="2")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.name != RECORD} == {
        "a": "2",
        "b": "2",
        "notes": "mine",
    }
    (folder / "b").write_text("corrected")
    before = everything(tmp_path)
    with pytest.raises(UserError, match=f"{folder / 'b'}: not of this program, or changed since it was written; it stays"):
        write(folder, a="3", b="3")
    assert everything(tmp_path) == before
    (folder / "b").write_text("1")  # as a kill between two files leaves it
    write(folder, a="3", b="3")
    assert (folder / "b").read_text() == "3"


@pytest.mark.parametrize("kind", ODD)
def test_what_lies_in_the_place_of_an_output_stays(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "out", b="1")
    ODD[kind](tmp_path / "out" / "a")
    before = everything(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path / 'out' / 'a'}: not of this program"):
        write(tmp_path / "out", a="2", b="2")
    assert everything(tmp_path) == before


def test_what_comes_while_the_work_is_done_stays(tmp_path: Path) -> None:
    block = own_files_into(tmp_path / "out", ["a"])
    (block.__enter__() / "a").write_text("1")
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(UserError, match="a: not of this program"):
        block.__exit__(None, None, None)
    assert everything(tmp_path / "out") == {"a": b"mine"}


@pytest.mark.parametrize("record", ["", "[]", "{", '{"a": 1}', '{"a": "0f"}', '{"a": null}'])
def test_a_record_that_is_damaged_makes_no_file_our_own(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match="not of this program"):
        write(tmp_path, a="1")


@pytest.mark.parametrize("kind", ODD)
def test_a_new_place(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        require_new(tmp_path / name)
    ODD[kind](tmp_path / "empty" / "a")
    with pytest.raises(UserError, match="is there already"):
        require_new(tmp_path / "empty")
    if kind != "folder":
        ODD[kind](tmp_path / "x")
        with pytest.raises(UserError, match="x: is there already and stays"):
            require_new(tmp_path / "x")


@pytest.mark.parametrize("output", ["in", "in/a", "in/../in/a/b", "link/a"])
def test_an_output_among_the_inputs(tmp_path: Path, output: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="expected an output outside of the input"):
        require_outside(tmp_path / output, [tmp_path / "in"])
    require_outside(tmp_path / "in2", [tmp_path / "in"])


# --- the commands ---


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """masks/ and labels/ of a case."""
    for place in ("masks/a.mha", "labels/a_lesion.mha"):
        (tmp_path / place).parent.mkdir()
        write_image(voxels(*ONE), GRID, tmp_path / place)
    return tmp_path


@pytest.mark.parametrize("name", ["scores.csv", "summary.md", "dice.png", "volumes.png"])
@pytest.mark.parametrize("kind", ["text", "picture", "link"])
def test_scores_do_not_replace_others_files(scored: Path, monkeypatch, capsys, name: str, kind: str) -> None:
    (scored / "out").mkdir()
    ODD[kind](scored / "out" / name)
    before = everything(scored)
    words = (scored / "masks", scored / "labels", "--out", scored / "out")
    assert f"{scored / 'out' / name}: not of this program" in refusal(evaluate.main, monkeypatch, capsys, *words)
    assert everything(scored) == before


@pytest.mark.parametrize("place", ["masks", "labels", "labels/scores"])
def test_scores_are_not_written_among_masks_and_labels(scored: Path, monkeypatch, capsys, place: str) -> None:
    before = everything(scored)
    words = (scored / "masks", scored / "labels", "--out", scored / place)
    assert "outside of the input" in refusal(evaluate.main, monkeypatch, capsys, *words)
    assert everything(scored) == before


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for number in range(2):
        publish(invented_case(number), tmp_path / "data")
    return tmp_path


COMMANDS = {  # by what is written, with two published cases
    "case0.npz": (cases.main, ()),
    "case0_rule.mha": (evaluate.main, ("--rule-only",)),
    "scores.csv": (evaluate.main, ("--rule-only",)),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", ["text", "link"])
def test_cases_and_masks_do_not_replace_others_files(published: Path, monkeypatch, capsys, name: str, kind: str) -> None:
    (published / "out").mkdir()
    ODD[kind](published / "out" / name)
    before = everything(published)
    main, words = COMMANDS[name]
    line = refusal(main, monkeypatch, capsys, "--data", published / "data", "--out", published / "out", *words)
    assert f"{published / 'out' / name}: not of this program" in line
    assert everything(published) == before


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["", "1ADC_ss", "new"])
def test_cases_and_masks_are_not_written_into_the_data(published: Path, monkeypatch, capsys, name: str, place: str) -> None:
    before = everything(published)
    main, words = COMMANDS[name]
    out = published / "data" / place
    assert "outside of the input" in refusal(main, monkeypatch, capsys, "--data", published / "data", "--out", out, *words)
    assert everything(published) == before


@pytest.mark.parametrize("kind", ODD)
def test_splits_replace_splits_alone(tmp_path: Path, monkeypatch, capsys, kind: str) -> None:
    (tmp_path / "packed").mkdir()
    for case in CASES.values():
        write_packed(case, tmp_path / "packed")
    ODD[kind](tmp_path / "out")
    before = everything(tmp_path)
    words = ("--data", tmp_path / "packed", "--out", tmp_path / "out")
    assert "out: expected a new file, or an earlier split" in refusal(splits.main, monkeypatch, capsys, *words)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["study.md", "figures/phantom-losses.png", "figures/native-dice.png", "figures/paper-curves.png"]
)
@pytest.mark.parametrize("kind", ["text", "picture", "link"])
def test_tables_do_not_replace_others_pages_and_figures(tmp_path: Path, monkeypatch, capsys, name: str, kind: str) -> None:
    (tmp_path / "figures").mkdir()
    ODD[kind](tmp_path / name)
    before = everything(tmp_path)
    monkeypatch.setattr(tables, "readme_block", lambda studies: "")
    words = ("--docs", tmp_path, "--readme", tmp_path / "README.md", "--phantom-masks", tmp_path)
    assert f"{tmp_path / name}: expected a new file, or an earlier" in refusal(tables.main, monkeypatch, capsys, *words)
    assert everything(tmp_path) == before


def test_a_figure_without_a_network_does_not_replace_the_one_of_the_networks(tmp_path: Path, monkeypatch, capsys) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs" / "figures", docs / "figures")
    before = everything(tmp_path)
    monkeypatch.setattr(tables, "readme_block", lambda studies: "")
    words = ("--docs", docs, "--readme", tmp_path / "README.md", "--phantom-masks", tmp_path / "runs")
    assert f"{tmp_path / 'runs'}: no network of the native study" in refusal(tables.main, monkeypatch, capsys, *words)
    assert everything(tmp_path) == before


def test_our_figures_are_known(tmp_path: Path) -> None:
    plots.save(plots.new_figure(3, 2), tmp_path / "new.png")
    committed = sorted(path for path in (ROOT / "docs" / "figures").iterdir() if path.name != "report.png")
    assert len(committed) > 5
    for path in (tmp_path / "new.png", *committed):
        require_own_file(path, plots.is_figure, "a figure")


@pytest.mark.parametrize("kind", ["text", "json", "empty"])
def test_weights_of_another_are_not_replaced(tmp_path: Path, monkeypatch, capsys, kind: str) -> None:
    """By a decision, a graph or a run."""
    ODD[kind](tmp_path / "fold0-mine.json")
    ODD[kind](tmp_path / "fold0.safetensors")
    before = everything(tmp_path)
    with pytest.raises(UserError, match=r"fold0-mine\.json"):
        require_sidecars(tmp_path, REPLACED)
    with pytest.raises(UserError, match=r"fold0\.safetensors: lies there without the checkpoint of its run, and stays"):
        require_no_other_weights(tmp_path, TrainConfig())
    require_no_other_weights(tmp_path, TrainConfig(fold=1))
    assert everything(tmp_path) == before


def test_a_graph_replaces_graphs_of_its_network_alone(tmp_path: Path) -> None:
    save_weights(tmp_path / "fold0.safetensors", LesionNet(SMALL), SMALL, InferenceConfig(), {})
    export(tmp_path)
    export(tmp_path)
    (tmp_path / "fold0.onnx").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(UserError, match=r"fold0\.onnx: expected a new file, or a graph of"):
        export(tmp_path)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["zmap.csv", "estimated.csv"])
def test_results_of_another_are_not_replaced(tmp_path: Path, monkeypatch, capsys, name: str) -> None:
    (tmp_path / name).write_text("mine")
    words = ("--data", tmp_path, "--results", tmp_path)
    assert f"{tmp_path / name}: expected the columns case," in refusal(zmap.main, monkeypatch, capsys, *words)


# --- benchmarks and scripts ---


def script(*words: object) -> subprocess.CompletedProcess:
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1
    return done


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("dicom_phantom.py", "{out}"), "baby/IM0001"),
        (("phantom.py", "{out}"), "label.mha"),
        (("phantom.py", "{out}"), "input/mine"),
        (("folder_case.py", "make", ROOT / "test/case/input", "{out}"), "a/adc.mha"),
        (("write_largest.py", "{out}"), "images/mine"),
        (("report_figure.py", "{out}/a.png"), "a.png"),
    ],
)
def test_scripts_do_not_replace_others_files(tmp_path: Path, words: tuple, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = everything(tmp_path)
    file, *others = (str(word).format(out=tmp_path) for word in words)
    script(sys.executable, f"test/{file}", *others)
    assert everything(tmp_path) == before


def test_the_export_replaces_its_own_archives_alone(tmp_path: Path) -> None:
    export_words = ("bash", "export.sh", "--model-only", tmp_path)
    call = functools.partial(subprocess.run, export_words, cwd=ROOT, capture_output=True, check=True)
    call()
    call()
    (tmp_path / "model.tar.gz").write_text("mine")
    before = everything(tmp_path)
    assert f"{tmp_path}/model.tar.gz: not of an earlier export" in script(*export_words).stderr
    assert everything(tmp_path) == before
