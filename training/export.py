"""Writes the graphs of a folder's networks as ONNX, which is what the CPU engines run.

Example, for the networks that are shipped, and for a run:

    python -m training.export
    python -m training.export runs/fold0

Beside every `<name>.safetensors` lies `<name>.onnx` then: the graph alone, whose weights are the float16 numbers in the
.safetensors, named by their place there. The sidecar gets the graph's SHA-256 and that of what it is the graph of. Nothing
is written before the graph's answer equals torch's.
"""

from pathlib import Path

from model.networks.stored import IMAGE_WEIGHTS
from training.common.cli import command_parser, run
from training.learning.onnx_graph import export


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, nargs="?", default=IMAGE_WEIGHTS, help="default: %(default)s")
    for path in export(parser.parse_args().weights):
        print(path)


if __name__ == "__main__":
    run(main)
