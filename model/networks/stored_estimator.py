"""The trees that estimate Z on disk, the atlas that they ask, and the lesion decision for their estimates; see `stored`."""

import hashlib
from pathlib import Path

from safetensors.numpy import save as to_safetensors

from model.errors import UserError
from model.lesions.atlas import Atlas
from model.lesions.decision import Decision
from model.lesions.estimate import ZEstimator
from model.lesions.trees import Trees
from model.networks.stored import ATLAS, DECISION, ESTIMATE, ZMAP, load_decision, read_arrays, save_pair


def zmap_folder(folder: Path) -> Path:
    """Where the trees that estimate Z lie. Raises UserError when a folder of weights has none."""
    if not (folder / ZMAP / f"{ESTIMATE}.safetensors").is_file():
        missing = f"no {ESTIMATE}.safetensors; `python -m training.zmap --ship` makes it"
        raise UserError(f"--estimate-z: {folder / ZMAP}: these weights cannot estimate a Z map, {missing}")
    return folder / ZMAP


def load_estimator(folder: Path) -> tuple[ZEstimator, Decision, str]:
    """The trees that estimate Z, the lesion decision that was fitted to their estimates, and all files' SHA-256 as an id.

    With the atlas that the trees ask, where one lies in the folder.
    Raises UserError when a file is missing, altered, or does not fit the others.
    """
    digests, atlas = {}, None
    if any(folder.glob(f"{ATLAS}.*")):
        path = folder / f"{ATLAS}.safetensors"
        atlas, digests[ATLAS] = read_arrays(path, lambda arrays, _: Atlas.of_arrays(**arrays))
    estimator, digests[ESTIMATE] = read_arrays(
        folder / f"{ESTIMATE}.safetensors",
        lambda arrays, sidecar: ZEstimator(Trees(**arrays), tuple(sidecar["features"]), atlas),
    )
    decision, fitted = load_decision(folder / f"{DECISION}.safetensors", digests)
    return estimator, decision, hashlib.sha256(("".join(digests.values()) + fitted).encode()).hexdigest()[:12]


def save_estimator(folder: Path, estimator: ZEstimator, provenance: dict) -> Path:
    """Write the trees that estimate Z, their atlas if they ask one, and sidecars; their decision goes beside them."""
    if estimator.atlas:
        save_pair(folder / f"{ATLAS}.safetensors", to_safetensors(estimator.atlas.arrays()), {"provenance": provenance})
    path = folder / f"{ESTIMATE}.safetensors"
    save_pair(
        path, to_safetensors(estimator.trees.arrays()), {"features": list(estimator.features), "provenance": provenance}
    )
    return path
