"""A network's weights on disk: `<name>.safetensors` and, beside it, `<name>.json` that says everything about them.

Where it was exported, `<name>.onnx` has its graph, which takes the weights from the .safetensors: there is one copy of them.
Nothing here needs torch: what makes a network of the files is an engine (`model.networks.engines`).
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as to_safetensors

from model.errors import UserError, one_line
from model.files import whole_file
from model.lesions.certainty import Certainty
from model.lesions.decision import Calibration, Decision
from model.lesions.trees import Trees
from model.networks.config import InferenceConfig, ModelConfig, from_json, to_json
from model.networks.windows import Network

IMAGE_WEIGHTS = Path(__file__).parents[1] / "weights"
EXPORT = "python -m training.export"  # the command that makes the .onnx files of a folder
SEAL = "sidecar_sha256"
DECISION = "decision"  # name of the files that hold the lesion decision
ZMAP = "zmap"  # folder, beside the networks, of the trees that estimate Z and of the lesion decision for such estimates
ATLAS = "atlas"  # likewise, of those that ask an atlas too; and the name of its files there
ESTIMATE = "estimate"  # name of the files, in these folders, of the trees that estimate Z
UPLOADED_WEIGHTS = Path("/opt/ml/model")  # where the platform unpacks a model tarball


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """One network's files: read whole, and found to belong together."""

    path: Path  # of the .safetensors
    data: bytes
    sha256: str  # of `data`
    model: ModelConfig
    inference: InferenceConfig
    exported: dict  # the sidecar's entry on the .onnx; empty without one

    @property
    def graph_path(self) -> Path:
        """Where the exported network lies, if it was exported."""
        return self.path.with_suffix(".onnx")

    @property
    def digest(self) -> str:
        """Of the weights and the configuration."""
        return self.sha256 + json.dumps([to_json(self.model), to_json(self.inference)], sort_keys=True)

    def graph_entry(self, graph: bytes) -> dict:
        """The sidecar's entry on an .onnx: its SHA-256, and of which weights and architecture it is the graph.

        The name counts, since the graph reads the weights from the file of that name.
        """
        source = self.path.name + self.sha256 + json.dumps(to_json(self.model), sort_keys=True)
        return {"sha256": hashlib.sha256(graph).hexdigest(), "of": hashlib.sha256(source.encode()).hexdigest()}

    def require_graph(self) -> None:
        """Raise UserError unless the .onnx is there, whole, and the graph of these very weights."""
        graph = read_bytes(self.graph_path)
        if self.graph_entry(graph) != self.exported:
            raise UserError(
                f"{self.graph_path}: altered, or not the graph of {self.path.name} as {self.path.stem}.json has it;"
                f" make it anew with {EXPORT} {self.path.parent}"
            )


class Engine(Protocol):
    """What computes: makes a network that can be asked of one's files."""

    name: str
    device: str

    def load(self, stored: StoredNetwork) -> Network:
        """Raises UserError when the files do not fit."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks that can be asked, and how their answers become one mask."""

    networks: Sequence[Network]
    models: Sequence[ModelConfig]
    inference: InferenceConfig
    # first 12 hexadecimal digits of the SHA-256 over all weight files and configurations; then, say, -1of5 for one network
    id: str
    groups: tuple[str, ...] = ()  # of each network; the answers of one group are averaged first. () for one group each
    decision: Decision | None = None  # without one, probabilities are only compared with `inference.threshold`
    engine: str = "torch"
    device: str = "cpu"


def default_folder(uploaded: Path = UPLOADED_WEIGHTS) -> Path:
    """The uploaded weights where any file was uploaded, usable or not; else the image's own."""
    return uploaded if any(path.is_file() for path in uploaded.rglob("*")) else IMAGE_WEIGHTS


def save_pair(path: Path, data: bytes, values: dict) -> None:
    """Write a file and its sidecar, `values` and the file's SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(data)
    write_sidecar(path.with_suffix(".json"), {"sha256": hashlib.sha256(data).hexdigest(), **values})


def write_sidecar(path: Path, values: dict) -> None:
    """Write the JSON beside a weight file, sealed, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(sealed(values), indent=1) + "\n", encoding="utf-8")


