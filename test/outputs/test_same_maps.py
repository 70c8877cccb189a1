"""Cases with the same ADC map: each names the others, wherever warnings are read, also after a later run."""

import contextlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary
from inference_helpers import GRID, random_maps, results_of
from phantom import write_image

from model.errors import UserError
from model.images.case import Case
from model.images.volume import Grid, read_volume
from model.inputs.found_case import FoundCase
from model.outputs.earlier import Earlier
from model.outputs.same_maps import warnings_to_have
from model.outputs.summary import DONE, Outcome
from model.report.results import VOXELS, voxel_digest
from model.run import folder

SAME = "The ADC map has the same voxels as that of {}: is one of them a copy, or in the wrong folder?"


@pytest.fixture
def copied(good) -> Path:
    """a and b, and c, which has a's ADC map in another format and order of storage, with more background."""
    (good / "c").mkdir()
    for name in ("adc", "zadc"):
        larger = sitk.ConstantPad(sitk.ReadImage(str(good / "a" / f"{name}.mha")), (2, 0, 1), (0, 3, 1))
        sitk.WriteImage(sitk.Flip(larger, (True, False, True)), str(good / "c" / f"{name}.nii.gz"))
    return good


def others(output: Path) -> dict[str, list[str]]:
    """By case, the sentences of others in the summary."""
    pattern = SAME.format(".*").replace("?", r"\?")
    return {name: re.findall(pattern, row["warnings"]) for name, row in summary(output).items()}


def told(output: Path) -> dict[str, list[str]]:
    """By case, the sentences of the others' names that all of its files have; the summary has no other."""
    rows, found = summary(output), {}
    for name, row in rows.items():
        sentences = [text for text in results_of(output / name)["warnings"] if "same voxels" in text]
        assert row["warnings"].count("same voxels") == len(sentences)
        for sentence in sentences:
            assert sentence in row["warnings"]
            assert sentence in (output / name / "report.html").read_text()
            assert sentence in (output / "index.html").read_text()
        found[name] = sentences
    return found


def test_each_names_the_other(go, copied, output, count):
    code, out, _ = go(copied, "--report")
    assert code == 0
    assert told(output) == {"a": [SAME.format("c")], "b": [], "c": [SAME.format("a")]}
    assert f"a: warning: {SAME.format('c')}" in out
    assert len(count) == 5
    assert go(copied, "--report")[0] == 0
    assert ({row["status"] for row in summary(output).values()}, len(count)) == ({"done before"}, 5)
    (output / "a" / "lesions.mha").write_text("corrected")  # and stays, and is named
    shutil.copy(copied / "a" / "adc.mha", copied / "b" / "adc.mha")
    assert go(copied)[0] == 2
    assert [row["status"] for row in summary(output).values()] == ["changed", "outdated", "done before"]
    assert others(output) == {"a": [], "b": [], "c": [SAME.format("a")]}
    assert go(copied, "--report", "--overwrite")[0] == 0
    assert told(output) == {"a": [SAME.format("b, c")], "b": [SAME.format("a, c")], "c": [SAME.format("a, b")]}


def test_a_later_copy_is_told_of_on_the_earlier_case_too_and_no_more_once_it_is_gone(go, ran, output):
    shutil.copytree(ran / "a", ran / "c")
    assert go(ran, "--report")[0] == 0
    assert told(output) == {"a": [SAME.format("c")], "b": [], "c": [SAME.format("a")]}
    shutil.rmtree(ran / "c")
    shutil.rmtree(output / "c")
    assert go(ran, "--report")[0] == 0
    assert told(output) == {"a": [], "b": []}
    assert summary(output)["b"]["status"] == "done before"


def test_of_many_copies_three_are_named():
    outcomes = [Outcome(FoundCase(name), DONE, {"inputs": {"adc": {VOXELS: "0f3c"}}}) for name in "abcde"]
    assert warnings_to_have(outcomes, [Earlier()] * 5)[1] == SAME.format("a, c, d and 1 more")


@pytest.mark.parametrize("error", [UserError("disk is full"), KeyboardInterrupt()])
def test_where_it_cannot_be_written_the_overviews_say_it(go, copied, output, monkeypatch, error):
    run = folder.run_case

    def fail_again(found: FoundCase, *rest: object) -> dict:
        if found.remarks:
            raise error
        return run(found, *rest)

    monkeypatch.setattr("model.run.folder.run_case", fail_again)
    with pytest.raises(KeyboardInterrupt) if isinstance(error, KeyboardInterrupt) else contextlib.nullcontext():
        assert go(copied)[0] == 0
    assert {row["status"] for row in summary(output).values()} == {"done"}
    assert others(output) == {"a": [SAME.format("c")], "b": [], "c": [SAME.format("a")]}


def test_digest_of_voxels(tmp_path):
    """Another value, place or extent within the brain makes another; what lies outside of it, a copy's header, does not."""
    adc = random_maps()[0]
    adc[0], adc[:, :2], adc[:, :, -1] = 0, 0, 0

    def digest(voxels: np.ndarray, grid: Grid = GRID, suffix: str = ".mha") -> str:
        write_image(voxels, grid, tmp_path / f"adc{suffix}")
        return voxel_digest(Case(read_volume(tmp_path / f"adc{suffix}"), None))

    first, other, outside = digest(adc), adc.copy(), adc.copy()
    other[2, 5, 5] += 0.25
    outside[0, 0, 0] = -20
    moved = replace(GRID, origin_mm=(5.0, 0.0, 1.0), spacing_mm=(3.0, 1.25, 1.25))
    assert {digest(adc, suffix=".nrrd"), digest(outside), digest(adc, moved)} == {first}
    assert first not in {digest(other), digest(adc[::-1].copy())}
