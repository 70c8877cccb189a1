"""The engines: which one is taken, that they agree, and that no graph runs with weights that are not its own."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import GRID, MASK, arguments, load, random_maps, random_network, save_ensemble, small_maps

from model.errors import UserError
from model.images.case import read_case
from model.inputs.platform import find_inputs
from model.networks import cuda, engines
from model.networks.engines import pick_engine, sooner_on_cpu
from model.networks.graph_engines import OpenvinoEngine
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble, sealed
from model.networks.torch_engine import TorchEngine
from model.segmenter import ENGINES

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE_VOXELS = 10


@pytest.fixture
def folder(random_weights, tmp_path):
    """Two exported networks, for a test to spoil."""
    return shutil.copytree(random_weights, tmp_path / "weights")


@pytest.fixture
def bare(tmp_path):
    """A network that was not exported."""
    return save_ensemble(tmp_path / "bare", random_network(1))


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""

    def remove(*names: str) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))

    return remove


# --- they agree ---


def test_exported_networks_answer_as_torchs(random_weights):
    adc, zadc = random_maps()
    expected = load(random_weights)
    found = load_ensemble(random_weights, OpenvinoEngine())
    assert (found.id, found.groups) == (expected.id, expected.groups)
    for theirs, ours in zip(expected.networks, found.networks, strict=True):
        for shape in ((1, 2, 4, 8, 6), (2, 2, 8, 20, 14)):
            batch = np.random.default_rng(0).normal(-1, 2, shape).astype(np.float32)
            np.testing.assert_allclose(ours(batch), theirs(batch), rtol=0, atol=2e-4)
    a, b = (Predictor(ensemble).probabilities(adc, zadc, GRID.spacing_mm) for ensemble in (expected, found))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def masks(inputs: Path, *picked: object) -> list[np.ndarray]:
    case = read_case(*find_inputs(inputs))
    maps = case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm
    return [Predictor(load_ensemble(IMAGE_WEIGHTS, engine)).mask(*maps) for engine in picked]


def test_phantom_gets_torchs_mask():
    torchs, openvinos = masks(ROOT / "test/case/input", TorchEngine(torch.device("cpu")), OpenvinoEngine())
    assert torchs.sum() > 100
    assert (openvinos != torchs).sum() <= TOLERANCE_VOXELS


def test_real_cases_get_torchs_mask(real_cases):
    for files in real_cases:
        case = read_case(files.adc, files.zadc)
        maps = case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm
        a, b = (
            Predictor(load_ensemble(IMAGE_WEIGHTS, engine)).mask(*maps)
            for engine in (TorchEngine(torch.device("cpu")), OpenvinoEngine())
        )
        assert (a != b).sum() <= TOLERANCE_VOXELS


def test_the_shipped_networks_are_exported():
    for stored in sorted(IMAGE_WEIGHTS.glob("fold*.safetensors")):
        assert stored.with_suffix(".onnx").is_file()


# --- which one ---


def test_without_cuda_the_cpu_engine_is_taken_and_says_so(folder, monkeypatch):
    monkeypatch.setattr(engines, "no_cuda", lambda: "no NVIDIA driver")
    engine, notes = pick_engine("auto", "auto", folder)
    assert (engine.name, engine.device, notes) == (
        "openvino",
        "cpu",
        ["CUDA cannot be used (no NVIDIA driver); using the CPU"],
    )
    assert pick_engine("torch", "auto", folder)[0].name == "torch"
    assert pick_engine("auto", "cpu", folder)[1] == []


@pytest.mark.parametrize(("reason", "words"), [("no NVIDIA driver", []), ("", ["PyTorch is not installed here"])])
def test_without_torch_only_an_idle_gpu_is_worth_a_word(folder, without, monkeypatch, reason, words):
    without("torch")
    monkeypatch.setattr(engines, "no_cuda", lambda: reason)
    engine, notes = pick_engine("auto", "auto", folder)
    assert engine.name == "openvino"
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize(
    ("seconds", "voxels", "said"),
    [
        (11.2, 128 * 128 * 54, "at most 5.2 s on two cores, CUDA took 11.2 s"),  # 0.8 s + 5.0 s * 0.884736
        (5.0, 128 * 128 * 54, ""),
        (11.2, 256 * 256 * 64, ""),  # 0.8 s + 5.0 s * 4.194304
    ],
)
def test_cuda_that_took_longer_than_the_cpu_would_says_so(folder, seconds, voxels, said):
    assert sooner_on_cpu(folder, seconds, voxels).endswith(said)
    assert bool(sooner_on_cpu(folder, seconds, voxels)) == bool(said)
    for graph in folder.glob("*.onnx"):
        graph.unlink()
    assert sooner_on_cpu(folder, seconds, voxels) == ""  # the CPU would have to do with torch


def test_a_driver_that_is_missing_or_has_no_device_is_no_cuda(monkeypatch):
    class Driver:
        cuInit = staticmethod(lambda flags: 100)  # CUDA_ERROR_NO_DEVICE

    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: Driver)
    assert cuda.no_cuda() == "no NVIDIA device, the driver says 100"

    def missing(name: str) -> None:
        raise OSError

    monkeypatch.setattr(cuda.ctypes, "CDLL", missing)
    assert cuda.no_cuda() == "no NVIDIA driver"


@pytest.mark.parametrize("name", ENGINES[1:])
def test_an_engine_that_is_named_is_taken(folder, name):
    engine, notes = pick_engine(name, "cpu", folder)
    assert (engine.name, engine.device, notes) == (name, "cpu", [])


def test_openvino_does_not_go_with_cuda(folder):
    with pytest.raises(UserError, match="--engine openvino: runs on the CPU alone"):
        pick_engine("openvino", "cuda", folder)
    assert pick_engine("openvino", "auto", folder)[0].name == "openvino"


def test_networks_that_were_not_exported_run_on_torch_with_a_note(bare):
    engine, (note,) = pick_engine("auto", "cpu", bare)
    assert engine.name == "torch"
    assert note.startswith("using torch, ")
    assert f"no net0.onnx, python -m training.export {bare} makes it" in note


def test_networks_that_were_not_exported_are_an_error_for_a_named_engine_and_without_torch(bare, without):
    expected = f"{bare / 'net0.onnx'} is missing; where the weights were trained, python -m training.export FOLDER makes it"
    with pytest.raises(UserError, match=expected):
        pick_engine("openvino", "cpu", bare)
    without("torch")
    with pytest.raises(UserError, match=expected):
        pick_engine("auto", "auto", bare)


def test_a_package_that_is_missing_is_named_or_done_without(folder, without):
    without("openvino")
    engine, (note,) = pick_engine("auto", "cpu", folder)
    assert (engine.name, "openvino is not installed" in note) == ("torch", True)
    with pytest.raises(UserError, match="the package openvino is not installed here"):
        pick_engine("openvino", "cpu", folder)


def test_cuda_on_demand_needs_torch(folder, without):
    without("torch")
    with pytest.raises(UserError, match="PyTorch is not installed here"):
        pick_engine("auto", "cuda", folder)


# --- no graph runs with other weights ---


def spoil_byte(folder: Path) -> None:
    data = bytearray((folder / "net1.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "net1.onnx").write_bytes(data)


def swap_graph(folder: Path) -> None:
    (folder / "net1.onnx").write_bytes((folder / "net0.onnx").read_bytes())


def replace_weights(folder: Path) -> None:
    save_ensemble(folder, random_network(3), random_network(4))


def rename(folder: Path) -> None:
    """A pair that belongs together under a name by which its graph does not know its weights."""
    for suffix in (".safetensors", ".json", ".onnx"):
        (folder / f"net1{suffix}").write_bytes((folder / f"net0{suffix}").read_bytes())


def keep_entry(folder: Path) -> None:
    """New weights whose sidecar says that they were exported, as the old ones were."""
    entry = json.loads((folder / "net1.json").read_text())["onnx"]
    replace_weights(folder)
    write(folder, {"onnx": entry})


def other_architecture(folder: Path) -> None:
    sidecar = json.loads((folder / "net1.json").read_text())
    write(folder, {"model": sidecar["model"] | {"adc_scale": 900.0}})


def no_entry(folder: Path) -> None:
    write(folder, {"onnx": None})


def write(folder: Path, changes: dict) -> None:
    path = folder / "net1.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))


@pytest.mark.parametrize(
    "change", [spoil_byte, swap_graph, rename, replace_weights, keep_entry, other_architecture, no_entry]
)
def test_a_graph_of_other_weights_is_refused(folder, change):
    change(folder)
    with pytest.raises(UserError, match=r"net\d.onnx: altered, or not the graph of net\d.safetensors.*training.export"):
        load_ensemble(folder, OpenvinoEngine())
    load(folder)  # torch needs no graph


# --- the whole process ---


@pytest.mark.parametrize(
    ("words", "needed", "unneeded"),
    [
        ([], "openvino", {"torch"}),
        (["--engine", "torch"], "torch", {"openvino", "matplotlib", "torch._dynamo", "torch._inductor"}),
    ],
)
def test_a_run_loads_its_engine_alone(case_tree, tmp_path, rule_weights, words, needed, unneeded):
    words = [*words, "--input", str(case_tree()), "--output", str(tmp_path / "out"), "--weights", str(rule_weights)]
    code = f"import sys, process; process.main({words}); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert done.stderr == ""
    assert {needed, "SimpleITK"} <= set(modules)
    assert not (unneeded | {"monai", "onnx", "scipy", "pydicom", "highdicom", "nibabel", "PIL"}) & set(modules)
    assert (tmp_path / "out" / MASK).is_file()


def test_a_spoilt_graph_ends_with_exit_code_2_and_no_mask(main, case_tree, folder, tmp_path, capfd):
    spoil_byte(folder)
    assert main(arguments(case_tree(*small_maps()), tmp_path / "out", folder)) == 2
    assert capfd.readouterr().err.startswith(f"error: {folder / 'net1.onnx'}: altered, or not the graph")
    assert not (tmp_path / "out" / MASK).exists()


def test_openvino_computes_in_float32_whatever_the_processor_prefers():
    assert OpenvinoEngine()._core.get_property("CPU", "INFERENCE_PRECISION_HINT").to_string() == "f32"
