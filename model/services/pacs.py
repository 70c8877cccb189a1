"""A study from an Orthanc server and its lesions back to it, as a DICOM segmentation and a picture of the slices.

    python -m model.services.pacs 1.2.840.99.1 --server http://127.0.0.1:8042 -- --estimate-z

The user and the password come from ORTHANC_USER and ORTHANC_PASSWORD in the environment, since other users of a machine can
see the words of a command. Behind `--` come options of process.py. The images are in a temporary folder, which this user
alone can open, while they are segmented; it goes with them, and however the command is stopped. No message names it.
"""

from __future__ import annotations

from model.command import exit_code, prepare

if __name__ == "__main__":
    prepare()

import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import process
from model.errors import UserError, one_line
from model.names.platform_paths import CAPTURE_PATH, RESULTS_PATH, SEGMENTATION_PATH
from model.services.working_folder import working_folder

SERVER = "http://127.0.0.1:8042"  # as Orthanc listens when nothing else is set
CASE = "study"  # what the case is called: no name or number of the patient
NAMES = {f"scans/{CASE}": "the study's images", "lesions": "the results"}  # of what is in the working folder
MODALITY = "MR"
USER, PASSWORD = "ORTHANC_USER", "ORTHANC_PASSWORD"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")  # that Orthanc gives to whatever it stores
UID_OR_ID = re.compile(rf"[0-9]+(\.[0-9]+)*|{ID.pattern}")  # a StudyInstanceUID or Orthanc's own id
URL = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
SECONDS = 60.0  # until an answer begins, and between two parts of it


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A password goes to the server that was named, and to no other."""

    def redirect_request(self, *args: object) -> None:
        return None


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
            raise UserError(f"{self.url}{path}: the server answered {error.code} {one_line(error.reason)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise UserError(f"{self.url}: no answer ({one_line(str(reason)) or 'the connection was lost'})") from None

    def json(self, path: str, data: bytes | None = None, method: str = "GET"):
        """As `ask`, for an answer in JSON."""
        answer = self.ask(path, data, method)
        with self.as_orthanc(path):
            return json.loads(answer)

    @contextlib.contextmanager
    def as_orthanc(self, path: str) -> Iterator[None]:
        """Turns what a block raises over an answer that is not as Orthanc's into a UserError."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UserError(f"{self.url}{path}: expected the JSON of an Orthanc server, found something else") from None


def find_study(server: Server, study: str) -> str:
    """Orthanc's id of a study, from that or its StudyInstanceUID. Raises UserError where there is none, or more than one."""
    if not UID_OR_ID.fullmatch(study):
        raise UserError(f"{study}: expected a StudyInstanceUID or Orthanc's id of a study")
    if "-" in study:
        path = f"/studies/{study}"
        answer = [server.json(path)]
    else:
        path = "/tools/lookup"
        answer = server.json(path, study.encode(), "POST")
    with server.as_orthanc(path):
        found = [_id(entry["ID"]) for entry in answer if entry["Type"] == "Study"]
    if len(found) != 1:
        several = f"{len(found)}, of several patients: {', '.join(found)}" if found else "none"
        raise UserError(f"{server.url}: expected one study {study}, found {several}")
    return found[0]


def _id(text: str) -> str:
    """Orthanc's id of something, which becomes a part of a path. Raises ValueError or TypeError for any other text."""
    if not ID.fullmatch(text):
        raise ValueError("not an id")
    return text


