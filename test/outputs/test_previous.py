"""What lies where something new is put moves aside: every kind of it, and wherever a kill comes."""

import functools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kill.forked import finish, start, until_step

from model.errors import UserError
from model.files import remove_partial_folders, staged_for
from model.outputs.place import Place
from model.outputs.previous import Previous, obstacle

FILE_OPERATIONS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")
OLD = {"lesions.mha": "old", "results.json": '{"seconds": 1, "n": 1}', "dwi/a.json": "same", "old/report.html": "old report"}
NEW = {"results.json": '{"seconds": 2, "n": 1}', "dwi/a.json": "same", "dwi/new.json": "new", "lesions.mha": "new"}
PLACE = Place(folder=Path(), work=Path(), mask="lesions.mha", probabilities="", zmap="")
ORDER = PLACE.in_order(sorted(NEW.keys() - {"results.json"}))
THEIRS = {"notes.txt": "mine", "dwi/notes.txt": "mine too", "ses-1/lesions.mha": "of another case"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    """By path: what every file that is not hidden holds, and where every link leads."""
    paths = [path for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith(".")]
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in paths
        if path.is_symlink() or not path.is_dir()
    }


def aside(output: Path) -> dict[str, str]:
    """What moved aside, by its place in the output folder."""
    return {name.split("/", 1)[1]: text for name, text in read(output / "previous").items()}


def put(output: Path, place: str = "a") -> None:
    with staged_for(output / place, output) as staged:
        Previous(output).put(write(staged, NEW), output / place, ORDER, older=OLD)


def test_what_differs_moves_aside_and_files_of_others_keep_their_places(tmp_path):
    put(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    write(tmp_path / "a", OLD | THEIRS)
    (tmp_path / "a" / "link").symlink_to("nowhere")
    (tmp_path / "a" / "folder").symlink_to("dwi")
    for _ in range(2):
        put(tmp_path)
        assert read(tmp_path / "a") == NEW | THEIRS | {"link": "nowhere", "folder": "dwi"}
        # the other results say the same, but for the seconds
        assert aside(tmp_path) == {"a/lesions.mha": "old", "a/old/report.html": "old report"}
    assert not (tmp_path / "a" / "old").exists()


def test_what_lies_in_the_place_of_a_file_of_others_is_not_lost(tmp_path):
    """Two runs in the same second, and a file of someone's where the new has a folder."""
    write(tmp_path / "a", {"dwi": "a file"})
    put(tmp_path)
    (tmp_path / "a" / "lesions.mha").write_text("corrected")
    put(tmp_path)
    assert read(tmp_path / "a") == NEW
    assert aside(tmp_path) == {"a/dwi": "a file", "a/lesions.mha": "corrected"}


@pytest.mark.parametrize("place", ["a", "a/b"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_what_is_no_folder_moves_aside_and_is_not_written_through(tmp_path, place, kind):
    precious, output = write(tmp_path / "precious", {"x": "mine"}), tmp_path / "out"
    output.mkdir()
    target = {"file": None, "link": precious, "dangling link": tmp_path / "nowhere"}[kind]
    if target is None:
        (output / "a").write_text("mine")
    else:
        (output / "a").symlink_to(target)
    assert obstacle(output / place, output) == output / "a"
    put(output, place)
    assert read(output / place) == NEW
    assert aside(output) == {"a": str(target) if target else "mine"}
    assert read(precious) == {"x": "mine"}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_for_what_moves_aside_that_is_none_is_refused(tmp_path, kind):
    if kind == "file":
        (tmp_path / "previous").write_text("mine")
    else:
        (tmp_path / "previous").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"previous: expected a folder for what moves aside, found a link or a file"):
        Previous(tmp_path)


def test_when_the_new_fails_the_old_stays_aside_and_none_of_the_new_stays(tmp_path):
    write(tmp_path / "a", OLD | THEIRS)
    staged = write(tmp_path / ".staged", NEW)
    (staged / "lesions.mha").unlink()
    with pytest.raises(FileNotFoundError):
        Previous(tmp_path).put(staged, tmp_path / "a", ORDER, older=OLD)
    assert read(tmp_path / "a") == THEIRS
    assert aside(tmp_path) == {f"a/{name}": text for name, text in OLD.items()}


def killed(work: Callable[[], None], number: int) -> bool:
    """Run `work` in a copy of this process that is killed before one of its file operations; whether it came so far."""
    code = finish(start(functools.partial(until_step, work, number, FILE_OPERATIONS)))
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_a_kill_before_any_file_operation_loses_nothing_and_the_next_run_goes_on(tmp_path):
    """The mask goes first and comes last: where it is there, so is everything. Old files are there or moved aside."""
    number, without_mask = 0, 0
    while True:
        output = write(tmp_path / str(number), {f"a/{name}": text for name, text in (OLD | THEIRS).items()})
        if not killed(lambda output=output: put(output), number):
            break
        there, moved = read(output / "a"), aside(output)
        assert THEIRS.items() <= there.items()
        assert "old" in (there.get("lesions.mha"), moved.get("a/lesions.mha"))
        assert there["results.json"] in (OLD["results.json"], NEW["results.json"])
        if mask := there.get("lesions.mha"):
            assert {"old": OLD, "new": NEW}[mask].items() <= there.items()
        without_mask += not mask
        remove_partial_folders(output)
        put(output)
        assert read(output / "a") == NEW | THEIRS
        assert {"old", "old report"} <= set(aside(output).values())
        assert not list(output.glob(".*"))
        number += 1
    assert number > 15
    assert without_mask > 0
