"""Which cases weights were trained on, as their sidecars say."""

from pathlib import Path

from model.errors import UserError
from model.networks.stored import read_sidecar


def trained_on(sidecar: Path) -> set[str]:
    """Names of the cases. Raises UserError when the sidecar lists none."""
    try:
        names = read_sidecar(sidecar)["provenance"]["cases"]["training"]
    except (KeyError, TypeError):
        names = None
    if type(names) is not list or not names:
        raise UserError(f"{sidecar}: does not say which cases the network was trained on")
    return set(names)
