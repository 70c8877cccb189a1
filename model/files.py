"""Writing a file whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it becomes `path` when the block ends well and vanishes when it does not.

    The name keeps the suffix, which image writers need, and is hidden and marked as partial.
    """
    partial = path.with_name(_partial_name(path, secrets.token_hex(4)))
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(path: Path) -> None:
    """Remove what killed runs left of `path`. Another run that is writing it now would lose its file too."""
    for partial in path.parent.glob(_partial_name(path, "*")):
        partial.unlink(missing_ok=True)


def _partial_name(path: Path, mark: str) -> str:
    return f".{path.stem}.{mark}.partial{path.suffix}"
