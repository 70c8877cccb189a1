"""Weights on disk: round trip, damage, and sidecars that lie. Whatever is wrong ends in one line that names the file."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import TINY, load, random_network, save_ensemble, stump
from safetensors.torch import load_file, save_file

import model
from model.errors import UserError
from model.lesions.candidates import FEATURES
from model.lesions.certainty import Certainty
from model.lesions.decision import Calibration
from model.networks.config import InferenceConfig, ModelConfig, from_json, to_json
from model.networks.stored import IMAGE_WEIGHTS, UPLOADED_WEIGHTS, default_folder, save_decision, sealed
from model.networks.torch_engine import save_weights

RULE = InferenceConfig(max_patch=(8, 16, 32), overlap=0.25, flip_axes=(0, 2), threshold=0.4)  # no default among them
DECISION = stump("z", -1.75, at_most=0.8, above=0.3, calibration=Calibration(-0.25, 0.5, 0.75))
NUMBERS = {"intercept": 0.0, "networks": 1.0, "first_stage": 0.0}
REAL = {"intercept": 0.0, "log10_ml": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_ensemble(tmp_path / "weights", random_network(1), random_network(2), inference=RULE)


@pytest.fixture
def decided(folder: Path) -> Path:
    """The folder of weights with a decision beside them."""
    save_decision(folder, DECISION, {"seed": 7})
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_loaded_is_what_was_saved(folder):
    ensemble = load(folder)
    assert (ensemble.models, ensemble.inference, ensemble.decision) == ([TINY, TINY], RULE, None)
    for seed, network in zip((1, 2), ensemble.networks, strict=True):
        assert not network.module.training
        saved = random_network(seed).state_dict()
        loaded = network.module.state_dict()
        assert saved.keys() == loaded.keys()
        for name, tensor in saved.items():
            assert loaded[name].dtype == torch.float32
            assert torch.equal(loaded[name], tensor), name


def test_decision_that_is_loaded_is_the_one_that_was_saved(decided):
    found = load(decided).decision
    assert (found.features, found.calibration) == (FEATURES, Calibration(-0.25, 0.5, 0.75))
    for name, array in DECISION.trees.arrays().items():
        np.testing.assert_array_equal(found.trees.arrays()[name], array, err_msg=name, strict=True)


def test_sidecars_hold_what_they_were_given(decided):
    save_weights(decided / "deep" / "a.safetensors", random_network(1), TINY, RULE, {"seed": 7, "cases": ["x"]})
    sidecar = json.loads((decided / "deep" / "a.json").read_text())
    assert sidecar.keys() == {"sha256", "model", "inference", "provenance", "sidecar_sha256"}
    assert sidecar["provenance"] == {"seed": 7, "cases": ["x"]}
    assert from_json(ModelConfig, sidecar["model"], "here") == TINY
    assert sorted(path.name for path in (decided / "deep").iterdir()) == ["a.json", "a.safetensors"]
    sidecar = json.loads((decided / "decision.json").read_text())
    assert sidecar.keys() == {"sha256", "features", "calibration", "certainty", "fitted_to", "provenance", "sidecar_sha256"}
    assert sidecar["calibration"] == {"intercept": -0.25, "networks": 0.5, "first_stage": 0.75}
    assert sidecar["provenance"] == {"seed": 7}
    digests = {name: hashlib.sha256((decided / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("net0", "net1")}
    assert sidecar["fitted_to"] == digests


def test_a_seal_is_the_sha256_of_the_other_values_in_order():
    """As `printf '{"a": 2, "b": 1}' | sha256sum` has it."""
    expected = "21501dbaf73f5223934d22283f01caff4132bc1de4a9550c1ed0dffeb397a323"
    assert sealed({"b": 1, "sidecar_sha256": "old", "a": 2}) == {"b": 1, "a": 2, "sidecar_sha256": expected}


def test_identity_tells_networks_order_rules_and_decisions_apart(tmp_path, folder):
    a, b = random_network(1), random_network(2)
    folders = {
        "ab": save_ensemble(tmp_path / "ab", a, b),
        "a": save_ensemble(tmp_path / "a", a),
        "b": save_ensemble(tmp_path / "b", b),
        "rule": save_ensemble(tmp_path / "rule", a, inference=RULE),
    }
    identities = {name: load(folder).id for name, folder in folders.items()}
    assert load(save_ensemble(tmp_path / "again", a, b)).id == identities["ab"]
    sure = dataclasses.replace(DECISION, certainty=Certainty({"chance_real": REAL}))
    for decision in (DECISION, stump("z", -1.5, 0.8, 0.3, DECISION.calibration), stump("z", -1.75, 0.8, 0.3), sure):
        save_decision(folder, decision, {})
        identities[decision] = load(folder).id
    save_decision(folder, DECISION, {"provenance": "does not count"})
    assert load(folder).id == identities[DECISION]
    assert len(set(identities.values())) == len(identities)
    assert all(re.fullmatch("[0-9a-f]{12}", identity) for identity in identities.values())


def test_groups_are_what_the_names_share_up_to_the_first_hyphen(tmp_path):
    for name in ("fold1-tversky", "fold0-dice-focal", "fold0-dice", "lone"):
        save_weights(tmp_path / f"{name}.safetensors", random_network(1), TINY, RULE, {})
    assert load(tmp_path).groups == ("fold0", "fold0", "fold1", "lone")


def test_uploaded_weights_are_preferred(tmp_path):
    assert default_folder(tmp_path / "uploaded") == IMAGE_WEIGHTS == Path(model.__file__).parent / "weights"
    (tmp_path / "uploaded" / "lost+found").mkdir(parents=True)
    assert default_folder(tmp_path / "uploaded") == IMAGE_WEIGHTS
    save_ensemble(tmp_path / "uploaded", random_network(1))
    assert default_folder(tmp_path / "uploaded") == tmp_path / "uploaded"
    assert str(UPLOADED_WEIGHTS) == "/opt/ml/model"


# --- what is wrong: each changes a folder with two networks and a decision ---

Change = Callable[[Path], object]


def removed(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def one_byte(name: str, place: int) -> Change:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[place] ^= 1
        (folder / name).write_bytes(data)

    return change


def content(name: str, data: bytes, *, sealed: bool = False) -> Change:
    """Another file; sealed: with a sidecar that has its checksum."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)
        if sealed:
            edited(name.split(".")[0], lambda sidecar: sidecar.update(sha256=hashlib.sha256(data).hexdigest()))(folder)

    return change


