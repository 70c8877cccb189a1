"""A study from a real Orthanc and back to it."""

import argparse
import contextlib
import errno
import fcntl
import http.server
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
import orthanc_server
import pydicom
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, STUDY, Series, write_series
from inference_helpers import GRID, LESION_VOXELS, low_adc
from orthanc_server import PASSWORD, USER, Orthanc

from model.services import pacs

ROOT = Path(__file__).resolve().parents[2]
ADC = np.maximum(low_adc(), 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Orthanc]:
    if orthanc_server.program() is None and os.environ.get("CI") != "true":
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    with orthanc_server.running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def study(server, tmp_path) -> Iterator[str]:
    """Orthanc's id of a study with an ADC series."""
    yield server.store(write_series(tmp_path / "adc", ADC, GRID, seed=1))
    server.empty()


@pytest.fixture
def go(server, tmp_path, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Runs the command with the test's user; returns exit code, stdout and stderr. No temporary file may be left."""

    def run(*words: str, user: str = USER, password: str = PASSWORD, leaves: Collection[Path] = ()) -> tuple[int, str, str]:
        monkeypatch.setenv(pacs.USER, user)
        monkeypatch.setenv(pacs.PASSWORD, password)
        (tmp_path / "tmp").mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        capfd.readouterr()
        code = pacs.main(["--server", server.url, *words])  # a later --server counts
        assert {*(tmp_path / "tmp").iterdir()} == {*leaves}
        return code, *capfd.readouterr()

    return run


@dataclass
class Made:
    """What stands in for the segmentation: objects made of the first image."""

    images: list[Path]
    folder: Path

    def write(self, name: str, **changes: str) -> None:
        dataset = pydicom.dcmread(self.images[0])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{sum(name.encode())}"
        dataset.update(changes)
        dataset.save_as(self.folder / name)


@pytest.fixture
def stand_in(monkeypatch) -> Callable[[Callable[[Made], object]], None]:
    """Lets a function make the objects in place of process.py."""

    def use(make: Callable[[Made], object]) -> None:
        def segment(images: Path, output: Path, args: argparse.Namespace) -> Path:
            (output / pacs.CASE).mkdir(parents=True, exist_ok=True)
            (output / pacs.CASE / "results.json").write_text('{"lesion_volume_ml": 1, "lesions": 1}')
            make(Made(sorted(images.iterdir()), output / pacs.CASE))
            return output / pacs.CASE

        monkeypatch.setattr(pacs, "segment", segment)

    return use


def both(made: Made) -> None:
    made.write("lesions.dcm", Modality="SEG")
    made.write("report.dcm", Modality="OT")


def no_dicom(made: Made) -> None:
    made.write("lesions.dcm", Modality="SEG")
    (made.folder / "report.dcm").write_text("no DICOM")


def of_another(made: Made) -> None:
    made.write("lesions.dcm")
    made.write("report.dcm", PatientID="P2")


def one(made: Made) -> None:
    made.write("lesions.dcm")


def test_a_study_in_a_study_out(server, study, go, estimating_weights, tmp_path):
    before = server.instances()
    options = ["--estimate-z", "--report", "--weights", str(estimating_weights), "--device", "cpu"]
    code, out, error = go(STUDY, "--output", str(tmp_path / "kept"), "--", *options)
    assert (code, error) == (0, "")
    after = server.instances()
    assert after["MR"] == before["MR"]
    ((segmentation,), (capture,)) = after["SEG"], after["OT"]
    for name, instance in (("lesions.dcm", segmentation), ("report.dcm", capture)):
        assert json.loads(server.ask(f"/instances/{instance}/study"))["ID"] == study
        path = tmp_path / name
        path.write_bytes(server.ask(f"/instances/{instance}/file"))
        assert path.read_bytes() == (tmp_path / "kept" / "study" / name).read_bytes()
        assert f"stored: {name} as {server.url}/instances/{instance}" in out
    found = highdicom.seg.segread(tmp_path / "lesions.dcm").get_volume(combine_segments=True)
    assert found.array.sum() == LESION_VOXELS
    assert (tmp_path / "kept" / "study" / "report.html").is_file()
    assert not [word for word in (NAME, NUMBER, BIRTH, PASSWORD) if word in out]


def test_images_of_other_modalities_are_not_fetched(server, study, go, stand_in, tmp_path):
    server.store(write_series(tmp_path / "other", ADC, GRID, Series(uid="1.2.3.4", more={"Modality": "SEG"})))
    fetched: list[Path] = []
    stand_in(lambda made: (fetched.extend(made.images), both(made)))
    code, out, error = go(study)  # by Orthanc's own id
    assert (code, error, len(fetched)) == (0, "", len(ADC))
    assert f"fetched: {len(ADC)} MR images" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["1.2.3"], r"{url}: expected one study 1\.2\.3, found none"),
        (["-".join(["0123abcd"] * 5)], r"{url}: expected one study 0123abcd-.*, found none"),
        (["../instances"], r"\.\./instances: expected a StudyInstanceUID or Orthanc's id of a study"),
        (
            [STUDY, "--server", "http://hie:geheim-4711@127.0.0.1"],
            r"--server: expected http\(s\)://HOST:PORT; .*",
        ),
        ([STUDY, "--server", "ftp://127.0.0.1"], r"--server: expected http\(s\)://HOST:PORT; .*"),
        ([STUDY, "--server", "http://127.0.0.1:9"], r"http://127\.0\.0\.1:9: no answer \(.*refused\)"),
        ([STUDY, "--server", "http://127.0.0.1:x"], r"http://127\.0\.0\.1:x: no answer \(nonnumeric port: 'x'\)"),
        ([STUDY, "--server", "{url}/app"], r"{url}/app/tools/lookup: the server answered 40\d .*"),
    ],
)
def test_what_is_not_there(server, study, go, words, reason):
    code, out, error = go(*(word.format(url=server.url) for word in words))
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert re.fullmatch("error: " + reason.replace("{url}", server.url), error.strip())
    assert PASSWORD not in error
    assert server.instances().keys() == {"MR"}


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("other", PASSWORD), ("", "")])
def test_a_wrong_password(server, study, go, user, password):
    code, _, error = go(STUDY, user=user, password=password)
    assert code == 2
    assert error == f"error: {server.url}: user or password refused, expected them in ORTHANC_USER and ORTHANC_PASSWORD\n"


