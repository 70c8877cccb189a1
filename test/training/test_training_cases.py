"""The published folder layout, with small images on an oblique, anisotropic grid."""

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from model.errors import UserError
from training import cases
from training.cases import pack
from training.data.dataset import load_case
from training.data.published import published_cases

SHAPE = (5, 7, 9)  # (z, y, x)
COSINE, SINE = math.cos(0.4), math.sin(0.4)
GRID = {
    "spacing": (1.5, 1.25, 4.0),  # (x, y, z)
    "origin": (-31.5, 12.25, 7.0),
    "direction": (COSINE, -SINE, 0, SINE, COSINE, 0, 0, 0, 1),
}


def write(voxels: np.ndarray, path: Path, **changes: tuple) -> None:
    image, grid = sitk.GetImageFromArray(voxels), GRID | changes
    image.SetSpacing(grid["spacing"])
    image.SetOrigin(grid["origin"])
    image.SetDirection(grid["direction"])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def label_path(root: Path, name: str = "MGHNICU_010-VISIT_01") -> Path:
    return root / "3LABEL" / f"{name}_lesion.mha"


def publish(root: Path, name: str = "MGHNICU_010-VISIT_01") -> dict[str, np.ndarray]:
    """Write one case where the archive has it; returns its arrays."""
    rng = np.random.default_rng(len(name))
    adc = rng.uniform(700, 1500, SHAPE).astype(np.float32)
    adc[:, :2] = 0
    zadc = rng.normal(size=SHAPE).astype(np.float32)
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 3:5, 2:7] = 1
    write(adc, root / "1ADC_ss" / f"{name}-ADC_ss.mha")
    write(zadc, root / "2Z_ADC" / f"Zmap_{name}-ADC_smooth2mm_clipped10.mha")
    write(label, label_path(root, name))
    return {"adc": adc, "zadc": zadc, "label": label}


def packed(root: Path):
    """The only case of the folder, packed and loaded."""
    (files,) = published_cases(root)
    pack(files, root)
    return load_case(root / f"{files.name}.npz")


def test_find_cases_sorts_by_name(tmp_path: Path) -> None:
    names = ["MGHNICU_200-VISIT_01", "MGHNICU_010-VISIT_02", "MGHNICU_010-VISIT_01"]
    for name in names:
        publish(tmp_path, name)
    found = published_cases(tmp_path)
    assert [files.name for files in found] == sorted(names)
    for files in found:
        assert all(path.is_file() and files.name in path.name for path in (files.adc, files.zadc, files.label))


@pytest.mark.parametrize("folder", ["1ADC_ss", "2Z_ADC", "3LABEL"])
def test_a_missing_file_is_named(tmp_path: Path, folder: str) -> None:
    for name in ("MGHNICU_010-VISIT_01", "MGHNICU_020-VISIT_01"):
        publish(tmp_path, name)
    (missing,) = (tmp_path / folder).glob("*MGHNICU_020*")
    missing.unlink()
    with pytest.raises(UserError, match="MGHNICU_020-VISIT_01" if folder == "1ADC_ss" else f"{missing.name}: missing"):
        published_cases(tmp_path)


def test_a_strange_name_is_refused(tmp_path: Path) -> None:
    publish(tmp_path)
    write(np.ones(SHAPE, np.float32), tmp_path / "1ADC_ss" / "MGHNICU_011.mha")
    with pytest.raises(UserError, match=r"MGHNICU_011\.mha: expected a name like"):
        published_cases(tmp_path)


def test_pack_and_load_give_the_arrays_back(tmp_path: Path) -> None:
    published = publish(tmp_path)
    case = packed(tmp_path)
    np.testing.assert_array_equal(case.adc, published["adc"], strict=True)
    np.testing.assert_array_equal(case.zadc, published["zadc"], strict=True)
    np.testing.assert_array_equal(case.label, published["label"].astype(bool), strict=True)
    assert case.name == "MGHNICU_010-VISIT_01"
    assert case.spacing_mm == pytest.approx((4.0, 1.25, 1.5))  # (z, y, x)


def test_a_float_label_is_read(tmp_path: Path) -> None:
    label = publish(tmp_path)["label"]
    write(label.astype(np.float32), label_path(tmp_path))
    np.testing.assert_array_equal(packed(tmp_path).label, label.astype(bool), strict=True)


@pytest.mark.parametrize("storage", ["LAS", "ASR", "IPL"])
def test_a_case_stored_in_another_order_is_packed_as_the_others(tmp_path: Path, storage: str) -> None:
    arrays = publish(tmp_path)  # LPS, turned by 23 degrees
    for path in tmp_path.rglob("*.mha"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), storage), str(path))
    case = packed(tmp_path)
    for name, voxels in arrays.items():
        np.testing.assert_array_equal(getattr(case, name), voxels)
    assert case.spacing_mm == (4.0, 1.25, 1.5)


def test_an_empty_label_is_a_case_without_lesion(tmp_path: Path) -> None:
    write(publish(tmp_path)["label"] * 0, label_path(tmp_path))
    assert packed(tmp_path).lesion_load == 0


@pytest.mark.parametrize("wrong", [np.float32(0.5), np.uint8(2), np.uint8(255), np.int16(-1)])
def test_other_values_in_a_label_are_refused(tmp_path: Path, wrong: np.generic) -> None:
    label = publish(tmp_path)["label"].astype(wrong.dtype)
    label[0, 0, 0] = wrong
    write(label, label_path(tmp_path))
    with pytest.raises(UserError, match=rf"_lesion\.mha: expected only 0 and 1, found .*{wrong}"):
        packed(tmp_path)


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"origin": (-31.5, 12.25, 8.0)}, "origin_mm"),
        ({"spacing": (1.25, 1.5, 4.0)}, "spacing_mm"),
        ({"direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}, "direction"),
        ({}, r"size \(z, y, x\) is \("),  # cut by a column
    ],
)
def test_a_label_off_the_grid_is_refused(tmp_path: Path, changes: dict, quantity: str) -> None:
    label = publish(tmp_path)["label"]
    write(label if changes else label[:, :, :-1], label_path(tmp_path), **changes)
    with pytest.raises(UserError, match=f"not on one grid: {quantity}"):
        packed(tmp_path)


def test_the_command_packs_every_case_into_a_folder_of_its_own(tmp_path: Path, command, refusal) -> None:
    names = ("MGHNICU_010-VISIT_01", "MGHNICU_020-VISIT_01")
    for name in names:
        publish(tmp_path / "data", name)
    out = tmp_path / "new" / "packed"
    written = []
    for _ in range(2):
        command(cases.main, "--data", tmp_path / "data", "--out", out)
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert sorted(written[0])[1:] == [f"{name}.npz" for name in names]
    assert written[0] == written[1]
    publish(tmp_path / "other", names[1])
    words = f"{out}: holds {names[0]}.npz, which is no case of {tmp_path / 'other'}; name another folder"
    assert refusal(cases.main, "--data", tmp_path / "other", "--out", out) == words


def test_a_folder_without_cases_is_one_line(tmp_path: Path, refusal) -> None:
    line = refusal(cases.main, "--data", tmp_path / "nowhere", "--out", tmp_path)
    assert line == f"{tmp_path / 'nowhere'}: no case found, expected files 1ADC_ss/*-ADC_ss.mha"
