"""Fuzzes what reads files from outside: damaged images of every format go in, and a checked case or a UserError must come
out; of a review file a checked review.

    .venv/bin/python test/fuzz/fuzz_reading.py --inputs 20000 --seed 1

Prints how many inputs were tried and what became of them, and ends with exit code 1 when one of them raised anything else,
crashed, took longer than --seconds or made the process larger than --megabytes; that input is then kept and named. The
same seed gives the same inputs. Needs atheris (Linux, Python 3.11 or 3.12).
"""

import argparse
import collections
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

# run as a script, only this folder is on the path
sys.path.extend(str(Path(__file__).resolve().parents[n]) for n in (1, 2))

from dicom_phantom import Series, write_multiframe, write_series
from mutate import MUTATIONS, damaged
from phantom import make_grid
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from model.images.formats import names
from model.images.formats.nifti import affine_ras
from model.images.grid import Grid
from model.reviews.review_file import SUFFIX as REVIEW

SUFFIXES = (*(suffix for suffix in names.READ if suffix != names.DETACHED_HEADER), ".dcm", REVIEW)  # an .mhd's is an .mha's
SUM = "0123456789abcdef" * 4
REVIEW_CONTENT = {
    "format": "hie-lesions review",
    "format_version": 1,
    **{"case": "a", "time": "2026-03-01T12:30:00Z", "initials": "AB", "remark": "b\nc", "software": "1", "weights": SUM},
    **{"adc_sha256": SUM, "adc_voxels_sha256": SUM, "draft_sha256": SUM},
    "grid": {
        "size": [2, 3, 4],
        "spacing_mm": [3.0, 1.25, 0.8],
        "origin_mm": [-31.25, 12.5, -70.75],
        "direction": [1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8],
    },
    "size": 0,
    "lesions": [{"decision": "keep", "size": 3}, {"decision": "reject", "size": None}],
    "added": [{"voxel": [1, 2, 3], "size": -4}],
    "mask": [5, 2, 16, 1],
}
FRESH = 0.7  # share of inputs that start from an undamaged seed; the others pile damage on damage


def seeds(suffix: str, folder: Path) -> list[bytes]:
    """A small oblique case's two maps as whole files of one format, as float32 and int16, compressed and not."""
    rng = np.random.default_rng(0)
    adc, zadc = np.zeros((2, 7, 15, 12))
    adc[1:, 4:, 3:-1] = 1200
    zadc[:] = rng.integers(-5, 5, zadc.shape)
    if suffix == REVIEW:
        return [json.dumps(content).encode() for content in (REVIEW_CONTENT, REVIEW_CONTENT | {"mask": [24]})]
    if suffix == ".dcm":
        return dicom_seeds(adc, zadc, folder)
    files = []
    for element in (np.float32, np.int16):
        for compressed in (True, False) if suffix in (".mha", ".nrrd") else (False,):
            for voxels in (adc, zadc):
                image = sitk.GetImageFromArray(voxels.astype(element))
                image.SetSpacing((0.8, 1.25, 3))
                image.SetOrigin((-31.25, 12.5, -70.75))
                image.SetDirection(make_grid().direction)
                path = folder / f"seed{suffix}"
                if suffix in (".mgz", ".mgh"):  # which ITK does not write here
                    save_mgh(voxels.astype(element), path)
                else:
                    sitk.WriteImage(image, str(path), useCompression=compressed)
                files.append(path.read_bytes())
    return files


def save_mgh(voxels: np.ndarray, path: Path) -> None:
    grid = Grid(voxels.shape, (3.0, 1.25, 0.8), (-31.25, 12.5, -70.75), make_grid().direction)
    nibabel.save(nibabel.MGHImage(voxels.T, affine_ras(grid)), path)


