"""Writes a page with its figures and its block in the README, over earlier ones of the same command alone."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from model.errors import UserError
from model.files import require_writable
from training.common.cli import command_parser
from training.common.outputs import require_own_file
from training.pages.markdown import require_own_page, write_text
from training.pages.plots import is_figure
from training.scores.rows import RESULTS

ROOT = Path(__file__).parents[2]
FIGURES = "figures"  # folder beside the pages


def page_arguments(text: str | None) -> argparse.Namespace:
    """The options of a command that makes a page: results, docs, readme; text: what its help says."""
    parser = command_parser(text)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="of the page and figures/ (default: %(default)s)")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="default: %(default)s")
    return parser.parse_args()


def publish(
    command: str, page: Path, text: str, figures: Mapping[str, Callable[[Path], None]], readme: Path, block: str
) -> None:
    """Write a page of `python -m training.<command>`, figures by their file names, and what the README shows of it.

    The README's block stands between markers named as the page; without a README, or markers there, it is left alone.
    Raises UserError, before anything is written, where another file lies or the markers do not pair.
    """
    before = readme.read_text(encoding="utf-8") if readme.exists() else ""
    after = replace_block(before, block, readme, page.stem)
    require_writable(page.parent)
    require_own_page(page, command)
    paths = {page.parent / FIGURES / name: draw for name, draw in figures.items()}
    for path in paths:
        require_own_file(path, is_figure, f"an earlier figure of python -m training.{command}")
    (page.parent / FIGURES).mkdir(parents=True, exist_ok=True)
    for path, draw in paths.items():
        draw(path)
    write_text(page, text)
    if after != before:
        write_text(readme, after)
    print(page)


def replace_block(text: str, block: str, path: Path, name: str) -> str:
    """`text` with what stands between the markers of a name replaced; unchanged without markers.

    Raises UserError unless each marker is there once, the beginning first, or neither is there.
    """
    begin, end = (f"<!-- {name}:{side} -->" for side in ("begin", "end"))
    counts = text.count(begin), text.count(end)
    if counts == (0, 0):
        return text
    if counts != (1, 1) or text.index(begin) > text.index(end):
        raise UserError(f"{path}: expected {begin} and after it {end}, once each, found {counts[0]} and {counts[1]}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{block}\n{end}{rest.partition(end)[2]}"


def figure(name: str, caption: str) -> str:
    return f"![{caption}]({FIGURES}/{name})"
