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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_ensemble(tmp_path / "weights", random_network(1), random_network(2), inference=RULE)


DECISION = stump("z", -1.75, at_most=0.8, above=0.3, calibration=Calibration(-0.25, 0.5, 0.75))


@pytest.fixture
def decided(folder: Path) -> Path:
    """The folder of weights with a decision beside them."""
    save_decision(folder, DECISION, {"seed": 7})
    return folder


def edit(folder: Path, change: Callable[[dict], object], name: str = "net0") -> None:
    """Change a sidecar, as a command that wrote something else would have."""
    path = folder / f"{name}.json"
    sidecar = json.loads(path.read_text())
    change(sidecar)
    path.write_text(json.dumps(sealed(sidecar)))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_loaded_is_what_was_saved(folder):
    ensemble = load(folder)
    assert ensemble.models == [TINY, TINY]
    assert ensemble.inference == RULE
    for seed, network in zip((1, 2), ensemble.networks, strict=True):
        assert not network.module.training
        saved = random_network(seed).state_dict()
        loaded = network.module.state_dict()
        assert saved.keys() == loaded.keys()
        for name, tensor in saved.items():
            assert loaded[name].dtype == torch.float32
            assert torch.equal(loaded[name], tensor), name
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 8, 6)).astype(np.float32)
    with torch.inference_mode():
        expected = random_network(1)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(ensemble.networks[0](x), expected)


def test_sidecar_holds_what_it_was_given(tmp_path):
    save_weights(tmp_path / "deep" / "a.safetensors", random_network(1), TINY, RULE, {"seed": 7, "cases": ["x"]})
    sidecar = json.loads((tmp_path / "deep" / "a.json").read_text())
    assert sidecar.keys() == {"sha256", "model", "inference", "provenance", "sidecar_sha256"}
    assert sidecar["provenance"] == {"seed": 7, "cases": ["x"]}
    assert from_json(ModelConfig, sidecar["model"], "here") == TINY
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["a.json", "a.safetensors"]


def test_identity_tells_networks_order_and_rules_apart(tmp_path):
    a, b = random_network(1), random_network(2)
    folders = {
        "ab": save_ensemble(tmp_path / "ab", a, b),
        "a": save_ensemble(tmp_path / "a", a),
        "b": save_ensemble(tmp_path / "b", b),
        "rule": save_ensemble(tmp_path / "rule", a, inference=RULE),
    }
    identities = {name: load(folder).id for name, folder in folders.items()}
    assert len(set(identities.values())) == len(folders)
    assert all(re.fullmatch("[0-9a-f]{12}", identity) for identity in identities.values())
    assert load(save_ensemble(tmp_path / "again", a, b)).id == identities["ab"]


@pytest.mark.parametrize("name", ["net1", "decision"])
@pytest.mark.parametrize("place", [0, -1])
def test_one_altered_byte_is_noticed(decided, name, place):
    path = decided / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert re.match(f"{path}: truncated or altered.*{name}.json", refusal(decided))


def test_a_seal_is_the_sha256_of_the_other_values_in_order():
    """As `printf '{"a": 2, "b": 1}' | sha256sum` has it."""
    expected = "21501dbaf73f5223934d22283f01caff4132bc1de4a9550c1ed0dffeb397a323"
    assert sealed({"b": 1, "sidecar_sha256": "old", "a": 2}) == {"b": 1, "a": 2, "sidecar_sha256": expected}


@pytest.mark.parametrize(
    ("name", "part", "field"),
    [("net0", "inference", "threshold"), ("decision", "calibration", "intercept")],
)
def test_a_sidecar_that_was_edited_by_hand_is_refused(decided, name, part, field):
    path = decided / f"{name}.json"
    sidecar = json.loads(path.read_text())
    sidecar[part][field] += 0.125
    path.write_text(json.dumps(sidecar, indent=1))
    assert refusal(decided).startswith(f"{path}: altered since it was written")


@pytest.mark.parametrize(("name", "reason"), [("net0", "does not fit"), ("decision", "not usable with decision.json (")])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64], ids=["empty", "other"])
def test_file_that_fits_its_checksum_and_is_no_weights_is_refused(folder, name, reason, content):
    if name == "decision":
        save_decision(folder, DECISION, {})
    path = folder / f"{name}.safetensors"
    path.write_bytes(content)
    edit(folder, lambda sidecar: sidecar.update(sha256=hashlib.sha256(content).hexdigest()), name)
    assert refusal(folder).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("change", [lambda t: t.pop("slope"), lambda t: t.update(extra=t["slope"].clone())])
