"""What the networks of the study mark on the invented case of the tests."""

from pathlib import Path

import numpy as np
import torch

from model.images.case import read_case
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
    case, engine, masks = read_case(*find_inputs(folder / "input")), TorchEngine(torch.device("cpu")), {}
    for loss in LOSS_NAMES:
        run = run_folder(runs / "native", loss, 0, 0)
        if any(run.glob("*.safetensors")):
            masks[loss] = segment_canonical(case, Predictor(load_ensemble(run, engine))).mask
    return masks
