"""The images' lists of packages: complete, with hashes, and of the versions that requirements.txt asks for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LISTS = ["requirements", "requirements-cpu", "evaluation/requirements"]


def pins(path: Path) -> dict[str, str]:
    """Version by normalised name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("name", LISTS)
def test_locked_versions_are_the_ones_asked_for(name):
    """After a change: ./update-requirements.sh"""
    asked, locked = pins(ROOT / f"{name}.txt"), pins(ROOT / f"{name}.lock")
    assert asked
    assert {package: locked.get(package) for package in asked} == asked


@pytest.mark.parametrize("name", LISTS)
def test_every_package_has_hashes(name):
    text = (ROOT / f"{name}.lock").read_text(encoding="utf-8")
    packages = [entry for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ")) if not entry.startswith("#")]
    assert packages
    assert all(re.match(r"\S+==\S+.*--hash=sha256:[0-9a-f]{64}", entry) for entry in packages)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "evaluation/Dockerfile"])
def test_the_images_install_by_hash_alone(dockerfile):
    installs = re.findall(r"pip install [^\n]*", (ROOT / dockerfile).read_text(encoding="utf-8"))
    assert installs
    assert all("--require-hashes --no-deps" in words and ".lock" in words for words in installs)


def test_the_cuda_image_has_all_that_the_cpu_image_asks_for():
    asked = pins(ROOT / "requirements-cpu.txt")
    locked = pins(ROOT / "requirements.lock")
    assert {package: locked.get(package) for package in asked} == asked


def test_torch_and_what_it_brings_come_from_the_base_image():
    locked = pins(ROOT / "requirements.lock").keys()
    assert not {"torch", "triton", "sympy", "networkx"} & locked
    assert not [name for name in locked if name.startswith("nvidia")]
