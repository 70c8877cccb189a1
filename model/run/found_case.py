"""A case of the input, before its files are opened."""

from dataclasses import dataclass
from pathlib import Path

from model.errors import UserError


@dataclass(frozen=True)
class FoundCase:
    """A case and its two files, or why it cannot be run."""

    name: str
    adc: Path | None = None
    zadc: Path | None = None
    problem: str = ""

    @property
    def maps(self) -> tuple[Path, Path]:
        """ADC map and Z map. Raises UserError where the case cannot be run."""
        if self.problem or not (self.adc and self.zadc):
            raise UserError(self.problem)
        return self.adc, self.zadc
