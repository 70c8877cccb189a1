"""How many voxels of the mask differ when a case is stored in another of the 48 orders of axes and directions.

    .venv/bin/python test/orientations.py [CASE ...] [--orders RAI LPS ...]

The networks learned from axial slices stored as RAI; a mask in another storage lies on the right points, but is drawn from
another array. CASE is an input folder (default: the built-in case). Every mask is compared with the one of RAI in the
scanner's space.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import SimpleITK as sitk
from inference_helpers import MASK
from test_geometry import ORIENTATIONS, stored

from model.networks.predict import Predictor
from model.run.one_case import segment
from model.run.platform_paths import find_inputs
from process import load_predictor

ROOT = Path(__file__).resolve().parents[1]


def mask_of(maps: tuple[sitk.Image, sitk.Image], orientation: str, predictor: Predictor) -> np.ndarray:
    """The mask of the case in one storage, turned back to RAI."""
    with tempfile.TemporaryDirectory() as folder:
        turned = tuple(sitk.DICOMOrient(image, orientation) for image in maps)
        segment(stored(turned, Path(folder, "in")), Path(folder, "out"), lambda: predictor)
        return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(Path(folder, "out", MASK))), "RAI"))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(int(a.sum() + b.sum()), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="*", default=[ROOT / "test" / "case" / "input"], help="input folders")
    parser.add_argument("--orders", nargs="+", choices=ORIENTATIONS, default=ORIENTATIONS, help="storages (default: all 48)")
    args = parser.parse_args()
    predictor = load_predictor("cpu", None)
    for number, case in enumerate(args.cases):
        maps = tuple(sitk.ReadImage(str(path)) for path in find_inputs(case))
        wanted = mask_of(maps, "RAI", predictor)
        groups = {"slices still slices": [], "slices turned on edge": []}
        for orientation in args.orders:
            found = mask_of(maps, orientation, predictor)
            name = "slices still slices" if orientation[2] in "IS" else "slices turned on edge"
            groups[name].append((int((found != wanted).sum()), dice(found, wanted)))
        print(f"case {number + 1}: {int(wanted.sum())} voxels marked as RAI")
        for name, values in groups.items():
            if values:
                voxels, scores = zip(*values, strict=True)
                print(f"  {name}, {len(values)} storages: {min(voxels)} to {max(voxels)} voxels differ,", end=" ")
                print(f"Dice with RAI {min(scores):.3f} to {max(scores):.3f}")


if __name__ == "__main__":
    main()
