"""Packs labelled cases, each into one `.npz` that trains without SimpleITK: those of the published archive, reviewed ones.

Arrays are packed in the orientation in which the networks are asked (`model.images.orientation`), whatever the file's.

Example, the published cases:

    python -m training.cases --data data/BONBID2023_Train --out data/packed

The cases of a folder that process.py wrote to LESIONS from SCANS, and that a reader has reviewed since:

    python -m training.cases --reviewed LESIONS --scans SCANS --out FOLDER

Both may be packed into one folder, in one call. Cases without a review, with undecided lesions or with an estimated Z map
are passed over.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.errors import UserError
from model.files import require_writable
from training.common.cli import command_parser, run
from training.common.outputs import own_files_into
from training.data.dataset import OWN, PUBLISHED, REVIEWED
from training.data.published import PUBLISHED_NAME, CaseFiles, published_arrays, published_cases
from training.data.reviewed import ReviewedCase, reviewed_arrays, reviewed_cases


def pack(files: CaseFiles | ReviewedCase, folder: Path) -> None:
    """Write one case's arrays, and where its label is from, to `folder/<name>.npz`."""
    if isinstance(files, ReviewedCase):
        source, arrays = REVIEWED, reviewed_arrays(files)
    else:
        source, arrays = PUBLISHED if PUBLISHED_NAME.fullmatch(files.name) else OWN, published_arrays(files)
    np.savez_compressed(folder / f"{files.name}.npz", **arrays, source=np.array(source))


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds 1ADC_ss, 2Z_ADC and 3LABEL")
    parser.add_argument("--reviewed", type=Path, metavar="LESIONS", help="folder that process.py wrote, with reviews")
    parser.add_argument("--scans", type=Path, help="the folder that it was made from")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed cases")
    args = parser.parse_args()
    if not args.data and not args.reviewed:
        parser.error("expected --data, or --reviewed and --scans, or all three")
    if bool(args.reviewed) != bool(args.scans):
        parser.error("--reviewed and --scans go together")
    require_writable(args.out)
    found: list[CaseFiles | ReviewedCase] = [*published_cases(args.data)] if args.data else []
    if args.reviewed:
        reviewed, said = reviewed_cases(args.reviewed, args.scans)
        print(said, flush=True)
        found += reviewed
    inputs = [folder for folder in (args.data, args.reviewed, args.scans) if folder]
    names = [f"{files.name}.npz" for files in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{twice[0]}: a case of more than one folder, expected each name once")
    if others := sorted({path.name for path in args.out.glob("*.npz")} - set(names)):
        where = " or ".join(map(str, inputs))
        raise UserError(f"{args.out}: holds {others[0]}, which is no case of {where}; name another folder")
    with own_files_into(args.out, names, inputs) as staged:
        for files in tqdm(found, desc="packing", unit="case", disable=None):
            pack(files, staged)
    print(f"{args.out}: {len(found)} cases")


if __name__ == "__main__":
    run(main)
