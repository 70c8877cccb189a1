"""A case of the input, before its files are opened."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FoundCase:
    """A case and its two files, or why it cannot be run."""

    name: str
    adc: Path | None = None
    zadc: Path | None = None
    problem: str = ""
