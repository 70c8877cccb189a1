"""Two headers that name one file of voxels: no case of either is run."""

import os
from pathlib import Path

import pytest
from inference_helpers import write_metaimage

from model.inputs.found_case import FoundCase
from model.inputs.shared_voxels import without_shared_voxels


def header(path: Path, voxels: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    return write_metaimage(path, ElementDataFile=voxels)


def problems(*cases: FoundCase) -> list[str]:
    return [case.problem for case in without_shared_voxels(list(cases))]


@pytest.fixture
def raw(tmp_path) -> Path:
    """A file of voxels, and links to it and to its folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "out.raw").write_bytes(bytes(96))
    (tmp_path / "b" / "mine.raw").symlink_to("../a/out.raw")
    (tmp_path / "c").symlink_to("a")
    return tmp_path / "a" / "out.raw"


@pytest.mark.parametrize(("what", "voxels"), [("adc", "a/out.raw"), ("zadc", "b/mine.raw"), ("brain_mask", "c/out.raw")])
def test_no_case_with_such_a_header_is_run(tmp_path, raw, what, voxels):
    """Whichever image of the cases it is: by its name, a link, or a link to its folder."""
    folder, name = voxels.split("/")
    first, second = header(tmp_path / "a" / "1.mhd", "out.raw"), header(tmp_path / folder / "2.mhd", name)
    own = header(tmp_path / "d" / "1.mhd", "out.raw")
    (tmp_path / "d" / "out.raw").write_bytes(bytes(96))
    shared = f"{raw} holds the voxels of 2 headers, expected one: {first}, {second}"
    cases = [FoundCase(path.parent.name, **({"adc": tmp_path / "x.mha"} | {what: path})) for path in (first, second, own)]
    assert problems(*cases) == [shared, shared, ""]
    assert problems(FoundCase("a", first, second)) == [shared]
    assert problems(FoundCase("a", first, second, problem="its own")) == ["its own"]


def test_a_header_of_no_case_beside_it(tmp_path, raw):
    """Whichever image was exported last, its voxels are in the file; a name in capitals is one too."""
    adc, other = header(tmp_path / "a" / "adc.mhd", "out.raw"), header(tmp_path / "a" / "b1000.MHD", "out.raw")
    header(tmp_path / "a" / "t2.mhd", "t2.raw")
    assert problems(FoundCase("a", adc)) == [f"{raw} holds the voxels of 2 headers, expected one: {adc}, {other}"]


def test_what_is_not_shared(tmp_path, raw):
    """One header of two cases, copies of a file, voxels in the header's own file, headers that cannot be read."""
    one = header(tmp_path / "a" / "1.mhd", "out.raw")
    os.link(raw, tmp_path / "a" / "copy.raw")
    copy = header(tmp_path / "a" / "2.mhd", "copy.raw")
    own, none = (header(tmp_path / "a" / f"{n}.mhd", name) for n, name in (("3", "LOCAL"), ("4", "no")))
    (tmp_path / "a" / "6.mhd").write_bytes(b"no header")
    paths = [one, one, copy, own, none, none, tmp_path / "a" / "6.mhd", tmp_path / "gone.mhd"]
    assert not any(problems(*(FoundCase(str(n), path) for n, path in enumerate(paths))))