def test_file_with_a_tensor_too_few_or_too_many_is_refused(folder, change):
    tensors = load_file(folder / "net0.safetensors")
    change(tensors)
    save_file(tensors, folder / "net0.safetensors")
    digest = hashlib.sha256((folder / "net0.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda sidecar: sidecar.update(sha256=digest))
    assert refusal(folder).startswith(f"{folder / 'net0.safetensors'}: does not fit")


def test_missing_weights_are_named(folder):
    (folder / "net1.json").unlink()
    assert refusal(folder).startswith(f"{folder / 'net1.json'}: weights cannot be read (No such file")
    for path in folder.iterdir():
        path.unlink()
    assert refusal(folder).startswith(f"{folder}: no weights")
    folder.rmdir()
    assert refusal(folder).startswith(f"{folder}: no weights")


@pytest.mark.parametrize("data", [b"{", b"[1, 2]", b"[" * 100_000, b'{"sha256": "\xe9"}'])
def test_sidecar_that_is_no_json_object_is_refused(folder, data):
    (folder / "net0.json").write_bytes(data)
    assert refusal(folder).startswith(f"{folder / 'net0.json'}: ")


def test_rules_that_disagree_are_refused(folder):
    edit(folder, lambda sidecar: sidecar["inference"].update(threshold=0.41))
    assert refusal(folder).startswith(f"{folder}: the sidecars disagree on the decision rule")


def test_weights_of_another_architecture_are_refused(folder):
    edit(folder, lambda sidecar: sidecar.update(model=to_json(ModelConfig())))
    assert re.match(f"{folder / 'net0.safetensors'}: does not fit the architecture in net0.json", refusal(folder))


@pytest.mark.parametrize("part", ["sha256", "model", "inference"])
@pytest.mark.parametrize("value", [None, "text", {"a": 1}])
def test_sidecar_without_one_of_its_parts_is_refused(folder, part, value):
    edit(folder, lambda sidecar: sidecar.pop(part) if value is None else sidecar.update({part: value}))
    assert "net0" in refusal(folder)


@pytest.mark.parametrize("part", ["model", "inference"])
def test_missing_and_unknown_fields_are_named(folder, part):
    name = next(iter(json.loads((folder / "net0.json").read_text())[part]))
    edit(folder, lambda sidecar: sidecar[part].update(surprise=sidecar[part].pop(name)))
    text = refusal(folder)
    assert text.startswith(f"{folder / 'net0.json'}: ")
    assert name in text
    assert "surprise" in text


LIES = {
    "model": {
        "channels": ([4, 6], [0, 6, 8], [4, 6, 9], [4.0, 6, 8], "abc", [[4], 6, 8]),
        "kernel_sizes": ([[1, 3, 3]], [[3, 3], [3, 3, 3], [3, 3, 3]], [[2, 3, 3], [3, 3, 3], [3, 3, 3]]),
        "strides": (
            [[1, 1, 1], [1, 2, 2]],
            [[1, 1, 1, 1], [1, 2, 2], [2, 2, 1]],
            [[2, 1, 1], [1, 2, 2], [2, 2, 1]],
            [[1, 1, 1], [1, 2, 2], [0, 2, 1]],
        ),
        "dropout": (2.0, "0"),
        "z_threshold": (math.nan, None),
        "z_slope": (math.inf,),
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
    edit(folder, lambda sidecar: sidecar[part].update({field: value}))
    assert refusal(folder).startswith((f"{folder / 'net0.json'}: ", f"{folder / 'net0.safetensors'}: does not fit"))


def test_uploaded_weights_are_preferred(tmp_path):
    assert default_folder(tmp_path / "uploaded") == IMAGE_WEIGHTS == Path(model.__file__).parent / "weights"
    (tmp_path / "uploaded" / "lost+found").mkdir(parents=True)
    assert default_folder(tmp_path / "uploaded") == IMAGE_WEIGHTS
    save_ensemble(tmp_path / "uploaded", random_network(1))
    assert default_folder(tmp_path / "uploaded") == tmp_path / "uploaded"
    assert str(UPLOADED_WEIGHTS) == "/opt/ml/model"


def test_decision_that_is_loaded_is_the_one_that_was_saved(decided):
    ensemble = load(decided)
    assert len(ensemble.networks) == 2
    assert (ensemble.decision.features, ensemble.decision.calibration) == (FEATURES, Calibration(-0.25, 0.5, 0.75))
    for name, array in DECISION.trees.arrays().items():
        loaded = ensemble.decision.trees.arrays()[name]
        assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(loaded, array, err_msg=name)
    rows = np.random.default_rng(0).normal(-2, 2, (50, len(FEATURES))).astype(np.float32)
    expected = np.where(rows[:, FEATURES.index("z")] <= -1.75, np.log(0.8 / 0.2), np.log(0.3 / 0.7))
    np.testing.assert_allclose(ensemble.decision.trees.answers(rows), expected, rtol=0, atol=1e-12)


def test_decisions_sidecar_holds_what_it_was_given(decided):
    sidecar = json.loads((decided / "decision.json").read_text())
    assert sidecar.keys() == {"sha256", "features", "calibration", "certainty", "fitted_to", "provenance", "sidecar_sha256"}
    assert sidecar["calibration"] == {"intercept": -0.25, "networks": 0.5, "first_stage": 0.75}
    assert sidecar["provenance"] == {"seed": 7}
    digests = {name: hashlib.sha256((decided / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("net0", "net1")}
    assert sidecar["fitted_to"] == digests


def remove(folder: Path) -> None:
    for kind in ("safetensors", "json"):
        (folder / f"net1.{kind}").unlink()


def replace(folder: Path) -> None:
    save_weights(folder / "net1.safetensors", random_network(3), TINY, RULE, {})


def add(folder: Path) -> None:
    save_weights(folder / "net2.safetensors", random_network(3), TINY, RULE, {})


def rename(folder: Path) -> None:
    for kind in ("safetensors", "json"):
        (folder / f"net1.{kind}").rename(folder / f"net0-b.{kind}")  # now of the other's group


def forget(folder: Path) -> None:
    edit(folder, lambda sidecar: sidecar.pop("fitted_to"), "decision")


@pytest.mark.parametrize("change", [remove, replace, add, rename, forget])
def test_decision_of_other_networks_is_refused(decided, change):
    change(decided)
    assert refusal(decided).startswith(f"{decided / 'decision.safetensors'}: fitted to other weights")


def test_groups_are_what_the_names_share_up_to_the_first_hyphen(tmp_path):
    for name in ("fold1-tversky", "fold0-dice-focal", "fold0-dice", "lone"):
        save_weights(tmp_path / f"{name}.safetensors", random_network(1), TINY, RULE, {})
    assert load(tmp_path).groups == ("fold0", "fold0", "fold1", "lone")


def test_identity_changes_with_the_decision(folder):
    identities = [load(folder).id]
    sure = dataclasses.replace(DECISION, certainty=Certainty({"chance_real": REAL}))
    for decision in (DECISION, stump("z", -1.5, 0.8, 0.3, DECISION.calibration), stump("z", -1.75, 0.8, 0.3), sure):
        save_decision(folder, decision, {})
        identities.append(load(folder).id)
    assert len(set(identities)) == 5
    save_decision(folder, DECISION, {"provenance": "does not count"})
    assert load(folder).id == identities[1]


@pytest.mark.parametrize("missing", ["decision.json", "decision.safetensors"])
def test_half_a_decision_is_refused(decided, missing):
    (decided / missing).unlink()
    assert refusal(decided).startswith(f"{decided / missing}: weights cannot be read (No such file")


NUMBERS = {"intercept": 0.0, "networks": 1.0, "first_stage": 0.0}
REAL = {"intercept": 0.0, "log10_ml": 1.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("features", value) for value in (None, 3, list(FEATURES[1:]), [FEATURES[1], FEATURES[0], *FEATURES[2:]])),
        *(("calibration", value) for value in (None, 1.0, {"intercept": 0.0}, NUMBERS | {"more": 0.0})),
        *(("calibration", NUMBERS | {"networks": value}) for value in (True, math.nan)),
        *(("certainty", value) for value in (0.5, {"chance_real": 0.5}, {"more": REAL}, {"chance_real": {}})),
        *(("certainty", {"chance_real": REAL | {"log10_ml": value}}) for value in ("1", math.inf)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_decision_whose_sidecar_says_something_else_is_refused(decided, name, value):
    edit(decided, lambda sidecar: sidecar.pop(name) if value is None else sidecar.update({name: value}), "decision")
    assert refusal(decided).startswith(f"{decided / 'decision.safetensors'}: not usable with decision.json (")
