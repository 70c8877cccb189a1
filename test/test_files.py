"""Writing whole files and folders where the file system refuses, and asking before."""

import errno
import os

import pytest

from model import files
from model.errors import UserError
from model.files import only_run, remove_partials, require_writable, write_whole

REFUSALS = [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV]


def refuse(code: int):
    """What a share does that has no such call."""

    def call(*args: object) -> None:
        raise OSError(code, os.strerror(code), *map(str, args[:1]))

    return call


@pytest.mark.parametrize("code", REFUSALS)
def test_a_share_that_refuses_renaming_is_named_as_the_cause(tmp_path, monkeypatch, code):
    (tmp_path / "a.txt").write_text("before")
    monkeypatch.setattr(files.os, "replace", refuse(code))
    with pytest.raises(
        UserError, match=rf"a\.txt: cannot be written .*file system of {tmp_path} does not let files be renamed"
    ):
        write_whole(tmp_path / "a.txt", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_other_refusals_keep_their_own_words(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "replace", refuse(errno.ENOSPC))
    with pytest.raises(UserError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        write_whole(tmp_path / "a.txt", b"after")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS])
def test_a_share_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, code):
    monkeypatch.setattr(files.fcntl, "flock", refuse(code))
    with only_run(tmp_path / "out"):
        write_whole(tmp_path / "out" / "a.txt", b"after")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"after"


def test_output_that_is_a_link_to_nothing_or_to_itself_is_told_so(tmp_path):
    for name, target, found in (
        ("out", "gone", "a link to gone, which is not there"),
        ("round", "round", "a circular link"),
    ):
        place = tmp_path / name
        place.symlink_to(target)
        with pytest.raises(UserError, match=rf"{name}: expected an output folder, found {found}$"), only_run(place):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "round"]


def test_what_a_killed_run_left_of_a_file_goes_and_what_is_only_called_like_it_stays(tmp_path):
    theirs = [".a.partial.nii.gz", ".a.b.partial.nii.gz", ".a.deadbeef.partial.mha", ".b.deadbeef.partial.nii.gz"]
    for name in (".a.0f3c0f3c.partial.nii.gz", *theirs):
        (tmp_path / name).touch()
    (tmp_path / ".a.deadbeef.partial.nii.gz").symlink_to("nowhere")
    remove_partials(tmp_path / "a.nii.gz")
    remove_partials(tmp_path / "gone" / "a.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*theirs, ".a.deadbeef.partial.nii.gz"])


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    require_writable(tmp_path)
    require_writable(tmp_path / "new" / "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"{place}: output cannot be written there \(Not a directory"):
            require_writable(place)
