"""Runs a training command's main function; a UserError becomes one line on stderr and exit code 2."""

import sys
from collections.abc import Callable

from model.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Call `main` and turn its UserError into a clean exit."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
