"""Gets the published archives, unpacks them and checks every case.

Example:

    python -m training.download --out data
    python -m training.download --out data --parts train val test --check-only

An archive that is there is not downloaded again, a download that was cut off goes on where it stopped, and files that are
unpacked already are left alone. A case that is not usable is listed with the reason, and the exit code is then 2.
"""

import argparse
import contextlib
import fcntl
import itertools
import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pooch
import requests  # pooch brings it
from tqdm import tqdm

from model.errors import UserError
from model.images.brain import brain_mask
from model.images.case import read_case
from model.run.published_layout import ADC_FOLDER, ADC_NAME, LABEL_FOLDER, LABEL_NAME, ZADC_FOLDER, ZADC_NAME
from training.common.cli import run
from training.data.dataset import PackedCase
from training.data.published import CaseFiles, as_learnt, find_cases, read_label
from training.data.strata import LOAD_EDGES, THICK_SLICE_MM

ZENODO = "https://zenodo.org/records/10602767/files"
TRIES = 5  # of one download, each going on where the last one stopped
WAIT_S = 1.0  # before the second try, then twice as long each time
TIMEOUT_S = 60.0  # without a byte from the server
CHUNK = 2**16  # bytes; what a cut connection loses at most
CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")
NAMES = {
    ADC_FOLDER: f"{ADC_NAME}.mha",
    ZADC_FOLDER: f"{ZADC_NAME}.mha",
    LABEL_FOLDER: f"{LABEL_NAME}.mha",
}
LOAD_NAMES = ("empty", *(f"{low:.0%}-{high:.0%}" for low, high in itertools.pairwise(LOAD_EDGES)), "larger")


@dataclass(frozen=True)
class Archive:
    """One published zip file, unpacked into the folder of its name without `.zip`."""

    name: str
    sha256: str
    labelled: bool  # whether a case without a label is an error


ARCHIVES = {
    "train": Archive("BONBID2023_Train.zip", "f1058093887daea1ebc07368b0642d3c40a3f70da5e2e225558ec32de3fa345b", True),
    "val": Archive("BONBID2023_Val.zip", "8eaaa05cad00d5d5112583ca01be9ec685e15ca87b946b19a4010b3da35f4786", False),
    "test": Archive("BONBID2023_Test.zip", "ac3988c57f035ee74a20dd70194e6fd51fe9aecc3a68e093f487620b24fcbfa3", False),
}


class Interrupted(Exception):
    """A try that did not bring the whole file; the next one may bring the rest."""


@dataclass(frozen=True)
class Resume:
    """A pooch downloader that keeps what came so far in `partial`, for its own next try and for the next run."""

    partial: Path

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Bring the whole file to `output_file`. Raises UserError when no try does."""
        for attempt in range(TRIES):
            try:
                receive(url, self.partial)
                os.replace(self.partial, output_file)
                return
            except Interrupted as error:
                reason = error
            if attempt + 1 < TRIES:
                time.sleep(WAIT_S * 2**attempt)
        raise UserError(f"{url}: not downloaded in {TRIES} tries ({reason}); run again later, it goes on where it stopped")


def receive(url: str, partial: Path) -> None:
    """One try: append to `partial` what it lacks of the file at `url`, or write it anew where the server sends it whole.

    Raises Interrupted when it is still not whole, UserError when another try is no use, OSError when the disk is full.
    """
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{have}":
                return
            start, total = extent(response, have, partial)
            write(response, partial, start, total)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise Interrupted(root_cause(error)) from None
    except requests.RequestException as error:
        raise UserError(f"{url}: cannot be downloaded ({error}); give another address with --url") from None


def extent(response: requests.Response, have: int, partial: Path) -> tuple[int, int | None]:
    """At which byte of the file the response's body begins, and the file's size (None when the server does not say).

    Raises Interrupted when the server is busy or sends another range than asked for, UserError when it has no such file.
    """
    status, sent = response.status_code, response.headers.get("Content-Range", "")
    if status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = CONTENT_RANGE.fullmatch(sent)
    if status == 206 and match and int(match["start"]) == have:
        return have, int(match["total"]) if match["total"] != "*" else None
    if status in (206, 416):
        partial.unlink(missing_ok=True)  # the next try asks for the whole file
        raise Interrupted(f"asked for the bytes from {have} on, got status {status} and Content-Range {sent!r}")
    if status in (408, 429) or status >= 500:
        raise Interrupted(f"the server says {status} {response.reason}")
    raise UserError(f"{response.url}: the server says {status} {response.reason}; give another address with --url")


def write(response: requests.Response, partial: Path, start: int, total: int | None) -> None:
    """Write the body into `partial` from byte `start` on. Raises Interrupted when less than `total` bytes are there then."""
    name = partial.name.removesuffix(".partial")
    bar = tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, unit_divisor=1024)
    with bar, open(partial, "ab" if start else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    came = partial.stat().st_size
    if total is not None and came < total:
        raise Interrupted(f"{came} of {total} bytes came")


def root_cause(error: BaseException) -> str:
    """What the innermost of a chain of exceptions says, such as "Connection refused"."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return str(error) or type(error).__name__


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turns an OSError into a UserError that begins with `what`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{what}: cannot be written or read ({error.strerror or error}); make room or correct the permissions,"
            " then run the same command again"
        ) from None


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Makes the folder and keeps other downloads out of it. Raises UserError when one is in it."""
    with disk_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        lock = open(out / ".download.lock", "w")  # noqa: SIM115 (closed below)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another download is writing here; wait for it to end") from None
    with lock:
        yield


def fetch(archive: Archive, base: str, out: Path) -> Path:
    """The archive in `out`, downloaded from `base` where it is not there yet; its SHA-256 is right.

    Raises UserError when it cannot be had; one of another hash is deleted.
    """
    url, partial = f"{base.rstrip('/')}/{archive.name}", out / f"{archive.name}.partial"
    pooch.get_logger().setLevel("WARNING")
    with disk_errors(f"{out / archive.name} from {url}"):
        try:
            return Path(pooch.retrieve(url, archive.sha256, archive.name, out, downloader=Resume(partial)))
        except ValueError as error:  # pooch says so when the hash is another, and names both
            reason = str(error).split(". ")[0]
            raise UserError(f"{url}: {reason}; the download is deleted: run again, or give another --url") from None


def members(archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files to unpack by their path below the data folder: what lies above 1ADC_ss is cut off, macOS litter left out.

    Raises UserError for a name that leads out of the folder, a link, an encrypted file, or two files of one path.
    """
    files = [(safe_path(info, archive.filename), info) for info in archive.infolist()]
    files = [(path, info) for path, info in files if not (info.is_dir() or info.filename.endswith("\\") or is_litter(path))]
    tops = {path.parts[: path.parts.index("1ADC_ss")] for path, _ in files if "1ADC_ss" in path.parts}
    if len(tops) != 1:
        raise UserError(f"{archive.filename}: expected one folder 1ADC_ss with files, found {len(tops)}")
    top, below = PurePosixPath(*tops.pop()), {}
    for path, info in files:
        short = path.relative_to(top) if path.is_relative_to(top) else path
        if short in below:
            raise UserError(f"{archive.filename}: two files named {short}; nothing was unpacked")
        below[short] = info
    return below


