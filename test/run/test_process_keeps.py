"""One case: a run that is refused removes nothing, neither files of others nor the record that protects a mask."""

from pathlib import Path

import numpy as np
import pytest
from inference_helpers import GRID, MASK, PROBABILITIES, RESULTS, arguments, files_below
from phantom import write_image


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def corrected(path: Path) -> None:
    """A uint8 mask of 0 and 1 as another program writes it."""
    voxels = np.zeros(GRID.size, np.uint8)
    voxels[3, 4, 5] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(voxels, GRID, path)


@pytest.fixture
def run(main, case_tree, tmp_path, rule_weights, capfd):
    """Runs one case into tmp_path/output; returns the exit code and the last line of stderr."""
    case = case_tree()

    def go(*words: str, there: bool = True) -> tuple[int, str]:
        source = case if there else tmp_path / "nothere"
        code = main([*arguments(source, tmp_path / "output", rule_weights), *words])
        return code, (capfd.readouterr().err.splitlines() or [""])[-1]

    return go


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("words", [(), ("--report", "--probabilities")])
def test_mask_corrected_by_hand_outlives_every_later_run(run, tmp_path, there, words):
    output = tmp_path / "output"
    assert run(*words)[0] == 0
    corrected(output / MASK)
    before = content(output)
    for _ in range(3):
        code, line = run(*words, there=there)
        assert code == 2
        assert line.startswith(f"error: {output / MASK}: not written by this program, or changed since; it stays")
        assert content(output) == before


def test_changed_report_that_is_not_asked_for_keeps_everything(run, tmp_path):
    output = tmp_path / "output"
    assert run("--report", "--probabilities")[0] == 0
    (output / "report.html").write_text("with remarks")
    before = content(output)
    code, line = run()
    assert code == 2
    assert str(output / "report.html") in line
    assert content(output) == before


@pytest.mark.parametrize("there", [True, False])
def test_project_of_someone_else_is_left_alone(run, tmp_path, there):
    output = tmp_path / "output"
    corrected(output / MASK)
    for name in (RESULTS, "report.html"):
        (output / name).write_text("{}")
    before = content(output)
    code, line = run("--report", there=there)
    assert code == 2
    assert line.startswith(f"error: {output / RESULTS}, {output / MASK}, {output / 'report.html'}: not written by")
    assert content(output) == before


def test_lone_mask_of_someone_else_stays_when_the_input_is_not_there(run, tmp_path):
    corrected(tmp_path / "output" / MASK)
    before = content(tmp_path / "output")
    assert run(there=False)[0] == 2
    assert content(tmp_path / "output") == before


@pytest.mark.parametrize("fails", [False, True])
def test_file_made_while_the_case_is_run_stays(run, tmp_path, monkeypatch, fails):
    """A mask that someone puts there while the networks run is neither replaced nor, when the run fails, removed."""
    from model import segmenter

    output, segment = tmp_path / "output", segmenter.segment_canonical

    def meanwhile(*args):
        corrected(output / MASK)
        if fails:
            raise ZeroDivisionError("deep inside")
        return segment(*args)

    monkeypatch.setattr(segmenter, "segment_canonical", meanwhile)
    code, line = run("--probabilities")
    assert code == (1 if fails else 2)
    assert fails or line == f"error: {output / MASK}: made or changed by someone while the case was run; it stays"
    made = (output / MASK).read_bytes()
    corrected(tmp_path / "again.mha")
    assert made == (tmp_path / "again.mha").read_bytes()
    assert files_below(output) == [MASK]


def test_record_that_names_other_files_removes_none_of_them(run, tmp_path):
    """A results.json with a sum of its own that fits, and with a file of the user's in it."""
    from model.outputs.own_files import with_record
    from model.report.results import write_results

    output = tmp_path / "output"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    (output / PROBABILITIES).parent.mkdir(parents=True)
    write_results(with_record({}, output), output / RESULTS)
    assert run()[0] == 0
    assert (output / "notes.txt").read_text() == "mine"
