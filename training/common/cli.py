"""What every training command does: its options, and an error as one line on stderr and an exit code."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from model.command import exit_code


def command_parser(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, line by line."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """The option for the folder of packed cases."""
    parser.add_argument("--data", type=Path, required=True, help="folder of packed cases (python -m training.cases)")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """The option for where networks compute."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")


def run(main: Callable[[], None]) -> None:
    """Call `main` and end with the exit code that fits; nothing more where it is 0."""
    code = exit_code(main)
    if code:
        sys.exit(code)