def test_a_study_without_mr_images(server, go, tmp_path):
    server.store(write_series(tmp_path / "ct", ADC, GRID, Series(more={"Modality": "CT"})))
    code, _, error = go(STUDY)
    server.empty()
    assert (code, error) == (2, f"error: {server.url}: expected a study with MR images, found CT\n")


def test_one_uid_of_two_patients(server, study, go, tmp_path):
    other = server.store(write_series(tmp_path / "other", ADC, GRID, Series(uid="1.2.3.4", more={"PatientID": "P2"})))
    code, _, error = go(STUDY)
    assert code == 2
    assert f"expected one study {STUDY}, found 2, of several patients: " in error
    assert all(found in error for found in (study, other))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "the study's images: "),
        (["--estimate-z", "--weights", "/nowhere"], "--estimate-z: /nowhere/zmap: "),
    ],
)
def test_a_case_that_cannot_be_segmented(server, study, go, words, reason, tmp_path):
    """Nothing that is said names a folder that is gone."""
    code, out, error = go(STUDY, "--", *words)
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: {reason}")
    assert str(tmp_path) not in out + error
    assert server.instances().keys() == {"MR"}


def test_words_that_process_does_not_know_are_refused_before_anything_is_fetched(go, capfd):
    with pytest.raises(SystemExit):
        go("1.2.3", "--", "--unknown")
    assert "unrecognized arguments: --unknown" in capfd.readouterr().err


@pytest.mark.parametrize("words", [["--output", "kept"], ["--output=kept"], ["--input", "other"], ["--cases", "some.csv"]])
def test_options_that_would_have_no_say_are_refused(words, capfd):
    with pytest.raises(SystemExit):
        pacs.main(["1.2.3", "--", *words])
    assert "the study is the input, and --output comes before --" in capfd.readouterr().err


