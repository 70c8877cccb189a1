"""One training run (`training.train`) from packed cases to weights with their sidecar. Read from top to bottom."""

import dataclasses
import json
import math
import platform
import shlex
from collections.abc import Callable
from pathlib import Path

import monai
import numpy as np
import torch
from tqdm import tqdm

from model.errors import UserError
from model.files import only_run, require_writable
from model.networks.config import InferenceConfig, to_json
from model.networks.stored import read_sidecar
from model.networks.torch_engine import save_weights
from training.common.provenance import licence
from training.data.dataset import PackedCase, folds_of_packed, load_cases, require_each_scan_once
from training.data.seen import digests
from training.data.splits import fold_words, patient_of
from training.learning.protocols import PROTOCOLS
from training.learning.train_config import TrainConfig, options
from training.learning.training_loop import Training, final_network, finished, next_epoch, validate
from training.scores.metrics import Scores, mean_scores

INNER_EVERY = 8  # of the training cases, with early stopping


def train(
    config: TrainConfig,
    data: Path,
    folder: Path,
    device: torch.device,
    validate_every: int = 5,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Run or continue the training in `folder`; returns the path of the weights.

    data: folder of packed cases; validate_every: epochs between scores, 0 for none; say: takes a line about each epoch.
    Raises UserError for data, a fold or a run folder that cannot be used, while another process trains in the folder, and
    when the loss is no longer finite.
    """
    protocol = PROTOCOLS[config.protocol]()
    folds = folds_of_packed(data)[0]
    names = dict(zip(("training", "validation"), folds.of(config.fold), strict=True))
    require_writable(folder)
    chosen, inner = hold_out(load_cases(data, names["training"]), config.patience)
    samples, inner_samples = ([protocol.sample(case, device) for case in cases] for cases in (chosen, inner))
    validation = load_cases(data, names["validation"])
    require_each_scan_once([*chosen, *inner, *validation])
    facts = {"model": to_json(protocol.model), "cases": names, "data": digests([*chosen, *inner, *validation])}
    identity = json.loads(json.dumps(dataclasses.asdict(config) | facts))  # tuples become lists, as in a checkpoint
    training = Training(config, protocol, device)
    with only_run(folder):
        checkpoint, path = folder / "checkpoint.pt", folder / f"fold{config.fold}.safetensors"
        if checkpoint.exists():
            training.restore(checkpoint, identity)
        else:
            require_no_other_weights(folder, config)
        done = len(training.history)
        with tqdm(total=config.epochs, initial=done, desc=folder.name, unit="epoch", disable=None) as progress:
            while not finished(training, config):
                entry = next_epoch(training, samples, inner_samples, config, protocol)
                if validate_every and entry["epoch"] % validate_every == 0:
                    entry |= dataclasses.asdict(mean_scores(validate(training.average.module, validation, protocol, device)))
                training.history.append(entry)
                training.save(checkpoint, identity)
                progress.update()
                progress.set_postfix_str(epoch_line(entry, config))
                if say:
                    say(epoch_line(entry, config))
        network = final_network(training)
        scores = validate(network, validation, protocol, device)
        names |= {"inner": [case.name for case in inner]} if inner else {}
        told = {"data": identity["data"], "folds": fold_words(folds.held_out), "data_licence": licence([*chosen, *inner])}
        description = provenance(config, device, names, scores, training.history) | told
        save_weights(path, network, protocol.model, InferenceConfig(), description)
    return path


def require_no_other_weights(folder: Path, config: TrainConfig) -> None:
    """Raise UserError when weights lie in a folder without a checkpoint, other than those of this very configuration."""
    found = sorted(path for path in folder.iterdir() if path.stem in (f"fold{config.fold}", "decision"))
    try:
        known = read_sidecar(folder / f"fold{config.fold}.json")["provenance"]["training"] if found else None
    except (UserError, KeyError, TypeError):
        known = None
    if found and known != json.loads(json.dumps(dataclasses.asdict(config))):
        raise UserError(f"{found[0]}: lies there without the checkpoint of its run, and stays; choose another --run folder")


def hold_out(cases: list[PackedCase], patience: int) -> tuple[list[PackedCase], list[PackedCase]]:
    """(training, inner) cases: with early stopping one training case in INNER_EVERY, by lesion load, is not trained on.

    Nor are other scans of its patient. The published study stopped on the cases it reports; here those have no say. Raises
    UserError where there are too few cases.
    """
    if not patience:
        return cases, []
    ordered = sorted(cases, key=lambda case: (case.lesion_load, case.name))
    patients = {patient_of(case.name) for case in ordered[INNER_EVERY // 2 :: INNER_EVERY]}
    inner = [case for case in ordered if patient_of(case.name) in patients]
    if not 0 < len(inner) < len(cases):
        raise UserError(f"--patience {patience}: {len(cases)} training cases are too few to keep some for early stopping")
    return [case for case in ordered if case not in inner], inner


def epoch_line(entry: dict, config: TrainConfig) -> str:
    """What is worth reading of an epoch, for a log file."""
    dice = f", Dice {entry['dice']:.4f}" if "dice" in entry else ""
    return f"epoch {entry['epoch']} of {config.epochs}: loss {entry['loss']:.4f}{dice}, {entry['seconds']:.1f} s"


def provenance(
    config: TrainConfig, device: torch.device, names: dict[str, list[str]], scores: list[Scores], history: list[dict]
) -> dict:
    """What the sidecar says about how the weights were made. The commits are those that trained, in order."""
    versions = {module.__name__: module.__version__ for module in (torch, monai, np)}
    return {
        "command": shlex.join(["python", "-m", "training.train", *options(config)]),
        "git_commits": list(dict.fromkeys(entry["commit"] for entry in history)),
        "versions": {"python": platform.python_version()} | versions,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "training": dataclasses.asdict(config),
        "seconds": round(sum(entry["seconds"] for entry in history)),
        "cases": names,
        "validation_scores": {name: _as_json(s) for name, s in zip(names["validation"], scores, strict=True)},
        "validation_mean": _as_json(mean_scores(scores)),
    }


def _as_json(scores: Scores) -> dict[str, float | None]:
    """JSON has no NaN: a MASD that does not exist is null."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(scores).items()}
