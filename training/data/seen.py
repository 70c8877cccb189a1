"""Which cases weights were trained on, as sidecars say, and whether those at hand are the same data, by their digests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UserError, listed
from model.networks.stored import read_sidecar
from training.data.splits import patient_of

if TYPE_CHECKING:
    from training.data.dataset import PackedCase

SCANS = "scans"  # of a sidecar: digests of the ADC maps that weights were trained on


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


def trained_on(sidecar: Path) -> set[str]:
    """Names of the cases. Raises UserError when the sidecar lists none."""
    names = _told(sidecar, "cases", "training")
    if not isinstance(names, list) or not names:
        raise UserError(f"{sidecar}: does not say which cases the network was trained on")
    return set(names)


def seen_by(weights: Path, cases: Iterable[PackedCase]) -> set[str]:
    """Names of the cases whose patients the weights were trained on: by their names or, under others, by their scans.

    Raises UserError when a sidecar does not say what it was trained on, or none says which scans.
    """
    names: set[str] = set()
    scans: set[str] = set()
    for sidecar in sorted(weights.glob("*.json")):
        names |= trained_on(sidecar)
        scans |= set(_told(sidecar, SCANS) or ())
    if not scans:
        raise UserError(f"{weights}: no sidecar says which scans the weights were trained on; fit the decision again")
    patients = set(map(patient_of, names))
    return {case.name for case in cases if patient_of(case.name) in patients or case.scan_digest in scans}


def require_same_data(sidecars: Iterable[Path], cases: Iterable[PackedCase]) -> list[Path]:
    """Which of the networks' sidecars do not say on which data they were trained.

    Raises UserError when a network was trained on others than the cases.
    """
    untold, here = [], digests(cases)
    for path in sorted(sidecars):
        known = _told(path, "data")
        if not isinstance(known, dict):
            untold.append(path)
        elif other := differing(known, {name: here[name] for name in known if name in here}):
            raise UserError(f"{path}: trained on other data than these ({other})")
    return untold


def training_seed(weights: Path) -> int:
    """The seed that all networks in `weights` were trained with. Raises UserError when a sidecar names none, or another."""
    seeds: set[int] = set()
    for path in sorted(weights.glob("fold*.json")):
        seed = _told(path, "training", "seed")
        if type(seed) is not int:
            raise UserError(f"{path}: does not say with which seed the network was trained")
        seeds.add(seed)
    if len(seeds) != 1:
        raise UserError(f"{weights}: networks of {len(seeds)} seeds {sorted(seeds)}, expected networks of one")
    return seeds.pop()


def _told(sidecar: Path, *keys: str) -> Any:
    """What a sidecar says there of how the weights were made; None where it says nothing."""
    found: Any = read_sidecar(sidecar)
    for key in ("provenance", *keys):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def require_held_out(weights: Path, cases: Iterable[PackedCase]) -> None:
    """Raise UserError when a network was trained on a case of the fold that it holds out, or its name says another fold.

    cases: all that are at hand, each with its fold. Where the sidecar has digests, a copy of another name is found too.
    """
    some = list(cases)
    for path in sorted(weights.glob("fold*.json")):
        names, fold = trained_on(path), _told(path, "training", "fold")
        if type(fold) is not int:
            raise UserError(f"{path}: does not say which fold the network holds out")
        if path.stem.split("-")[0] != f"fold{fold}":
            raise UserError(f"{path}: holds out fold {fold}, expected a name that begins with fold{fold}-")
        known = _told(path, "data") or {}
        copies = {known.get(name) for name in names} - {None}
        if seen := listed(case.name for case in some if case.fold == fold and (case.name in names or case.digest in copies)):
            raise UserError(f"{path}: trained on {seen}, which its fold holds out")