def edited(name: str, change: Callable[[dict], object], seal: Callable[[dict], dict] = sealed) -> Change:
    """A sidecar as a command would have written it that writes something else; sealed by `dict`: by hand."""

    def change_file(folder: Path) -> None:
        path = folder / f"{name}.json"
        sidecar = json.loads(path.read_text())
        change(sidecar)
        path.write_text(json.dumps(seal(sidecar)))

    return change_file


def tensors(name: str, change: Callable[[dict], object]) -> Change:
    """Other tensors, with a sidecar that has the file's checksum."""

    def change_file(folder: Path) -> None:
        path = folder / f"{name}.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        edited(name, lambda sidecar: sidecar.update(sha256=digest))(folder)

    return change_file


def alone(change: Change) -> Change:
    """Without the decision, which was fitted to other weights."""
    return lambda folder: (removed("decision.json", "decision.safetensors")(folder), change(folder))


def saved(name: str) -> Change:
    return lambda folder: save_weights(folder / f"{name}.safetensors", random_network(3), TINY, RULE, {})


def renamed(folder: Path) -> None:
    for kind in ("safetensors", "json"):
        (folder / f"net1.{kind}").rename(folder / f"net0-b.{kind}")  # now of the other's group


ALTERED, UNFIT, OTHERS = "truncated or altered.*", "net0.safetensors: does not fit the arch", "fitted to other weights"
NOT_USABLE = r"decision.safetensors: not usable with decision.json \("
WRONG = [
    *((one_byte(f"{name}.safetensors", 0), f"{name}.safetensors: {ALTERED}{name}.json") for name in ("net1", "decision")),
    (one_byte("net0.safetensors", -1), f"net0.safetensors: {ALTERED}"),
    (edited("net0", lambda sidecar: sidecar["inference"].update(threshold=0.5), dict), "net0.json: altered since it was"),
    (edited("decision", lambda sidecar: sidecar["calibration"].update(intercept=0.5), dict), "decision.json: altered since"),
    *((alone(content("net0.safetensors", data, sealed=True)), UNFIT) for data in (b"", b"\xff" * 64)),
    (content("decision.safetensors", b"\xff" * 64, sealed=True), NOT_USABLE),
    (alone(tensors("net0", lambda found: found.pop("slope"))), UNFIT),
    (alone(tensors("net0", lambda found: found.update(extra=torch.zeros(1)))), UNFIT),
    (edited("net0", lambda sidecar: sidecar.update(model=to_json(ModelConfig()))), UNFIT),
    (removed("net1.json"), r"net1.json: weights cannot be read \(No such file"),
    (removed("decision.json"), r"decision.json: weights cannot be read \(No such file"),
    (removed("decision.safetensors"), r"decision.safetensors: weights cannot be read \(No such file"),
    *((content("net0.json", data), "net0.json: not JSON") for data in (b"{", b"[" * 100_000, b'{"sha256": "\xe9"}')),
    (content("net0.json", b"[1, 2]"), "net0.json: expected a JSON object"),
    (
        edited("net0", lambda sidecar: sidecar["inference"].update(threshold=0.41)),
        "the sidecars disagree on the decision rule",
    ),
    *((edited("net0", lambda sidecar, part=part: sidecar.pop(part)), "net0") for part in ("sha256", "model", "inference")),
    (
        edited("net0", lambda sidecar: sidecar["model"].update(new=sidecar["model"].pop("margin"))),
        "net0.json: .*margin, new",
    ),
    (removed("net1.safetensors", "net1.json"), OTHERS),
    (removed("net0.safetensors", "net0.json", "net1.safetensors", "net1.json"), OTHERS),
    *((saved(name), OTHERS) for name in ("net1", "net2")),
    (renamed, OTHERS),
    (edited("decision", lambda sidecar: sidecar.pop("fitted_to")), OTHERS),
    *(
        (edited("decision", lambda sidecar, name=name, value=value: sidecar.update({name: value})), NOT_USABLE)
        for name, values in {
            "features": (3, list(FEATURES[1:]), [FEATURES[1], FEATURES[0], *FEATURES[2:]]),
            "calibration": (
                1.0,
                {"intercept": 0.0},
                NUMBERS | {"more": 0.0},
                *(NUMBERS | {"networks": number} for number in (math.nan, math.inf)),
                NUMBERS | {"first_stage": 1},
            ),
            "certainty": (0.5, {"chance_real": 0.5}, {"more": REAL}, {"chance_real": REAL | {"log10_ml": math.inf}}),
        }.items()
        for value in values
    ),
    (edited("decision", lambda sidecar: sidecar.pop("calibration")), NOT_USABLE),
    (tensors("decision", lambda found: found.pop("value")), NOT_USABLE),
]