def dicom_seeds(adc: np.ndarray, zadc: np.ndarray, folder: Path) -> list[bytes]:
    """The maps as files with many frames, uncompressed and not, with a unit and a slope for each; and one slice."""
    grid = Grid(adc.shape, (3.0, 1.25, 0.8), (-31.25, 12.5, -70.75), make_grid().direction)
    slope = {"slopes": (0.5, 0.25), "intercept": -10.0}
    (slice_,) = write_series(folder / "series", adc[3:4], grid)
    paths = [slice_]
    for syntax in (ExplicitVRLittleEndian, RLELossless):  # JPEG is decoded in a process of its own
        for voxels, more in ((adc, {"slopes": (1e-6,), "unit": "mm2/s"}), (zadc, {"image_type": ("DERIVED",), **slope})):
            values = voxels * more["slopes"][0] if "unit" in more else voxels
            paths.insert(0, write_multiframe(folder / f"{len(paths)}.dcm", [(values, grid)], Series(syntax=syntax, **more)))
    files = [path.read_bytes() for path in paths]
    return [files[3], files[2], *files[:2], files[4]]  # first a whole pair, ADC and Z map


class Target:
    """Counts what became of the inputs, each read as the ADC map, as the Z map or alone; the other map is whole."""

    def __init__(self, suffix: str, inputs: int, seconds: float, report: Path, folder: Path) -> None:
        self.inputs, self.seconds, self.report = inputs, seconds, report
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.whole = [folder / f"whole{n}{suffix}" for n in range(2)]
        for path, data in zip(self.whole, seeds(suffix, folder)[:2], strict=True):
            path.write_bytes(data)
        self.damaged = folder / f"damaged{suffix}"

    def __call__(self, data: bytes) -> None:
        self.damaged.write_bytes(data)
        started = time.perf_counter()
        self.outcomes[self.outcome(zlib.crc32(data) % 3)] += 1
        self.slowest = max(self.slowest, time.perf_counter() - started)
        if self.slowest > self.seconds:
            raise TimeoutError(f"{self.slowest:.1f} s for one input")
        if self.outcomes.total() == self.inputs:
            self.finish()

    def outcome(self, place: int) -> str:
        """Read the damaged file as map 0, the ADC map, or 1, the Z map, of a case, or else as a volume alone."""
        from model.errors import UserError
        from model.images.case import read_case
        from model.images.volume import read_volume

        if self.damaged.name.endswith(REVIEW):
            return self.review_outcome()
        paths = [*self.whole, self.damaged]
        if place < 2:
            paths[place] = self.damaged
        try:
            case = read_case(*paths[:2])
            volumes = (case.adc, case.zadc) if place < 2 else (read_volume(self.damaged),)
        except UserError as error:
            return kind(str(error))
        for volume in volumes:
            require_usable(volume)
        return "read"

    def review_outcome(self) -> str:
        """Read the damaged file as a review."""
        from model.errors import UserError
        from model.reviews.review_file import read_review

        try:
            review = read_review(self.damaged)
        except UserError as error:
            return kind(str(error))
        assert review.mask.dtype == bool, review.mask.dtype
        assert review.mask.shape == review.grid.size, review.mask.shape
        assert all(0 <= n < end for region in review.added for n, end in zip(region.voxel, review.mask.shape, strict=True))
        assert all(-10 <= size <= 10 for size in (review.size, *(region.size for region in review.added)))
        assert not any(ord(letter) < 32 for letter in review.case + review.initials)
        return "read"

    def finish(self) -> None:
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result = {"outcomes": self.outcomes, "slowest_s": self.slowest, "peak_mb": megabytes}
        self.report.write_text(json.dumps(result))
        os._exit(0)  # libFuzzer's own end would count the seeds as well


def require_usable(volume: object) -> None:
    """What everything after reading relies on."""
    grid, axes = volume.grid, np.reshape(volume.grid.direction, (3, 3))
    assert volume.voxels.dtype == np.float32, volume.voxels.dtype
    assert volume.voxels.shape == grid.size, grid.size
    assert np.isfinite(volume.voxels).all(), "not finite"
    assert all(0.2 <= spacing <= 100 for spacing in grid.spacing_mm), grid.spacing_mm
    assert np.isfinite(grid.origin_mm).all(), grid.origin_mm
    assert np.allclose(axes @ axes.T, np.eye(3), rtol=0, atol=0.02), axes


