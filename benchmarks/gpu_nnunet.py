"""The peer of the field, trained: nnU-Net v2 on the same folds, from packed cases, scored as ours.

Example, where nnunetv2 is installed:

    python -m benchmarks.gpu_nnunet --data data/packed --work work --device cuda

nnU-Net plans and trains by its own commands, one fold after the other and each for TRAINER's epochs, and continues where it
was stopped. Its reader of NIfTI by nibabel is used: SimpleITK, which it imports too, need not be there.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from model.errors import UserError
from training.common.cli import command_parser, run
from training.data.dataset import PackedCase, load_cases
from training.data.splits import FOLDS, Folds, folds_of
from training.scores.metrics import Scores, mean_scores, score

NAME, TRAINER = "Dataset001_HIE", "nnUNetTrainer_20epochs"
PLAN = "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as run; run()"
TRAIN = "from nnunetv2.run.run_training import run_training_entry as run; run()"
# a try: two steps an epoch on small patches
TINY = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
initialize = nnUNetTrainer.__init__
def tiny(self, *words, **options):
    initialize(self, *words, **options)
    self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 1
nnUNetTrainer.__init__ = tiny
"""
STUB = "def __getattr__(name):\n    return object\n"  # nnU-Net imports SimpleITK and, with nibabel's reader, does not use it


def write_raw(cases: list[PackedCase], folder: Path) -> None:
    """The cases as nnU-Net's raw dataset: Z map, ADC, label."""
    import nibabel

    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for case in cases:
        affine = np.diag([*case.spacing_mm[::-1], 1.0])
        for path, voxels in (
            (folder / "imagesTr" / f"{case.name}_0000.nii.gz", case.zadc),
            (folder / "imagesTr" / f"{case.name}_0001.nii.gz", case.adc),
            (folder / "labelsTr" / f"{case.name}.nii.gz", case.label.astype(np.uint8)),
        ):
            nibabel.save(nibabel.Nifti1Image(voxels.transpose(), affine), path)
    facts = {"channel_names": {"0": "Z", "1": "ADC"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}
    facts |= {"numTraining": len(cases), "overwrite_image_reader_writer": "NibabelIO"}
    (folder / "dataset.json").write_text(json.dumps(facts))  # last: its presence says that the rest is there


def write_splits(folder: Path, folds: Folds) -> None:
    splits = [dict(zip(("train", "val"), folds.of(fold), strict=True)) for fold in range(len(folds))]
    (folder / "splits_final.json").write_text(json.dumps(splits))


def environment(work: Path) -> dict[str, str]:
    """Where nnU-Net finds its folders, and a stub of SimpleITK where there is none."""
    places = {f"nnUNet_{what}": str(work / what) for what in ("raw", "preprocessed", "results")}
    paths = [os.environ.get("PYTHONPATH", "")]
    try:
        import SimpleITK  # noqa: F401
    except ImportError:
        stub = work / "stub"
        stub.mkdir(parents=True, exist_ok=True)
        (stub / "SimpleITK.py").write_text(STUB)
        paths.insert(0, str(stub))
    places["nnUNet_compile"] = "f"  # to compile takes longer than it saves in so few epochs
    return os.environ | places | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def call(code: str, words: list[str], work: Path) -> None:
    """One of nnU-Net's commands. Raises UserError when it fails."""
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment(work), check=False)
    if done.returncode:
        raise UserError(f"nnU-Net failed with exit code {done.returncode}: {' '.join(words)}")


def train_fold(fold: int, work: Path, trainer: str, device: str, tiny: bool) -> Path:
    """Train, or continue, and predict the held-out cases; the folder of their masks."""
    folder = work / "results" / NAME / f"{trainer}__nnUNetPlans__3d_fullres" / f"fold_{fold}"
    if not (folder / "validation" / "summary.json").exists():
        continued = ["--c"] if (folder / "checkpoint_latest.pth").exists() else []
        words = ["1", "3d_fullres", str(fold), "-tr", trainer, "-device", device, *continued]
        call((TINY if tiny else "") + TRAIN, words, work)
    return folder / "validation"


def fold_scores(cases: list[PackedCase], folder: Path) -> list[Scores]:
    """Of the held-out cases' masks, on the patient's grid."""
    from nibabel import Nifti1Image

    files = (Nifti1Image.from_filename(folder / f"{case.name}.nii.gz") for case in cases)
    masks = [np.asarray(file.dataobj).transpose() > 0 for file in files]
    return [score(mask, case.label, case.spacing_mm) for mask, case in zip(masks, cases, strict=True)]


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that nnU-Net writes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="default: %(default)s")
    parser.add_argument("--trainer", default=TRAINER, help="of nnU-Net (default: %(default)s)")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="default: all")
    parser.add_argument("--tiny", action="store_true", help="two steps an epoch, to see that it runs")
    args = parser.parse_args()
    if importlib.util.find_spec("nnunetv2") is None:
        raise UserError("nnunetv2 is not installed here")
    work = args.work.resolve()
    if not (work / "raw" / NAME / "dataset.json").exists():
        write_raw(load_cases(args.data), work / "raw" / NAME)
    if not (work / "preprocessed" / NAME / "splits_final.json").exists():
        call(PLAN, ["-d", "1", "-c", "3d_fullres", "-np", "4", "-npfp", "4", "--no_pbar"], work)
        write_splits(work / "preprocessed" / NAME, folds_of(args.data))
    print(f"| {args.trainer}, fold | cases | Dice | MASD mm | NSD |\n|---|---|---|---|---|")
    for fold in args.folds:
        cases = load_cases(args.data, folds_of(args.data).of(fold)[1])
        mean = mean_scores(fold_scores(cases, train_fold(fold, work, args.trainer, args.device, args.tiny)))
        print(f"| {fold} | {len(cases)} | {mean.dice:.4f} | {mean.masd_mm:.3f} | {mean.nsd:.4f} |", flush=True)


if __name__ == "__main__":
    run(main)
