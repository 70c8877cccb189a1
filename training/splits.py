"""Deals labelled cases into five folds, stratified by slice thickness and lesion load; identifiers only.

Example, for cases of one's own:

    python -m training.splits --data FOLDER

Every command that takes --data FOLDER then uses FOLDER/splits.json instead of the committed folds. Scans of one patient,
named PATIENT-VISIT_n or PATIENT_ses-n, come into one fold. The same cases are dealt in the same way every time.
"""

import json
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.files import require_writable, write_whole
from training.common.cli import add_data_option, command_parser, run
from training.common.outputs import require_own_file
from training.data.dataset import PackedCase, load_cases, require_each_scan_once
from training.data.splits import FOLDS, SPLITS, patient_of
from training.data.strata import is_thick


def deal(cases: list[PackedCase]) -> list[list[str]]:
    """Shuffle, sort by stratum and lesion load, then deal like cards: neighbours in the order land in different folds.

    A patient with several scans is dealt as one card, by the scan with the largest lesion load.
    """
    by_patient: dict[str, list[PackedCase]] = {}
    for case in cases:
        by_patient.setdefault(patient_of(case.name), []).append(case)
    patients = [max(scans, key=lambda case: case.lesion_load) for scans in by_patient.values()]
    rng = np.random.default_rng(0)
    shuffled = [patients[i] for i in rng.permutation(len(patients))]
    ordered = sorted(shuffled, key=lambda c: (c.load_class, is_thick(c.spacing_mm[0]), c.lesion_load))
    hands = ([patient_of(case.name) for case in ordered[fold::FOLDS]] for fold in range(FOLDS))
    return [sorted(case.name for patient in hand for case in by_patient[patient]) for hand in hands]


def is_split(path: Path) -> bool:
    """Whether a file is a split as this command writes it. Raises OSError or ValueError."""
    found = json.loads(path.read_bytes())
    return isinstance(found, dict) and found.keys() == {"seed", "folds"}


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--out", type=Path, help=f"default: {SPLITS.name} in --data, where commands look for it")
    args = parser.parse_args()
    out = args.out or args.data / SPLITS.name
    require_own_file(out, is_split, "an earlier split")
    cases = load_cases(args.data)
    require_writable(out.parent)
    require_each_scan_once(cases)
    folds = deal(cases)
    if not all(folds):
        raise UserError(f"{args.data}: {len(cases)} cases, expected at least {FOLDS} patients to deal into {FOLDS} folds")
    text = (json.dumps({"seed": 0, "folds": folds}, indent=1) + "\n").encode()
    if out.exists() and out.read_bytes() != text:
        print(f"{out}: replaced; weights and rows of the earlier folds do not fit any more")
    write_whole(out, text)
    print(f"{out}: {', '.join(map(str, map(len, folds)))} cases")


if __name__ == "__main__":
    run(main)
