"""Commands of training and of the evaluation, called in this process as a shell would start them."""

import sys
from collections.abc import Callable

import pytest

from training.common.cli import run


def exit_code(main: Callable[[], None], *words: object) -> int:
    """Call a command's main function with these words; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *map(str, words)])
        try:
            run(main)
        except SystemExit as stop:
            return stop.code
    return 0
