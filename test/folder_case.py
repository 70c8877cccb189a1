"""A folder of cases for the images, and the check of a run of it.

Three formats, a study in compressed DICOM, an ADC map alone, a file that is cut off.

Example:

    python test/folder_case.py make test/case/input scans
    python test/folder_case.py check lesions --expected test/case/expected.mha
"""

import argparse
import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from dicom_phantom import write_study
from phantom import require_new
from pydicom.uid import JPEGLosslessSV1

from model.images.grid import Grid
from training.common.cli import run

GOOD = {"a": ".mha", "b": ".nii.gz", "c": ".nrrd"}
CUT, ALONE, STUDY = "cut", "alone", "study"
CHECKED = GOOD | {STUDY: ".nii.gz"}
LEAST_DICE = 0.5  # of the mask on the estimated Z map and the one on the given
MAPS = {"adc": "skull-stripped-adc-brain-mri", "zadc": "z-score-adc"}


def make(case: Path, scans: Path) -> None:
    """Write the case of a platform's input folder in each format, as a study, once cut off, and once without its Z map."""
    for name, suffix in (GOOD | {CUT: ".nii.gz", ALONE: ".nii.gz"}).items():
        (scans / name).mkdir(parents=True)
        for what, folder in MAPS.items():
            image = sitk.ReadImage(str(next((case / "images" / folder).glob("*.mha"))))
            for key in image.GetMetaDataKeys():
                image.EraseMetaData(key)
            sitk.WriteImage(image, str(scans / name / f"{what}{suffix}"), useCompression=True)
    (scans / ALONE / "zadc.nii.gz").unlink()
    adc = sitk.ReadImage(str(scans / "a" / "adc.mha"))
    grid = Grid(adc.GetSize()[::-1], adc.GetSpacing()[::-1], adc.GetOrigin(), adc.GetDirection())
    write_study(scans / STUDY, np.maximum(sitk.GetArrayFromImage(adc), 0), grid, JPEGLosslessSV1)
    shutil.copy(scans / "b" / "zadc.nii.gz", scans / STUDY)
    cut = scans / CUT / "adc.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-100])


def differences(output: Path, expected: Path, max_voxels: int) -> list[str]:
    """What is wrong with the output, a line each; empty when it is as expected."""
    wanted, wrong = sitk.ReadImage(str(expected)), []
    for name, suffix in CHECKED.items():
        mask = sitk.ReadImage(str(output / name / f"lesions{suffix}"))
        for what in ("Spacing", "Origin", "Direction"):
            if not np.allclose(getattr(mask, f"Get{what}")(), getattr(wanted, f"Get{what}")(), rtol=0, atol=1e-4):
                wrong.append(f"{name}: {what} is {getattr(mask, f'Get{what}')()}")
        differing = np.count_nonzero(sitk.GetArrayFromImage(mask) != sitk.GetArrayFromImage(wanted))
        if differing > max_voxels:
            wrong.append(f"{name}: {differing} voxels differ from the expected mask, allowed are {max_voxels}")
        if "niivue" not in (output / name / "report.html").read_text(encoding="utf-8").lower():
            wrong.append(f"{name}: no viewer in its report")
    estimated = sitk.GetArrayFromImage(sitk.ReadImage(str(output / ALONE / "lesions.nii.gz"))) > 0
    given = sitk.GetArrayFromImage(wanted) > 0
    dice = 2 * np.count_nonzero(estimated & given) / (np.count_nonzero(estimated) + np.count_nonzero(given))
    if dice < LEAST_DICE:
        wrong.append(f"{ALONE}: Dice {dice:.2f} with the mask on the given Z map, expected {LEAST_DICE} or more")
    with (output / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        status = {row["case"]: (row["status"], row["z_map"]) for row in csv.DictReader(file)}
    if status != dict.fromkeys(CHECKED, ("done", "given")) | {ALONE: ("done", "estimated"), CUT: ("failed", "")}:
        wrong.append(f"summary.csv says {status}")
    if (output / CUT).exists() or CUT not in (output / "index.html").read_text(encoding="utf-8"):
        wrong.append("the case that cannot be used has a folder, or is not in the index")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write the folder of cases")
    maker.add_argument("case", type=Path, help="input folder of one case, as the platform lays it out")
    maker.add_argument("scans", type=Path, help="folder to make")
    checker = commands.add_parser("check", help="exit code 1 and a line per difference when the output is wrong")
    checker.add_argument("output", type=Path, help="what the run wrote")
    checker.add_argument("--expected", type=Path, required=True, help="mask of the case")
    checker.add_argument("--max-voxels", type=int, default=10, help="that may differ (default: %(default)s)")
    args = parser.parse_args()
    if args.command == "make":
        require_new(args.scans)
        make(args.case, args.scans)
        return
    wrong = differences(args.output, args.expected, args.max_voxels)
    for line in wrong:
        print(f"WRONG: {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    run(main)