def sealed(values: dict) -> dict:
    """A sidecar's values with SEAL, the SHA-256 over all others, which shows damage and edits by hand."""
    others = {name: value for name, value in values.items() if name != SEAL}
    return others | {SEAL: hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()}


def load_ensemble(folder: Path, engine: Engine | None, with_decision: bool = True, networks: int | None = None) -> Ensemble:
    """Load the networks of a folder and, where there is one, its `decision.safetensors`.

    Networks whose names start alike up to the first hyphen (`fold0-dice.safetensors`) are one group. A folder may hold a
    decision that asks no network, and none.
    networks: how many are loaded, the first ones, which the id says; by default all. engine: without one none is loaded.
    Raises UserError when there is nothing, a file is missing, altered or does not fit its configuration, the sidecars
    disagree on how answers are averaged, or the decision was not fitted to so many networks.
    """
    if with_decision and not network_files(folder) and (folder / f"{DECISION}.safetensors").exists():
        if networks:
            raise UserError(f"--networks {networks}: {folder} has none")
        alone, digest = load_decision(folder / f"{DECISION}.safetensors", {})
        if alone.calibration.networks != 0:
            raise UserError(f"{folder}: a lesion decision that asks networks, and no networks beside it")
        return trees_alone(alone, _identity(digest))
    stored = read_networks(folder)
    rules = {network.inference for network in stored}
    if len(rules) > 1:
        raise UserError(f"{folder}: the sidecars disagree on the decision rule ('inference'), expected one for all")
    decision, digest = None, ""
    if with_decision and any(path.stem == DECISION for path in folder.glob(f"{DECISION}.*")):
        digests = {network.path.stem: network.sha256 for network in stored}
        decision, digest = load_decision(folder / f"{DECISION}.safetensors", digests)
    identity = _identity(*(network.digest for network in stored), digest)
    groups = tuple(network.path.stem.split("-")[0] for network in stored)
    if not engine:
        networks = 0
    if networks is not None:
        decision = _decision_for(networks, groups, decision, folder)
        identity += f"-{networks}of{len(groups)}" if networks < len(groups) else ""
    if not engine:
        return trees_alone(decision, identity)
    members, models = [engine.load(one) for one in stored[:networks]], [one.model for one in stored[:networks]]
    return Ensemble(members, models, rules.pop(), identity, groups[:networks], decision, engine.name, engine.device)


def _decision_for(networks: int, groups: Sequence[str], decision: Decision | None, folder: Path) -> Decision | None:
    """The decision where only so many networks are asked. Raises UserError where none was fitted for that.

    The calibration was fitted to the answers of one group about each case, so it suits any number of whole groups.
    """
    if networks > len(groups):
        raise UserError(f"--networks {networks}: {folder} has {len(groups)}")
    if networks == 0 and not (decision and decision.trees_alone):
        raise UserError(f"--networks 0: {folder} has no trees that were calibrated without networks (docs/train.md)")
    if decision and len(set(groups)) < len(groups) > networks > 0:
        raise UserError(f"--networks {networks}: the decision in {folder} was fitted to several networks at a time")
    return decision.trees_alone if decision and networks == 0 else decision


def trees_alone(decision: Decision | None, identity: str) -> Ensemble:
    """An ensemble without networks: the trees of the decision, where there is one, say everything."""
    return Ensemble((), (), InferenceConfig(), identity, (), decision, engine="numpy", device="cpu")


def _identity(*digests: str) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


Read = TypeVar("Read")


def read_arrays(path: Path, make: Callable[[dict[str, np.ndarray], dict], Read]) -> tuple[Read, str]:
    """What is made of a file's arrays and its sidecar, and the file's SHA-256. Raises UserError."""
    data, digest, sidecar = _read_pair(path)
    try:
        return make(parse_safetensors(data), sidecar), digest
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not usable with {path.stem}.json ({one_line(error)})") from None


