"""Whether cases are the same data as others were: by the digests that checkpoints, sidecars and results hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from model.errors import listed

if TYPE_CHECKING:
    from training.data.dataset import PackedCase


def digests(cases: Iterable[PackedCase]) -> dict[str, str]:
    """The cases' digests by name."""
    return {case.name: case.digest for case in cases}


def differing(known: object, found: dict[str, str]) -> str:
    """The cases whose data differ or are missing on one side, as words for a message; empty where there are none.

    known: digests as an earlier run wrote them, by name; anything else counts as not told.
    """
    if not isinstance(known, dict):
        return "which data they were is not told"
    return listed(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
