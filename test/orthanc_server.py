"""A real Orthanc on loopback for tests: Debian's package, with a user, in a folder of its own."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD = "hie", "geheim-4711"
PATIENCE_S = 120.0  # at most, on a busy machine


def program() -> str | None:
    """Where Orthanc is; None where it is not installed."""
    return shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class Orthanc:
    """A running server, asked by the tests themselves and not by what they test."""

    url: str

    def ask(self, path: str, data: bytes | None = None, method: str = "GET") -> bytes:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Basic {token}"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.read()

    def store(self, paths: list[Path]) -> str:
        """Store files of one study; returns its id."""
        answers = [json.loads(self.ask("/instances", path.read_bytes(), "POST")) for path in paths]
        (study,) = {answer["ParentStudy"] for answer in answers}
        return study

    def instances(self) -> dict[str, list[str]]:
        """The ids of all instances by the modality of their series."""
        found: dict[str, list[str]] = {}
        for series in json.loads(self.ask("/series?expand")):
            found.setdefault(series["MainDicomTags"]["Modality"], []).extend(series["Instances"])
        return {modality: sorted(ids) for modality, ids in found.items()}

    def empty(self) -> None:
        for study in json.loads(self.ask("/studies")):
            self.ask(f"/studies/{study}", method="DELETE")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Starts a server that keeps its files in a folder, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    server = Orthanc(f"http://127.0.0.1:{port}")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program(), folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        _wait_for(server, process, folder / "orthanc.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def _wait_for(server: Orthanc, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.ask("/system")
            return
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"Orthanc did not start: {log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.1)
