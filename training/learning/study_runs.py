"""The runs of the study: one network each, trained with one loss, fold and seed, and scored on its held-out cases."""

import dataclasses
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from model.networks.config import to_json
from model.networks.torch_engine import pick_device
from training.data.dataset import PackedCase, load_cases
from training.data.splits import Folds, fold_number, folds_of
from training.learning.protocols import PROTOCOLS
from training.learning.train_config import TrainConfig
from training.learning.training_run import train
from training.scores.case_row import NO_RUN, Prediction, case_row
from training.scores.methods import RULE
from training.scores.rows import Epoch, Row
from training.scores.rule import rule_mask

VALIDATE_EVERY = 10  # epochs between points of the held-out curve
PER_RUN = {"fold", "loss", "seed"}  # fields of TrainConfig that a study varies


@dataclass(frozen=True)
class Job:
    """One run and where its files lie."""

    config: TrainConfig
    data: Path  # packed cases
    folder: Path  # of this run
    device: str = "auto"
    threads: int = 0  # of torch on the CPU; 0: torch's own choice

    @property
    def key(self) -> tuple[str, int, int]:
        """Which run of its protocol it is: (loss, fold, seed)."""
        return self.config.loss, self.config.fold, self.config.seed


def run_job(job: Job) -> tuple[list[Row], list[Epoch], dict[str, str]]:
    """Train, or continue to train, one network and score it on its held-out cases; the last are the digests of its data."""
    if job.threads:
        torch.set_num_threads(job.threads)
    device, _ = pick_device(job.device)
    path = train(job.config, job.data, job.folder, device, VALIDATE_EVERY)
    protocol = PROTOCOLS[job.config.protocol]()
    checkpoint = torch.load(job.folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network = protocol.network().to(device)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    history = checkpoint["history"]
    train_seconds = sum(entry["seconds"] for entry in history)
    facts = {"train_seconds": train_seconds, "epochs": len(history), "machine": machine(device)}
    rows = []
    for case in load_cases(job.data, folds_of(job.data).of(job.config.fold)[1]):
        started = time.perf_counter()
        prediction = protocol.predict(network, case, device)
        seconds = time.perf_counter() - started
        rows.append(case_row(case, prediction, job.key, predict_seconds=seconds, peak_mb=peak_mb(), **facts))
    epochs = [
        Epoch(*job.key, entry["epoch"], entry["loss"], entry.get("dice", math.nan), entry.get("nsd", math.nan))
        for entry in history
    ]
    return rows, epochs, checkpoint["config"]["data"]


def machine(device: torch.device) -> str:
    """What computed it, in a few words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def peak_mb() -> float:
    """The largest resident memory of this process so far; on CUDA the device's memory instead."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one too
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def rule_row(case: PackedCase) -> Row:
    """The rule Z < -2 on one case, which knows its fold."""
    key = (RULE, fold_number(case), -1)
    return case_row(case, Prediction(rule_mask(case.adc, case.zadc)), key, predict_seconds=0.0, **NO_RUN)


def study_configuration(config: TrainConfig, folds: Folds, data: dict[str, str]) -> dict:
    """What all rows of a results file share. data: digests of the cases."""
    shared = {name: value for name, value in dataclasses.asdict(config).items() if name not in PER_RUN}
    names = list(map(list, folds.held_out))
    return {"training": shared, "model": to_json(PROTOCOLS[config.protocol]().model), "folds": names, "data": data}


def run_folder(runs: Path, loss: str, fold: int, seed: int) -> Path:
    """Where a run of a protocol's study lies."""
    return runs / f"{loss}-fold{fold}-seed{seed}"


def finished_runs(rows: list[Row], folds: Folds) -> set[tuple[str, int, int]]:
    """(loss, fold, seed) of the runs that have a row of every case of their fold."""
    cases: dict[tuple[str, int, int], set[str]] = {}
    for row in rows:
        cases.setdefault((row.method, row.fold, row.seed), set()).add(row.case)
    return {key for key, names in cases.items() if key[1] < len(folds) and names >= set(folds.held_out[key[1]])}
