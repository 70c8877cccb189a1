"""A network's weights on disk: `<name>.safetensors` and, beside it, `<name>.json` that says everything about them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from model.config import InferenceConfig, ModelConfig, from_json, to_json
from model.decision import Decision, Trees
from model.errors import UserError
from model.files import whole_file
from model.network import LesionNet

IMAGE_WEIGHTS = Path(__file__).with_name("weights")
DECISION = "decision"  # name of the files that hold the lesion decision
UPLOADED_WEIGHTS = Path("/opt/ml/model")  # where the platform unpacks a model tarball


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks in evaluation mode on the CPU, and how their answers become one mask."""

    networks: list[nn.Module]
    models: list[ModelConfig]
    inference: InferenceConfig
    id: str  # first 12 hexadecimal digits of the SHA-256 over all weight files and configurations
    groups: tuple[str, ...] = ()  # of each network; the answers of one group are averaged first. () for one group each
    decision: Decision | None = None  # without one, probabilities are only compared with `inference.threshold`


def default_folder() -> Path:
    """The uploaded weights where any file was uploaded, usable or not; else the image's own."""
    return UPLOADED_WEIGHTS if any(path.is_file() for path in UPLOADED_WEIGHTS.rglob("*")) else IMAGE_WEIGHTS


def round_to_disk_precision(network: nn.Module) -> None:
    """Round every weight in place to the float16 value that is stored; computation stays float32."""
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})


def save_weights(path: Path, network: nn.Module, model: ModelConfig, inference: InferenceConfig, provenance: dict) -> None:
    """Write `path` (.safetensors, float16) and its JSON sidecar, which holds the file's SHA-256.

    `round_to_disk_precision` makes the network in memory the one on disk; score it after that.
    """
    data = to_safetensors({name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()})
    _save_pair(path, data, {"model": to_json(model), "inference": to_json(inference), "provenance": provenance})


def _save_pair(path: Path, data: bytes, values: dict) -> None:
    sidecar = {"sha256": hashlib.sha256(data).hexdigest(), **values}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(data)
    with whole_file(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")


def load_ensemble(folder: Path, with_decision: bool = True) -> Ensemble:
    """Load every network of a folder and, where there is one, its `decision.safetensors`.

    Networks whose names start alike up to the first hyphen (`fold0-dice.safetensors`) are one group.
    Raises UserError when there is none, a file is missing, altered or does not fit its configuration, or the sidecars
    disagree on how answers are averaged.
    """
    paths = network_files(folder)
    if not paths:
        raise UserError(f"{folder}: no weights, expected .safetensors files each with a .json beside it")
    loaded = [_load(path) for path in paths]
    rules = {inference for _, _, inference, _ in loaded}
    if len(rules) > 1:
        raise UserError(f"{folder}: the sidecars disagree on the decision rule ('inference'), expected one for all")
    decision, digest = None, ""
    if with_decision and any(path.stem == DECISION for path in folder.glob(f"{DECISION}.*")):
        digests = {path.stem: digest[:64] for path, (*_, digest) in zip(paths, loaded, strict=True)}
        decision, digest = _load_decision(folder / f"{DECISION}.safetensors", digests)
    identity = hashlib.sha256("".join([*(digest for *_, digest in loaded), digest]).encode()).hexdigest()[:12]
    groups = tuple(path.stem.split("-")[0] for path in paths)
    return Ensemble([n for n, *_ in loaded], [m for _, m, *_ in loaded], rules.pop(), identity, groups, decision)


def network_files(folder: Path) -> list[Path]:
    """The weight files of a folder's networks, sorted."""
    return sorted(path for path in folder.glob("*.safetensors") if path.stem != DECISION)


def save_decision(folder: Path, decision: Decision, provenance: dict) -> None:
    """Write `decision.safetensors` and its sidecar, which names the networks in the folder: it fits no others."""
    tensors = {name: torch.from_numpy(array) for name, array in decision.trees.arrays().items()}
    values = {
        "features": list(decision.features),
        "empty_above": decision.empty_above,
        "networks": {path.stem: hashlib.sha256(_read(path)).hexdigest() for path in network_files(folder)},
        "provenance": provenance,
    }
    _save_pair(folder / f"{DECISION}.safetensors", to_safetensors(tensors), values)


def _load_decision(path: Path, networks: dict[str, str]) -> tuple[Decision, str]:
    """networks: SHA-256 by name of those beside it. Raises UserError when it was fitted to others, too."""
    data, digest, sidecar = _read_pair(path)
    if sidecar.get("networks") != networks:
        raise UserError(f"{path}: fitted to other networks than the ones beside it; fit it with python -m training.crossval")
    try:
        trees = Trees(**{name: tensor.numpy() for name, tensor in parse_safetensors(data).items()})
        if type(sidecar["features"]) is not list or type(sidecar["empty_above"]) not in (int, float):
            raise ValueError("features must be a list, empty_above a number")
        decision = Decision(trees, tuple(sidecar["features"]), float(sidecar["empty_above"]))
    except (SafetensorError, OverflowError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not usable with {path.stem}.json ({' '.join(str(error).split())})") from None
    return decision, digest + json.dumps([decision.features, decision.empty_above])


def _load(path: Path) -> tuple[nn.Module, ModelConfig, InferenceConfig, str]:
    data, digest, sidecar = _read_pair(path)
    source = str(path.with_suffix(".json"))
    model = from_json(ModelConfig, sidecar.get("model"), source)
    inference = from_json(InferenceConfig, sidecar.get("inference"), source)
    if any(size % divisor for size, divisor in zip(inference.max_patch, model.divisor, strict=True)):
        raise UserError(
            f"{source}: max_patch {inference.max_patch} is no multiple of {model.divisor}, the network needs that"
        )
    try:
        with torch.device("meta"):  # shapes only: a sidecar that lies allocates nothing, and a true one loads faster
            network = LesionNet(model)
        tensors = {name: tensor.float() for name, tensor in parse_safetensors(data).items()}
        network.load_state_dict(tensors, strict=True, assign=True)
    except (SafetensorError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: does not fit the architecture in {path.stem}.json ({reason})") from None
    configuration = json.dumps([to_json(model), to_json(inference)], sort_keys=True)
    return network.eval(), model, inference, digest + configuration


def _read_pair(path: Path) -> tuple[bytes, str, dict]:
    """A file, its SHA-256 and its sidecar. Raises UserError when the two do not belong together."""
    sidecar = read_sidecar(path.with_suffix(".json"))
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sidecar.get("sha256"):
        raise UserError(f"{path}: truncated or altered, its SHA-256 is not the one in {path.stem}.json")
    return data, digest, sidecar


def read_sidecar(path: Path) -> dict:
    """The JSON beside a weight file. Raises UserError when it cannot be read or is no JSON object."""
    try:
        sidecar = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(sidecar, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(sidecar).__name__}")
    return sidecar


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: weights cannot be read ({error.strerror})") from None
