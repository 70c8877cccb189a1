"""Writing whole files where the file system refuses, and asking before."""

import errno
import fcntl
import os

import pytest

from model.errors import UserError
from model.files import only_run, require_writable, write_whole


def refuse(code: int):
    """What a share does that has no such call."""

    def call(*args: object) -> None:
        raise OSError(code, os.strerror(code), *map(str, args[:1]))

    return call


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match=r"a\.txt: cannot be written \(Is a directory\)"):
        write_whole(tmp_path / "a.txt", b"after")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.txt"]


def test_a_share_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    with only_run(tmp_path / "out"):
        write_whole(tmp_path / "out" / "a.txt", b"after")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"after"


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    require_writable(tmp_path)
    require_writable(tmp_path / "new" / "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"{place}: output cannot be written there \(Not a directory"):
            require_writable(place)
