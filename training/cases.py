"""Finds the cases of the published archive and packs each into one `.npz` that trains without SimpleITK.

Arrays are packed in the orientation in which the networks are asked (`model.images.orientation`), whatever the file's.

Example:

    python -m training.cases --data data/BONBID2023_Train --out data/packed
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.errors import UserError
from model.files import require_writable
from model.images.case import read_case
from training.common.cli import run
from training.common.outputs import own_files_into
from training.data.published import CaseFiles, canonical_arrays, published_cases, read_label


def pack(files: CaseFiles, folder: Path) -> None:
    """Write one case's arrays to `folder/<name>.npz`, in the orientation in which the networks are asked."""
    case = read_case(files.adc, files.zadc)
    label = read_label(files.label, case.adc)
    np.savez_compressed(folder / f"{files.name}.npz", **canonical_arrays(case, label))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds 1ADC_ss, 2Z_ADC and 3LABEL")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed cases")
    args = parser.parse_args()
    require_writable(args.out)
    found = published_cases(args.data)
    names = [f"{files.name}.npz" for files in found]
    if others := sorted({path.name for path in args.out.glob("*.npz")} - set(names)):
        raise UserError(f"{args.out}: holds {others[0]}, which is no case of {args.data}; name another folder")
    with own_files_into(args.out, names, [args.data]) as staged:
        for files in tqdm(found, desc="packing", unit="case"):
            pack(files, staged)


if __name__ == "__main__":
    run(main)