def read_networks(folder: Path) -> list[StoredNetwork]:
    """The files of a folder's networks. Raises UserError as `load_ensemble` does."""
    paths = network_files(folder)
    if not paths:
        raise UserError(f"{folder}: no weights, expected .safetensors files each with a .json beside it")
    return [_read_network(path) for path in paths]


def network_files(folder: Path) -> list[Path]:
    """The weight files of a folder's networks, sorted."""
    return sorted(path for path in folder.glob("*.safetensors") if path.stem != DECISION)


def save_decision(folder: Path, decision: Decision, provenance: dict) -> None:
    """Write `decision.safetensors` and its sidecar, which names what it was fitted to: the networks or estimator there."""
    values = {
        "features": list(decision.features),
        **_fitted(decision),
        "fitted_to": {path.stem: hashlib.sha256(read_bytes(path)).hexdigest() for path in network_files(folder)},
        "provenance": provenance,
    }
    save_pair(folder / f"{DECISION}.safetensors", to_safetensors(decision.trees.arrays()), values)


def load_decision(path: Path, beside: dict[str, str]) -> tuple[Decision, str]:
    """beside: SHA-256 by name of the networks or the estimator there. Raises UserError when it was fitted to others, too."""

    def make(arrays: dict[str, np.ndarray], sidecar: dict) -> Decision:
        if sidecar.get("fitted_to") != beside:
            raise UserError(f"{path}: fitted to other weights than the ones beside it; fit it anew (docs/train.md)")
        return _decision_of(Trees(**arrays), tuple(sidecar["features"]), sidecar)

    decision, digest = read_arrays(path, make)
    return decision, digest + json.dumps([decision.features, *_fitted(decision).values()], sort_keys=True)


def _fitted(decision: Decision) -> dict:
    """What a sidecar says of a decision beside its trees and their features."""
    values = {"calibration": dataclasses.asdict(decision.calibration), "certainty": decision.certainty.coefficients}
    return values | ({"trees_alone": _fitted(decision.trees_alone)} if decision.trees_alone else {})


def _decision_of(trees: Trees, features: tuple[str, ...], values: dict) -> Decision:
    """From what `_fitted` wrote. Raises AttributeError, KeyError, TypeError or ValueError for anything else."""
    if values["calibration"].keys() != {field.name for field in dataclasses.fields(Calibration)}:
        raise ValueError("calibration has missing or unknown fields")
    alone = values.get("trees_alone")
    beside = None if alone is None else _decision_of(trees, features, alone)
    return Decision(trees, features, Calibration(**values["calibration"]), Certainty(values["certainty"]), beside)


def _read_network(path: Path) -> StoredNetwork:
    data, digest, sidecar = _read_pair(path)
    source = str(path.with_suffix(".json"))
    model = from_json(ModelConfig, sidecar.get("model"), source)
    inference = from_json(InferenceConfig, sidecar.get("inference"), source)
    if any(size % divisor for size, divisor in zip(inference.max_patch, model.divisor, strict=True)):
        raise UserError(
            f"{source}: max_patch {inference.max_patch} is no multiple of {model.divisor}, the network needs that"
        )
    return StoredNetwork(path, data, digest, model, inference, sidecar.get("onnx", {}))


def _read_pair(path: Path) -> tuple[bytes, str, dict]:
    """A file, its SHA-256 and its sidecar. Raises UserError when the two do not belong together."""
    sidecar = read_sidecar(path.with_suffix(".json"))
    data = read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sidecar.get("sha256"):
        raise UserError(f"{path}: truncated or altered, its SHA-256 is not the one in {path.stem}.json")
    return data, digest, sidecar


def read_sidecar(path: Path) -> dict:
    """The JSON beside a weight file.

    Raises UserError when it cannot be read, is no JSON object, has no seal or was altered since it was written.
    """
    try:
        sidecar = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(sidecar, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(sidecar).__name__}")
    if sealed(sidecar) != sidecar:
        raise UserError(f"{path}: altered since it was written or of an earlier version, its values do not fit its {SEAL}")
    return sidecar


def read_bytes(path: Path) -> bytes:
    """Raises UserError when the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: weights cannot be read ({error.strerror})") from None
