"""Which engine computes: torch on CUDA, OpenVINO on the CPU. Decided without importing torch, which takes seconds."""

import importlib.util
from pathlib import Path

from model.errors import UserError
from model.networks.cuda import no_cuda, no_cuda_note
from model.networks.stored import EXPORT, Engine, network_files

WHERE = {"torch": "the image hie-lesions has it", "openvino": "all images have it"}


def pick_engine(name: str, device: str, weights: Path, at_once: int = 1) -> tuple[Engine, list[str]]:
    """The engine for `auto`, `torch` or `openvino`, and `auto`, `cpu` or `cuda`, and notes on what `auto` had to do without.

    at_once: how many cases will be computed at the same time.
    Raises UserError when what is asked for cannot be had: CUDA, a package, an exported network.
    """
    notes: list[str] = []
    if name in ("auto", "torch") and device != "cpu":
        engine, notes = _on_cuda(device)
        if engine:
            return engine, notes
    elif device == "cuda":
        raise UserError(f"--engine {name}: runs on the CPU alone, not with --device cuda")
    missing = next((path for path in (p.with_suffix(".onnx") for p in network_files(weights)) if not path.exists()), None)
    if name == "auto":
        name = "openvino"  # which says what is missing where torch is not there either
        if (missing or not _installed("openvino")) and _installed("torch"):
            name = "torch"
            reason = f"no {missing.name}, {EXPORT} {weights} makes it" if missing else "openvino is not installed"
            notes.append(f"using torch, which starts slower than openvino ({reason})")
    _require(name, f"--engine {name}")
    if name == "torch":
        from model.networks.torch_engine import TorchEngine, pick_device

        return TorchEngine(pick_device("cpu")[0]), notes
    if missing:
        raise UserError(f"--engine {name}: {missing} is missing; where the weights were trained, {EXPORT} FOLDER makes it")
    from model.networks.graph_engines import OpenvinoEngine

    return OpenvinoEngine(at_once), notes


def _on_cuda(device: str) -> tuple[Engine | None, list[str]]:
    """torch on CUDA; None and the reason when `auto` has to do without. Raises UserError when `cuda` has to."""
    if device == "auto":
        reason = no_cuda()
        if not _installed("torch"):  # a list or an image for the CPU: worth a word only where a GPU lies idle
            return None, [] if reason else [no_cuda_note(f"PyTorch is not installed here, {WHERE['torch']}")]
        if reason:
            return None, [no_cuda_note(reason)]
    _require("torch", "--device cuda")
    from model.networks.torch_engine import TorchEngine, pick_device

    picked, note = pick_device(device)
    return (None, [note]) if note else (TorchEngine(picked), [])


def _require(package: str, option: str) -> None:
    if not _installed(package):
        raise UserError(f"{option}: the package {package} is not installed here ({WHERE[package]})")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