def kind(message: str) -> str:
    """A refusal without the names and numbers in it."""
    assert message.strip(), "an empty message"
    assert "\n" not in message, message
    words = re.sub(r"/\S*(whole|damaged)\S*", "FILE", message)
    words = re.sub(r"(FILE and FILE are not on one grid: \w+).*", r"\1", words)
    words = re.sub(r"(HeaderSize|voxels are in|DimSize =|\w+ =).*? (points|expected|is not finite)", r"\1 ... \2", words)
    words = re.sub(r"[-+]?(\d[\d.]*(e[-+]?\d+)?|inf|nan)\b", "N", words)
    words = words.replace("expected a whole image file, found N bytes that are no readable image, or one", "no image, or")
    return "refused: " + words[:120]


def fuzz(suffix: str, args: argparse.Namespace, report: Path) -> None:
    """In a process of its own: feed inputs until there were enough. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["model"]):
        import model.images.case
        import model.reviews.review_file  # noqa: F401
    folder = report.parent
    target = Target(suffix, args.inputs, args.seconds, report, folder)
    corpus = seeds(suffix, folder)

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return damaged(rng.choice(corpus) if rng.random() < FRESH else data, suffix, rng)[:most]

    options = [f"-seed={args.seed}", f"-timeout={int(args.seconds) + 5}", f"-rss_limit_mb={args.megabytes}"]
    options += ["-max_len=65536", f"-artifact_prefix={args.keep}/", "-verbosity=0", "-print_final_stats=0"]
    (folder / "corpus").mkdir()
    for number, data in enumerate(corpus):
        (folder / "corpus" / str(number)).write_bytes(data)
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], target, custom_mutator=mutator)
    atheris.Fuzz()


def run(suffix: str, args: argparse.Namespace) -> bool:
    """Fuzz one format in a child process and print what it found; whether all went well."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        report = Path(folder, "report.json")
        started = time.perf_counter()
        words = [sys.executable, __file__, "--child", str(report), "--suffix", suffix, "--inputs", str(args.inputs)]
        words += ["--seed", str(args.seed), "--seconds", str(args.seconds), "--megabytes", str(args.megabytes)]
        child = subprocess.run([*words, "--keep", str(args.keep)], capture_output=True, text=True, check=False)
        if child.returncode or not report.exists():
            print(child.stdout[-3000:], child.stderr[-6000:], sep="\n")
            print(f"WRONG: {suffix}: exit code {child.returncode}; the input is kept in {args.keep}")
            return False
        found = json.loads(report.read_text())
    outcomes = collections.Counter(found["outcomes"])
    print(f"{suffix}: {outcomes.total()} inputs in {time.perf_counter() - started:.0f} s, seed {args.seed}:", end=" ")
    print(f"{outcomes['read']} read, {outcomes.total() - outcomes['read']} refused with one line, 0 anything else;", end=" ")
    print(f"slowest {found['slowest_s']:.2f} s, peak memory {found['peak_mb']:.0f} MiB")
    for name, count in outcomes.most_common(args.top):
        print(f"{count:9d}  {name}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20000, help="of each format (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the damage (default: %(default)s)")
    parser.add_argument(
        "--suffix", nargs="+", choices=MUTATIONS, default=SUFFIXES, help="formats (default: all that are read)"
    )
    parser.add_argument("--seconds", type=float, default=5, help="that one input may take (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=1024, help="that the process may take (default: %(default)s)")
    parser.add_argument("--top", type=int, default=100, help="outcomes listed (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()), help="where inputs that fail are kept")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        fuzz(args.suffix[0], args, args.child)
    return 0 if all([run(suffix, args) for suffix in args.suffix]) else 1


if __name__ == "__main__":
    sys.exit(main())