def fetch(server: Server, study: str, folder: Path) -> int:
    """Write the MR images of a study into a folder; returns how many. Raises UserError where there is none."""
    path = f"/studies/{study}/series"
    series = server.json(path)
    with server.as_orthanc(path):
        kinds = [str(entry["MainDicomTags"].get("Modality", "unknown")) for entry in series]
        of_kind = [entry for entry, kind in zip(series, kinds, strict=True) if kind == MODALITY]
        instances = [_id(instance) for entry in of_kind for instance in entry["Instances"]]
    if not instances:
        found = one_line(", ".join(sorted(set(kinds)))) or "none"
        raise UserError(f"{server.url}: expected a study with {MODALITY} images, found {found}")
    for number, instance in enumerate(instances, 1):
        data = server.ask(f"/instances/{instance}/file")
        try:
            (folder / f"{number:06d}.dcm").write_bytes(data)
        except OSError as error:
            raise UserError(f"the folder for temporary files (TMPDIR): no room for the images ({error.strerror})") from None
    return len(instances)


def require_same_study(images: Path, output: Path) -> None:
    """Raise UserError where the output folder holds the segmentation of another study, or of another patient."""
    import pydicom

    earlier = output / CASE / SEGMENTATION_PATH
    if not earlier.exists():
        return
    try:
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (earlier, min(images.iterdir()))]
    except pydicom.errors.InvalidDicomError:
        return  # the segmentation says what it is
    found, given = ([str(header.get(name) or "") for name in ("StudyInstanceUID", "PatientID")] for header in headers)
    if found != given:
        raise UserError(f"{output}: expected an empty folder, or results of this study, found another study's; name another")


def segment(images: Path, output: Path, args: argparse.Namespace) -> Path:
    """Segment the study; returns the case's folder. Raises UserError with the reason where it has no mask.

    args: of process.py.
    """
    args.input, args.output = images.parent, output
    (outcome,) = (found for found in process.outcomes_of_folder(args) if found.case.name == CASE)
    if not outcome.mask:
        raise UserError(outcome.reason)
    return outcome.mask.parent


def store(server: Server, study: str, objects: dict[str, bytes]) -> list[str]:
    """Store DICOM files, by their names, in a study; returns Orthanc's id of each. All, or, on a failure, none that is new.

    One that is there already, byte for byte, stays. Raises UserError.
    """
    new: list[str] = []
    ids: list[str] = []
    try:
        for name, data in objects.items():
            answer = server.json("/instances", data, "POST")
            with server.as_orthanc("/instances"):
                instance = _id(answer["ID"])
                status, parent = (one_line(str(answer.get(key, ""))) for key in ("Status", "ParentStudy"))
            if status == "Success":
                new.append(instance)
            if status not in ("Success", "AlreadyStored") or parent != study:
                found = f"{status or 'no status'} in study {parent or 'unknown'}"
                raise UserError(f"{server.url}: expected to store {name} in study {study}, found {found}")
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
    with working_folder(NAMES) as work:
        images, output = work / "scans" / CASE, args.output or work / "lesions"
        images.mkdir(parents=True)
        print(f"fetched: {fetch(server, study, images)} {MODALITY} images", flush=True)
        require_same_study(images, output)
        case = segment(images, output, args.process)
        results = json.loads((case / RESULTS_PATH).read_text(encoding="utf-8"))
        objects = {name: (case / name).read_bytes() for name in (SEGMENTATION_PATH, CAPTURE_PATH)}
    for name, instance in zip(objects, store(server, study, objects), strict=True):
        print(f"stored: {name} as {server.url}/instances/{instance}")
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
    words_of_options = {word.partition("=")[0] for word in passed_on}
    if here := [name for name in ("--input", "--output", "--cases") if name in words_of_options]:
        parser.error(f"{' and '.join(here)} behind --: the study is the input, and --output comes before --")
    args.process = process.parse_arguments([*passed_on, "--cases"])
    if not args.process.estimate_z:  # before anything is fetched
        parser.error(
            "expected --estimate-z behind --: a study has no Z map; the mask is much less reliable with an estimated one"
        )
    return args


def main(words: list[str] | None = None) -> int:
    """Exit code 0: stored; 2: something given is not usable, and nothing new is stored; 1: an unexpected error."""
    return exit_code(lambda: run(words))


if __name__ == "__main__":
    sys.exit(main())