def is_litter(path: PurePosixPath) -> bool:
    """Whether macOS put the file into the archive for itself."""
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def safe_path(info: zipfile.ZipInfo, source: str) -> PurePosixPath:
    """The member's relative path. Raises UserError for one that leads out of a folder, and for links and encrypted files."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or not path.parts or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{source}: {info.filename!r} leads out of the folder; nothing was unpacked")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{source}: {info.filename!r} is a link or a special file; nothing was unpacked")
    if info.flag_bits & 1:
        raise UserError(f"{source}: {info.filename!r} is encrypted; nothing was unpacked")
    return path


def is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether the member is unpacked already. Raises UserError when something else has its name."""
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and path.stat().st_size == info.file_size and crc32(path) == info.CRC:
        return True
    raise UserError(f"{path}: expected what the archive holds or nothing, found something else; move it away")


def crc32(path: Path) -> int:
    """The file's CRC-32, as zip archives list it."""
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            value = zlib.crc32(chunk, value)
    return value


def unpack(source: Path, folder: Path) -> int:
    """Unpack a zip file into `folder`, beside what of it is there already; the number of files written.

    Nothing is in `folder` before everything is unpacked. Raises UserError for an archive that is damaged or not safe, a
    full disk, or a file in the way that is another than the archive's.
    """
    stage = folder.with_name(f".{folder.name}.partial")
    try:
        with disk_errors(str(folder)), zipfile.ZipFile(source) as archive:
            missing = {path: info for path, info in members(archive).items() if not is_there(folder / path, info)}
            if missing:
                shutil.rmtree(stage, ignore_errors=True)  # of a killed run
                extract(archive, missing, stage)
                move(stage, folder, missing)
            return len(missing)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{source}: cannot be unpacked ({error}); delete it and run again") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def extract(archive: zipfile.ZipFile, files: dict[PurePosixPath, zipfile.ZipInfo], stage: Path) -> None:
    """Write the members below `stage`; zipfile checks each one's CRC-32."""
    for path, info in tqdm(files.items(), desc="unpacking", unit="file"):
        target = stage / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, 2**20)


def move(stage: Path, folder: Path, paths: dict[PurePosixPath, zipfile.ZipInfo]) -> None:
    """Make `stage` the folder, or move its files one by one into the folder that is there."""
    if not folder.exists():
        os.rename(stage, folder)
        return
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.rename(stage / path, folder / path)


def list_cases(root: Path) -> tuple[list[CaseFiles], list[Path]]:
    """Every case of which at least one file is there, by name, and the `.mha` files whose names fit no case."""
    names, strays = set(), []
    for folder, pattern in NAMES.items():
        expected = re.compile(re.escape(pattern).replace(r"\{\}", "(.+)"))
        for path in sorted((root / folder).glob("*.mha")):
            if match := expected.fullmatch(path.name):
                names.add(match[1])
            else:
                strays.append(path)
    files = [[root / folder / pattern.format(name) for folder, pattern in NAMES.items()] for name in sorted(names)]
    return [CaseFiles(name, *paths) for name, paths in zip(sorted(names), files, strict=True)], strays


