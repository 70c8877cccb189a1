"""Runs a training command's main function; an error becomes one line on stderr and an exit code."""

import sys
from collections.abc import Callable

from model.command import exit_code


def run(main: Callable[[], None]) -> None:
    """Call `main` and end with the exit code that fits; nothing more where it is 0."""
    code = exit_code(main)
    if code:
        sys.exit(code)
