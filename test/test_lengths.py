"""Files and functions that fit on a few screens."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("model", "training", "evaluation", "benchmarks")
SOURCES = sorted([ROOT / "process.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))])
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 320, 50


def lines_of_functions(text: str) -> dict[str, int]:
    """Lines by name, decorators left out."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: node.end_lineno - node.lineno + 1 for node in functions}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert {name: lines for name, lines in lines_of_functions(text).items() if lines > MOST_LINES_OF_A_FUNCTION} == {}
