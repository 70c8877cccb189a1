"""Files in the place of data that were not fetched: named as such, in every format."""

from pathlib import Path

import numpy as np
import pytest
from dicom_phantom import write_series
from inference_helpers import GRID, small_maps
from phantom import write_image

from model.errors import UserError
from model.images.formats.names import READ, digest
from model.images.not_fetched import LONGEST, not_fetched
from model.images.volume import read_volume

KEY = "MD5E-s78642--f747973be2a70ce650a565937287c64f.nii.gz"
LINK = f".git/annex/objects/Xz/2q/{KEY}/{KEY}"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 78642\n"  # as its specification has it
POINTERS = {
    "Git LFS": LFS,
    "Git LFS, checked out by Windows": LFS.replace("\n", "\r\n"),
    "git-annex, unlocked": f"/annex/objects/{KEY}\n",
    "git-annex, a link as text": f"../../{LINK}",
    "git-annex, a link as text with backslashes": f"../../{LINK}".replace("/", "\\"),
    "git-annex, in a submodule": f"../.git/modules/raw data/{LINK[5:]}",
}
ADVICE = {"Git LFS": "(git lfs pull)", "git-annex": "(git annex get)"}


@pytest.mark.parametrize("suffix", [*READ, ".dcm"])
def test_a_pointer_or_a_link_to_what_is_not_there_in_place_of_an_image(tmp_path, suffix):
    path = tmp_path / f"adc{suffix}"
    for kind, text in POINTERS.items():
        path.write_text(text, newline="")
        tool = kind.partition(",")[0]
        with pytest.raises(UserError) as refusal:
            read_volume(path)
        assert str(refusal.value) == f"{path}: a pointer of {tool}: the data were not fetched {ADVICE[tool]}"
    if suffix in READ:
        path.unlink()
        path.symlink_to(f"../{LINK}")
        (tmp_path / f"chain{suffix}").symlink_to(path)
        for link in (path, tmp_path / f"chain{suffix}"):
            with pytest.raises(UserError, match=rf"{link}: a link of git-annex .* \(git annex get\)"):
                read_volume(link)


@pytest.mark.parametrize("linked", [False, True])
def test_the_voxels_beside_a_header(tmp_path, linked):
    """The header is there, as a small file may be; the message names what is not."""
    write_image(small_maps()[0], GRID, tmp_path / "adc.mhd")
    voxels = tmp_path / "adc.zraw"
    voxels.unlink()
    if linked:
        voxels.symlink_to(LINK)
    else:
        voxels.write_text(LFS)
    for read in (read_volume, digest):
        with pytest.raises(UserError, match=r"adc\.zraw: a (link|pointer) of "):
            read(tmp_path / "adc.mhd")


@pytest.mark.parametrize(("name", "linked"), [("IM9007.dcm", False), ("IM9007", True), ("1.2.840.7", False)])
def test_slices_that_were_not_fetched(tmp_path, name, linked):
    """They are no shorter brain, and their files' names are not said. A report may be elsewhere."""
    paths = write_series(tmp_path / "s", np.full(GRID.size, 900.0), GRID)
    (tmp_path / "s" / "report.pdf").write_text(LFS)
    assert read_volume(tmp_path / "s", adc=True).voxels.shape == GRID.size
    paths[-1].unlink()
    if linked:
        (tmp_path / "s" / name).symlink_to(f"../{LINK}")
    else:
        (tmp_path / "s" / name).write_text(f"/annex/objects/{KEY}\n")
    with pytest.raises(UserError, match=r"/s: a file in it is a (link|pointer) of git-annex.*\(git annex get\)") as refusal:
        read_volume(tmp_path / "s", adc=True)
    assert name not in str(refusal.value)


OTHERS = {
    "a link that is there": lambda path: path.symlink_to(Path(__file__)),
    "a link to nothing": lambda path: path.symlink_to("gone"),
    "a folder": Path.mkdir,
    "text about pointers": lambda path: path.write_text(
        "see /annex/objects/ and version https://git-lfs.github.com/spec/v1"
    ),
    "a table of such paths": lambda path: path.write_text(f"case,adc\nbaby,../../{LINK}\n"),
    "a long file": lambda path: path.write_text(LFS + LONGEST * "x"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_what_is_none(tmp_path, make):
    make(tmp_path / "a")
    assert not_fetched(tmp_path / "a") == ""
