"""The CPU engines: exported networks in float32, without torch. Arrays are (n, channel, z, y, x)."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from model.cores import threads
from model.errors import UserError, lacks_memory, one_line
from model.networks.stored import StoredNetwork
from model.networks.windows import Network


class OpenvinoEngine:
    """Compiles each network in the background, while the one before it is asked.

    at_once: cases that are computed at the same time. With more than one the threads work in two groups, each on a case:
    alone in its group a thread does not wait for others.
    """

    name, device = "openvino", "cpu"

    def __init__(self, at_once: int = 1) -> None:
        # openvino's model converter, unused here, takes a third of the import and reports it to the vendor
        cast(dict, sys.modules).setdefault("openvino.tools.ovc", None)
        from openvino import Core

        self._core = Core()
        # float32, or the result would depend on the processor: some get bfloat16 by default
        streams = min(at_once, threads(), 2)
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads(), "NUM_STREAMS": streams}
        # a thread that is bound to a core waits there for other cases' work, and all others wait for it
        self._core.set_property("CPU", options | {"ENABLE_CPU_PINNING": False})
        self._compiling = ThreadPoolExecutor(min(threads(), 2))

    def load(self, stored: StoredNetwork) -> Network:
        """Raises UserError when the graph is not that of the weights."""
        stored.require_graph()
        return self.compile(stored.graph_path)

    def compile(self, graph_path: Path) -> Network:
        """The network of a graph whose weights lie beside it."""
        compiled = self._compiling.submit(self._core.compile_model, str(graph_path), "CPU")

        def network(batch: np.ndarray) -> np.ndarray:
            # a request of its own, whose memory goes with it: a large window takes hundreds of megabytes
            try:
                model = compiled.result()
            except RuntimeError as error:
                if lacks_memory(error):
                    raise
                raise UserError(f"{graph_path}: cannot be compiled ({one_line(error)[:200]})") from None
            return model.create_infer_request().infer([batch], share_inputs=True)[0]

        return network
