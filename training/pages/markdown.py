"""Markdown, and the files of pages: tables, paragraphs, a block between two markers."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from model.errors import UserError
from model.files import whole_file
from training.common.outputs import require_own_file


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    written = [f"| {' | '.join(line)} |" for line in (header, *lines)]
    return "\n".join([written[0], "|---" * len(header) + "|", *written[1:]])


def wrapped(text: str) -> str:
    """A paragraph in lines of the project's width."""
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def replace_block(text: str, block: str, path: Path, markers: tuple[str, str]) -> str:
    """`text` with what stands between the markers replaced; unchanged without markers.

    Raises UserError unless each marker is there once, the beginning first, or neither is there.
    """
    begin, end = markers
    counts = text.count(begin), text.count(end)
    if counts == (0, 0):
        return text
    if counts != (1, 1) or text.index(begin) > text.index(end):
        raise UserError(f"{path}: expected {begin} and after it {end}, once each, found {counts[0]} and {counts[1]}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{block}\n{end}{rest.partition(end)[2]}"


def require_own_pages(page: Path, command: str, figures: Iterable[Path], is_figure: Callable[[Path], bool]) -> None:
    """Raise UserError when another file lies where a page of `python -m training.<command>` or a figure of it will be."""
    words = f"python -m training.{command}"
    require_own_file(page, lambda path: words in path.read_text(encoding="utf-8"), f"an earlier page of {words}")
    for path in figures:
        require_own_file(path, is_figure, f"an earlier figure of {words}")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
