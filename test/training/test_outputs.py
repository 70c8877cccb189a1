"""Where the commands of training, the benchmarks and the scripts write: not over others' files, not among their inputs."""

import functools
import importlib
import os
import subprocess
from pathlib import Path

import pytest
from golden_masks import GRID, ONE, voxels
from phantom import require_new, write_image
from PIL import Image
from study_rows import write_results
from training_helpers import CASES, invented_case, publish, write_packed

from model.errors import UserError
from training import cases, evaluate, splits, tables, zmap
from training.common.outputs import RECORD, own_files_into, require_outside, require_own_file
from training.learning.train_config import TrainConfig
from training.learning.training_run import require_no_other_weights
from training.lesions.networks import require_sidecars
from training.pages import plots
from training.ship import REPLACED

ROOT = Path(__file__).resolve().parents[2]
ODD = {  # what someone else may have in a place
    "text": lambda path: path.write_text("mine"),
    "picture": lambda path: Image.new("L", (4, 3)).save(path, "PNG"),
    "json": lambda path: path.write_text('{"seed": 0, "folds": [], "mine": 1}'),
    "link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "folder": lambda path: path.mkdir(),
}


def everything(root: Path) -> dict[str, object]:
    """What lies below a folder: contents of files, targets of links."""
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.is_dir() or path.read_bytes()
        for path in root.rglob("*")
    }


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
    assert [(folder / name).read_text() for name in ("a", "b", "notes")] == ["2", "2", "mine"]
    (folder / "b").write_text("corrected")
    before = everything(tmp_path)
    with pytest.raises(UserError, match=f"{folder / 'b'}: not of this program, or changed since it was written; it stays"):
        write(folder, a="3", b="3")
    assert everything(tmp_path) == before
    (folder / "b").write_text("1")  # as a kill between two files leaves it
    write(folder, a="3", b="3")
    assert (folder / "b").read_text() == "3"
    (folder / "b").rename(tmp_path / "kept")
    (folder / "b").symlink_to(tmp_path / "kept")
    with pytest.raises(UserError, match="b: not of this program"):
        write(folder, a="4", b="4")


def test_what_comes_while_the_work_is_done_stays(tmp_path: Path) -> None:
    block = own_files_into(tmp_path / "out", ["a"])
    (block.__enter__() / "a").write_text("1")
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(UserError, match="a: not of this program"):
        block.__exit__(None, None, None)
    assert everything(tmp_path / "out") == {"a": b"mine"}


@pytest.mark.parametrize("record", ["[]", "{", '{"a": 1}'])
def test_a_record_that_is_damaged_makes_no_file_our_own(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match="not of this program"):
        write(tmp_path, a="1")


