"""A study from an Orthanc server and its lesions back to it, as a DICOM segmentation and a picture of the slices.

    python -m model.run.pacs 1.2.840.99.1 --server http://127.0.0.1:8042 -- --estimate-z

The user and the password come from ORTHANC_USER and ORTHANC_PASSWORD in the environment, since other users of a machine can
see the words of a command. What follows `--` goes to process.py. The images are in a temporary folder, which this user alone
can open, while they are segmented. Needs Python's standard library beside process.py.
"""

from __future__ import annotations

from model.command import exit_code, prepare

if __name__ == "__main__":
    prepare()

import argparse
import base64
import csv
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from model.errors import UserError, one_line
from model.run.find_cases import SUMMARY
from model.run.platform_paths import CAPTURE_PATH, RESULTS_PATH, SEGMENTATION_PATH

PROCESS = Path(__file__).resolve().parents[2] / "process.py"
SERVER = "http://127.0.0.1:8042"  # as Orthanc listens when nothing else is set
CASE = "study"  # what the case is called: no name or number of the patient
MODALITY = "MR"
USER, PASSWORD = "ORTHANC_USER", "ORTHANC_PASSWORD"
UID_OR_ID = re.compile(r"[0-9]+(\.[0-9]+)*|[0-9a-f]{8}(-[0-9a-f]{8}){4}")  # a StudyInstanceUID or Orthanc's own id
URL = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
SECONDS = 60.0  # that an answer may take


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A password goes to the server that was named, and to no other."""

    def redirect_request(self, *args: object) -> None:
        return None


class NotThere(UserError):
    """The server has nothing at a path."""


class Server:
    """Orthanc's REST interface. Every failure is a UserError that names the server."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        if not URL.fullmatch(self.url):  # not shown, there may be a password in it
            raise UserError(f"--server: expected http(s)://HOST:PORT; user and password: in {USER} and {PASSWORD}")
        self.headers = {}
        if user:
            token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
            self.headers["Authorization"] = f"Basic {token}"
        # no proxy: a patient's images go straight to the archive
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def ask(self, path: str, data: bytes | None = None, method: str = "GET") -> bytes:
        """The answer to a request. Raises UserError where there is none or it is not one of success."""
        request = urllib.request.Request(self.url + path, data, self.headers, method=method)
        try:
            with self.opener.open(request, timeout=SECONDS) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403):
                raise UserError(f"{self.url}: user or password refused, expected them in {USER} and {PASSWORD}") from None
            kind = NotThere if error.code == 404 else UserError
            raise kind(f"{self.url}{path}: the server answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise UserError(f"{self.url}: no answer ({one_line(str(reason)) or type(error).__name__})") from None

    def json(self, path: str, data: bytes | None = None, method: str = "GET"):
        """As `ask`, for an answer in JSON."""
        answer = self.ask(path, data, method)
        try:
            return json.loads(answer)
        except ValueError:
            raise UserError(f"{self.url}{path}: expected JSON from an Orthanc server, found something else") from None


def find_study(server: Server, study: str) -> str:
    """Orthanc's id of a study, from that or its StudyInstanceUID. Raises UserError where there is none, or more than one."""
    if not UID_OR_ID.fullmatch(study):
        raise UserError(f"{study}: expected a StudyInstanceUID or Orthanc's id of a study")
    if "-" in study:
        try:
            found = [server.json(f"/studies/{study}")["ID"]]
        except NotThere:
            found = []
    else:
        answer = server.json("/tools/lookup", study.encode(), "POST")
        found = [entry["ID"] for entry in answer if entry["Type"] == "Study"]
    if len(found) != 1:
        several = f"{len(found)}, of several patients: {', '.join(found)}" if found else "none"
        raise UserError(f"{server.url}: expected one study {study}, found {several}")
    return found[0]


def fetch(server: Server, study: str, folder: Path) -> int:
    """Write the MR images of a study into a folder; returns how many. Raises UserError where there is none."""
    series = server.json(f"/studies/{study}/series")
    modalities = sorted({entry["MainDicomTags"].get("Modality", "unknown") for entry in series})
    instances = [
        instance for entry in series if entry["MainDicomTags"].get("Modality") == MODALITY for instance in entry["Instances"]
    ]
    if not instances:
        raise UserError(f"{server.url}: expected a study with {MODALITY} images, found {', '.join(modalities) or 'none'}")
    for number, instance in enumerate(instances, 1):
        (folder / f"{number:06d}.dcm").write_bytes(server.ask(f"/instances/{instance}/file"))
    return len(instances)


def segment(images: Path, output: Path, words: list[str]) -> Path:
    """Run process.py on the folder `images` is in; returns the case's folder. Raises UserError with its reason."""
    command = [sys.executable, str(PROCESS), *words, "--input", str(images.parent), "--output", str(output), "--cases"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return output / CASE
    reason = next(_reasons(output / SUMMARY), "") or (done.stderr.splitlines() or ["no reason given"])[-1]
    raise UserError(reason.removeprefix("error: ").replace(str(images), "the study's images"))


def _reasons(summary: Path) -> Iterator[str]:
    """Why the case failed, as a run's summary says."""
    try:
        with summary.open(newline="", encoding="utf-8") as file:
            yield from (row.get("reason", "") for row in csv.DictReader(file) if row.get("case") == CASE)
    except OSError:
        return


def store(server: Server, study: str, paths: list[Path]) -> list[str]:
    """Store DICOM files in a study; returns Orthanc's id of each. All of them, or, where that fails, none that is new.

    One that is there already, byte for byte, stays. Raises UserError.
    """
    new: list[str] = []
    ids: list[str] = []
    try:
        for path in paths:
            answer = server.json("/instances", path.read_bytes(), "POST")
            status, parent, instance = (str(answer.get(key, "")) for key in ("Status", "ParentStudy", "ID"))
            if status == "Success":
                new.append(instance)
            if status not in ("Success", "AlreadyStored") or parent != study:
                found = f"{status or 'no status'} in study {parent or 'unknown'}"
                raise UserError(f"{server.url}: expected to store {path.name} in study {study}, found {found}")
            ids.append(instance)
    except BaseException:
        for instance in new:
            try:
                server.ask(f"/instances/{instance}", method="DELETE")
            except UserError as error:
                print(f"stays stored: {server.url}/instances/{instance} ({error})", file=sys.stderr)
        raise
    return ids


def run(words: list[str] | None = None) -> None:
    """Fetch, segment, store. Raises UserError."""
    args = parse_arguments(words)
    server = Server(args.server, os.environ.get(USER, ""), os.environ.get(PASSWORD, ""))
    study = find_study(server, args.study)
    with tempfile.TemporaryDirectory(prefix="hie-lesions-") as work:
        images, output = Path(work) / "scans" / CASE, args.output or Path(work) / "lesions"
        images.mkdir(parents=True)
        print(f"fetched: {fetch(server, study, images)} {MODALITY} images", flush=True)
        case = segment(images, output, args.words)
        results = json.loads((case / RESULTS_PATH).read_text(encoding="utf-8"))
        objects = [case / SEGMENTATION_PATH, case / CAPTURE_PATH]
        for path, instance in zip(objects, store(server, study, objects), strict=True):
            print(f"stored: {path.name} as {server.url}/instances/{instance}")
    print(f"lesion volume: {results['lesion_volume_ml']} ml in {results['lesions']} lesion(s)")


def parse_arguments(words: list[str] | None) -> argparse.Namespace:
    own = sys.argv[1:] if words is None else words
    own, passed_on = (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="its StudyInstanceUID, or Orthanc's own id of it")
    parser.add_argument("--server", default=SERVER, metavar="URL", help="of Orthanc (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="folder that keeps the mask, the report and the objects (default: none is kept)"
    )
    args = parser.parse_args(own)
    args.words = passed_on
    return args


def main(words: list[str] | None = None) -> int:
    """Exit code 0: stored; 2: something given is not usable, and nothing new is stored; 1: an unexpected error."""
    return exit_code(lambda: run(words))


if __name__ == "__main__":
    sys.exit(main())
