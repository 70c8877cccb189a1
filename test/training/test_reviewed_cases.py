"""Reviewed cases of a folder that process.py wrote, packed as labelled ones."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands import exit_code
from inference_helpers import GRID, arguments, small_maps
from phantom import write_image
from review_helpers import write_mask

import process
from model.outputs.record import FILES, OWN_SUM, with_record
from training import cases
from training.data.dataset import REVIEWED, load_cases

MASK = np.zeros(GRID.size, bool)
MASK[2:5, 6:9, 4:6] = True  # (z, y, x), not where the draft is


@pytest.fixture(scope="module")
def run(rule_weights, tmp_path_factory) -> Path:
    """Scans of three cases in their order of storage, and the results of all three. Not to be written to."""
    folder = tmp_path_factory.mktemp("run")
    for number, (name, storage) in enumerate((("a", "LPS"), ("b", "LAS"), ("c", "LPS"))):
        adc, zadc = small_maps()
        for what, voxels in (("adc", np.where(adc > 0, adc + np.float32(number), adc)), ("zadc", zadc)):
            path = folder / "scans" / name / f"{what}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(voxels, GRID, path)
            sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), storage), str(path))
    assert process.main([*arguments(folder / "scans", folder / "lesions", rule_weights), "--cases"]) == 0
    return folder


@pytest.fixture
def folders(run: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """The results, the scans, and where packed cases go."""
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
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


def words(folders: tuple[Path, Path, Path]) -> list[object]:
    """The command's options."""
    lesions, scans, out = folders
    return ["--reviewed", lesions, "--scans", scans, "--out", out]


def test_reviewed_masks_become_labels_and_the_others_are_counted(folders, command) -> None:
    """In the networks' orientation, however the scan is stored. What a reader left undecided is no label."""
    for name in ("a", "b"):
        review(folders[0] / name, MASK)
    review(folders[0] / "c", None, undecided=(1,))
    counted = "2 reviewed cases of .*lesions; passed over: 0 without a review, 1 with undecided lesions, 0 with an estimated"
    assert re.search(counted, command(cases.main, *words(folders)))
    packed = load_cases(folders[2])
    assert [(case.name, case.source) for case in packed] == [("a", REVIEWED), ("b", REVIEWED)]
    for case in packed:
        np.testing.assert_array_equal(case.label, MASK)
        assert case.spacing_mm == pytest.approx(GRID.spacing_mm)


def test_reviewed_cases_of_a_bids_derivative_are_packed(tmp_path: Path, rule_weights, command) -> None:
    """Whose folders are called by subject and session."""
    folders = tuple(tmp_path / name for name in ("lesions", "scans", "packed"))
    for what, voxels in zip(("adc", "zadc"), small_maps(), strict=True):
        path = folders[1] / "sub-01_ses-2" / f"{what}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(voxels, GRID, path)
    mask = write_mask(tmp_path / "reviews" / "sub-01_ses-2.nii.gz", MASK)
    options = ["--cases", "--bids", "--reviews", str(mask.parent)]
    assert process.main([*arguments(folders[1], folders[0], rule_weights), *options]) == 0
    command(cases.main, *words(folders))
    (case,) = load_cases(folders[2])
    np.testing.assert_array_equal(case.label, MASK)


def test_without_a_review_there_is_nothing_to_pack(folders, refusal) -> None:
    line = refusal(cases.main, *words(folders))
    assert "found none: 3 without a review, 0 with undecided lesions, 0 with an estimated" in line
    assert not list(folders[2].glob("*.npz"))


def image(change):
    return lambda path: sitk.WriteImage(change(sitk.ReadImage(str(path))), str(path))


@pytest.mark.parametrize(
    ("place", "change", "reason"),
    [
        (
            "lesions/a/lesions.nii.gz",
            image(lambda mask: 1 - mask),
            r"a/lesions\.nii\.gz: missing, or changed after",
        ),
        (
            "lesions/a/results.json",
            lambda path: path.write_text(path.read_text().replace('"by": "XY"', '"by": "ZZ"')),
            r"a/results\.json: not as process\.py wrote it",
        ),
        ("scans/a/adc.nii.gz", image(lambda adc: adc * 1.01), "its ADC map is not the one"),
        ("scans/a/zadc.nii.gz", image(lambda zadc: zadc * 1.01), "its Z map is not the one"),
        ("scans/a", lambda path: path.rename(path.with_name("renamed")), "no scan of a, which .* has a review of"),
    ],
)
def test_what_changed_since_the_review_is_refused(folders, refusal, tmp_path, place, change, reason: str) -> None:
    review(folders[0] / "a", MASK)
    change(tmp_path / place)
    assert re.search(reason, refusal(cases.main, *words(folders)))
    assert not list(folders[2].glob("*.npz"))


@pytest.mark.parametrize(
    ("options", "reason"), [(["--reviewed", "a"], "go together"), ([], "expected --data, or --reviewed and --scans")]
)
def test_both_options_are_needed(tmp_path: Path, capsys, options: list[str], reason: str) -> None:
    assert exit_code(cases.main, *options, "--out", tmp_path) == 2
    assert reason in capsys.readouterr().err
