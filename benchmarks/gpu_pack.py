"""Everything that a GPU machine without a network and without SimpleITK needs beside this repository, in one folder.

Example:

    python -m benchmarks.gpu_pack --data data/packed --out gpu-pack

The folder gets the packed cases, OpenVINO's masks of them, and the Python packages that such a machine lacks, unpacked. It
must have torch, numpy, scipy, pandas, pytest, safetensors, tensorboard and tqdm. Without OpenVINO here the masks are torch's
on the CPU. `benchmarks.gpu_day` takes the folder from there. It holds patients' images: do not commit it.
"""

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import SPACING_MM, invented_maps
from benchmarks.gpu_masks import make_predictor, masks_of, write_masks
from model.errors import UserError
from model.files import writable
from model.networks.engines import pick_engine
from model.networks.stored import IMAGE_WEIGHTS
from training.common.cli import run
from training.common.provenance import git_commit
from training.data.dataset import PackedCase, load_cases
from training.data.splits import SPLITS
from training.scores.rule import rule_mask

PACKAGES = ("monai", "surface-distance-based-measures", "lightgbm")
# of nnU-Net v2 what such a machine lacks, as wheels, since they would not fit unpacked; SimpleITK, 52 MiB, does not travel
NNUNET = {
    "nnunetv2": "2.8.1",
    "dynamic-network-architectures": "0.4.4",
    "batchgenerators": "0.25.5",
    "batchgeneratorsv2": "0.3.6",
    "acvl-utils": "0.2.6",
    "nibabel": "5.4.2",
    "blosc2": "4.14.1",
    "ndindex": "1.10.1",
    "numexpr": "2.14.2",
    "connected-components-3d": "4.1.1",
    "yacs": "0.1.8",
    "graphviz": "0.21",
}
BUILT_HERE = ("acvl-utils",)  # pure Python, published without a wheel
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LARGEST_MIB = 48  # beside the repository's own 14, since 64 can be sent
SMALL_GRID = (8, 32, 32)  # (z, y, x) of the cases for a try on a CPU
SMALL_CASES = 3  # of them get an expected mask


def pip(*words: str) -> None:
    """Raises UserError when pip fails."""
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=False)
    if done.returncode:
        raise UserError(f"pip {words[0]} failed: {' '.join(words[1:])}")


def for_python(version: str) -> list[str]:
    """pip's words for a Linux with another Python than this one."""
    words = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    return words + [word for platform in PLATFORMS for word in ("--platform", platform)]


def install(site: Path, python: str) -> dict[str, str]:
    """Unpack PACKAGES, in the versions that are installed here, for a Linux of the given Python version; the versions."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    names = [f"{name}=={version}" for name, version in versions.items()]
    pip("install", "--target", str(site), "--no-compile", *for_python(python), *names)
    return versions


def fetch_nnunet(folder: Path, python: str) -> None:
    """The wheels of NNUNET."""
    names = {name: f"{name}=={version}" for name, version in NNUNET.items()}
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), *(names[name] for name in BUILT_HERE))
    pip("download", "--dest", str(folder), *for_python(python), *(names[name] for name in names.keys() - BUILT_HERE))


def write_expected(cases: list[PackedCase], path: Path) -> str:
    """The masks of the cases by the CPU's own engine, whose name is returned."""
    engine = pick_engine("auto", "cpu", IMAGE_WEIGHTS)[0].name
    write_masks(masks_of(cases, make_predictor(engine, "cpu")), path)
    return engine


def write_facts(folder: Path, **facts: object) -> None:
    """pack.json: what the folder was made of."""
    facts = {"commit": git_commit(), **facts}
    (folder / "pack.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def make_pack(data: Path, folder: Path, python: str, nnunet: bool = False) -> None:
    """Write a new folder, whole or not at all. Raises UserError when it is there already, or too large to be sent."""
    if folder.exists():
        raise UserError(f"{folder}: is there already, name a new folder or remove it")
    cases = load_cases(data)
    with writable(folder.parent), tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as hidden:
        partial = Path(hidden) / folder.name
        (partial / "packed").mkdir(parents=True)
        for case in cases:
            shutil.copy(data / f"{case.name}.npz", partial / "packed")
        engine = write_expected(cases, partial / "expected.npz")
        packages = install(partial / "site", python)
        if nnunet:
            fetch_nnunet(partial / "nnunet", python)
        write_facts(partial, engine=engine, python=python, packages=packages, cases=len(cases))
        mib = size_mib(partial)
        if mib > LARGEST_MIB:
            raise UserError(f"{folder}: would take {mib:.1f} MiB, expected {LARGEST_MIB} at most")
        partial.rename(folder)
    print(f"{folder}: {mib:.1f} MiB, {len(cases)} cases, masks by {engine}")


def make_small(folder: Path) -> None:
    """A pack of invented cases that are named as the folds' cases, without packages: what it needs is installed here."""
    (folder / "packed").mkdir(parents=True)
    names = [name for fold in json.loads(SPLITS.read_text(encoding="utf-8"))["folds"] for name in fold]
    for seed, name in enumerate(names):
        adc, zadc = invented_maps(SMALL_GRID, seed=seed)
        arrays = {"adc": adc, "zadc": zadc, "label": rule_mask(adc, zadc), "spacing_mm": np.array(SPACING_MM)}
        np.savez_compressed(folder / "packed" / f"{name}.npz", allow_pickle=False, **arrays)
    engine = write_expected(load_cases(folder / "packed")[:SMALL_CASES], folder / "expected.npz")
    write_facts(folder, engine=engine, cases=len(names))


def size_mib(folder: Path) -> float:
    """Of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/packed"), help="packed cases (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--python", default="3.12", help="version of the GPU machine's Python (default: %(default)s)")
    parser.add_argument("--nnunet", action="store_true", help="with nnU-Net v2's wheels, 16 MiB more, for the peer")
    args = parser.parse_args()
    make_pack(args.data, args.out, args.python, args.nnunet)


if __name__ == "__main__":
    run(main)
