"""Downloads of a small archive from a server on this machine, and cut connections."""

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from model.errors import UserError
from model.files import only_run
from training import download as module
from training.data.published import STEMS, published_cases

ARCHIVE = "BONBID2023_Train.zip"
Tree = dict[str, bytes]  # files of an archive by their path below its top folder


def made_tree() -> Tree:
    """Two cases in the published layout, of random bytes."""
    names = ("MGHNICU_010-VISIT_01", "MGHNICU_020-VISIT_01")
    places = [f"{folder}/{stem.format(name)}.mha" for name in names for folder, stem in STEMS.items()]
    return {place: np.random.default_rng(number).bytes(80_000) for number, place in enumerate(places)}


TREE = made_tree()


def zipped(files: Tree, top: str = "BONBID2023_Train/") -> bytes:
    """A zip archive of the files, each below `top`; the same bytes at any time of day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(top + name), content)
    return buffer.getvalue()


@dataclass
class Server:
    """Serves one archive; `cuts` are the numbers of bytes after which the next responses break off."""

    content: bytes = field(default_factory=lambda: zipped(TREE))
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next responses
    asked: list[str | None] = field(default_factory=list)  # Range of each request
    served: list[int] = field(default_factory=list)  # bytes of each response's body
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.asked.append(asked)
        if self.statuses:
            self.served.append(0)
            return handler.send_error(self.statuses.pop(0))
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        status = 206 if asked and self.ranges else 200
        size = len(self.content)
        handler.send_response(status if start < size else 416)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}" if start < size else f"bytes */{size}")
        body = self.content[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: self.cuts.pop(0)] if self.cuts else body
        self.served.append(len(body))  # before the client can have it all and ask
        handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that runs for one test; nothing waits between tries, and no proxy stands between."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/files/"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        http.shutdown()


def get(server: Server, out: Path, sha256: str = "") -> None:
    """Download what the server has, or what has another hash, as the training archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.ARCHIVES, ARCHIVE, sha256 or hashlib.sha256(server.content).hexdigest())
        module.download(ARCHIVE, server.url, out)


def unpacked(out: Path) -> Tree:
    root = out / "BONBID2023_Train"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def require_whole(out: Path) -> None:
    assert unpacked(out) == TREE
    assert names(out) == {"BONBID2023_Train", ARCHIVE}


def test_the_archive_becomes_cases_and_is_not_downloaded_again(server: Server, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "data"
    get(server, out)
    require_whole(out)
    assert len(published_cases(out / "BONBID2023_Train")) == 2
    assert (server.asked, server.served) == ([None], [len(server.content)])
    own = out / "BONBID2023_Train" / min(TREE)
    own.write_text("mine")
    get(server, out)
    assert len(server.asked) == 1
    assert own.read_text() == "mine"
    assert "already unpacked" in capsys.readouterr().out


def test_a_cut_connection_is_resumed_within_a_run_and_by_the_next(server: Server, tmp_path: Path) -> None:
    server.cuts = [200_000, 100_000, 1, 1, 1]
    with pytest.raises(UserError, match=rf"^{server.url}BONBID2023_Train\.zip: cannot be downloaded \(.+\); run again"):
        get(server, tmp_path)
    assert names(tmp_path) == {f"{ARCHIVE}.partial"}
    kept = (tmp_path / f"{ARCHIVE}.partial").stat().st_size
    assert 300_000 - 2 * module.CHUNK < kept <= 300_000
    get(server, tmp_path)
    assert server.asked[-1] == f"bytes={kept}-"
    assert server.served[-1] == len(server.content) - kept
    require_whole(tmp_path)


def test_a_server_without_ranges_sends_it_whole(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = [300_000], False
    get(server, tmp_path)
    assert server.served == [300_000, len(server.content)]
    require_whole(tmp_path)


@pytest.mark.parametrize("altered", [lambda content: content, lambda content: content + b"x", lambda content: b"other"])
def test_a_partial_that_is_whole_too_long_or_of_another_file(server: Server, tmp_path: Path, altered) -> None:
    (tmp_path / f"{ARCHIVE}.partial").write_bytes(altered(server.content))
    get(server, tmp_path)
    require_whole(tmp_path)


def test_a_wrong_hash_is_named_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.content = b"a page that says sorry"
    with pytest.raises(UserError) as error:
        get(server, tmp_path, "0" * 64)
    for word in (ARCHIVE, "0" * 64, hashlib.sha256(server.content).hexdigest()):
        assert word in str(error.value)
    assert names(tmp_path) == set()


def test_a_busy_server_is_asked_again_and_a_missing_file_is_one_line(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    get(server, tmp_path)
    assert server.asked == [None] * 3
    server.statuses = [404] * 9
    with pytest.raises(UserError, match=rf"^{server.url}BONBID2023_Train\.zip: cannot be downloaded \(404.*--url$"):
        get(server, tmp_path / "other")


def test_two_downloads_do_not_write_into_one_folder(server: Server, tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(UserError, match="another run"):
        get(server, tmp_path)
    assert server.asked == []


def test_what_a_killed_run_had_unpacked_is_replaced(server: Server, tmp_path: Path) -> None:
    left = tmp_path / ".BONBID2023_Train.partial" / "BONBID2023_Train" / "1ADC_ss" / "of-another-archive.mha"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    get(server, tmp_path)
    require_whole(tmp_path)


def test_an_archive_without_cases_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = zipped({"README.txt": b"who"})
    with pytest.raises(UserError, match=r"BONBID2023_Train\.zip: expected one folder 1ADC_ss, found 0"):
        get(server, tmp_path)
    assert not (tmp_path / "BONBID2023_Train").exists()


@pytest.mark.parametrize("top", ["", "home/user/BONBID 2023/"])
def test_any_top_folder_is_cut_off(server: Server, tmp_path: Path, top: str) -> None:
    litter = {"__MACOSX/1ADC_ss/._x": b"", "1ADC_ss/._MGHNICU_010-VISIT_01-ADC_ss.mha": b"", "1ADC_ss/": b""}
    server.content = zipped(TREE | litter, top)
    get(server, tmp_path)
    require_whole(tmp_path)


def test_the_command(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command) -> None:
    monkeypatch.setitem(module.ARCHIVES, "BONBID2023_Val.zip", hashlib.sha256(server.content).hexdigest())
    command(module.main, "--out", tmp_path, "--parts", "val", "--url", server.url)
    assert names(tmp_path) == {"BONBID2023_Val", "BONBID2023_Val.zip"}
