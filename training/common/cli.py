"""What every training command does: its option for the data, and an error as one line on stderr and an exit code."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from model.command import exit_code


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """The option for the folder of packed cases."""
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")


def run(main: Callable[[], None]) -> None:
    """Call `main` and end with the exit code that fits; nothing more where it is 0."""
    code = exit_code(main)
    if code:
        sys.exit(code)
