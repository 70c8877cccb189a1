"""Scores a folder of masks against a folder of labels.

Example:

    python -m training.evaluate masks data/BONBID2023_Train/3LABEL --adc data/BONBID2023_Train/1ADC_ss --out scores

It writes scores.csv (a row for each case), summary.md (means with 95 % bootstrap intervals, by lesion size), dice.png and
volumes.png. A label is <case>_lesion.<ext> or <case>.<ext>, a mask <case>.<ext>, <case>_<anything>.<ext> or
<case>/lesions.<ext>, an ADC map <case>-ADC_ss.<ext> or <case>.<ext>; <ext> is that of a format that is read, such as nii.gz.
Every label needs exactly one mask on its grid and the reverse, and no other values than 0 and 1; otherwise nothing is
written. Of a folder that process.py wrote only masks that are current are scored; summary.md names the other cases, and why.
Files in --out that are not of an earlier call stay: the call is refused.
"""

from pathlib import Path

from tqdm import tqdm

from model.files import require_writable
from training.common.cli import command_parser, run
from training.common.outputs import own_files_into, require_outside, require_own_files
from training.pages.score_summary import FILES, write_scores
from training.scores.mask_score import score_pair
from training.scores.pairs import find_pairs


def score_folders(masks: Path, labels: Path, out: Path, adc: Path | None = None) -> str:
    """Score every case of two folders and write the results to `out`; returns the summary.

    Raises UserError, before anything is written, when the folders do not pair up or a file is not usable, and when `out`
    cannot be written, lies in one of them or holds another's files.
    """
    pairs = find_pairs(masks, labels, adc)
    require_outside(out, filter(None, (masks, labels, adc)))
    require_own_files(out, FILES)
    require_writable(out)
    rows = [score_pair(pair, masks, labels) for pair in tqdm(pairs.scored, unit="case", leave=False, disable=None)]
    with own_files_into(out, FILES) as staged:
        return write_scores(rows, pairs, masks, labels, staged)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("masks", metavar="PRED", type=Path, help="folder of masks")
    parser.add_argument("labels", metavar="LABELS", type=Path, help="folder of labels")
    parser.add_argument("--adc", type=Path, help="folder of ADC maps: lesion size as a share of the brain (default: in ml)")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="folder for the results (default: %(default)s)")
    args = parser.parse_args()
    print(score_folders(args.masks, args.labels, args.out, args.adc), end="")


if __name__ == "__main__":
    run(main)
