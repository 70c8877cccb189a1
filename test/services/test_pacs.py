"""A study from a real Orthanc and back to it."""

import contextlib
import fcntl
import http.server
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import highdicom
import numpy as np
import orthanc_server
import pydicom
import pytest
from dicom_phantom import BIRTH, NAME, NUMBER, STUDY, Series, write_series
from inference_helpers import GRID, LESION_VOXELS, low_adc
from orthanc_server import PASSWORD, PATIENCE_S, USER, Orthanc

from model.errors import UserError
from model.services import pacs
from model.services.working_folder import working_folder

ROOT = Path(__file__).resolve().parents[2]
ADC = np.maximum(low_adc(), 0)
ESTIMATED = ("--", "--estimate-z")


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
def asked(server) -> pacs.Server:
    """The server as the command asks it."""
    return pacs.Server(server.url, USER, PASSWORD)


@pytest.fixture
def go(server, tmp_path, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Runs the command with the test's user; returns exit code, stdout and stderr. No temporary file may be left."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(*words: str, user: str = USER, password: str = PASSWORD, leaves: Collection[Path] = ()) -> tuple[int, str, str]:
        monkeypatch.setenv(pacs.USER, user)
        monkeypatch.setenv(pacs.PASSWORD, password)
        capfd.readouterr()
        code = pacs.main(["--server", server.url, *words])  # a later --server counts
        assert {*temporary.glob("*")} == {*leaves}
        return code, *capfd.readouterr()

    return run


def test_a_study_in_a_study_out(server, study, go, estimating_weights, tmp_path):
    before, kept = server.instances(), tmp_path / "kept"
    options = ["--output", str(kept), "--", "--estimate-z", "--report", "--weights", str(estimating_weights)]
    code, out, error = go(STUDY, *options, "--device", "cpu")
    assert (code, error) == (0, "")
    after = server.instances()
    assert after["MR"] == before["MR"]
    ((segmentation,), (capture,)) = after["SEG"], after["OT"]
    for name, instance in (("lesions.dcm", segmentation), ("report.dcm", capture)):
        assert json.loads(server.ask(f"/instances/{instance}/study"))["ID"] == study
        path = tmp_path / name
        path.write_bytes(server.ask(f"/instances/{instance}/file"))
        assert path.read_bytes() == (kept / "study" / name).read_bytes()
        assert f"stored: {name} as {server.url}/instances/{instance}" in out
    assert f"fetched: {len(ADC)} MR images" in out
    found = highdicom.seg.segread(tmp_path / "lesions.dcm").get_volume(combine_segments=True)
    assert found.array.sum() == LESION_VOXELS
    assert (kept / "study" / "report.html").is_file()
    assert not [word for word in (NAME, NUMBER, BIRTH, PASSWORD) if word in out]

    other = server.store(write_series(tmp_path / "other", ADC, GRID, Series(uid="1.2.3.4", more={"PatientID": "P2"})))
    code, _, error = go(STUDY, *options)  # one uid of two patients
    assert code == 2
    assert f"expected one study {STUDY}, found 2, of several patients: " in error
    assert all(found in error for found in (study, other))
    results = (kept / "study" / "lesions.dcm").read_bytes()
    code, _, error = go(other, *options)
    what = "expected an empty folder, or results of this study, found another study's; name another"
    assert (code, error) == (2, f"error: {kept}: {what}\n")
    assert (kept / "study" / "lesions.dcm").read_bytes() == results
    assert server.instances().keys() == {"MR", "SEG", "OT"}


@pytest.mark.parametrize(
    ("change", "refused"), [({"StudyInstanceUID": "1.2.3.5"}, True), ({"PatientID": "P2"}, True), ({}, False)]
)
def test_the_output_of_another_study_is_refused(tmp_path, change, refused):
    images = write_series(tmp_path / "adc", ADC, GRID)
    dataset = pydicom.dcmread(images[0])
    dataset.update(change)
    (tmp_path / "kept" / "study").mkdir(parents=True)
    dataset.save_as(tmp_path / "kept" / "study" / "lesions.dcm")
    with pytest.raises(UserError, match="found another study's") if refused else contextlib.nullcontext():
        pacs.require_same_study(tmp_path / "adc", tmp_path / "kept")


def test_images_of_other_modalities_are_not_fetched(server, study, asked, tmp_path):
    """Nor a study of them alone."""
    server.store(write_series(tmp_path / "other", ADC, GRID, Series(uid="1.2.3.4", more={"Modality": "SEG"})))
    (tmp_path / "fetched").mkdir()
    assert pacs.find_study(asked, study) == study  # by Orthanc's own id
    assert pacs.fetch(asked, study, tmp_path / "fetched") == len(ADC)
    assert {pydicom.dcmread(path).Modality for path in (tmp_path / "fetched").iterdir()} == {"MR"}
    with pytest.raises(UserError, match=r"TMPDIR\): no room for the images \("):
        pacs.fetch(asked, study, tmp_path / "nowhere")
    server.empty()
    study = server.store(write_series(tmp_path / "ct", ADC, GRID, Series(more={"Modality": "CT"})))
    with pytest.raises(UserError, match=f"^{server.url}: expected a study with MR images, found CT$"):
        pacs.fetch(asked, study, tmp_path / "fetched")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["1.2.3"], r"{url}: expected one study 1\.2\.3, found none"),
        (["-".join(["0123abcd"] * 5)], r"{url}/studies/0123abcd-.*: the server answered 404 .*"),
        (["../instances"], r"\.\./instances: expected a StudyInstanceUID or Orthanc's id of a study"),
        ([STUDY, "--server", f"http://hie:{PASSWORD}@127.0.0.1"], r"--server: expected http\(s\)://HOST:PORT; .*"),
        ([STUDY, "--server", "http://127.0.0.1:9"], r"http://127\.0\.0\.1:9: no answer \(.*refused\)"),
        ([STUDY, "--server", "{url}/app"], r"{url}/app/tools/lookup: the server answered 40\d .*"),
        ([STUDY, "--", "--estimate-z", "--weights", "/nowhere"], "--estimate-z: /nowhere/zmap: .*"),
    ],
)
def test_what_is_not_there(server, study, go, words, reason, tmp_path):
    """Nothing that is said names a folder that is gone, and nothing is stored."""
    words = [word.format(url=server.url) for word in words]
    code, out, error = go(*words, *(() if "--" in words else ESTIMATED))
    assert (code, error.count("\n")) == (2, 1)
    assert re.fullmatch("error: " + reason.replace("{url}", server.url), error.strip())
    assert not [word for word in (PASSWORD, str(tmp_path)) if word in out + error]
    assert server.instances().keys() == {"MR"}