@pytest.mark.parametrize(("change", "reason"), WRONG)
def test_what_is_wrong_is_refused_by_name(decided, change, reason):
    change(decided)
    assert re.match(f"{decided}.*{reason}", refusal(decided))


def test_a_folder_without_weights_or_networks_is_named(folder):
    for path in folder.iterdir():
        path.unlink()
    assert refusal(folder).startswith(f"{folder}: no weights")
    folder.rmdir()
    assert refusal(folder).startswith(f"{folder}: no weights")
    save_decision(folder, DECISION, {})
    assert refusal(folder) == f"{folder}: a lesion decision that asks networks, and no networks beside it"


LIES = {
    "model": {
        "channels": ([4, 6], [0, 6, 8], [4, 6, 9], [4.0, 6, 8], "abc", [[4], 6, 8]),
        "kernel_sizes": ([[1, 3, 3]], [[3, 3], [3, 3, 3], [3, 3, 3]], [[2, 3, 3], [3, 3, 3], [3, 3, 3]]),
        "strides": ([[1, 1, 1]], [[2, 1, 1], [1, 2, 2], [2, 2, 1]], [[1, 1, 1], [1, 2, 2], [0, 2, 1]]),
        "dropout": (2.0, "0"),
        "z_threshold": (math.nan, None),
        "z_slope": (math.inf, 10**400),
        "adc_scale": (0, math.inf),
        "zadc_clip": (0, math.nan),
        "margin": (-1, True),
    },
    "inference": {
        "max_patch": ([8, 16], [0, 0, 0], [3, 5, 7]),
        "overlap": (1.0, -0.5),
        "flip_axes": ([3], [0, 0], 0),
        "threshold": (math.nan, 1, [0.5]),
    },
}


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [(part, field, value) for part, fields in LIES.items() for field, values in fields.items() for value in values],
    ids=lambda value: str(value)[:40],
)
def test_sidecar_that_lies_is_refused(folder, part, field, value):
    edited("net0", lambda sidecar: sidecar[part].update({field: value}))(folder)
    assert refusal(folder).startswith((f"{folder / 'net0.json'}: ", f"{folder / 'net0.safetensors'}: does not fit"))