def read_checked(files: CaseFiles, labelled: bool) -> PackedCase:
    """The case, its label empty where `labelled` is not. Raises UserError when a file is missing or not usable."""
    case = read_case(files.adc, files.zadc)
    label = read_label(files.label, case.adc) if labelled else np.zeros(case.grid.size, bool)
    return PackedCase(files.name, **as_learnt(case, label))


def row(case: PackedCase, labelled: bool) -> str:
    """A line of the table: name, voxels and mm (z y x), brain and lesion in ml, lesions' share of the brain in %."""
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    brain_ml, lesion_ml = brain_mask(case.adc).sum() * voxel_ml, case.label.sum() * voxel_ml
    lesion = f"{lesion_ml:>10.2f} {case.lesion_load:>8.2%}" if labelled else f"{'-':>10} {'-':>8}"
    size, spacing = " ".join(f"{n:>3}" for n in case.adc.shape), " ".join(f"{mm:5.2f}" for mm in case.spacing_mm)
    return f"{case.name:<24} {size:>12} {spacing:>18} {brain_ml:>9.1f} {lesion}"


def header() -> str:
    """The table's first line."""
    return f"{'case':<24} {'size z y x':>12} {'spacing mm z y x':>18} {'brain ml':>9} {'lesion ml':>10} {'load':>8}"


def totals(strata: list[tuple[bool, int]]) -> list[str]:
    """The table of how many cases there are: (thick slices, load class) of each, as `training.data.splits` has them."""
    lines = [f"{'slices':<12}" + "".join(f"{name:>9}" for name in (*LOAD_NAMES, "all"))]
    for name, kinds in ((f"to {THICK_SLICE_MM:g} mm", (False,)), ("thicker", (True,)), ("all", (False, True))):
        counts = [sum(thick in kinds and number == of for thick, of in strata) for number in range(len(LOAD_NAMES))]
        lines.append(f"{name:<12}" + "".join(f"{count:>9}" for count in (*counts, sum(counts))))
    return lines


def check(root: Path, must_be_labelled: bool) -> list[str]:
    """Read every case, print the table; what is not usable, one line each.

    Where labels may lack and there is none at all, only the two maps are checked, and a line says so.
    """
    labelled = must_be_labelled or any((root / "3LABEL").glob("*.mha"))
    cases, strays = list_cases(root)
    lines, strata, bad = [header()], [], [f"{path}: a name that fits no case" for path in strays]
    for files in tqdm(cases, desc="checking", unit="case"):
        try:
            case = read_checked(files, labelled)
            lines.append(row(case, labelled))
            strata.append((case.spacing_mm[0] > THICK_SLICE_MM, case.load_class))
        except UserError as error:
            lines.append(f"{files.name:<24} not usable, see below")
            bad.append(f"{files.name}: {error}")
    if not bad:
        bad += refusal(root, labelled, len(cases))
    lines += ["", *totals(strata)] if labelled else ["", f"no labels in {root / '3LABEL'}: only the two maps were checked"]
    print(f"{root}: {len(strata)} usable cases", *lines, *(f"NOT USABLE: {reason}" for reason in bad), sep="\n", end="\n\n")
    return bad


def refusal(root: Path, labelled: bool, count: int) -> list[str]:
    """Why training would refuse the folder although every case can be read; empty when it would not."""
    if not labelled:
        return [] if count else [f"{root}: no case found, expected files 1ADC_ss/*-ADC_ss.mha"]
    try:
        found = len(find_cases(root))
    except UserError as error:
        return [str(error)]
    return [] if found == count else [f"{root}: training finds {found} cases, not {count}"]


def download(archives: list[Archive], base: str, out: Path, check_only: bool = False) -> None:
    """Fetch, unpack and check each archive in turn; with `check_only` only what is unpacked in `out` is checked.

    Raises UserError at the first archive that cannot be had or unpacked, and at the end when a case is not usable.
    """
    bad = []
    for archive in archives:
        folder = out / archive.name.removesuffix(".zip")
        if not check_only:
            with alone(out):
                written = unpack(fetch(archive, base, out), folder)
            print(f"{folder}: {written} files unpacked" if written else f"{folder}: already unpacked")
        bad += check(folder, archive.labelled)
    if bad:
        raise UserError(f"{out}: {len(bad)} not usable, listed above; expected every case to have its files, on one grid")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives and, below it, the cases")
    parser.add_argument("--parts", nargs="+", choices=ARCHIVES, default=["train"], help="default: train")
    parser.add_argument("--url", default=ZENODO, metavar="BASE", help="where the archives lie; default: %(default)s")
    parser.add_argument("--check-only", action="store_true", help="check what is unpacked, without the network")
    args = parser.parse_args()
    download([ARCHIVES[part] for part in args.parts], args.url, args.out, args.check_only)


if __name__ == "__main__":
    run(main)