@pytest.mark.parametrize("kind", ["text", "link"])
def test_a_new_place(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        require_new(tmp_path / name)
    ODD[kind](tmp_path / "empty" / "a")
    with pytest.raises(UserError, match="is there already"):
        require_new(tmp_path / "empty")
    ODD[kind](tmp_path / "x")
    with pytest.raises(UserError, match="x: is there already and stays"):
        require_new(tmp_path / "x")


@pytest.mark.parametrize("output", ["in", "in/../in/a/b", "link/a"])
def test_an_output_among_the_inputs(tmp_path: Path, output: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="expected an output outside of the input"):
        require_outside(tmp_path / output, [tmp_path / "in"])
    require_outside(tmp_path / "in2", [tmp_path / "in"])


def test_only_a_file_is_an_earlier_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    require_own_file(tmp_path / "file", lambda _: True, "a figure")
    for name in ("link", "folder"):
        with pytest.raises(UserError, match=f"{name}: expected a new file, or a figure to replace"):
            require_own_file(tmp_path / name, lambda _: True, "a figure")


# --- the commands ---


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """masks/ and labels/ of a case, two published cases in data/, packed ones in packed/, rows in results/; there we are."""
    for place in ("masks/a.mha", "labels/a_lesion.mha"):
        (tmp_path / place).parent.mkdir()
        write_image(voxels(*ONE), GRID, tmp_path / place)
    for number in range(2):
        publish(invented_case(number), tmp_path / "data")
    (tmp_path / "packed").mkdir()
    for case in CASES.values():
        write_packed(case, tmp_path / "packed")
    write_results(tmp_path / "results", "native", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


SCORES = (evaluate.main, "masks labels --out out")
PACK = (cases.main, "--data data --out out")
SPLITS = (splits.main, "--data packed --out out/splits.json")
PAGES = (tables.main, "--results results --docs out --readme README.md")


@pytest.mark.parametrize(
    ("command", "name", "kind"),
    [
        (SCORES, "scores.csv", "text"),
        (SCORES, "dice.png", "folder"),
        (PACK, "case0.npz", "link"),
        (PAGES, "study.md", "text"),
        *((SPLITS, "splits.json", kind) for kind in ("json", "link", "folder")),
        (PAGES, "figures/native-dice.png", "picture"),
    ],
)
def test_commands_do_not_replace_others_files(inputs: Path, refusal, command: tuple, name: str, kind: str) -> None:
    (inputs / "out" / name).parent.mkdir(parents=True)
    ODD[kind](inputs / "out" / name)
    before = everything(inputs)
    reason = "expected a new file, or an earlier" if command in (PAGES, SPLITS) else "not of this program"
    assert refusal(command[0], *command[1].split()).startswith(f"out/{name}: {reason}")
    assert everything(inputs) == before


@pytest.mark.parametrize(("command", "place"), [(SCORES, "masks"), (SCORES, "labels/scores"), (PACK, "data/new")])
def test_commands_do_not_write_among_their_inputs(inputs: Path, refusal, command: tuple, place: str) -> None:
    before = everything(inputs)
    assert "outside of the input" in refusal(command[0], *command[1].split()[:-1], place)
    assert everything(inputs) == before


def test_our_figures_are_known(tmp_path: Path) -> None:
    plots.save(plots.new_figure(3, 2), tmp_path / "new.png")
    committed = sorted(path for path in (ROOT / "docs" / "figures").iterdir() if path.name != "report.png")
    assert len(committed) > 5
    for path in (tmp_path / "new.png", *committed):
        require_own_file(path, plots.is_figure, "a figure")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_weights_of_another_are_not_replaced(tmp_path: Path, kind: str) -> None:
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


@pytest.mark.parametrize("name", ["zmap.csv", "estimated.csv"])
def test_results_of_another_are_not_replaced(inputs: Path, refusal, name: str) -> None:
    (inputs / "results" / name).write_text("mine")
    line = refusal(zmap.main, "--data", "packed", "--results", "results")
    assert line.startswith(f"results/{name}: expected the columns case,")


# --- benchmarks and scripts ---


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("dicom_phantom", "{out}"), "baby/IM0001"),
        (("phantom", "{out}"), "label.mha"),
        (("phantom", "{out}"), "input/mine"),
        (("folder_case", "make", ROOT / "test/case/input", "{out}"), "a/adc.mha"),
        (("report_figure", "{out}/a.png"), "a.png"),
    ],
)
def test_scripts_do_not_replace_others_files(tmp_path: Path, refusal, words: tuple, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = everything(tmp_path)
    file, *others = (str(word).format(out=tmp_path) for word in words)
    assert refusal(importlib.import_module(file).main, *others)
    assert everything(tmp_path) == before


def test_the_export_replaces_its_own_archives_alone(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "decision.safetensors").touch()
    words = ("bash", "export.sh", "--model-only", "--weights", tmp_path / "weights", tmp_path)
    export = functools.partial(subprocess.run, words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [export().returncode for _ in range(2)] == [0, 0]
    (tmp_path / "model.tar.gz").write_text("mine")
    before = everything(tmp_path)
    done = export()
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {tmp_path}/model.tar.gz: not of an earlier export")
    assert everything(tmp_path) == before
