"""The temporary folder for a patient's images where the file system has no locks."""

import errno
import fcntl
import tempfile

from model.services.working_folder import working_folder


def test_where_nothing_can_be_locked_the_folder_is_made_and_goes(tmp_path, monkeypatch):
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with working_folder({}) as work:
        (work / "image").touch()
        assert list(tmp_path.iterdir()) == [work]
    assert list(tmp_path.iterdir()) == []
