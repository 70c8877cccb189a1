"""Downloads from a server on this machine: a small archive made of the phantom, cut connections, bad cases."""

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
from commands import exit_code
from phantom import make_phantom, write_image

from model.errors import UserError
from model.files import only_run
from training import download as module
from training.data.published import STEMS, published_cases
from training.download import Archive, download

NAMES = ("MGHNICU_010-VISIT_01", "MGHNICU_020-VISIT_01")  # as the phantom, and one without lesion in slices of 4 mm
LESION_ML = 1595 * 7.2 / 1000  # the phantom's lesions have 1595 voxels of 3.0 x 1.6 x 1.5 mm
Tree = dict[str, bytes]  # files of an archive by their path below its top folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Both cases in the published layout."""
    root, phantom = tmp_path_factory.mktemp("published"), make_phantom()
    thick = type(phantom.grid)(phantom.grid.size, (4.0, 1.6, 1.5), phantom.grid.origin_mm, phantom.grid.direction)
    label = phantom.label.astype(np.uint8)
    for name, grid, mask in ((NAMES[0], phantom.grid, label), (NAMES[1], thick, 0 * label)):
        voxels = {"1ADC_ss": phantom.adc, "2Z_ADC": phantom.zadc, "3LABEL": mask}
        for folder, stem in STEMS.items():
            (root / folder).mkdir(exist_ok=True)
            write_image(voxels[folder], grid, root / folder / f"{stem.format(name)}.mha")
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.mha"))}


