"""The torch engine: the reference on the CPU, and the engine on CUDA; and how trained networks are written."""

import threading
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from model.errors import UserError
from model.networks.config import InferenceConfig, ModelConfig, to_json
from model.networks.cuda import no_cuda_note
from model.networks.network import LesionNet
from model.networks.stored import StoredNetwork, save_pair

_ONE_AT_A_TIME = threading.Lock()


def pick_device(name: str) -> tuple[torch.device, str]:
    """The device for `auto`, `cpu` or `cuda`, and a note where `auto` had to fall back (else empty).

    CUDA counts as usable when a small computation on it succeeds. Raises UserError for `cuda` when it is not.
    """
    if name == "cpu":
        return torch.device("cpu"), ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch reports an old driver as a warning; here it is the reason
        try:
            torch.ones(1, device="cuda").add_(1).item()
            return torch.device("cuda"), ""
        except (RuntimeError, AssertionError, Warning) as error:
            reason = str(error).strip().splitlines()[0]
    if name == "cuda":
        raise UserError(f"--device cuda: CUDA cannot be used here ({reason})")
    return torch.device("cpu"), no_cuda_note(reason)


class TorchNetwork:
    """A module that is asked in numpy: float32 (n, 2, z, y, x) -> logits, float32 (n, 1, z, y, x)."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module, self.device = module.to(device).eval(), device

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The logits; the same for the same batch, on CUDA too."""
        with _ONE_AT_A_TIME:  # it has all threads, or the GPU; and the flags are the process's
            return self._logits(batch)

    @torch.inference_mode()
    @torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    def _logits(self, batch: np.ndarray) -> np.ndarray:
        return self.module(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()


class TorchEngine:
    """Builds the network from its configuration and loads its weights strictly."""

    name = "torch"

    def __init__(self, device: torch.device) -> None:
        self._device, self.device = device, str(device)

    def load(self, stored: StoredNetwork) -> TorchNetwork:
        """Raises UserError when the weights are not those of the architecture."""
        return TorchNetwork(load_module(stored), self._device)


def load_module(stored: StoredNetwork) -> LesionNet:
    """The network on the CPU, float32. Raises UserError when the weights are not those of the architecture."""
    try:
        with torch.device("meta"):  # shapes only: a sidecar that lies allocates nothing, and a true one loads faster
            network = LesionNet(stored.model)
        tensors = {name: tensor.float() for name, tensor in parse_safetensors(stored.data).items()}
        network.load_state_dict(tensors, strict=True, assign=True)
    except (SafetensorError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{stored.path}: does not fit the architecture in {stored.path.stem}.json ({reason})") from None
    return network.eval()


def round_to_disk_precision(network: nn.Module) -> None:
    """Round every weight in place to the float16 value that is stored; computation stays float32."""
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})


def save_weights(path: Path, network: nn.Module, model: ModelConfig, inference: InferenceConfig, provenance: dict) -> None:
    """Write `path` (.safetensors, float16) and its JSON sidecar, which holds the file's SHA-256.

    `round_to_disk_precision` makes the network in memory the one on disk; score it after that.
    """
    data = to_safetensors({name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()})
    save_pair(path, data, {"model": to_json(model), "inference": to_json(inference), "provenance": provenance})
