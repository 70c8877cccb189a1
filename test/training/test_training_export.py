"""The export: graphs without weights of their own, written only when they answer as torch does."""

import json

import onnx
import pytest
from inference_helpers import files_below, random_network, save_ensemble

from model.errors import UserError
from training.learning import onnx_graph as module
from training.learning.onnx_graph import export


@pytest.fixture
def folder(tmp_path):
    return save_ensemble(tmp_path / "weights", random_network(1), random_network(2))


def test_graphs_hold_no_weights_and_the_sidecar_gains_one_entry(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert export(folder) == [folder / "net0.onnx", folder / "net1.onnx"]
    for name in ("net0", "net1"):
        graph = onnx.load(folder / f"{name}.onnx", load_external_data=False).graph
        places = [{entry.key: entry.value for entry in weight.external_data} for weight in graph.initializer]
        assert {place["location"] for place in places} == {f"{name}.safetensors"}
        sidecar = json.loads((folder / f"{name}.json").read_text())
        assert sidecar.pop("onnx").keys() == {"sha256", "of"}
        old = json.loads(before[f"{name}.json"])
        assert sidecar.pop("sidecar_sha256") != old.pop("sidecar_sha256")  # over the entry too
        assert sidecar == old
        assert (folder / f"{name}.safetensors").read_bytes() == before[f"{name}.safetensors"]


def test_graphs_of_the_weights_are_replaced_by_the_same_bytes_and_others_stay(folder):
    first = [path.read_bytes() for path in export(folder)]
    assert [path.read_bytes() for path in export(folder)] == first
    (folder / "net1.onnx").write_text("mine")
    before = files_below(folder)
    with pytest.raises(UserError, match=r"net1\.onnx: expected a new file, or a graph of"):
        export(folder)
    assert files_below(folder) == before


def test_a_graph_that_answers_differently_is_not_written(folder, monkeypatch):
    before = files_below(folder)
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(ValueError, match=r"net0.safetensors: the exported graph answers differently"):
        export(folder)
    assert files_below(folder) == before
    assert "onnx" not in json.loads((folder / "net0.json").read_text())
