"""Markdown: tables, paragraphs, and the files that hold it."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from model.files import whole_file
from training.common.outputs import require_own_file


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    written = [f"| {' | '.join(line)} |" for line in (header, *lines)]
    return "\n".join([written[0], "|---" * len(header) + "|", *written[1:]])


def wrapped(text: str) -> str:
    """A paragraph in lines of the project's width."""
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def require_own_page(page: Path, command: str) -> None:
    """Raise UserError when another file lies where a page of `python -m training.<command>` will be."""
    words = f"python -m training.{command}"
    require_own_file(page, lambda path: words in path.read_text(encoding="utf-8"), f"an earlier page of {words}")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
