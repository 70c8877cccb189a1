"""What the networks of the study mark on the invented case of the tests."""

from pathlib import Path

import numpy as np
import torch

from model.images.case import Case, read_case
from model.inputs.platform import find_inputs
from model.networks.canonical_orientation import segment_canonical
from model.networks.predict import Predictor
from model.networks.stored import load_ensemble
from model.networks.torch_engine import TorchEngine
from training.common.loss_names import LOSS_NAMES
from training.learning.study_runs import run_folder


def masks_by_loss(runs: Path, folder: Path) -> dict[str, np.ndarray]:
    """The mask of every loss that was run, boolean (z, y, x).

    runs: of the study, holds `native/<loss>-fold0-seed0`, each with one network; a loss without is left out.
    folder: holds `input/` in the platform's layout. Raises UserError for weights that cannot be used.
    """
    case = read_case(*find_inputs(folder / "input"))
    masks = {loss: mask_of(run_folder(runs / "native", loss, 0, 0), case) for loss in LOSS_NAMES}
    return {loss: mask for loss, mask in masks.items() if mask is not None}


def mask_of(run: Path, case: Case) -> np.ndarray | None:
    """The mask of one run's network, boolean (z, y, x); None where the run has no weights."""
    if not any(run.glob("*.safetensors")):
        return None
    predictor = Predictor(load_ensemble(run, TorchEngine(torch.device("cpu"))))
    return segment_canonical(case, predictor).mask
