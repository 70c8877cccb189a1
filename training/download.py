"""Gets the published archives, unpacks them and checks every case.

Example:

    python -m training.download --out data
    python -m training.download --out data --parts train val test --check-only

An archive that is there is not downloaded again, a download that was cut off resumes, and a folder that is there is left
alone. A case that is not usable is listed with the reason, and the exit code is then 2.
"""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests  # pooch brings it
from tqdm import tqdm

from model.errors import UserError, one_line
from model.files import only_run, sha256_of
from model.inputs.published_layout import ADC_FOLDER
from training.common.cli import command_parser, run
from training.common.outputs import require_own_file
from training.data.case_table import check

ZENODO = "https://zenodo.org/records/10602767/files"
TRIES = 5  # of one download, each resuming the one before
TIMEOUT_S = 60.0  # without a byte from the server
CHUNK = 2**16  # bytes; what a cut connection loses at most


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


@dataclass(frozen=True)
class ResumingDownloader:
    """A downloader for pooch, which has none that resumes: what came is kept in `partial` for the next try or run."""

    partial: Path

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Bring what `partial` lacks, then move it to `output_file`. Raises requests' exceptions; pooch tries again."""
        have = self.partial.stat().st_size if self.partial.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code != 416:  # else nothing is left to bring
                response.raise_for_status()
                self._write(response, have if response.status_code == 206 else 0)
        shutil.move(self.partial, output_file)

    def _write(self, response: requests.Response, start: int) -> None:
        total = start + int(response.headers.get("Content-Length", 0))
        name = self.partial.name.removesuffix(".partial")
        bar = tqdm(total=total or None, initial=start, desc=name, unit="B", unit_scale=True, unit_divisor=1024)
        with bar, open(self.partial, "ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def fetch(archive: Archive, base: str, out: Path) -> Path:
    """The archive in `out`, downloaded from `base` where it is not there yet. Raises UserError when it cannot be had."""
    url = f"{base.rstrip('/')}/"
    require_own_file(out / archive.name, lambda path: sha256_of(path) == archive.sha256, "the published archive")
    pooch.get_logger().setLevel("WARNING")
    source = pooch.create(out, url, registry={archive.name: archive.sha256}, retry_if_failed=TRIES - 1)
    try:
        return Path(source.fetch(archive.name, downloader=ResumingDownloader(out / f"{archive.name}.partial")))
    except (requests.RequestException, ValueError) as error:  # pooch raises ValueError for another hash
        advice = "run again, it resumes; or give another address with --url"
        raise UserError(f"{url}{archive.name}: cannot be downloaded ({one_line(error)}); {advice}") from None


def unpack(source: Path, folder: Path) -> None:
    """Make `folder` from what the zip file has beside its `1ADC_ss`; nothing is there before all is unpacked."""
    stage = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(stage, ignore_errors=True)  # of a killed run
    with zipfile.ZipFile(source) as archive:
        names = [name for name in archive.namelist() if "__MACOSX" not in name and "/._" not in name]  # macOS' own
        for name in tqdm(names, desc="unpacking", unit="file"):
            archive.extract(name, stage)
    found = list(stage.rglob(ADC_FOLDER))
    if len(found) != 1:
        raise UserError(f"{source}: expected one folder {ADC_FOLDER}, found {len(found)}")
    found[0].parent.rename(folder)
    shutil.rmtree(stage, ignore_errors=True)


def download(archives: list[Archive], base: str, out: Path, *, check_only: bool = False) -> None:
    """Fetch, unpack and check each archive in turn; with `check_only` only what is unpacked in `out` is checked.

    Raises UserError at the first archive that cannot be had or unpacked, and at the end when a case is not usable.
    """
    bad = []
    for archive in archives:
        folder = out / archive.name.removesuffix(".zip")
        if not check_only:
            with only_run(out):
                source = fetch(archive, base, out)
                print(f"{folder}: {'already unpacked' if folder.exists() else 'unpacking'}")
                if not folder.exists():
                    unpack(source, folder)
        bad += check(folder, must_be_labelled=archive.labelled)
    if bad:
        raise UserError(f"{out}: {len(bad)} not usable, listed above; expected every case to have its files, on one grid")


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives and, below it, the cases")
    parser.add_argument("--parts", nargs="+", choices=ARCHIVES, default=["train"], help="default: train")
    parser.add_argument("--url", default=ZENODO, metavar="BASE", help="where the archives lie; default: %(default)s")
    parser.add_argument("--check-only", action="store_true", help="check what is unpacked, without the network")
    args = parser.parse_args()
    download([ARCHIVES[part] for part in args.parts], args.url, args.out, check_only=args.check_only)


if __name__ == "__main__":
    run(main)
