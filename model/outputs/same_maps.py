"""Cases of a folder whose ADC maps have the same voxels: one may lie in the wrong folder, so each names the others."""

from __future__ import annotations

import collections
from dataclasses import replace
from typing import TYPE_CHECKING

from model.errors import listed
from model.outputs.summary import CHANGED, OUTDATED
from model.report.results import VOXELS

if TYPE_CHECKING:
    from model.outputs.earlier import Earlier
    from model.outputs.summary import Outcome

SAME = "The ADC map has the same voxels as that of "  # begins the warning
MOST_LISTED = 3  # cases that it names


def warnings_to_have(outcomes: list[Outcome], earlier: list[Earlier]) -> list[str]:
    """The warning of each case, empty where no other ADC map is the same.

    A case that is not run again, since someone changed its mask or it is outdated, counts by its earlier results.
    """
    digests = [_digest(outcome, before) for outcome, before in zip(outcomes, earlier, strict=True)]
    names = collections.defaultdict(list)
    for outcome, digest in zip(outcomes, digests, strict=True):
        names[digest].append(outcome.case.name)
    return [
        _warning([name for name in names[digest] if name != outcome.case.name]) if digest else ""
        for outcome, digest in zip(outcomes, digests, strict=True)
    ]


def _digest(outcome: Outcome, before: Earlier) -> str | None:
    results = outcome.results or (before.results if outcome.status in (CHANGED, OUTDATED) else None) or {}
    digest: str | None = results.get("inputs", {}).get("adc", {}).get(VOXELS)
    return digest


def _warning(others: list[str]) -> str:
    return f"{SAME}{listed(others, MOST_LISTED)}: is one of them a copy, or in the wrong folder?" if others else ""


def has_warning(outcome: Outcome, warning: str) -> bool:
    """Whether a case's results have this warning and no other of its kind; an empty one stands for none."""
    there = [sentence for sentence in (outcome.results or {}).get("warnings", []) if sentence.startswith(SAME)]
    return there == ([warning] if warning else [])


def with_warning(outcome: Outcome, warning: str) -> Outcome:
    """The outcome with this warning in place of others of its kind, for what lists all cases."""
    if not outcome.results:
        return outcome
    kept = [sentence for sentence in outcome.results["warnings"] if not sentence.startswith(SAME)]
    return replace(outcome, results=outcome.results | {"warnings": [*kept, *([warning] if warning else [])]})