def test_a_wrong_password_and_no_folder_for_temporary_files(server, study, go, tmp_path):
    for user, password in ((USER, "wrong"), ("", "")):
        error = go(STUDY, *ESTIMATED, user=user, password=password)[2]
        assert (
            error == f"error: {server.url}: user or password refused, expected them in ORTHANC_USER and ORTHANC_PASSWORD\n"
        )
    (tmp_path / "tmp").rmdir()
    words = "TMPDIR: expected a folder that this user can write temporary files to, found none"
    found = go(STUDY, *ESTIMATED)
    (tmp_path / "tmp").mkdir()  # which pytest, too, asks for
    assert found[::2] == (2, f"error: {words}\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--output=kept"], "the study is the input, and --output comes before --"),
        (["--cases", "some.csv"], "the study is the input, and --output comes before --"),
        ([], "expected --estimate-z behind --: a study has no Z map"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_fetched(words, reason, capfd):
    with pytest.raises(SystemExit):
        pacs.main(["1.2.3", "--", *words])
    assert reason in capfd.readouterr().err


def test_what_a_killed_command_left_is_removed_also_where_a_study_cannot_be_segmented(server, study, go, tmp_path):
    server.store(write_series(tmp_path / "adc2", ADC, GRID, Series(uid="1.2.3.9"), seed=2))
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
        code, _, error = go(STUDY, *ESTIMATED, leaves={in_use, new, link})
    finally:
        os.close(lock)
    assert (tmp_path / "adc").is_dir()
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("error: the study's images: expected one ADC series, ")


def test_what_is_said_names_no_folder_that_is_gone(capfd):
    def fail() -> None:
        with working_folder({"a": "the images"}) as work:
            print(f"{work}/a/1.dcm")
            raise UserError(f"{work}/a/1.dcm: odd, in {work}")

    with pytest.raises(UserError, match=r"^the images/1\.dcm: odd, in a temporary folder$"):
        fail()
    assert capfd.readouterr().out == "the images/1.dcm\n"


COMMAND = """
import signal, sys
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
from model import command
from model.services import pacs
command.SECOND_SIGNAL_AFTER_S = 0.1
insists = sys.argv.pop(1) == "True"

def segment(*_):
    while True:
        try:
            print("works", flush=True)
            signal.pause()
        except SystemExit:
            if not insists:
                raise

pacs.segment = segment
sys.exit(pacs.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "insists"), [(signal.SIGINT, False), (signal.SIGHUP, True)])
def test_no_signal_leaves_images(tmp_path, number, insists):
    """Nor where the segmentation does not heed the first signal and a second one comes."""
    answers = {"/lookup": LOOKUP, "/series": SERIES, "/file": "an image"}
    (tmp_path / "tmp").mkdir()
    with strange_server(answers) as (url, _):
        words = [str(insists), STUDY, "--server", url, "--output", str(tmp_path / "kept"), *ESTIMATED]
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
            assert process.wait(PATIENCE_S) == 128 + number
            assert process.stderr.read().startswith(f"error: stopped by {number.name}")
    assert not list((tmp_path / "tmp").iterdir())


def test_nothing_is_half_stored_and_what_was_there_before_stays(server, study, asked, tmp_path):
    before = server.instances()

    def made(uid: str, **changes: str) -> bytes:
        dataset = pydicom.dcmread(min((tmp_path / "adc").iterdir()))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.update(changes)
        dataset.save_as(tmp_path / "made.dcm")
        return (tmp_path / "made.dcm").read_bytes()

    mask = made("1.2.3.1", Modality="SEG")
    for report, reason in (
        (b"no DICOM", "/instances: the server answered 400 Bad Request"),
        (made("1.2.3.2", PatientID="P2"), rf"expected to store report\.dcm in study {study}, found Success in .*"),
    ):
        with pytest.raises(UserError, match=reason):
            pacs.store(asked, study, {"lesions.dcm": mask, "report.dcm": report})
        assert server.instances() == before
    both = {"lesions.dcm": mask, "report.dcm": made("1.2.3.2", Modality="OT")}
    stored = pacs.store(asked, study, both)
    after = server.instances()
    assert {*stored} == {*after["MR"]} - {*before["MR"]}  # they are made of an image, in its series
    assert pacs.store(asked, study, both) == stored  # there already, byte for byte
    with pytest.raises(UserError):
        pacs.store(asked, study, both | {"report.dcm": b"no DICOM"})
    assert server.instances() == after


class Strange(http.server.BaseHTTPRequestHandler):
    """A server that answers as `answers` says by the end of the path: JSON, or all bytes of an answer."""

    answers: dict[str, object]
    seen: list[str | None]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(self.headers.get("Authorization"))
        found = next(answer for end, answer in self.answers.items() if self.path.endswith(end))
        self.wfile.write(found if isinstance(found, bytes) else b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(found).encode())

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def strange_server(answers: dict[str, object]) -> Iterator[tuple[str, list[str | None]]]:
    """The address of a `Strange`, and the passwords that it sees."""
    handler = type("Handler", (Strange,), {"answers": answers, "seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as strange:
        thread = threading.Thread(target=strange.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{strange.server_port}", handler.seen
        strange.shutdown()
        thread.join()


ID = "-".join(["0123abcd"] * 5)
LOOKUP = [{"Type": "Study", "ID": ID}]
SERIES = [{"MainDicomTags": {"Modality": "MR"}, "Instances": [ID]}]
STRANGE = "expected the JSON of an Orthanc server, found something else"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/tools/lookup": [1]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": b"HTTP/1.0 200 OK\r\n\r\n\xff<html>"}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": [{"Type": "Study", "ID": "../instances"}]}, f"/tools/lookup: {STRANGE}"),
        ({"/tools/lookup": b"HTTP/1.0 500 \x1b[31mred\r\n\r\n"}, r"/tools/lookup: the server answered 500 \x1b[31mred"),
        (
            {"/tools/lookup": b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n[]"},
            ": no answer (IncompleteRead(2 bytes read, 7 m",
        ),
        ({"/lookup": LOOKUP, "/series": [{"Instances": [ID]}]}, f"/studies/{ID}/series: {STRANGE}"),
        (
            {"/lookup": LOOKUP, "/series": [SERIES[0] | {"Instances": ["../../patients/x"]}]},
            f"/studies/{ID}/series: {STRANGE}",
        ),
    ],
)
def test_a_server_that_is_no_orthanc(answers, reason, capfd):
    with strange_server(answers) as (url, _):
        assert pacs.main([STUDY, "--server", url, *ESTIMATED]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"error: {url}{reason}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("answer", [[1], {"Status": "Success", "ID": "../x"}])
def test_a_server_that_stores_nothing(answer):
    with strange_server({"/instances": answer}) as (url, _), pytest.raises(UserError, match=STRANGE):
        pacs.store(pacs.Server(url, "", ""), ID, {"lesions.dcm": b"DICM"})


def test_a_redirect_is_not_followed_and_a_proxy_not_asked(go, monkeypatch):
    """The password goes to the server that was named alone."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with strange_server({"": b"HTTP/1.0 302 Found\r\nLocation: /other\r\n\r\n"}) as (url, seen):
        code, _, error = go(STUDY, "--server", url, *ESTIMATED)
    assert (code, len(seen)) == (2, 1)
    assert "/tools/lookup: the server answered 302 Found" in error
