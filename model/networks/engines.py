"""Which engine computes: torch on CUDA, OpenVINO on the CPU. Decided without importing torch, which takes seconds."""

import importlib.util
from pathlib import Path

from model.errors import UserError
from model.networks.cuda import no_cuda, no_cuda_note
from model.networks.stored import EXPORT, Engine, network_files

PACKAGES = {"torch": "torch", "openvino": "openvino"}
# of a case on the CPU's engine with two cores, from the process's start, and for each million voxels where all are brain:
# "Growth" in benchmarks/README.md
CPU_START_S, CPU_S_A_MILLION = 0.8, 5.0
WHERE = {"torch": "the image hie-lesions has it", "openvino": "all images have it"}


def pick_engine(name: str, device: str, weights: Path, at_once: int = 1) -> tuple[Engine, list[str]]:
    """The engine for `auto` or one of PACKAGES, and `auto`, `cpu` or `cuda`, and notes on what `auto` had to do without.

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
    if name == "auto":
        name, note = _cpu_engine(weights)
        notes += [note] if note else []
    return _on_cpu(name, weights, at_once), notes


def sooner_on_cpu(weights: Path, seconds: float, voxels: int) -> str:
    """A line where the CPU's engine would have been done with a case sooner than CUDA; empty where not, or not surely.

    seconds: that CUDA took, from the process's start. voxels: of the case's grid.
    """
    on_cpu = CPU_START_S + CPU_S_A_MILLION * voxels / 1e6
    if on_cpu > seconds or _cpu_engine(weights)[0] != "openvino":
        return ""
    times = f"at most {on_cpu:.1f} s on two cores, CUDA took {seconds:.1f} s"
    return f"--device cpu would have been faster for this case: {times}"


def _on_cuda(device: str) -> tuple[Engine | None, list[str]]:
    """torch on CUDA; None and the reason when `auto` has to do without. Raises UserError when `cuda` has to."""
    if device == "auto":
        reason = no_cuda()
        if not _installed("torch"):  # a list or an image for the CPU: worth a word only where a GPU lies idle
            return None, [] if reason else [no_cuda_note(f"PyTorch is not installed here, {WHERE['torch']}")]
        if reason:
            return None, [no_cuda_note(reason)]
    if not _installed("torch"):
        raise UserError(f"--device cuda: PyTorch is not installed here ({WHERE['torch']})")
    from model.networks.torch_engine import TorchEngine, pick_device

    picked, note = pick_device(device)
    return (None, [note]) if note else (TorchEngine(picked), [])


def _cpu_engine(weights: Path) -> tuple[str, str]:
    """The engine that `auto` takes on the CPU, and why it is not the fast one (else empty)."""
    missing = _not_exported(weights)
    if not missing and _installed("openvino"):
        return "openvino", ""
    if not _installed("torch"):
        return "openvino", ""  # which says what is missing
    reason = f"no {missing.name}, {EXPORT} {weights} makes it" if missing else "openvino is not installed"
    return "torch", f"using torch, which starts slower than openvino ({reason})"


def _on_cpu(name: str, weights: Path, at_once: int) -> Engine:
    _require(name)
    if name == "torch":
        from model.networks.torch_engine import TorchEngine, pick_device

        return TorchEngine(pick_device("cpu")[0])
    missing = _not_exported(weights)
    if missing:
        raise UserError(f"--engine {name}: {missing} is missing; where the weights were trained, {EXPORT} FOLDER makes it")
    from model.networks.graph_engines import OpenvinoEngine

    return OpenvinoEngine(at_once)


def _require(name: str) -> None:
    if not _installed(name):
        raise UserError(f"--engine {name}: the package {PACKAGES[name]} is not installed here ({WHERE[name]})")


def _not_exported(weights: Path) -> Path | None:
    """The first network's graph that is not there."""
    return next((path for path in (p.with_suffix(".onnx") for p in network_files(weights)) if not path.exists()), None)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None
