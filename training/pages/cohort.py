"""Of which cases and folds the rows on a page are: of one cohort, and on this project's pages of the committed folds."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from model.errors import UserError
from training.data.seen import differing
from training.data.splits import fold_words, is_committed
from training.pages.publish import ROOT
from training.scores.configuration import read_configuration


def require_one_cohort(results: Path, names: Iterable[str]) -> list[list[str]]:
    """The folds that the rows of some files share. Raises UserError where their data or folds differ or are not told."""
    first, *others = names
    known = read_configuration(results / first)
    for name in others:
        found = read_configuration(results / name)
        if cases := differing(known.get("data"), found.get("data", {})):
            raise UserError(f"{results}: {first} and {name} are of different data ({cases})")
        if known.get("folds") != found.get("folds"):
            raise UserError(f"{results}: {first} and {name} are of different folds")
    folds: list[list[str]] | None = known.get("folds")
    if not folds or {name for names in folds for name in names} != known.get("data", {}).keys():
        raise UserError(f"{results}: the configuration of {first} does not say in which fold each case is; score it again")
    return folds


def require_elsewhere(folds: Sequence[Sequence[str]], *pages: Path) -> None:
    """Raise UserError when a page of this repository would get rows of other folds than the committed ones."""
    if is_committed(folds):
        return
    for page in pages:
        if page.resolve() in (ROOT / "docs", ROOT / "README.md"):
            raise UserError(
                f"{page}: of the committed folds, and the rows are of {fold_words(folds)}; name --docs and --readme"
            )
