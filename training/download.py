"""Gets the published archives, verifies their SHA-256 and unpacks them.

Example:

    python -m training.download --out data

An archive that is there is not downloaded again, a download that was cut off resumes, and a folder that is there is left
alone.
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

ZENODO = "https://zenodo.org/records/10602767/files"
TRIES = 5  # of one download, each resuming the one before
TIMEOUT_S = 60.0  # without a byte from the server
CHUNK = 2**16  # bytes; what a cut connection loses at most


ARCHIVES = {  # SHA-256 by name; unpacked into the folder of the name without .zip
    "BONBID2023_Train.zip": "f1058093887daea1ebc07368b0642d3c40a3f70da5e2e225558ec32de3fa345b",
    "BONBID2023_Val.zip": "8eaaa05cad00d5d5112583ca01be9ec685e15ca87b946b19a4010b3da35f4786",
    "BONBID2023_Test.zip": "ac3988c57f035ee74a20dd70194e6fd51fe9aecc3a68e093f487620b24fcbfa3",
}
PARTS = dict(zip(("train", "val", "test"), ARCHIVES, strict=True))


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


def fetch(name: str, base: str, out: Path) -> Path:
    """The archive in `out`, downloaded from `base` where it is not there yet. Raises UserError when it cannot be had."""
    url, digest = f"{base.rstrip('/')}/", ARCHIVES[name]
    require_own_file(out / name, lambda path: sha256_of(path) == digest, "the published archive")
    pooch.get_logger().setLevel("WARNING")
    source = pooch.create(out, url, registry={name: digest}, retry_if_failed=TRIES - 1)
    try:
        return Path(source.fetch(name, downloader=ResumingDownloader(out / f"{name}.partial")))
    except (requests.RequestException, ValueError) as error:  # pooch raises ValueError for another hash
        advice = "run again, it resumes; or give another address with --url"
        raise UserError(f"{url}{name}: cannot be downloaded ({one_line(error)}); {advice}") from None


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


def download(name: str, base: str, out: Path) -> None:
    """Fetch and unpack an archive. Raises UserError when it cannot be had or unpacked."""
    folder = out / name.removesuffix(".zip")
    with only_run(out):
        source = fetch(name, base, out)
        print(f"{folder}: {'already unpacked' if folder.exists() else 'unpacking'}", flush=True)
        if not folder.exists():
            unpack(source, folder)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives and, below it, the cases")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["train"], help="default: train")
    parser.add_argument("--url", default=ZENODO, metavar="BASE", help="where the archives lie; default: %(default)s")
    args = parser.parse_args()
    for part in args.parts:
        download(PARTS[part], args.url, args.out)


if __name__ == "__main__":
    run(main)
