"""A trained network's graph as ONNX: the graph alone, its weights are the float16 numbers in the .safetensors beside it."""

import functools
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from model.files import whole_file
from model.networks.config import INPUT_CHANNELS
from model.networks.graph_engines import OpenvinoEngine
from model.networks.stored import StoredNetwork, read_networks, read_sidecar, write_sidecar
from model.networks.torch_engine import TorchNetwork, load_module
from training.common.outputs import require_own_file

AXES = {0: "batch", 2: "z", 3: "y", 4: "x"}  # of any size that the network divides
LARGEST_DIFFERENCE = 2e-3  # in logits of about 10, between two ways to add up float32


def export(folder: Path) -> list[Path]:
    """Export every network of a folder; the files written.

    Raises UserError when its weights are not usable, or another file lies where a graph would be.
    """
    networks = read_networks(folder)
    for stored in networks:
        require_own_file(stored.graph_path, functools.partial(_refers_to, stored.path.name), f"a graph of {stored.path}")
    for stored in networks:
        module = load_module(stored)
        graph = with_stored_weights(trace(module, stored), stored).SerializeToString()
        with whole_file(stored.graph_path) as partial:  # beside the weights, which it refers to
            partial.write_bytes(graph)
            require_same_answers(stored, module, partial)
        sidecar = stored.path.with_suffix(".json")
        write_sidecar(sidecar, read_sidecar(sidecar) | {"onnx": stored.graph_entry(graph)})
    return [stored.graph_path for stored in networks]


def _refers_to(weights: str, graph: Path) -> bool:
    """Whether a graph names a file of weights."""
    return weights.encode() in graph.read_bytes()


def trace(module: nn.Module, stored: StoredNetwork) -> onnx.ModelProto:
    """The network as ONNX with free batch and space.

    By tracing: torch's newer exporter takes two minutes a network to reason about sizes that must be multiples.
    """
    example = torch.zeros(2, INPUT_CHANNELS, *(2 * size for size in stored.model.divisor))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and notes what it does with instance normalisation
        path = Path(folder, "network.onnx")
        names: dict[str, Any] = {
            "input_names": ["maps"],
            "output_names": ["logits"],
            "dynamic_axes": {"maps": AXES, "logits": AXES},
        }
        torch.onnx.export(module, (example,), path, dynamo=False, opset_version=18, **names)
        return onnx.load(path)


def with_stored_weights(model: onnx.ModelProto, stored: StoredNetwork) -> onnx.ModelProto:
    """The same graph, with every weight read from the .safetensors as float16 and cast."""
    length = int.from_bytes(stored.data[:8], "little")  # of the header: github.com/huggingface/safetensors
    tensors = json.loads(stored.data[8 : 8 + length])
    casts = []
    for weight in model.graph.initializer:
        start, end = tensors[weight.name]["data_offsets"]
        place = {"location": stored.path.name, "offset": 8 + length + start, "length": end - start}
        casts.append(onnx.helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=onnx.TensorProto.FLOAT))
        weight.CopyFrom(onnx.TensorProto(name=f"{weight.name}.half", dims=weight.dims, data_type=onnx.TensorProto.FLOAT16))
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(n)) for key, n in place.items())
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def require_same_answers(stored: StoredNetwork, module: nn.Module, graph_path: Path) -> None:
    """Raise ValueError unless the graph answers as the network does, on another size than the traced one."""
    size = [n * factor for n, factor in zip(stored.model.divisor, (3, 2, 4), strict=True)]
    batch = np.random.default_rng(0).normal(-1, 2, (1, 2, *size)).astype(np.float32)
    expected, found = TorchNetwork(module, torch.device("cpu"))(batch), OpenvinoEngine().compile(graph_path)(batch)
    if not np.allclose(found, expected, rtol=0, atol=LARGEST_DIFFERENCE):
        raise ValueError(f"{stored.path}: the exported graph answers differently, by {np.abs(found - expected).max():.2g}")