def test_what_a_killed_command_left_is_removed(server, study, go, tmp_path):
    names = ("left", "in-use", "new")
    left, in_use, new = (tmp_path / "tmp" / f"hie-lesions-{name}" for name in names)
    for folder in (left, in_use, new):
        (folder / "scans").mkdir(parents=True)
    link = tmp_path / "tmp" / "hie-lesions-link"
    link.symlink_to(tmp_path / "adc")
    for path in (left, in_use, link):
        os.utime(path, (0, 0), follow_symlinks=False)
    lock = os.open(in_use, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        go(STUDY, leaves={in_use, new, link})
    finally:
        os.close(lock)
    assert (tmp_path / "adc").is_dir()


@pytest.mark.parametrize("change", [{"StudyInstanceUID": "1.2.3.5"}, {"PatientID": "P2"}, {}])
def test_the_output_of_another_study_is_refused(server, study, go, stand_in, tmp_path, change):
    segmented: list[Path] = []
    stand_in(lambda made: (segmented.append(made.folder), both(made)))
    kept = tmp_path / "kept"
    (kept / "study").mkdir(parents=True)
    dataset = pydicom.dcmread(min(path for path in (tmp_path / "adc").rglob("*") if path.is_file()))
    dataset.update(change)
    dataset.save_as(kept / "study" / "lesions.dcm")
    shutil.copytree(kept, tmp_path / "before")
    before = server.instances()
    code, _, error = go(STUDY, "--output", str(kept))
    if change:
        what = "expected an empty folder, or results of this study, found another study's; name another"
        assert (code, error) == (2, f"error: {kept}: {what}\n")
        assert not segmented
        assert server.instances() == before
        assert (kept / "study" / "lesions.dcm").read_bytes() == (tmp_path / "before" / "study" / "lesions.dcm").read_bytes()
    else:
        assert segmented


def test_a_full_disk_and_no_folder_for_temporary_files(server, study, go, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/gone")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "TMPDIR" in (error := go(STUDY)[2])
    assert "No space left on device" in error
    assert "/" not in error
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    words = "TMPDIR: expected a folder that this user can write temporary files to, found none"
    assert go(STUDY)[::2] == (2, f"error: {words}\n")


COMMAND = """
import signal, sys
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
from model import command
from model.services import pacs
command.SECOND_SIGNAL_AFTER_S = 0.1
insists = sys.argv.pop(1) == "True"

def segment(*_):
    print("works", flush=True)
    while True:
        try:
            signal.pause()
        except SystemExit:
            if not insists:
                raise

def imports(*_):
    with command.loading():
        print("works", flush=True)
        signal.pause()

pacs.segment = imports if sys.argv.pop(1) == "True" else segment
sys.exit(pacs.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "insists", "imports"),
    [
        *((n, False, False) for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)),
        (signal.SIGHUP, True, False),
        (signal.SIGTERM, False, True),
    ],
)
def test_no_signal_leaves_images(tmp_path, number, insists, imports):
    """Nor where the segmentation does not heed the first signal and a second one comes, nor while libraries are imported."""
    answers = {"/lookup": LOOKUP, "/series": SERIES, "/file": b"an image"}
    (tmp_path / "tmp").mkdir()
    with strange_server(answers) as url:
        words = [str(insists), str(imports), STUDY, "--server", url, "--output", str(tmp_path / "kept")]
        environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", COMMAND, *words], cwd=ROOT, env=environment, **pipes) as process:
            while process.stdout.readline() != "works\n":
                assert process.poll() is None
            (folder,) = (tmp_path / "tmp").iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            process.send_signal(number)
            if insists:
                time.sleep(0.5)
                process.send_signal(number)
            assert process.wait(30) == 128 + number
            assert process.stderr.read().startswith(f"error: stopped by {number.name}")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_dicom, r"/instances: the server answered 400 Bad Request"),
        (of_another, r": expected to store report\.dcm in study {study}, found Success in .*"),
        (one, r".*cannot be used \(No such file or directory\)"),
    ],
)
def test_nothing_is_half_stored(server, study, go, stand_in, make, reason):
    before = server.instances()
    stand_in(make)
    code, out, error = go(STUDY)
    assert code == 2
    assert re.fullmatch(f"error: .*{reason.format(study=study)}", error.strip())
    assert "stored" not in out
    assert server.instances() == before


def test_what_was_stored_before_stays(server, study, go, stand_in):
    stand_in(both)
    assert go(STUDY)[0] == 0
    before = server.instances()
    assert go(STUDY)[0] == 0  # there already, byte for byte
    assert server.instances() == before
    stand_in(no_dicom)
    assert go(STUDY)[0] == 2
    assert server.instances() == before


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends every request to another server, which may not see the password."""

    seen: list[str | None]

    def do_POST(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/other")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_redirect_is_not_followed_and_a_proxy_not_asked(server, go, monkeypatch):
    handler = type("Handler", (Elsewhere,), {"seen": []})
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        code, _, error = go(STUDY, "--server", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
        thread.join()
    assert (code, len(handler.seen)) == (2, 1)
    assert "/tools/lookup: the server answered 302 Found" in error


ID = "-".join(["0123abcd"] * 5)
LOOKUP = [{"Type": "Study", "ID": ID}]
SERIES = [{"MainDicomTags": {"Modality": "MR"}, "Instances": [ID]}]
STRANGE = "expected the JSON of an Orthanc server, found something else"


class Strange(http.server.BaseHTTPRequestHandler):
    """A server that answers as `answers` says by the end of the path, with as many bytes as it likes."""

    answers: dict[str, object]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = next(answer for end, answer in self.answers.items() if self.path.endswith(end))
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        status = "500 \x1b[31mred" if found == b"500" else "200 OK"
        length = len(data) + (found == b"cut off")
        self.wfile.write(f"HTTP/1.0 {status}\r\nContent-Length: {length}\r\n\r\n".encode() + data)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def strange_server(answers: dict[str, object]) -> Iterator[str]:
    """The address of a `Strange`."""
    handler = type("Handler", (Strange,), {"answers": answers})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as strange:
        thread = threading.Thread(target=strange.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{strange.server_port}"
        strange.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/tools/lookup": [1]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": None}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": b"\xff<html>"}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": b"[" * 200_000}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": [{"ID": ID}]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": [{"Type": "Study", "ID": "../instances"}]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": [{"Type": "Study", "ID": 5}]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": b"500"}, r"/tools/lookup: the server answered 500 \x1b[31mred"),
        ({"/tools/lookup": b"cut off"}, ": no answer (it ends too early)"),
        ({"/tools/lookup": b" " * 2000}, ": expected answers of at most 1000 bytes, found a longer one"),
        ({"/lookup": LOOKUP, "/series": [{"Instances": [ID]}]}, f"/studies/{ID}/series: {STRANGE}"),
        (
            {"/lookup": LOOKUP, "/series": [{"MainDicomTags": {"Modality": "\x1b[31m"}, "Instances": [ID]}]},
            r": expected a study with MR images, found \x1b[31m",
        ),
        (
            {"/lookup": LOOKUP, "/series": [SERIES[0] | {"Instances": ["../../patients/x"]}]},
            f"/studies/{ID}/series: {STRANGE}",
        ),
        ({"/lookup": LOOKUP, "/series": SERIES, "/file": b"d", "/instances": [1]}, f"/instances: {STRANGE}"),
        (
            {"/lookup": LOOKUP, "/series": SERIES, "/file": b"d", "/instances": {"Status": "Success", "ID": "../x"}},
            f"/instances: {STRANGE}",
        ),
    ],
)
def test_a_server_that_is_no_orthanc(answers, reason, stand_in, monkeypatch, capfd):
    stand_in(lambda made: [(made.folder / name).write_bytes(b"DICM") for name in ("lesions.dcm", "report.dcm")])
    monkeypatch.setattr(pacs, "MOST_BYTES", 1000 if reason.endswith("longer one") else 1 << 20)
    with strange_server(answers) as url:
        code = pacs.main([STUDY, "--server", url])
    assert (code, capfd.readouterr().err) == (2, f"error: {url}{reason}\n")


def test_an_answer_that_does_not_end(monkeypatch, capfd):
    monkeypatch.setattr(pacs, "LONGEST_S", 0)
    with strange_server({"": LOOKUP}) as url:
        code = pacs.main([STUDY, "--server", url])
    assert code == 2
    assert "expected answers within 0 s, found one that takes longer" in capfd.readouterr().err
