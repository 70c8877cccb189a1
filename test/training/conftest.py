"""A small study: invented cases packed in a folder, their folds and a small network in place of the project's."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from training_helpers import SMALL, write_study

from training.data import splits
from training.learning.losses import LOSSES
from training.learning.protocols import PROTOCOLS, Native
from training.lesions import fit_estimate, fit_trees


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Enough for a line, and for lesions that are nothing else than low."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_estimate, "ROUNDS", 60)
        patch.setattr(fit_trees, "ROUNDS", 25)
        yield


@pytest.fixture
def replace_loss(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable], None]:
    """Puts another function in place of one of the losses."""
    return functools.partial(monkeypatch.setitem, LOSSES)


@pytest.fixture(scope="module")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the packed cases; commands find their folds and, as the native protocol's, the small network."""
    folder = tmp_path_factory.mktemp("packed")
    write_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "SPLITS", folder / "splits.json")
        patch.setitem(PROTOCOLS, "native", lambda: Native(SMALL))
        yield folder
