"""The images' lists of packages: complete, with hashes, and of the versions that pyproject.toml asks for."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"] | {"inference": PROJECT["project"]["dependencies"]}
LISTS = {"inference": "requirements.txt", "evaluation": "evaluation/requirements.txt"}


def asked(group: str) -> dict[str, str]:
    """Version by normalised name, of what the group names itself."""
    wanted = [Requirement(entry) for entry in GROUPS[group] if isinstance(entry, str)]
    return {canonicalize_name(entry.name): str(entry.specifier).removeprefix("==") for entry in wanted}


def locked(path: str) -> dict[str, str]:
    """Version by name, of a list with hashes."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("group", "path"), LISTS.items())
def test_locked_versions_are_the_ones_asked_for(group, path):
    """After a change: ./update-requirements.sh"""
    wanted, found = asked(group), locked(path)
    assert wanted
    assert {package: found.get(package) for package in wanted} == wanted


@pytest.mark.parametrize("path", LISTS.values())
def test_every_package_has_hashes(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    packages = [entry for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ")) if not entry.startswith("#")]
    assert packages
    assert all(re.match(r"\S+==\S+.*--hash=sha256:[0-9a-f]{64}", entry) for entry in packages)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "evaluation/Dockerfile"])
def test_the_images_install_by_hash_alone(dockerfile):
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    installs = re.findall(r"pip install [^\n]*", text)
    assert installs
    assert all("--require-hashes --no-deps" in words for words in installs)
    files = {name for words in installs for name in re.findall(r"-r /opt/app/(\S+)", words)}
    assert files
    assert files <= set(LISTS.values())


def test_torch_and_what_it_brings_come_from_the_base_image():
    found = locked("requirements.txt").keys()
    assert not {"torch", "triton", "sympy", "networkx"} & found
    assert not [name for name in found if name.startswith("nvidia")]


def test_one_version_of_each_package_everywhere():
    """Every list that can come into one environment; and what is installed here is that version, whoever asked last."""
    versions = {}
    for pins in [*map(asked, GROUPS), locked("requirements.txt")]:
        for package, version in pins.items():
            assert versions.setdefault(package, version) == version, package
    assert all(versions.values())
    for package, version in versions.items():
        assert importlib.metadata.version(package).split("+")[0] == version, package
