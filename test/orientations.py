"""How many voxels of the mask differ when a case is stored in another of the 48 orders of axes and directions.

    .venv/bin/python test/orientations.py [CASE ...] [--orders LPS RAS ...]

The networks learned from axial slices stored as LPS, and every case is turned to that order before they see it; no voxel
should differ. CASE is an input folder (default: the built-in case). Every mask is compared, after DICOMOrient, with the one
of the case as it is stored. Exit code 1 when a voxel differs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "images")]

import numpy as np
import SimpleITK as sitk
from inference_helpers import MASK
from test_geometry import ORIENTATIONS, stored

from model.inputs.platform import find_scan
from model.run.one_case import segment
from model.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[1]


def mask_of(maps: tuple[sitk.Image, sitk.Image], orientation: str, segmenter: Segmenter) -> np.ndarray:
    """The mask of the case in one storage, turned back to one order for all."""
    with tempfile.TemporaryDirectory() as folder:
        turned = tuple(sitk.DICOMOrient(image, orientation) for image in maps)
        segment(stored(turned, Path(folder, "in")), Path(folder, "out"), segmenter)
        return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(Path(folder, "out", MASK))), "LPS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="*", default=[ROOT / "test" / "case" / "input"], help="input folders")
    parser.add_argument("--orders", nargs="+", choices=ORIENTATIONS, default=ORIENTATIONS, help="storages (default: all 48)")
    args = parser.parse_args()
    segmenter, different = Segmenter(device="cpu"), 0
    for number, case in enumerate(args.cases):
        maps = tuple(sitk.ReadImage(str(path)) for path in find_scan(case).files)
        here = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(maps[0].GetDirection())
        wanted = mask_of(maps, here, segmenter)
        voxels = [int((mask_of(maps, orientation, segmenter) != wanted).sum()) for orientation in args.orders]
        print(f"case {number + 1}, stored as {here}, {int(wanted.sum())} voxels marked:", end=" ")
        print(f"{len(voxels)} storages, at most {max(voxels)} voxels differ")
        different += sum(voxels)
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
