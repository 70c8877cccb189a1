"""Reviewed cases of a folder that process.py wrote, packed as labelled ones."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from inference_helpers import GRID, arguments, small_maps
from phantom import write_image

from model.errors import UserError
from model.outputs.record import FILES, OWN_SUM, with_record
from training import cases
from training.data.dataset import REVIEWED, load_case

MASK = np.zeros(GRID.size, bool)
MASK[2:5, 6:9, 4:6] = True  # (z, y, x), not where the draft is


@pytest.fixture
def folders(main, rule_weights, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Scans of three cases in their order of storage, the results of all three, and where packed ones go."""
    for number, (name, storage) in enumerate((("a", "LPS"), ("b", "LAS"), ("c", "LPS"))):
        adc, zadc = small_maps()
        for what, voxels in (("adc", np.where(adc > 0, adc + np.float32(number), adc)), ("zadc", zadc)):
            path = tmp_path / "scans" / name / f"{what}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(voxels, GRID, path)
            sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), storage), str(path))
    assert main([*arguments(tmp_path / "scans", tmp_path / "lesions", rule_weights), "--cases"]) == 0
    return tmp_path / "lesions", tmp_path / "scans", tmp_path / "packed"


def review(folder: Path, mask: np.ndarray | None, undecided: tuple[int, ...] = ()) -> None:
    """Take a review back into a case's folder: the mask (boolean, as on GRID; None for the draft's) and the record of it."""
    path = folder / "lesions.nii.gz"
    results = json.loads((folder / "results.json").read_text())
    if mask is not None:
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(GRID.spacing_mm[::-1])
        image.SetOrigin(GRID.origin_mm)
        image.SetDirection(GRID.direction)
        draft = sitk.ReadImage(str(path))
        sitk.WriteImage(sitk.Resample(image, draft, sitk.Transform(), sitk.sitkNearestNeighbor), str(path))
    (folder / "results.json").unlink()
    others = {key: value for key, value in results.items() if key not in (FILES, OWN_SUM)}
    results = with_record(others | {"review": {"by": "XY", "rejected": [1], "undecided": undecided}}, folder)
    (folder / "results.json").write_text(json.dumps(results))


def pack(folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    lesions, scans, out = folders
    monkeypatch.setattr(sys, "argv", ["cases", f"--reviewed={lesions}", f"--scans={scans}", f"--out={out}"])
    cases.main()
    return out


def test_reviewed_masks_become_labels_and_the_others_are_counted(folders, monkeypatch, capsys) -> None:
    """In the networks' orientation, however the scan is stored."""
    for name in ("a", "b"):
        review(folders[0] / name, MASK)
    out = pack(folders, monkeypatch)
    assert {path.name for path in out.glob("*.npz")} == {"a.npz", "b.npz"}
    counted = (
        "2 reviewed cases of .*lesions; passed over: 1 without a review, 0 with undecided lesions, 0 with an estimated Z map"
    )
    assert re.search(counted, capsys.readouterr().out)
    for name in ("a", "b"):
        case = load_case(out / f"{name}.npz")
        assert case.source == REVIEWED
        np.testing.assert_array_equal(case.label, MASK)
        assert case.spacing_mm == pytest.approx(GRID.spacing_mm)


def test_what_a_reader_left_undecided_is_no_label(folders, monkeypatch, capsys) -> None:
    review(folders[0] / "a", MASK)
    review(folders[0] / "b", None, undecided=(1,))
    assert {path.name for path in pack(folders, monkeypatch).glob("*.npz")} == {"a.npz"}
    assert "passed over: 1 without a review, 1 with undecided lesions, 0 with an estimated Z map" in capsys.readouterr().out


def test_without_a_review_there_is_nothing_to_pack(folders, monkeypatch) -> None:
    with pytest.raises(UserError, match="found none: 3 without a review, 0 with undecided lesions, 0 with an estimated"):
        pack(folders, monkeypatch)
    assert not folders[2].exists() or not list(folders[2].glob("*.npz"))


def mask_edited(lesions: Path, scans: Path) -> None:
    path = lesions / "a" / "lesions.nii.gz"
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(1 - image, str(path))


def results_edited(lesions: Path, scans: Path) -> None:
    path = lesions / "a" / "results.json"
    path.write_text(path.read_text().replace('"by": "XY"', '"by": "ZZ"'))


def map_replaced(what: str):
    def replace(lesions: Path, scans: Path) -> None:
        path = scans / "a" / f"{what}.nii.gz"
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(image * 1.01, str(path))

    return replace


def scan_gone(lesions: Path, scans: Path) -> None:
    (scans / "a").rename(scans / "renamed")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (mask_edited, r"a/lesions\.nii\.gz: missing, or changed after the review"),
        (results_edited, r"a/results\.json: not as process\.py wrote it"),
        (map_replaced("adc"), "its ADC map is not the one"),
        (map_replaced("zadc"), "its Z map is not the one"),
        (scan_gone, "no scan of a, which .* has a review of"),
    ],
)
def test_what_changed_since_the_review_is_refused(folders, monkeypatch, change, reason: str) -> None:
    for name in ("a", "b"):
        review(folders[0] / name, MASK)
    change(*folders[:2])
    with pytest.raises(UserError, match=reason):
        pack(folders, monkeypatch)
    assert not list(folders[2].glob("*.npz"))


def test_both_options_are_needed(monkeypatch, tmp_path: Path, capsys) -> None:
    for words, reason in ((["--reviewed", "a"], "go together"), ([], "expected --data, or --reviewed and --scans")):
        monkeypatch.setattr(sys, "argv", ["cases", *words, f"--out={tmp_path}"])
        with pytest.raises(SystemExit):
            cases.main()
        assert reason in capsys.readouterr().err
