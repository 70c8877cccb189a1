"""The engines: which one is taken, that they agree, and that no graph runs with weights that are not its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from inference_helpers import CPU, GRID, MASK, arguments, load, random_maps, random_network, save_ensemble, stump

from model.errors import UserError
from model.images.case import read_case
from model.inputs.platform import find_scan
from model.networks import cuda
from model.networks.engines import pick_engine
from model.networks.graph_engines import OpenvinoEngine
from model.networks.predict import Predictor
from model.networks.stored import IMAGE_WEIGHTS, load_ensemble, read_sidecar, save_decision, write_sidecar
from model.networks.torch_engine import TorchEngine, pick_device
from model.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE_VOXELS = 10
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")


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
    """Makes a package look as if it were not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def driver(monkeypatch):
    """Puts an NVIDIA driver with so many devices in the place of this machine's; None for no driver."""

    def put(devices: int | None) -> None:
        def count(result) -> int:
            result._obj.value = devices
            return 0

        library = SimpleNamespace(cuInit=lambda flags: 0 if devices else 100, cuDeviceGetCount=count)  # 100: NO_DEVICE
        failure = OSError if devices is None else None
        monkeypatch.setattr(cuda.ctypes, "CDLL", Mock(return_value=library, side_effect=failure))

    return put


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
    a, b = (Predictor(ensemble).segment(adc, zadc, GRID.spacing_mm).probabilities for ensemble in (expected, found))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def require_same_mask(*paths: Path, networks: int | None = None) -> None:
    """Of both engines, with the weights that come along."""
    case = read_case(*paths)
    ensembles = [load_ensemble(IMAGE_WEIGHTS, engine, networks=networks) for engine in (TorchEngine(CPU), OpenvinoEngine())]
    a, b = (Predictor(one).mask(case.adc.voxels, case.zadc.voxels, case.grid.spacing_mm) for one in ensembles)
    assert a.any()
    assert (a != b).sum() <= TOLERANCE_VOXELS


def test_phantom_gets_torchs_mask():
    require_same_mask(*find_scan(ROOT / "test/case/input").files)


def test_real_cases_get_torchs_mask(real_cases):
    """Of one network, or with REAL_CASES=all in the environment of all."""
    for files in real_cases:
        require_same_mask(files.adc, files.zadc, networks=None if os.environ.get("REAL_CASES") == "all" else 1)


# --- which one ---


@pytest.mark.parametrize(
    ("devices", "reason"), [(None, "no NVIDIA driver"), (0, "no NVIDIA device, the driver says 100"), (1, "")]
)
def test_what_the_driver_says_decides_about_cuda(folder, driver, without, devices, reason):
    """Without torch only an idle GPU is worth a word."""
    driver(devices)
    assert cuda.no_cuda() == reason
    if reason:
        engine, notes = pick_engine("auto", "auto", folder)
        assert (engine.name, engine.device) == ("openvino", "cpu")
        assert notes == [f"CUDA cannot be used ({reason}); using the CPU"]
        assert pick_engine("torch", "auto", folder)[0].device == "cpu"
    without("torch")
    engine, notes = pick_engine("auto", "auto", folder)
    assert (engine.name, ["PyTorch is not installed here" in note for note in notes]) == ("openvino", [True] * (not reason))


@NO_CUDA
def test_cuda_that_breaks_when_it_is_used_is_a_note_or_a_refusal():
    device, note = pick_device("auto")
    assert (device, note.startswith("CUDA cannot be used ("), note.endswith("); using the CPU")) == (CPU, True, True)
    with pytest.raises(UserError, match=r"^--device cuda: CUDA cannot be used here \([^\n]+\)$"):
        pick_device("cuda")
    assert pick_device("cpu") == (CPU, "")


def test_where_openvino_cannot_compute_torch_does_with_a_note(bare, folder, without):
    for weights, reason in ((bare, f"no net0.onnx, python -m training.export {bare} makes it"), (folder, "openvino is not")):
        engine, (note,) = pick_engine("auto", "cpu", weights)
        assert (engine.name, note.startswith("using torch, "), reason in note) == ("torch", True, True)
        without("openvino")


@pytest.mark.parametrize(
    ("missing", "exported", "words", "reason"),
    [
        ("", False, ("openvino", "cpu"), "net0.onnx is missing; where the weights were trained, python -m training.export"),
        ("torch", False, ("auto", "cpu"), "net0.onnx is missing; where the weights were trained, python -m training.export"),
        ("torch", True, ("torch", "cpu"), "--engine torch: the package torch is not installed here"),
        ("torch", True, ("auto", "cuda"), "--device cuda: the package torch is not installed here"),
        ("openvino", True, ("openvino", "cpu"), "--engine openvino: the package openvino is not installed here"),
        ("", True, ("openvino", "cuda"), "--engine openvino: runs on the CPU alone"),
    ],
)
def test_what_cannot_be_had_is_refused(folder, bare, without, missing, exported, words, reason):
    if missing:
        without(missing)
    with pytest.raises(UserError, match=reason):
        pick_engine(*words, folder if exported else bare)


@pytest.mark.parametrize("words", [{"device": "cuda"}, {"engine": "torch"}])
def test_weights_of_trees_alone_need_no_engine_and_say_so(tmp_path, words):
    save_decision(tmp_path, stump("z", -2, 0.8, 0.2), {})
    with pytest.raises(UserError, match="no networks, which --engine and --device cuda are for"):
        _ = Segmenter(tmp_path, **words).predictors
    assert Segmenter(tmp_path).predictors.given.ensemble.engine == "numpy"


# --- no graph runs with other weights ---


def spoil_byte(folder: Path) -> None:
    data = bytearray((folder / "net1.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "net1.onnx").write_bytes(data)


def rename(folder: Path) -> None:
    """A pair that belongs together under a name by which its graph does not know its weights."""
    for suffix in (".safetensors", ".json", ".onnx"):
        (folder / f"net1{suffix}").write_bytes((folder / f"net0{suffix}").read_bytes())


def keep_entry(folder: Path) -> None:
    """New weights whose sidecar says that they were exported, as the old ones were."""
    entry = read_sidecar(folder / "net1.json")["onnx"]
    replace_weights(folder)
    write_sidecar(folder / "net1.json", read_sidecar(folder / "net1.json") | {"onnx": entry})


def replace_weights(folder: Path) -> None:
    save_ensemble(folder, random_network(3), random_network(4))


def other_architecture(folder: Path) -> None:
    sidecar = read_sidecar(folder / "net1.json")
    write_sidecar(folder / "net1.json", sidecar | {"model": sidecar["model"] | {"adc_scale": 900.0}})


@pytest.mark.parametrize("change", [spoil_byte, rename, replace_weights, keep_entry, other_architecture])
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
    words = [*arguments(case_tree(), tmp_path / "out", rule_weights), *words]
    code = f"import sys, process; process.main({words}); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert done.stderr == ""
    assert {needed, "SimpleITK"} <= set(modules)
    assert not (unneeded | {"monai", "onnx", "scipy", "pydicom", "highdicom", "nibabel", "PIL"}) & set(modules)
    assert (tmp_path / "out" / MASK).is_file()


def test_openvino_computes_in_float32_whatever_the_processor_prefers():
    assert OpenvinoEngine()._core.get_property("CPU", "INFERENCE_PRECISION_HINT").to_string() == "f32"
