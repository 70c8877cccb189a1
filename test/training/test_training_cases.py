"""The published folder layout, with small images on an oblique, anisotropic grid."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import write_image
from training_helpers import publish

from model.errors import UserError
from model.images.grid import Grid
from training import cases
from training.cases import pack
from training.data.dataset import OWN, PUBLISHED, PackedCase, load_case, load_cases
from training.data.published import published_cases

SHAPE = (5, 7, 9)  # (z, y, x)
COSINE, SINE = math.cos(0.4), math.sin(0.4)
GRID = Grid(SHAPE, (4.0, 1.25, 1.5), (-31.5, 12.25, 7.0), (COSINE, -SINE, 0, SINE, COSINE, 0, 0, 0, 1))
LABEL = "3LABEL/MGHNICU_010-VISIT_01_lesion.mha"


def published(root: Path, name: str = "MGHNICU_010-VISIT_01") -> PackedCase:
    """A case that was written where the archive has it."""
    rng = np.random.default_rng(len(name))
    adc = rng.uniform(700, 1500, SHAPE).astype(np.float32)
    adc[:, :2] = 0
    zadc = rng.normal(size=SHAPE).astype(np.float32)
    label = np.zeros(SHAPE, bool)
    label[1:3, 3:5, 2:7] = True
    case = PackedCase(name, adc, zadc, label, GRID.spacing_mm)
    publish(case, root, GRID)
    return case


def packed(root: Path) -> PackedCase:
    """The only case of the folder, packed and loaded."""
    (files,) = published_cases(root)
    pack(files, root)
    return load_case(root / f"{files.name}.npz")


def test_cases_are_found_by_name_and_what_fits_none_is_named(tmp_path: Path) -> None:
    names = ["MGHNICU_200-VISIT_01", "MGHNICU_010-VISIT_02", "MGHNICU_010-VISIT_01"]
    for name in names:
        published(tmp_path, name)
    (tmp_path / "1ADC_ss" / f"._{names[0]}-ADC_ss.mha").touch()  # as archives of macOS hold
    found = published_cases(tmp_path)
    assert [files.name for files in found] == sorted(names)
    for path in (found[0].zadc, found[1].label, found[2].adc):
        with pytest.raises(UserError, match=str(path)):
            published_cases(without(path))
        path.with_name("hidden").rename(path)
    (tmp_path / "1ADC_ss" / "MGHNICU_011.mha").touch()
    with pytest.raises(UserError, match=r"MGHNICU_011\.mha: expected a name like"):
        published_cases(tmp_path)


def without(path: Path) -> Path:
    """The folder that the case's file was in."""
    path.rename(path.with_name("hidden"))
    return path.parents[1]


@pytest.mark.parametrize(("storage", "dtype"), [("LPS", np.uint8), ("ASR", np.float32), ("IPL", np.int16)])
def test_a_case_is_packed_alike_however_it_is_stored(tmp_path: Path, storage: str, dtype: type) -> None:
    expected = published(tmp_path)  # LPS, turned by 23 degrees
    write_image(expected.label.astype(dtype), GRID, tmp_path / LABEL)
    for path in tmp_path.rglob("*.mha"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), storage), str(path))
    case = packed(tmp_path)
    for name in ("adc", "zadc", "label"):
        np.testing.assert_array_equal(getattr(case, name), getattr(expected, name), strict=True)
    assert (case.name, case.spacing_mm) == (expected.name, (4.0, 1.25, 1.5))  # (z, y, x)


@pytest.mark.parametrize("wrong", [np.float32(0.5), np.uint8(255), np.int16(-1)])
def test_other_values_in_a_label_are_refused(tmp_path: Path, wrong: np.generic) -> None:
    label = published(tmp_path).label.astype(wrong.dtype)
    label[0, 0, 0] = wrong
    write_image(label, GRID, tmp_path / LABEL)
    with pytest.raises(UserError, match=rf"_lesion\.mha: expected only 0 and 1, found .*{wrong}"):
        packed(tmp_path)


def test_a_label_off_the_grid_is_refused(tmp_path: Path) -> None:
    label = published(tmp_path).label.astype(np.uint8)
    write_image(label, dataclasses.replace(GRID, origin_mm=(-31.5, 12.25, 8.0)), tmp_path / LABEL)
    with pytest.raises(UserError, match="not on one grid: origin_mm"):
        packed(tmp_path)


def test_the_command_packs_every_case_into_a_folder_of_its_own(tmp_path: Path, command, refusal) -> None:
    """And says whose labels they are, for the terms of weights that learn from them."""
    names = ("MGHNICU_010-VISIT_01", "HOSPITAL_020-VISIT_01")
    for name in names:
        published(tmp_path / "data", name)
    out = tmp_path / "new" / "packed"
    written = []
    for _ in range(2):
        command(cases.main, "--data", tmp_path / "data", "--out", out)
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert {path.name for path in out.glob("*.npz")} == {f"{name}.npz" for name in names}
    assert written[0] == written[1]
    assert [case.source for case in load_cases(out, names)] == [PUBLISHED, OWN]
    published(tmp_path / "other", names[1])
    words = f"{out}: holds {names[0]}.npz, which is no case of {tmp_path / 'other'}; name another folder"
    assert refusal(cases.main, "--data", tmp_path / "other", "--out", out) == words