def zipped(files: Tree, top: str = "BONBID2023_Train/") -> bytes:
    """A zip archive of the files, each below `top`; the same bytes at any time of day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(top + name), content)
    return buffer.getvalue()


def described(content: bytes, labelled: bool = True) -> Archive:
    return Archive("BONBID2023_Train.zip", hashlib.sha256(content).hexdigest(), labelled)


@dataclass
class Server:
    """Serves one archive; `cuts` are the numbers of bytes after which the next responses break off."""

    content: bytes = b""
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
        handler.wfile.write(body)
        self.served.append(len(body))


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


def get(server: Server, out: Path, archive: Archive | None = None) -> None:
    download([archive or described(server.content)], server.url, out)


def unpacked(out: Path) -> Tree:
    root = out / "BONBID2023_Train"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def test_the_archive_becomes_cases_and_a_table_of_what_can_be_derived(tree: Tree, server: Server, tmp_path: Path, capsys):
    server.content = zipped(tree)
    get(server, tmp_path / "new" / "data")
    assert unpacked(tmp_path / "new" / "data") == tree
    assert names(tmp_path / "new" / "data") == {"BONBID2023_Train", "BONBID2023_Train.zip"}
    assert [files.name for files in published_cases(tmp_path / "new" / "data" / "BONBID2023_Train")] == list(NAMES)
    assert (server.asked, server.served) == ([None], [len(server.content)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    voxels = int((make_phantom().adc > 0).sum())
    first, second = (next(line for line in lines if line and line[0] == name) for name in NAMES)
    assert first[1:8] == ["30", "88", "76", "3.00", "1.60", "1.50", f"{voxels * 7.2 / 1000:.1f}"]
    assert first[8:] == [f"{LESION_ML:.2f}", f"{1595 / voxels:.2%}"]
    assert second[4:] == ["4.00", "1.60", "1.50", f"{voxels * 9.6 / 1000:.1f}", "0.00", "0.00%"]


def test_a_second_run_downloads_and_writes_nothing(tree: Tree, server: Server, tmp_path: Path, capsys) -> None:
    server.content = zipped(tree)
    get(server, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    get(server, tmp_path)
    assert len(server.asked) == 1
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert "already unpacked" in capsys.readouterr().out


def test_a_cut_connection_is_resumed_within_a_run_and_by_the_next(tree: Tree, server: Server, tmp_path: Path) -> None:
    server.content, server.cuts = zipped(tree), [200_000, 100_000, 1, 1, 1]
    assert len(server.content) > 400_000
    with pytest.raises(UserError, match=rf"^{server.url}BONBID2023_Train\.zip: cannot be downloaded \(.+\); run again"):
        get(server, tmp_path)
    assert names(tmp_path) == {"BONBID2023_Train.zip.partial"}
    kept = (tmp_path / "BONBID2023_Train.zip.partial").stat().st_size
    assert 300_000 - 2 * module.CHUNK < kept <= 300_000
    get(server, tmp_path)
    assert server.asked[-1] == f"bytes={kept}-"
    assert server.served[-1] == len(server.content) - kept
    assert unpacked(tmp_path) == tree


def test_a_server_without_ranges_sends_it_whole(tree: Tree, server: Server, tmp_path: Path) -> None:
    server.content, server.cuts, server.ranges = zipped(tree), [300_000], False
    get(server, tmp_path)
    assert server.served[-1] == len(server.content)
    assert unpacked(tmp_path) == tree


@pytest.mark.parametrize("altered", [lambda content: content, lambda content: content + b"x", lambda content: b"other"])
def test_a_partial_that_is_whole_too_long_or_of_another_file(tree: Tree, server: Server, tmp_path: Path, altered) -> None:
    server.content = zipped(tree)
    (tmp_path / "BONBID2023_Train.zip.partial").write_bytes(altered(server.content))
    get(server, tmp_path)
    assert unpacked(tmp_path) == tree
    assert names(tmp_path) == {"BONBID2023_Train", "BONBID2023_Train.zip"}


def test_a_wrong_hash_is_named_and_leaves_nothing(tree: Tree, server: Server, tmp_path: Path) -> None:
    archive, server.content = described(zipped(tree)), b"a page that says sorry"
    with pytest.raises(UserError) as error:
        get(server, tmp_path, archive)
    for word in ("BONBID2023_Train.zip", archive.sha256, hashlib.sha256(server.content).hexdigest()):
        assert word in str(error.value)
    assert names(tmp_path) == set()


def test_a_busy_server_is_asked_again_and_a_missing_file_is_one_line(tree: Tree, server: Server, tmp_path: Path) -> None:
    server.content, server.statuses = zipped(tree), [503, 429]
    get(server, tmp_path)
    assert server.asked == [None] * 3
    server.statuses = [404] * 9
    with pytest.raises(UserError, match=rf"^{server.url}BONBID2023_Train\.zip: cannot be downloaded \(404.*--url$"):
        get(server, tmp_path / "other")


def test_two_downloads_do_not_write_into_one_folder(server: Server, tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(UserError, match="another run"):
        get(server, tmp_path)
    assert server.asked == []


def test_a_folder_that_is_there_is_left_alone(tree: Tree, server: Server, tmp_path: Path, capsys) -> None:
    server.content = zipped(tree)
    get(server, tmp_path)
    own = tmp_path / "BONBID2023_Train" / min(tree)
    own.write_text("mine")
    with pytest.raises(UserError, match="1 not usable"):
        get(server, tmp_path)
    assert own.read_text() == "mine"


def test_what_a_killed_run_had_unpacked_is_replaced(tree: Tree, server: Server, tmp_path: Path) -> None:
    server.content = zipped(tree)
    left = tmp_path / ".BONBID2023_Train.partial" / "BONBID2023_Train" / min(tree)
    left.parent.mkdir(parents=True)
    left.write_text("half")
    get(server, tmp_path)
    assert unpacked(tmp_path) == tree
    assert names(tmp_path) == {"BONBID2023_Train", "BONBID2023_Train.zip"}


def test_an_archive_without_cases_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = zipped({"README.txt": b"who"})
    with pytest.raises(UserError, match=r"BONBID2023_Train\.zip: expected one folder 1ADC_ss, found 0"):
        get(server, tmp_path)
    assert not (tmp_path / "BONBID2023_Train").exists()


@pytest.mark.parametrize("top", ["", "home/user/BONBID 2023/"])
def test_any_top_folder_is_cut_off(tree: Tree, server: Server, tmp_path: Path, top: str) -> None:
    litter = {"__MACOSX/1ADC_ss/._x": b"", "1ADC_ss/._MGHNICU_010-VISIT_01-ADC_ss.mha": b"", "1ADC_ss/": b""}
    server.content = zipped(tree | litter, top)
    get(server, tmp_path)
    assert unpacked(tmp_path) == tree


def test_every_bad_case_and_name_is_listed(tree: Tree, server: Server, tmp_path: Path, capsys) -> None:
    """One label is the other case's, whose slices are thicker; of that case the Z map is missing."""
    first, second = (f"3LABEL/{name}_lesion.mha" for name in NAMES)
    missing = f"2Z_ADC/{STEMS['2Z_ADC'].format(NAMES[1])}.mha"
    bad = tree | {first: tree[second], "3LABEL/notes.mha": b""}
    del bad[missing]
    server.content = zipped(bad)
    with pytest.raises(UserError, match="3 not usable"):
        get(server, tmp_path)
    out = capsys.readouterr().out
    off_grid = r"not on one grid: spacing_mm \(z, y, x\) is \(3, 1\.6, 1\.5\) and \(4, 1\.6, 1\.5\)"
    assert re.search(rf"^NOT USABLE: {NAMES[0]}: .*{off_grid}", out, re.MULTILINE)
    assert re.search(rf"^NOT USABLE: {NAMES[1]}: .*{re.escape(missing)}: .*No such file", out, re.MULTILINE)
    assert "3LABEL/notes.mha: a name that fits no case" in out


def test_cases_without_labels_are_checked_where_none_is_needed(tree: Tree, server: Server, tmp_path: Path, capsys) -> None:
    server.content = zipped({name: content for name, content in tree.items() if "3LABEL" not in name})
    get(server, tmp_path, described(server.content, labelled=False))
    out = capsys.readouterr().out
    assert "BONBID2023_Train/3LABEL: only the two maps were checked" in out
    assert out.count(" 88  76 ") == 2
    with pytest.raises(UserError, match="2 not usable"):
        get(server, tmp_path)


def test_the_command(tree: Tree, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command, capsys) -> None:
    server.content = zipped(tree)
    monkeypatch.setitem(module.ARCHIVES, "val", Archive("Val.zip", described(server.content).sha256, False))
    options = ("--out", tmp_path, "--parts", "val")
    command(module.main, *options, "--url", server.url)
    (tmp_path / "Val.zip").unlink()
    command(module.main, *options, "--check-only")
    next((tmp_path / "Val" / "2Z_ADC").iterdir()).unlink()
    capsys.readouterr()
    assert exit_code(module.main, *options, "--check-only") == 2
    assert len(server.asked) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}: 1 not usable")


def test_checking_a_folder_without_cases(tmp_path: Path, capsys) -> None:
    assert exit_code(module.main, "--out", tmp_path, "--parts", "train", "test", "--check-only") == 2
    assert capsys.readouterr().out.count("no case found") == 2
